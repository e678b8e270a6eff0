#!/usr/bin/python3
"""Draws a Chrome trace of `rehearse run --trace` as a picture: a row per rank and stream.

usage: tools/plot_timeline.py TRACE.json[.gz] OUT.svg [--from MS] [--to MS] [--streams compute,...]

Needs python3-matplotlib. Forward, backward, recomputation, optimizer and communication have a colour
each; slices of one colour that touch are drawn as one.
"""
import argparse
import gzip
import json

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

COLOURS = {
    "forward": "#4477aa",
    "backward": "#66ccee",
    "recompute": "#ccbb44",
    "optimizer": "#228833",
    "communication": "#ee6677",
}


def read(path):
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt") as f:
        return json.load(f)["traceEvents"]


def kind_of(event):
    if event.get("cat") == "communication":
        return "communication"
    return event.get("args", {}).get("phase", "forward")


def rows_of(events, streams):
    names = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e.get("name") == "thread_name"}
    keys = [k for k in sorted(names) if any(s in names[k] for s in streams)]
    return keys, names


def spans(events, key, begin, end):
    """Runs of slices of one kind, in milliseconds."""
    slices = sorted(
        (e["ts"] / 1e3, e["dur"] / 1e3, kind_of(e))
        for e in events
        if e["ph"] == "X" and (e["pid"], e["tid"]) == key
    )
    out = []
    for at, length, kind in slices:
        if at + length < begin or at > end:
            continue
        if out and out[-1][2] == kind and at - (out[-1][0] + out[-1][1]) < (end - begin) / 4000:
            out[-1][1] = at + length - out[-1][0]
        else:
            out.append([at, length, kind])
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("trace")
    parser.add_argument("out")
    parser.add_argument("--from", dest="begin", type=float, default=0)
    parser.add_argument("--to", dest="end", type=float)
    parser.add_argument("--streams", default="compute,reduce,gather,send,nccl")
    args = parser.parse_args()
    events = read(args.trace)
    end = args.end or max(e["ts"] + e["dur"] for e in events if e["ph"] == "X") / 1e3
    keys, names = rows_of(events, args.streams.split(","))
    keys = [k for k in keys if spans(events, k, args.begin, end)]
    figure, axis = plt.subplots(figsize=(11, 0.6 + 0.32 * len(keys)))
    for row, key in enumerate(keys):
        for at, length, kind in spans(events, key, args.begin, end):
            axis.broken_barh([(at, length)], (row - 0.4, 0.8), color=COLOURS.get(kind, "#bbbbbb"))
    axis.set_yticks(range(len(keys)), [f"rank {k[0]} {names[k]}" for k in keys], fontsize=8)
    axis.set_xlim(args.begin, end)
    axis.invert_yaxis()
    axis.set_xlabel("ms")
    axis.legend(
        [plt.Rectangle((0, 0), 1, 1, color=c) for c in COLOURS.values()],
        COLOURS.keys(),
        ncol=len(COLOURS),
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        frameon=False,
        fontsize=8,
    )
    figure.tight_layout()
    figure.savefig(args.out)


if __name__ == "__main__":
    main()
