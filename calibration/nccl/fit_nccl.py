#!/usr/bin/env python3
"""Fits the tuning tables of configs/clusters/tuning to measured NCCL times.

For each GPU, operation and number of ranks, time over message size is cut into a few ranges, each
a straight line latency + wire bytes / bandwidth: NCCL changes protocol, channels and threads with
size, and inside one choice time is linear. The cut is the one with the least squared logarithmic
error; a range must explain itself by PENALTY. Repeated measurements count by their median.

The measurements are nccl-tests' averages over launches back to back in one stream, so a launch's
latency is hidden behind the kernel before it: the times are device times, and the floor at small
sizes is the kernel itself (its start, flags, one trip around the ranks).

Operations that they do not have (broadcast, send_recv) come from our own runs where there are any:
calibration/results/<gpu>/nccl.csv, and collectives.csv from 8 MiB on, below which a call through
PyTorch takes longer than the message. Of a size that was measured several ways (stream, CUDA graph)
the least counts: the one that hid its launch.

    calibration/nccl/fit_nccl.py            writes configs/clusters/tuning/*.yaml
    calibration/nccl/fit_nccl.py --check    fits and prints residuals, writes nothing
"""

import argparse
import datetime
import pathlib

import numpy as np
import pandas as pd

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OWN_OPERATIONS = ["broadcast", "send_recv"]
OPERATIONS = {
    "all_reduce": "all_reduce",
    "all_gather": "all_gather",
    "reduce_scatter": "reduce_scatter",
    "alltoall": "all_to_all",
}
# gpu file of the measurements: (tuning's name, link type, bandwidth GB/s one direction)
MACHINES = {
    "a100_sxm": ("a100-sxm", "nvswitch", 300),
    "h100_sxm": ("h100-sxm", "nvswitch", 450),
    "h200_sxm": ("h200-sxm", "nvswitch", 450),
    "b200_sxm": ("b200-sxm", "nvswitch", 900),
    "b300_sxm": ("b300-sxm", "nvswitch", 900),
    "gb200": ("gb200", "nvswitch", 900),
    "gb300": ("gb300", "nvswitch", 900),
    "l40s": ("l40s", "pcie", 31.5),
    "rtx_pro_6000_server": ("rtx-pro-6000", "pcie", 63),
}
# Measured with in-network reduction: all_reduce on eight H100 or H200 beats what a ring's links carry.
NVLS = {("h100_sxm", "all_reduce", 8), ("h200_sxm", "all_reduce", 8)}
ELEMENT_BYTES = 2  # fp16
# GB/s of a channel, part of the link that two communicators get together (None: not known), source.
# H200: all_reduce of 256 MiB takes 21 GB/s a channel up to eight of them; pairs of large transfers at
# once reach 340 to 368 GB/s, median 355, whatever the two are, and share it evenly.
H200_LINKS = "calibration/results/h200-sxm/links.csv"
NCCL_CONSTANT = "The channel: NCCL's constant of a ring (src/graph/tuning.cc)"
SHARED = {
    "h200-sxm": (21, 0.79, H200_LINKS),
    "h100-sxm": (21, 0.79, f"{H200_LINKS}, the same links"),
    "a100-sxm": (20, 0.79, f"{NCCL_CONSTANT}; the part: {H200_LINKS}"),
    "b200-sxm": (40, 0.79, f"{NCCL_CONSTANT}; the part: {H200_LINKS}"),
    "b300-sxm": (40, 0.79, f"{NCCL_CONSTANT}; the part: {H200_LINKS}"),
    "gb200": (40, 0.79, f"{NCCL_CONSTANT}; the part: {H200_LINKS}"),
    "gb300": (40, 0.79, f"{NCCL_CONSTANT}; the part: {H200_LINKS}"),
    "l40s": (20, None, NCCL_CONSTANT),
    "rtx-pro-6000": (40, None, NCCL_CONSTANT),
}
PYTORCH_FROM = 8 << 20
LINK_LATENCY_US = 1.0
MOST_REGIMES = 7
PENALTY = 0.004  # squared log error that one more range must save
LONELY_PENALTY = 0.01  # the same of a range with a single size
# NCCL's own model of its protocols (src/graph/tuning.cc: baseLat, hwLat), as what a hop costs on top of LL's:
# a link's latency is that of a hop of LL. Bandwidth: LL sends a flag with every 4 bytes and is
# latency-tuned (a quarter, across nodes), LL128 120 of 128 bytes.
PROTOCOLS = [
    {"name": "ll", "intra_hop": 0.0, "inter_hop": 0.0, "bandwidth": 0.25},
    {"name": "ll128", "intra_hop": 1.3, "inter_hop": 1.3, "bandwidth": 0.92},
    {"name": "simple", "intra_hop": 2.8, "inter_hop": 11.3, "bandwidth": 1.0},
]


