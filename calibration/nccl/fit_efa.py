#!/usr/bin/env python3
"""Fits NCCL over AWS EFA, `collectives.network` of configs/clusters/aws-p5.yaml, to a public table.

aws_p5.all_reduce.csv is nccl-tests' all_reduce_perf on 2 to 32 p5.48xlarge (README.md says whose). Its
time is modelled as the least of four ways, those that the tuner of the aws-ofi-nccl plugin chooses
among on p5 (src/tuner/nccl_ofi_regions.cpp): ring LL128, ring Simple, tree LL128, NVLSTree Simple. As
in hardware/collectives:

    ring   L = base + 2 (k hop + (n-1-k) step),  B = 2 (n-1)/n S / (NICs' rate x efficiency),
           (L^overlap + B^overlap)^(1/overlap): pieces on their way hide latency behind transfer;
           Simple at least (2 (n-1) hop + 1.5 B) / 2: two chunks are on their way at a time
    tree   base + 2 (7 step + log2(k) hop) + f S / (rate x efficiency), f = 1 on two hosts, else 2
    nvls   base + 4 step + 2 log2(k) hop + max(S / switches, f S / (rate x efficiency))

A hop between hosts is of the order of what the plugin tells NCCL of EFA, 75 us (src/platform-aws.c),
which holds the proxy's part, not the wire's 20 to 25 us alone. Simple's hop is that of LL128 and the
10 us that NCCL's own table has between them (src/graph/tuning.cc: 14 and 4 us). A connection has
eight buffers (NCCL_STEPS), and a chunk of a Simple ring takes four, in two slices
(src/include/collectives.h: CHUNKSTEPS, SLICESTEPS), so two are on their way; of LL128, with a buffer
for a chunk, eight, which with eight ranks on a host is not what it waits for.
The table has eight ranks on every host, so what it says of hops and steps apart is little.

LL, which sizes from 32 MiB do not use, keeps the link's latency, and has NCCL's own limit of its rate. p4de gets Simple alone, as the plugin
allows nothing else there (no in-order delivery), with p5's constants, transferred.

    calibration/nccl/fit_efa.py            writes both cluster files' network
    calibration/nccl/fit_efa.py --check    prints residuals, held-out hosts and sizes too; writes nothing
"""

import argparse
import csv
import math
import pathlib
import random
import re

HERE = pathlib.Path(__file__).resolve().parent
CLUSTERS = HERE.parents[1] / "configs/clusters"
# bytes/us: eight NICs of 400 Gb/s; NVLink's rings and switches as in tuning/h100-sxm.yaml
LINE, NVLINK, SWITCHES = 400e3, 346e3, 0.6 * 450e3
LL128_PAYLOAD = 0.92
BASE, STEP_LL128, STEP_SIMPLE = 4.13, 2.3, 3.8  # us, tuning/h100-sxm.yaml: a link's and the protocol's
RING_SIMPLE_MORE = 10  # us a hop
RING_SIMPLE_EFFICIENCY = 0.9  # as everywhere: with eight ranks on a host NVLink is slower
SIMPLE_IN_FLIGHT = 2  # chunks: NCCL_STEPS / CHUNKSTEPS
LL_EFFICIENCY = 0.05  # NCCL's llMaxBws between AMD hosts: 19 to 22.5 GB/s
TREE_SIMPLE_MORE = 19.5  # us a hop: 28 and 8.5 us in NCCL's table
# name: start, least, most
CONSTANTS = {
    "ring ll128 hop": (80, 26, 300), "ring ll128 efficiency": (0.7, 0.3, 0.95),
    "tree ll128 hop": (60, 26, 300), "tree ll128 efficiency": (0.4, 0.2, 0.9),
    "nvls simple hop": (170, 26, 1000), "nvls simple efficiency": (0.7, 0.5, 0.95),
    "overlap": (2.5, 1, 8),
}
OUTLIER = 0.15  # log error from which the loss is linear


