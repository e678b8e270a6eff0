#!/usr/bin/python3
"""Fits the `kernels` table of a GPU file to the microbenchmarks of memory-bound kernels.

usage: calibration/fit_kernels.py calibration/results/h200-sxm configs/gpus/h200-sxm.yaml

Every class of kernels is the union of series (operator, direction, position of the kernel in its call,
what it reads and writes an element). A class is fitted by time = fixed + bytes / bandwidth, or, where
the kernel is bound by instruction issue, time = fixed + elements / rate; kernels that work row by row
(norms, reductions over rows, softmax) have a cost a row besides; relative errors count. Kernels that
route tokens to experts are in a file of their own (experts.csv, by experts.py). The
result, with the mean error of the fit, replaces the lines between the marks in the file. Of a class that was
not measured the file must say from which GPU it is transferred.
"""
import csv
import gzip
import os
import re
import sys

import numpy

import gpu_file


def parameters(row):
    return {k: v for k, v in (p.split("=", 1) for p in row["parameters"].split() if "=" in p)}


def number(row, key):
    return float(parameters(row)[key])


def total(row):
    return float(row["elements"])


def query(row):
    return number(row, "length") * number(row, "batch") * number(row, "heads") * number(row, "head_size")


def key(row):
    return number(row, "length") * number(row, "batch") * number(row, "kv_heads") * number(row, "head_size")


def vocabulary(row):
    return number(row, "tokens") * number(row, "vocabulary")


def hidden(row):
    return number(row, "tokens") * number(row, "hidden")


# class: (bound, [(op, direction, index, elements, bytes an element or None for the dtype's, kernels)])
# `bytes` are what strategies/ counts for the kernel: reads and writes of its operands.
CLASSES = {
    "vectorized": ("bytes", [("add", "forward", 0, total, 3), ("mul", "forward", 0, total, 3), ("cast_to_bf16", "forward", 0, total, "cast"), ("scale_into", "forward", 0, total, 2)]),
    "copy": ("bytes", [("copy", "forward", 0, total, 2)]),
    "fill": ("bytes", [("fill", "forward", 0, total, 1)]),
    "cast": ("elements", [("cast_to_fp32", "forward", 0, total, "cast")]),
    "mixed_add": ("elements", [("mixed_add", "forward", 0, total, "mixed")]),
    "gelu": ("both", [("gelu", "forward", 0, total, 2)]),
    "gelu_backward": ("both", [("gelu", "backward", 0, total, 3)]),
    "strided": ("elements", [("qkv_split_rotary", "forward", i, lambda r, f=f, s=s: f(r) * s, 2) for i, f, s in ((1, query, 0.5), (3, query, 1), (6, key, 0.5), (8, key, 1))]
                + [("qkv_split_rotary", "backward", i, lambda r, f=f, s=s: f(r) * s, 2) for i, f, s in ((9, query, 1), (11, query, 0.5), (12, query, 0.5), (14, query, 0.5), (16, query, 1), (19, query, 1))]
                + [("transpose", "forward", 0, total, 2)]),
    "strided_gather": ("elements", [("qkv_split_rotary", "forward", i, f, 2) for i, f in ((0, query), (4, query), (5, key), (9, key))]
                       + [("qkv_split_rotary", "backward", 17, query, 2)]),
    "strided_chunk": ("elements", [("gated_silu", "forward", 0, total, 2), ("gated_silu", "forward", 1, total, 2), ("gated_silu", "backward", 1, total, 2), ("gated_silu", "backward", 2, total, 2)]),
    "cat_strided": ("elements", [("qkv_split_rotary", "forward", 2, query, 2), ("qkv_split_rotary", "forward", 7, key, 2)]),
    "cat": ("bytes", [("gated_silu", "backward", 3, lambda r: 2 * total(r), 2), ("qkv_split", "backward", 0, total, 2)]),
    "norm": ("rows", [("rms_norm", "forward", 0, hidden, 2), ("rms_norm_in_context", "forward", 0, hidden, 2)]),
    "layer_norm": ("rows", [("layer_norm", "forward", 0, hidden, 2), ("layer_norm_in_context", "forward", 0, hidden, 2)]),
    "norm_backward": ("rows", [("rms_norm", "backward", 0, hidden, 3), ("rms_norm_in_context", "backward", 0, hidden, 3)]),
    "layer_norm_backward": ("rows", [("layer_norm", "backward", 0, hidden, 3), ("layer_norm_in_context", "backward", 0, hidden, 3)]),
    "norm_weight_backward": ("columns", [("rms_norm", "backward", 1, hidden, 2)]),
    "layer_norm_weight_backward": ("columns", [("layer_norm", "backward", 1, hidden, 2)]),
    "reduction": ("rows", [("bias_gradient", "backward", 1, lambda r: number(r, "tokens") * number(r, "width"), 1), ("bias_gradient_in_context", "backward", 0, lambda r: number(r, "tokens") * number(r, "width"), 1)]),
    "softmax": ("rows", [("cross_entropy", "forward", "cunn_SoftMaxForward", vocabulary, 8)]),
    "softmax_backward": ("rows", [("cross_entropy", "backward", "cunn_SoftMaxBackward", vocabulary, 12)]),
    "nll": ("fixed", [("cross_entropy", "forward", "nll_loss_forward", vocabulary, 0), ("cross_entropy", "backward", "nll_loss_backward", vocabulary, 0)]),
    "memset": ("fixed", [("bias_gradient", "backward", 0, total, 0)]),
    "embedding": ("bytes", [("embedding", "forward", 0, total, 2)]),
    "embedding_backward": ("call", [("embedding", "backward", None, total, 4)]),
    "copy_in": ("call", [("fsdp_pack", "forward", None, total, "cast")]),
    "copy_out": ("bytes", [("fsdp_unpack", "forward", 1, total, 2)]),
    "chunk_cat": ("bytes", [("fsdp_reduce_pack", "backward", 1, total, "cast")]),
    "adamw": ("both", [("adamw", "step", None, total, 7)]),
}

