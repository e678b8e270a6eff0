"""Plots on matplotlib. Each takes the axes to draw on, or makes them, and returns them."""

CLASSES = [  # what a kernel's name says it is, first match wins, and its colour
    ("collective", ("nccl", "AllReduce", "AllGather", "ReduceScatter", "SendRecv"), "#d95f02"),
    ("attention", ("attention", "sdpa", "flash"), "#7570b3"),
    ("matrix product", ("gemm", "nvjet", "cutlass", "linear"), "#1b9e77"),
    ("other kernels", ("",), "#a6a6a6"),
]
PARTS = {"compute": "#1b9e77", "exposed_communication": "#d95f02", "pipeline_bubble": "#e6ab02",
         "host": "#7570b3", "optimizer": "#66a61e"}  # fmt: skip


def _axes(axes, **figure):
    if axes is not None:
        return axes
    import matplotlib.pyplot as plt

    return plt.subplots(**figure)[1]


def plot_timeline(timeline, axes=None, streams=None):
    """Ranks and streams from top to bottom, time to the right, micro-batches as numbers."""
    frame = timeline.frame
    if streams:
        frame = frame[frame.stream.isin(streams)]
    lanes = list(dict.fromkeys(zip(frame["rank"], frame.stream)))
    axes = _axes(axes, figsize=(10, 0.5 + 0.35 * len(lanes)))
    end = (frame.start_s + frame.duration_s).max()
    for index, (rank, stream) in enumerate(lanes):
        part = frame[(frame["rank"] == rank) & (frame.stream == stream)]
        part = part[part.duration_s > end / 4000]
        colours = [_colour(name) for name in part.name]
        axes.broken_barh(list(zip(part.start_s * 1e3, part.duration_s * 1e3)), (index - 0.4, 0.8),
                         facecolors=colours)  # fmt: skip
    axes.set_yticks(range(len(lanes)), [f"rank {rank} {stream}" for rank, stream in lanes])
    axes.invert_yaxis()
    axes.set_xlabel("time, ms")
    return axes


def _colour(name):
    return next(c for _, words, c in CLASSES if any(w.lower() in name.lower() for w in words))


def plot_breakdown(results, axes=None):
    """Where the step goes: a bar a result. results: {label: Result}."""
    axes = _axes(axes, figsize=(8, 0.8 + 0.5 * len(results)))
    labels, left = list(results), [0.0] * len(results)
    for part, colour in PARTS.items():
        widths = [r.to_dict()["breakdown_s"][part] * 1e3 for r in results.values()]
        axes.barh(labels, widths, left=left, label=part.replace("_", " "), color=colour)
        left = [a + b for a, b in zip(left, widths)]
    axes.invert_yaxis()
    axes.set_xlabel("time of a step, ms")
    axes.legend(fontsize="small", loc="lower right")
    return axes


def plot_memory(results, axes=None):
    """What fills the fullest stage at its peak: a bar a result. results: {label: Result}."""
    axes = _axes(axes, figsize=(8, 0.8 + 0.5 * len(results)))
    labels, left = list(results), [0.0] * len(results)
    stages = [max(r.to_dict()["stages"], key=lambda s: s["peak_memory_bytes"])
              for r in results.values()]  # fmt: skip
    for category in stages[0]["memory_at_peak_bytes"]:
        widths = [s["memory_at_peak_bytes"][category] / 1e9 for s in stages]
        axes.barh(labels, widths, left=left, label=category.replace("_", " "))
        left = [a + b for a, b in zip(left, widths)]
    capacity = next(iter(results.values())).memory_capacity_bytes / 1e9
    axes.axvline(capacity, color="black", linestyle="--", label="usable")
    axes.invert_yaxis()
    axes.set_xlabel("memory at the peak, GB")
    axes.legend(fontsize="small", loc="lower right")
    return axes


def plot_roofline(peak_flops, bandwidth, points, axes=None):
    """A GPU's roofline (FLOP/s, bytes/s) and points {label: (FLOPs per byte, FLOP/s)}."""
    axes = _axes(axes, figsize=(7, 4.5))
    low = min([0.5, *(x for x, _ in points.values())])
    high = max([4 * peak_flops / bandwidth, *(x for x, _ in points.values())])
    ridge = peak_flops / bandwidth
    axes.plot([low, ridge, high], [low * bandwidth * 1e-12, peak_flops * 1e-12, peak_flops * 1e-12],
              color="black")  # fmt: skip
    for label, (intensity, rate) in points.items():
        axes.plot(intensity, rate * 1e-12, "o")
        axes.annotate(label, (intensity, rate * 1e-12), textcoords="offset points", xytext=(5, -10),
                      fontsize="small")  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("arithmetic intensity, FLOPs per byte")
    axes.set_ylabel("TFLOP/s")
    return axes