def read():
    with open(HERE / "aws_p5.all_reduce.csv") as file:
        return [(int(r["nodes"]), int(r["bytes"]),
                 int(r["bytes"]) / 1e3 / (float(r["out_of_place_gb_per_s"]) / 2 + float(r["in_place_gb_per_s"]) / 2))
                for r in csv.DictReader(file)]


def ways(c, nodes, size):
    ranks = 8 * nodes

    def ring(hop, step, efficiency, payload, in_flight=math.inf):
        latency = BASE + 2 * (nodes * hop + (ranks - 1 - nodes) * step)
        transfer = 2 * (ranks - 1) / ranks * size / min(NVLINK * payload, LINE * efficiency)
        waiting = (2 * (ranks - 1) * hop + 1.5 * transfer) / in_flight
        return max((latency ** c["overlap"] + transfer ** c["overlap"]) ** (1 / c["overlap"]), waiting)

    levels = math.ceil(math.log2(nodes))
    sent = (1 if nodes == 2 else 2) * size
    tree = max(2 * size / (NVLINK * LL128_PAYLOAD), sent / min(LINE * c["tree ll128 efficiency"], NVLINK * LL128_PAYLOAD))
    nvls = max(size / SWITCHES, sent / (LINE * c["nvls simple efficiency"]))
    return {
        "ring ll128": ring(c["ring ll128 hop"], STEP_LL128, c["ring ll128 efficiency"], LL128_PAYLOAD),
        "ring simple": ring(c["ring ll128 hop"] + RING_SIMPLE_MORE, STEP_SIMPLE, RING_SIMPLE_EFFICIENCY, 1, SIMPLE_IN_FLIGHT),
        "tree ll128": BASE + 2 * (7 * STEP_LL128 + levels * c["tree ll128 hop"]) + tree,
        "nvls simple": BASE + 4 * STEP_SIMPLE + 2 * levels * c["nvls simple hop"] + nvls,
    }


def predict(c, nodes, size):
    return min(ways(c, nodes, size).values())


def loss(c, rows):
    total = 0
    for nodes, size, time in rows:
        error = abs(math.log(predict(c, nodes, size) / time))
        total += error * error if error < OUTLIER else OUTLIER * (2 * error - OUTLIER)
    return total


def fit(rows, start=None, tries=4):
    """Coordinate search in logarithms from a few starts; the same on every machine."""
    best = None
    for seed in range(tries):
        rng = random.Random(seed)
        c = {n: (start or {}).get(n, v[0]) for n, v in CONSTANTS.items()}
        if seed:
            c = {n: min(CONSTANTS[n][2], max(CONSTANTS[n][1], v * math.exp(rng.gauss(0, 0.2)))) for n, v in c.items()}
        least, reach = loss(c, rows), dict.fromkeys(c, 0.2)
        for _ in range(60):
            for name in c:
                for sign in (1, -1):
                    value = min(CONSTANTS[name][2], max(CONSTANTS[name][1], c[name] * math.exp(sign * reach[name])))
                    tried = loss(c | {name: value}, rows)
                    if tried < least:
                        c, least = c | {name: value}, tried
                        reach[name] *= 1.3
                        break
                else:
                    reach[name] *= 0.6
        if best is None or least < best[0]:
            best = (least, c)
    return best[1]


def errors(c, rows):
    return [predict(c, *row[:2]) / row[2] - 1 for row in rows]


def mean(values):
    return sum(map(abs, values)) / len(values)


def held_out(rows, column, start):
    """Mean error of each value of a column by a fit to the others."""
    found = {}
    for value in sorted({row[column] for row in rows}):
        c = fit([r for r in rows if r[column] != value], start, 2)
        found[value] = mean(errors(c, [r for r in rows if r[column] == value]))
    return found


def rounded(c):
    return {n: round(v, 3 if "efficiency" in n else 2 if n == "overlap" else 1) for n, v in c.items()}