# Of experts.csv: class: (bound, [(case, kernel, elements, bytes)]), both of the call's shape.
ROUTED = {
    "topk": ("per_row", [("topk", "gatherTopK", lambda q: q["T"], 0)]),
    "sort": ("fixed", [("argsort", "Onesweep", lambda q: q["T"] * q["k"], 0), ("gather_rows_backward", "Onesweep", lambda q: q["T"] * q["k"], 0)]),
    "index_add": ("elements", [("index_add", "indexFunc", lambda q: q["T"] * q["k"] * q["H"], 0)]),
    "index_backward": ("elements", [("gather_rows_backward", "indexing_backward", lambda q: q["T"] * q["k"] * q["H"], 0)]),
    "row_sum": ("bytes", [("weight_rows_backward", "reduce_kernel", lambda q: q["T"] * q["k"] * q["H"], 2)]),
    "small": ("fixed", [("router_backward", "", lambda q: q["T"], 0), ("gather_rows_backward", "long", lambda q: q["T"], 0)]),
}


def element_bytes(row, spec):
    width = 4 if row["dtype"] in ("fp32", "tf32") else 2
    if spec == "cast":
        return 6
    if spec == "mixed":
        return 10
    if row["op"] == "cross_entropy":
        return spec
    return spec * width


# What training leaves in L2 for these kernels, only training tells: in_context.csv.
IN_CONTEXT = [("vectorized_layer_norm", "{norm}", "forward"), ("layer_norm_grad_input", "{norm}", "backward"),
              ("reduce_kernel<128", "bias_gradient", "backward")]


def load_in_context(folder):
    if not os.path.exists(os.path.join(folder, "in_context.csv")):
        return []
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pytorch", "in_context.py")
    blocks = eval(re.search(r"BLOCKS = (\[.*?\n\])", open(here).read(), re.S).group(1))
    sizes = {b[0]: (b[1], b[2], b[6] * b[7]) for b in blocks}
    out = []
    for row in csv.DictReader(open(os.path.join(folder, "in_context.csv"))):
        for pattern, op, direction in IN_CONTEXT:
            if row["case"] not in sizes or pattern not in row["kernel"] or float(row["burst_us"]) <= 0:
                continue
            family, width, tokens = sizes[row["case"]]
            if op == "bias_gradient":
                width = 128 * int(row["grid"].split("x")[0])
            name = op.format(norm="layer_norm" if family == "gpt" else "rms_norm") + "_in_context"
            out.append({"op": name, "dtype": "bf16", "direction": direction, "index": "0", "kernels": "1", "cache": "context",
                        "parameters": f"tokens={tokens} hidden={width} width={width}", "elements": str(tokens * width),
                        "kernel": row["kernel"], "median_us": row["burst_us"]})  # fmt: skip
    return out