def wire_factor(operation, ranks, nvls=False):
    """Bytes that each rank sends for a byte of the full buffer."""
    if nvls:
        return 1.0
    if operation in ("broadcast", "send_recv"):
        return 1.0
    return (2 if operation == "all_reduce" else 1) * (ranks - 1) / ranks


def line(x, t, least):
    """Latency >= 0 and inverse bandwidth >= least (the link's) with the least relative squared error."""
    a = np.stack([1 / t, x / t], axis=1)
    b = np.ones_like(t)
    candidates = []
    if len(t) > 1:
        solution = np.linalg.lstsq(a, b, rcond=None)[0]
        if solution[0] >= 0 and solution[1] >= least:
            candidates = [solution]
    if not candidates:
        inverse = max(least, (x / t).sum() / ((x / t) ** 2).sum())
        latency = max(0.0, (a[:, 0] * (b - a[:, 1] * least)).sum() / (a[:, 0] ** 2).sum())
        candidates = [np.array([0.0, inverse]), np.array([latency, least])]
    best = min(candidates, key=lambda s: ((a @ s - b) ** 2).sum())
    error = (np.log(a @ best) ** 2).sum()
    return best, error


def cut(wire, t, least):
    """Dynamic programme over where ranges end; returns [(first index, latency, inverse)]."""
    n = len(t)
    fits = {(i, j): line(wire[i:j], t[i:j], least) for i in range(n) for j in range(i + 1, n + 1)}
    best = {0: (0.0, [])}
    options = {}
    for count in range(1, MOST_REGIMES + 1):
        nxt = {}
        for j in range(1, n + 1):
            for i, (cost, ranges) in best.items():
                if i >= j or (j - i < 2 and n > 2):
                    continue
                total = cost + fits[(i, j)][1] + PENALTY
                if j not in nxt or total < nxt[j][0]:
                    nxt[j] = (total, ranges + [(i, *fits[(i, j)][0])])
        best = nxt
        if n in best:
            options[count] = best[n]
    return min(options.values(), key=lambda o: o[0])[1]


def significant(value, digits=4):
    return float(f"{value:.{digits}g}")


def predict(regimes, wire_per_byte, sizes):
    """What the simulator computes from the rounded table (Regime::floor included)."""
    out = []
    for size in sizes:
        floor, time = 0.0, 0.0
        for index, r in enumerate(regimes):
            end = regimes[index + 1]["from"] if index + 1 < len(regimes) else np.inf
            at = min(size, end)
            time = max(floor, r["latency"] + at * wire_per_byte / r["bandwidth"] / 1e3)
            if size < end:
                break
            floor = time
        out.append(time)
    return np.array(out)


def boundary(low, high, before, after, factor):
    """Where a range ends: half-way (geometrically) between the measured sizes around it, but earlier
    where the line before has risen above the line after, since time never falls with size."""
    middle = np.sqrt(low * high)
    slope = (before[1] - after[1]) * factor
    if before[0] + before[1] * factor * middle <= after[0] + after[1] * factor * middle:
        return int(round(middle))
    crossing = (after[0] - before[0]) / slope if slope > 0 else low
    return int(round(min(max(crossing, low + 1), middle)))


def fit_curve(data, operation, ranks, nvls, link):
    median = data.groupby("elements").microseconds.median()
    size = median.index.to_numpy(dtype=float) * ELEMENT_BYTES
    # A larger message that took less time shows the smaller one to be an outlier.
    time = np.minimum.accumulate(median.to_numpy()[::-1])[::-1]
    factor = wire_factor(operation, ranks, nvls)
    regimes = []
    before = None
    for first, latency, inverse in cut(size * factor, time, 1e-3 / link):
        start = 0
        if first:
            start = boundary(size[first - 1], size[first], before, (latency, inverse), factor)
        before = (latency, inverse)
        regimes.append({"from": start, "latency": significant(latency),
                        "bandwidth": significant(1e-3 / inverse)})
    predicted = predict(regimes, factor, size)
    return regimes, size, predicted / median.to_numpy() - 1


