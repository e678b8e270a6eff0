#!/usr/bin/python3
"""Fits what kernels take beside collectives, and under the power limit, from microbenchmarks.

usage: calibration/fit_beside.py calibration/results/h200-sxm configs/gpus/h200-sxm.yaml

`overlap`: from overlap_kernels.csv. A chain of kernels runs beside a chain of collectives, which are
under way for a share c of the time. Kernels then end r times as far apart as alone, so beside a
collective one takes s times as long, with c / s + (1 - c) = 1 / r.
`throttle`: from in_context.csv, in_context_clocks.csv (loops from idle to steady) and gemm_sustained.csv.
The excess of the time over that of a burst, linear in the rate of products and attention that the loop
has at burst clocks. `products`: of matrix products, `others`: of what follows the clock.
`spread`, `collectives`: from between.csv and between_blocks.csv, loops of kernels and an all_reduce on two GPUs
that wait for each other. Two draws of a normal distribution are 1.128 deviations apart on average; the deviation
of the GPUs' times over what the limit costs at the loop's rate, root mean squares over the loops. An all_reduce
between kernels, on the rank that comes last, over one alone, against what the limit costs attention at that rate.
`kernel_gap`: from in_context.csv, what lies between one kernel and the next of a stream.
What was measured replaces the same keys of the GPU file; the rest of the file stays.
"""
import csv
import os
import re
import sys

import numpy

import gpu_file

TILE = 128 * 256


def measured(folder, *names):
    return all(os.path.exists(os.path.join(folder, name)) for name in names)