def path(algorithm, protocol, hop, efficiency, in_flight=None):
    more = f", in_flight: {in_flight}" if in_flight else ""
    return f"      - {{algorithm: {algorithm}, protocol: {protocol}, hop: {hop:g} us, efficiency: {efficiency:g}{more}}}"


def simple_paths(c):
    return [
        path("ring", "simple", round(c["ring ll128 hop"] + RING_SIMPLE_MORE, 1), RING_SIMPLE_EFFICIENCY, SIMPLE_IN_FLIGHT),
        path("tree", "simple", round(c["tree ll128 hop"] + TREE_SIMPLE_MORE, 1), c["tree ll128 efficiency"]),
    ]


def p5_text(c, own, hosts, sizes):
    return [
        "    source: >-",
        "      all_reduce_perf on 2 to 32 p5.48xlarge (crazyguitar/aws-gpu-communication-benchmark, CC BY 4.0,",
        "      calibration/nccl/aws_p5.all_reduce.csv: 45 rows from 32 MiB); fitted by calibration/nccl/fit_efa.py",
        "    provenance:",
        f"      mean_error: {mean(own):.3f}",
        f"      worst_error: {max(map(abs, own)):.3f}",
        f"      mean_error_of_hosts_left_out: {{{', '.join(f'{k}: {v:.3f}' for k, v in hosts.items())}}}",
        f"      mean_error_of_sizes_left_out: {mean(sizes.values()):.3f}",
        f"    overlap: {c['overlap']:g}",
        "    paths:  # LL, not fitted: the link's latency and the 19 to 22.5 GB/s that NCCL allows it between AMD hosts",
        path("ring", "ll", 25, LL_EFFICIENCY),
        path("tree", "ll", 25, LL_EFFICIENCY),
        path("ring", "ll128", c["ring ll128 hop"], c["ring ll128 efficiency"]),
        path("tree", "ll128", c["tree ll128 hop"], c["tree ll128 efficiency"]),
        *simple_paths(c),
        path("nvls", "simple", c["nvls simple hop"], c["nvls simple efficiency"]),
    ]


def p4de_text(c):
    return [
        "    source: >-",
        "      transferred from aws-p5.yaml, fitted by calibration/nccl/fit_efa.py: EFA's and the plugin's constants; Simple",
        "      alone, as aws-ofi-nccl sets NCCL_PROTO=simple on p4d and p4de (src/platform-aws.c)",
        f"    overlap: {c['overlap']:g}",
        "    paths:",
        *simple_paths(c),
    ]


def write(name, lines):
    """Replaces what is indented below `network:`."""
    file = CLUSTERS / f"{name}.yaml"
    text = re.sub(r"(?m)^(  network:.*\n)(    .*\n)*", lambda m: m[1] + "\n".join(lines) + "\n", file.read_text())
    file.write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="print residuals, write nothing")
    arguments = parser.parse_args()
    rows = read()
    c = rounded(fit(rows))
    own, hosts, sizes = errors(c, rows), held_out(rows, 0, c), held_out(rows, 1, c)
    print(c)
    print(f"mean {mean(own):.3f}  bias {sum(own) / len(own):+.3f}  worst {max(map(abs, own)):.3f}")
    for (nodes, size, _), error in zip(rows, own):
        w = ways(c, nodes, size)
        print(f"{nodes:3} hosts {size >> 20:5} MiB {error:+7.1%}  {min(w, key=w.get)}")
    print("hosts left out:", {k: round(v, 3) for k, v in hosts.items()}, f"mean {mean(hosts.values()):.3f}")
    print("sizes left out:", {k >> 20: round(v, 3) for k, v in sizes.items()}, f"mean {mean(sizes.values()):.3f}")
    if not arguments.check:
        write("aws-p5", p5_text(c, own, hosts, sizes))
        write("aws-p4de", p4de_text(c))


if __name__ == "__main__":
    main()