def load(folder):
    path = os.path.join(folder, "kernels.csv")
    opener = open if os.path.exists(path) else gzip.open
    with opener(path if opener is open else path + ".gz", "rt") as f:
        return list(csv.DictReader(f))


def routed_samples(rows, series):
    out = []
    for case, kernel, elements, size in series:
        for r in rows:
            if r["group"] != "moe" or r["case"] != case or kernel not in r["kernel"]:
                continue
            shape = {k: int(v) for k, v in (p.split("=") for p in r["shape"].split())}
            n = float(elements(shape))
            out.append((n, n * size, float(r["us"]) / float(r["count"]) * 1e-6, r))
    return out


def whole_calls(rows):
    """Calls of several kernels as one row: the sum of their times, without fills."""
    calls = {}
    for r in rows:
        if "Fill" in r["kernel"]:
            continue
        name = (r["op"], r["direction"], r["dtype"], r["cache"], r["parameters"])
        calls.setdefault(name, dict(r, median_us=0.0))
        calls[name]["median_us"] = float(calls[name]["median_us"]) + float(r["median_us"])
    return calls.values()


def samples(rows, kind, series):
    out = []
    for op, direction, index, elements, size in series:
        chosen = [r for r in rows if r["op"] == op and r["direction"] == direction]
        if kind in ("call", "both"):
            chosen = whole_calls(chosen)
        elif isinstance(index, str):
            chosen = [r for r in chosen if index in r["kernel"]]
        else:
            # A tensor past 2^31 bytes is split over two kernels: leave those calls out.
            counts = [int(r["kernels"]) for r in chosen]
            usual = max(set(counts), key=counts.count) if counts else 0
            chosen = [r for r in chosen if int(r["index"]) == index and int(r["kernels"]) == usual]
        for r in chosen:
            n = elements(r)
            out.append((n, n * element_bytes(r, size), float(r["median_us"]) * 1e-6, r))
    return out


def fit(kind, data, sm_count):
    n = numpy.array([d[0] for d in data])
    moved = numpy.array([d[1] for d in data])
    t = numpy.array([d[2] for d in data])
    if kind == "fixed":
        value = float(numpy.median(t))
        return {"fixed": value}, numpy.abs(value / t - 1)
    x = n if kind in ("elements", "per_row") else moved
    if kind == "columns":  # a block works through all rows of 32 columns, as many at once as multiprocessors
        rounds = numpy.ceil(numpy.array([number(d[3], "hidden") / 32 for d in data]) / sm_count)
        rows = numpy.array([number(d[3], "tokens") for d in data]) * rounds
        wide = numpy.array([d[3]["dtype"] == "fp32" and number(d[3], "hidden") >= 3072 for d in data]) & (rows >= 8192)
        narrow = numpy.array([number(d[3], "hidden") <= 2048 for d in data]) & (rows >= 4096)
        bandwidth = float(numpy.median((moved / t)[wide]))
        each = float(numpy.median((t / rows)[narrow]))
        bound = numpy.maximum(moved / bandwidth, rows * each)
        return {"fixed": 0.0, "per_row": each, "bandwidth": bandwidth}, numpy.abs(bound / t - 1)
    if kind == "rows":
        rows = numpy.array([number(d[3], "tokens") for d in data])
        a = numpy.stack([1 / t, rows / t, moved / t], 1)
        for columns in ([0, 1, 2], [1, 2], [0, 2], [2]):  # the largest set without negative costs
            part = numpy.linalg.lstsq(a[:, columns], numpy.ones(len(t)), rcond=None)[0]
            if (part >= 0).all():
                break
        solution = numpy.zeros(3)
        solution[columns] = part
        return {"fixed": solution[0], "per_row": solution[1], "bandwidth": 1 / solution[2]}, numpy.abs(a @ solution - 1)
    # Relative least squares, then again without the worst tenth, whose launches were disturbed.
    if kind == "both":  # fp32 is bound by memory, bf16 by instruction issue
        large = n > 6e7
        width = numpy.array([4 if d[3]["dtype"] == "fp32" else 2 for d in data])
        bandwidth = numpy.median((moved / t)[large & (width == 4)])
        rate = numpy.median((n / t)[large & (width == 2)])
        bound = numpy.maximum(moved / bandwidth, n / rate)
        fixed = max(0.0, float(numpy.median((t - bound)[n < 4e6])))
        return {"fixed": fixed, "bandwidth": float(bandwidth), "elements_per_second": float(rate)}, numpy.abs((fixed + bound) / t - 1)
    keep = numpy.ones(len(t), bool)
    for _ in range(2):
        a = numpy.stack([1 / t[keep], x[keep] / t[keep]], 1)
        solution = numpy.linalg.lstsq(a, numpy.ones(keep.sum()), rcond=None)[0]
        if solution[0] < 0:
            solution = numpy.array([0.0, float(numpy.median(t[keep] / x[keep]))])
        errors = numpy.abs((solution[0] + solution[1] * x) / t - 1)
        keep = errors <= numpy.quantile(errors, 0.9)
    if kind == "per_row":
        return {"fixed": float(solution[0]), "per_row": float(solution[1])}, errors
    rate = "elements_per_second" if kind == "elements" else "bandwidth"
    return {"fixed": float(solution[0]), rate: 1 / float(solution[1])}, errors