def own_runs(name):
    """Our own runs in the columns of the others."""
    folder = ROOT / "calibration/results" / MACHINES[name][0]
    least_bytes = {"nccl.csv": 0, "collectives.csv": PYTORCH_FROM}
    frames = [pd.read_csv(folder / f).query("bytes >= @least") for f, least in least_bytes.items()
              if (folder / f).exists()]
    if not frames:
        return None
    frame = pd.concat(frames)
    frame = frame[frame.operation.isin(OWN_OPERATIONS) & frame["mode"].isin(["graph", "stream"])]
    frame = frame.groupby(["operation", "ranks", "bytes"]).median_us.min().reset_index()
    return pd.DataFrame({"op": frame.operation, "gpus": frame.ranks,
                         "elements": frame.bytes // ELEMENT_BYTES, "microseconds": frame.median_us})


def fit_machine(name):
    frame = pd.read_csv(HERE / f"{name}.nccl.csv.gz")
    rows_read, versions = len(frame), sorted(frame.nccl_version.unique())
    own = own_runs(name)
    if own is not None:
        frame = pd.concat([frame, own])
    measured, large, every = {}, [], []
    for operation, ours in (OPERATIONS | {o: o for o in OWN_OPERATIONS}).items():
        for ranks in sorted(frame.gpus.unique()):
            rows = frame[(frame.op == operation) & (frame.gpus == ranks)]
            if rows.empty:
                continue
            nvls = (name, operation, int(ranks)) in NVLS
            regimes, size, error = fit_curve(rows, ours, int(ranks), nvls, MACHINES[name][2])
            measured.setdefault(ours, []).append((int(ranks), nvls, regimes))
            large.append(np.abs(error[size >= 256 * 1024]))
            every.append(np.abs(error))
    return measured, versions, rows_read, np.concatenate(large), np.concatenate(every)


def base_latency(measured):
    """Of an all_gather of two ranks: what is left of the floor after one hop."""
    latency = measured["all_gather"][0][2][0]["latency"]
    return round(max(0.0, latency - LINK_LATENCY_US), 2)


def text(name, measured, versions, rows, large, every):
    tuning, kind, bandwidth = MACHINES[name]
    base = base_latency(measured)
    lines = [
        f"# NCCL on {tuning}, fitted by calibration/nccl/fit_nccl.py; edit that, not this.",
        "# A range of sizes (`from`, full buffer) costs latency + wire bytes / bandwidth.",
        "source: >-",
        f"  nccl-tests measured by AIConfigurator (github.com/ai-dynamo/aiconfigurator, Apache-2.0),",
        f"  calibration/nccl/{name}.nccl.csv.gz: {rows} rows, fp16, one node",
        *([f"  broadcast, send_recv: calibration/results/{tuning}/nccl.csv, collectives.csv"]
          if "send_recv" in measured else []),
        "provenance:",
        f"  nccl: {', '.join(map(str, versions))}",
        "  method: piecewise linear by size, least squared logarithmic error over medians",
        f"  fitted: {datetime.date.today().isoformat()}",
        f"  mean_error: {every.mean():.4f}",
        f"  mean_error_from_256KiB: {large.mean():.4f}",
        f"  worst_error_from_256KiB: {large.max():.4f}",
        f"link: {{type: {kind}, bandwidth: {bandwidth} GB/s, latency: {LINK_LATENCY_US:g} us}}",
        "measured:",
    ]
    for operation, curves in measured.items():
        lines.append(f"  {operation}:")
        for ranks, nvls, regimes in curves:
            lines.append(f"    - ranks: {ranks}")
            if nvls:
                lines.append("      nvls: true")
            lines.append("      regimes:")
            for r in regimes:
                lines.append(f"        - {{from: {r['from']} B, latency: {r['latency']:g} us, "
                             f"bandwidth: {r['bandwidth']:g} GB/s}}")
    channel, shared, source = SHARED[tuning]
    lines += [
        "# What one channel carries (`collectives: {channels: N}` limits them)" +
        (" and, of the link, what two communicators" if shared else ""),
        *(["# reach together."] if shared else []),
        f"# {source}",
        f"channel_bandwidth: {channel:g} GB/s",
        *([f"shared_efficiency: {shared:g}"] if shared else []),
        "# For several nodes, or an algorithm that is asked for: NCCL's own model of its protocols",
        "# (NCCL, src/graph/tuning.cc), as what a hop adds to the link's latency. `base` is measured: the floor of",
        "# all_gather on two ranks less one hop.",
        "protocols:",
    ]
    for p in PROTOCOLS:
        lines.append(f"  - {{name: {p['name']}, base: {base:g} us, intra_hop: {p['intra_hop']:g} us, "
                     f"inter_hop: {p['inter_hop']:g} us, bandwidth: {p['bandwidth']:g}"
                     f"{', nvls: true' if p['name'] == 'simple' else ''}}}")
    lines += [
        "# Of the link, for an all_reduce in the switches: Hopper's as measured on eight; Blackwell's is",
        "# that times .74/.85, the ratio of NCCL's own nvlsEfficiency.",
        f"nvls_efficiency: {0.6 if bandwidth < 900 else 0.52:g}",
    ]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="print residuals, write nothing")
    arguments = parser.parse_args()
    for name, (tuning, _, _) in MACHINES.items():
        measured, versions, rows, large, every = fit_machine(name)
        count = sum(len(regimes) for curves in measured.values() for _, _, regimes in curves)
        print(f"{tuning:14} ranges {count:3}  mean {every.mean():.4f}  from 256 KiB: mean "
              f"{large.mean():.4f} worst {large.max():.4f}")
        if not arguments.check:
            path = ROOT / "configs/clusters/tuning" / f"{tuning}.yaml"
            path.write_text(text(name, measured, versions, rows, large, every))


if __name__ == "__main__":
    main()
