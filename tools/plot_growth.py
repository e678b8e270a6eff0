#!/usr/bin/env python3
"""Draws how the time of a run grows, from `tools/bench --only growth --json FILE`.

    tools/plot_growth.py FILE OUT.svg
"""
import json
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

AXES = {"GPUs": "gpus", "layers": "layers", "micro-batches": "micro_batches"}


def main(path, out):
    with open(path, encoding="utf-8") as f:
        points = json.load(f)["growth"]
    figure, panels = plt.subplots(1, len(AXES), figsize=(10, 3), sharey=True)
    for panel, (axis, key) in zip(panels, AXES.items()):
        own = [p for p in points if p["axis"] == axis]
        panel.loglog([p[key] for p in own], [p["seconds"] for p in own], marker="o")
        panel.set_xlabel(axis)
        panel.grid(True, which="both", alpha=0.3)
    panels[0].set_ylabel("seconds of a whole run")
    figure.suptitle("GPT-3 175B, TP 8, PP 8, 3 chunks; else 1,024 GPUs, 96 layers, 192 micro-batches")
    figure.tight_layout()
    figure.savefig(out)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