def unused(folder):
    """The class of what Adam's update of elements without any gradient takes beside that of others."""
    path = os.path.join(folder, "adam_without_gradients.csv")
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with_all = {r["dtype"]: float(r["median_us"]) for r in rows if float(r["share"]) == 0}
    part = [r for r in rows if float(r["share"]) > 0]
    elements = numpy.array([float(r["share"]) * float(r["elements"]) for r in part])
    more = numpy.array([1e-6 * (float(r["median_us"]) - with_all[r["dtype"]]) for r in part])
    rate = float(elements.sum() / more.sum())
    errors = numpy.abs(elements / rate / more - 1)
    return f"  adamw_unused: {{elements_per_second: {rate:.3e}, fixed: 0.00 us}}  # {len(part)} kernels, mean error {100 * errors.mean():.1f} %\n"


def line(name, kind, data, bandwidth, sm_count):
    if len(data) < 3:
        return None
    result, errors = fit(kind, data, sm_count)
    fields = []
    if "bandwidth" in result:
        fields.append(f"bandwidth_efficiency: {result['bandwidth'] / bandwidth:.3f}")
    if "elements_per_second" in result:
        fields.append(f"elements_per_second: {result['elements_per_second']:.3e}")
    if result.get("per_row"):
        fields.append(f"per_row: {1e9 * result['per_row']:.3f} ns")
    fields.append(f"fixed: {1e6 * result['fixed']:.2f} us")
    return f"  {name}: {{{', '.join(fields)}}}  # {len(data)} kernels, mean error {100 * errors.mean():.1f} %\n"


def table(folder, bandwidth, sm_count):
    """The lines of the classes, and the names of those that were not measured."""
    rows = load(folder) + load_in_context(folder)
    data = [(name, kind, samples(rows, kind, series)) for name, (kind, series) in CLASSES.items()]
    experts = os.path.join(folder, "experts.csv")
    routed = []
    if os.path.exists(experts):
        with open(experts, encoding="utf-8") as file:
            routed = list(csv.DictReader(file))
    data += [(name, kind, routed_samples(routed, series)) for name, (kind, series) in ROUTED.items()]
    lines = {name: line(name, kind, measured, bandwidth, sm_count) for name, kind, measured in data}
    lines["adamw_unused"] = unused(folder)
    return [text for text in lines.values() if text], [name for name, text in lines.items() if not text]


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    folder, path = sys.argv[1:]
    text = gpu_file.read(path)
    bandwidth, sm_count = gpu_file.number(text, "memory_bandwidth") * 1e9, int(gpu_file.number(text, "sm_count"))
    lines, missing = table(folder, bandwidth, sm_count)
    begin, end = "  # fit_kernels begin\n", "  # fit_kernels end\n"
    head, rest = text.split(begin)
    tail = rest.split(end)[1]
    if missing and not re.search("^kernels:\n(  .*\n)*  transfer:", head, re.M):
        raise SystemExit(f"fit_kernels: not measured, and from no other GPU: {', '.join(missing)}")
    gpu_file.write(path, head + begin + "".join(lines) + end + tail)
    sys.stdout.write("".join(lines))
    if missing:
        print("transferred:", ", ".join(missing))


if __name__ == "__main__":
    main()