def rows_of(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return list(csv.DictReader(file))


def blocks(grid):
    return int(re.findall(r"\d+", grid)[0])


def kind_of(kernel):
    return {"gemm": "product", "attention": "attention", "add": "memory", "strided": "issue"}.get(kernel.split("_")[0], "")


def rounds(kernel, sm_count):
    m, n, k = (int(v) for v in re.match(r"gemm_(\d+)x(\d+)x(\d+)", kernel).groups())
    outputs = {"dgrad": m * k, "wgrad": n * k}.get(kernel.rsplit("_", 1)[-1], m * n)
    return max(1, -(-outputs // (TILE * sm_count)))


def overlap(folder, sm_count):
    slow, slower = {}, {}
    extra, taken = [], []
    for row in rows_of(folder, "overlap_kernels.csv"):
        value = {key: float(row[key]) for key in row if key.endswith("_us")}
        kind = kind_of(row["kernel"])
        if not kind or min(value.values()) <= 0:
            continue
        covered = min(1.0, value["collective_together_us"] / value["collective_period_us"])
        idle = value["kernel_alone_us"] / value["kernel_period_us"] - (1 - covered)
        if covered < 0.5 or idle <= 0:
            continue
        taken.append(blocks(row["collective_grid"]))
        left = sm_count / (sm_count - taken[-1])
        s = covered / idle
        slower.setdefault(kind, []).append(value["collective_together_us"] / value["collective_alone_us"])
        if kind == "product":
            extra.append((s / left - 1, 1 / rounds(row["kernel"], sm_count)))
        else:
            slow.setdefault(kind, []).append(s)
    excess, share = (numpy.array(v) for v in zip(*extra))
    more = float(excess @ share / (share @ share))
    error = float(numpy.mean(numpy.abs((1 + more * share) / (1 + excess) - 1)))
    compute = [v for kind in ("product", "attention") for v in slower[kind]]
    return [
        "  overlap:",
        f"    multiprocessors: {int(numpy.median(taken))}  # blocks of NCCL's kernels",
        f"    product_rounds: {more:.2f}  # {len(extra)} pairs, mean error {100 * error:.0f} %",
        f"    issue_slowdown: {float(numpy.median(slow['issue'])):.2f}",
        f"    memory_slowdown: {float(numpy.median(slow['memory'])):.2f}",
        f"    communication_slowdown: {{kernels: {float(numpy.median(compute)):.2f}, memory: {float(numpy.median(slower['memory'])):.2f}}}",
        "    kernel_slowdown: 2  # two kernels at once: work is conserved",
        f'    source: "{folder}/overlap_kernels.csv: kernels and collectives in chains, two GPUs"',
    ]  # fmt: skip


def block_flops(case):
    """FLOPs of an iteration of in_context.py's loops."""
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "pytorch"))
    with open(os.path.join(sys.path[0], "in_context.py"), encoding="utf-8") as file:
        text = file.read()
    tuples = re.search(r"BLOCKS = (\[.*?\n\])", text, re.S).group(1)
    for name, family, hidden, heads, kv_heads, ffn, length, batch, _ in eval(tuples):
        if name == case:
            weights = 2 * hidden * hidden * (1 + kv_heads / heads) + (3 if family == "llama" else 2) * hidden * ffn
            return 2 * (6 * weights * length * batch + 3.5 * 2 * batch * length * length * hidden)
    attention = 2 * 2 * 32 * 4096**2 * 128
    return {"product": 2 * 8192 * 4096 * 4096, "attention": attention, "attention_both": 3.5 * attention}.get(case, 0)


def line_through(points):
    """excess = (rate - start) / per, least squares over (rate, excess)."""
    rate, excess = (numpy.array(v) for v in zip(*points))
    slope, zero = numpy.polyfit(rate, excess, 1)
    residual = numpy.mean(numpy.abs(slope * rate + zero - excess))
    return -zero / slope, 1 / slope, residual


def flops_between(case, mebibytes):
    """FLOPs between two all_reduces of between.py."""
    if case.startswith("after_") and case.endswith("_products"):
        return int(case.split("_")[1]) * 2 * (mebibytes * 2**20 / 2) * 4096
    blocks = {"llama_4096": (4096, 3 * 11008, 4096, 1), "gpt_2048": (2048, 2 * 8192, 2048, 4)}
    if case not in blocks:
        return 0
    hidden, wide, length, batch = blocks[case]  # four all_reduces, forward and backward, half of the block a rank
    return 3 * (2 * length * batch * hidden * (4 * hidden + wide) + 2 * batch * length**2 * hidden) / 2 / 4


def between(folder, lines):
    """What two GPUs that wait for each other tell: [spread, collectives]."""
    loops = {}
    for name in ("between.csv", "between_blocks.csv"):
        for row in rows_of(folder, name):
            loop = loops.setdefault((row["case"], float(row["mib"])), {})
            loop.setdefault(int(row["index"]), {})[row["rank"]] = row
    deviation, cost, slower, attention = [], [], [], []
    for (case, mebibytes), pairs in loops.items():
        steady = [p for i, p in sorted(pairs.items()) if len(p) == 2][6:]
        busy = [numpy.median([float(p[r]["busy_before_us"]) for p in steady]) for r in ("0", "1")]
        last = numpy.median([min(float(p[r]["all_reduce_us"]) for r in p) for p in steady])
        rate = flops_between(case, mebibytes) / (max(busy) + last) * 1e-6
        excess = [max(0.0, (rate - start) / per) for start, per in lines]
        if excess[0] <= 0:
            continue
        alone = [q for (c, m), q in loops.items() if c == "same" and m == mebibytes]
        deviation.append(abs(busy[0] - busy[1]) / numpy.mean(busy) / 1.128)
        cost.append(excess[0])
        if alone:
            quiet = numpy.median([min(float(p[r]["all_reduce_us"]) for r in p) for p in alone[0].values() if len(p) == 2])
            slower.append(last / quiet - 1)
            attention.append(excess[1])
    spread = numpy.sqrt(numpy.mean(numpy.square(deviation)) / numpy.mean(numpy.square(cost)))
    slower, attention = numpy.array(slower), numpy.array(attention)
    return [f"    spread: {spread:.2f}  # {len(deviation)} loops on two GPUs",
            f"    collectives: {max(0.0, float(slower @ attention / (attention @ attention))):.2f}  # {len(slower)} loops"]  # fmt: skip


def throttle(folder, text):
    products, others, loops = [], [], {}
    for row in rows_of(folder, "in_context.csv"):
        burst, sustained = float(row["burst_us"]), float(row["sustained_us"])
        if burst <= 0 or sustained <= 0 or float(row["gap_us"]) > 50:
            continue
        loop = loops.setdefault(row["case"], {"time": 0.0, "nvjet": [0.0, 0.0], "sdpa": [0.0, 0.0]})
        count = float(row["per_iteration"])
        loop["time"] += count * (burst + float(row["gap_us"]))
        for name in ("nvjet", "sdpa"):
            if name in row["kernel"]:
                loop[name][0] += count * burst
                loop[name][1] += count * sustained
    for case, loop in loops.items():
        rate = block_flops(case) / loop["time"] * 1e-6
        for name, points in (("nvjet", products), ("sdpa", others)):
            if rate > 0 and loop[name][0] > 0:
                points.append((rate, loop[name][1] / loop[name][0] - 1))
    for row in rows_of(folder, "gemm_sustained.csv"):
        if row["dtype"] == "bf16":
            products.append((float(row["burst_tflops"]) * (1 - float(row["memory_share"])), 1 / float(row["ratio"]) - 1))
    lines = ["  throttle:  # 1 + (rate - from) / per times as long, where products and attention run at an average rate above `from`"]
    known = []
    for name, points in (("products", products), ("others", others)):
        start, per, residual = line_through(points)
        known.append((start, per))
        lines.append(f"    {name}: {{from: {start:.0f} TFLOP/s, per: {per:.0f} TFLOP/s}}  # {len(points)} loops, mean residual {100 * residual:.1f} %")
    files = "in_context.csv (attention stands for what follows the clock), gemm_sustained.csv"
    if measured(folder, "between.csv", "between_blocks.csv"):
        lines += between(folder, known)
        files += ", between.csv"
    else:  # as the file has it
        lines += re.findall(r"^    (?:spread|collectives): .*$", text, re.M)
    limit = gpu_file.number(text, "limit")
    lines.append(f'    source: "{folder}: {files}; {limit:.0f} W"')
    return lines


def gap(folder):
    gaps = [(float(r["gap_us"]), float(r["per_iteration"])) for r in rows_of(folder, "in_context.csv")]
    gaps = sorted(g for g in gaps if 0 < g[0] < 10)
    half, seen = sum(n for _, n in gaps) / 2, 0.0
    for value, count in gaps:
        seen += count
        if seen >= half:
            break
    return [f"  kernel_gap: {value:.2f} us  # {folder}/in_context.csv: end of a kernel to the next one's start, median"]


def main():
    folder, path = sys.argv[1].rstrip("/"), sys.argv[2]
    text = gpu_file.read(path)
    blocks_of_lines = []
    if measured(folder, "in_context.csv", "gemm_sustained.csv"):
        blocks_of_lines += [throttle(folder, text), gap(folder)]
    if measured(folder, "overlap_kernels.csv"):
        blocks_of_lines.append(overlap(folder, int(gpu_file.number(text, "sm_count"))))
    for lines in blocks_of_lines:
        text = gpu_file.with_block(text, ["efficiency"], lines)
        print("\n".join(lines))
    gpu_file.write(path, text)


if __name__ == "__main__":
    main()
