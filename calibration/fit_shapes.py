#!/usr/bin/python3
"""Fits what kernels that work row by row take by shape, and what part of a kernel follows the clock.

usage: calibration/fit_shapes.py calibration/results/h200-sxm configs/gpus/h200-sxm.yaml

After fit_kernels.py, whose classes and samples it takes. `shapes`: log2 of measured over what the class's rates
say, interpolated over the logarithms of bytes an element, rows and columns, on a grid. `follows_clock`: how much
longer a kernel takes at sustained clocks (in_context.csv: the last third of a loop over its first 30 ms) over
how much longer attention takes in the same loop, least squares over the loops. Both are written into the lines
of the classes in the GPU file, the grids beside it.
"""
import csv
import os
import re
import sys

import numpy

import fit_decode
import fit_kernels
import gpu_file

ROW_CLASSES = [name for name, (kind, _) in fit_kernels.CLASSES.items() if kind in ("rows", "columns")]
SMOOTHING = 0.003
# class: what its kernels are called in in_context.csv
IN_LOOPS = {
    "vectorized": ["vectorized_elementwise_kernel<8, CUDAFunctor_add"],
    "gelu": ["GeluCUDAKernel"],
    "gelu_backward": ["GeluBackward"],
    "strided": ["elementwise_kernel<128, 4, gpu_kernel_impl_nocast<BinaryFunctor", "neg_kernel", "direct_copy"],
    "strided_gather": ["elementwise_kernel<128, 4, gpu_kernel_impl_nocast<CUDAFunctor_add"],
    "strided_chunk": ["silu"],
    "cat": ["CatArrayBatchedCopy_vectorized"],
    "cat_strided": ["CatArrayBatchedCopy<"],
    "norm": ["vectorized_layer_norm_kernel<c10::BFloat16, float, true"],
    "layer_norm": ["vectorized_layer_norm_kernel<c10::BFloat16, float, false"],
    "norm_backward": ["layer_norm_grad_input_kernel_vectorized<c10::BFloat16, float, true"],
    "layer_norm_backward": ["layer_norm_grad_input_kernel_vectorized<c10::BFloat16, float, false"],
    "norm_weight_backward": ["GammaBeta"],
    "layer_norm_weight_backward": ["GammaBeta"],
    "reduction": ["reduce_kernel"],
    "adamw": ["FusedOptimizer"],
}


def rates_of(text, name):
    line = re.search(rf"^  {name}: {{(.*?)}}", text, re.M).group(1)
    out = {"bandwidth_efficiency": 1.0, "per_row": 0.0, "fixed": 0.0}
    for field in line.split(", "):
        key, value = field.split(": ")
        if key in out:
            number, *unit = value.split(" ")
            out[key] = float(number) * {"ns": 1e-9, "us": 1e-6}.get(unit[0] if unit else "", 1)
    return out


def by_rates(kind, rates, moved, rows, columns, bandwidth, sm_count):
    time = moved / (bandwidth * rates["bandwidth_efficiency"])
    if kind == "columns":
        rounds = -(-numpy.maximum(1, columns // 32) // sm_count)
        return rates["fixed"] + numpy.maximum(time, rows * rounds * rates["per_row"])
    return rates["fixed"] + time + rows * rates["per_row"]


def elements_of(name, samples):
    """As strategies counts them: outputs, or half of what is read where nothing of that size is written."""
    halved = 2 if name == "reduction" else 1
    return numpy.array([s[0] for s in samples]) / halved


def fit(name, kind, samples, rates, bandwidth, sm_count):
    moved = numpy.array([s[1] for s in samples])
    time = numpy.array([s[2] for s in samples])
    rows = numpy.array([fit_kernels.number(s[3], "tokens") for s in samples])
    elements = elements_of(name, samples)
    columns = elements / rows
    wide = moved / elements
    expected = by_rates(kind, rates, moved, rows, columns, bandwidth, sm_count)
    x, y = numpy.log2(numpy.column_stack([wide, rows, columns])), numpy.log2(time / expected)
    groups = numpy.random.default_rng(3).permutation(len(y))
    quality = fit_decode.held_out(groups, x, y, SMOOTHING)
    axes = [sorted({int(round(v)) for v in values}) for values in (wide, rows, columns)]
    smooth = fit_decode.Smooth(x, y, SMOOTHING)
    return axes, fit_decode.on_grid(smooth, axes), quality


def clock_shares(folder):
    loops = {}
    if not os.path.exists(os.path.join(folder, "in_context.csv")):
        return {}
    with open(os.path.join(folder, "in_context.csv"), encoding="utf-8") as file:
        for row in csv.DictReader(file):
            burst, steady = float(row["burst_us"]), float(row["sustained_us"])
            if burst <= 0 or steady <= 0:
                continue
            loop = loops.setdefault(row["case"], {})
            for name, patterns in [*IN_LOOPS.items(), ("attention", ["sdpa"])]:
                if any(p in row["kernel"] for p in patterns):
                    sums = loop.setdefault(name, [0.0, 0.0])
                    sums[0] += burst * float(row["per_iteration"])
                    sums[1] += steady * float(row["per_iteration"])
    out = {}
    for name in IN_LOOPS:
        pairs = [(l["attention"][1] / l["attention"][0] - 1, l[name][1] / l[name][0] - 1)
                 for l in loops.values() if name in l and "attention" in l]  # fmt: skip
        if pairs:
            a, b = (numpy.array(v) for v in zip(*pairs))
            out[name] = min(1.0, max(0.0, float(a @ b / (a @ a)))), len(pairs)
    return out


def with_fields(text, name, fields):
    """The class's line with these fields for its own of that name."""
    def renewed(match):
        kept = [f for f in match.group(2).split(", ") if f.split(":")[0] not in fields]
        return match.group(1) + ", ".join(kept + [f"{k}: {v}" for k, v in fields.items()]) + "}"

    return re.sub(rf"^(  {name}: {{)(.*?)}}", renewed, text, count=1, flags=re.M)


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    folder, path = sys.argv[1:]
    text = gpu_file.read(path)
    bandwidth, sm_count = gpu_file.number(text, "memory_bandwidth") * 1e9, int(gpu_file.number(text, "sm_count"))
    rows = fit_kernels.load(folder) + fit_kernels.load_in_context(folder)
    gpu = os.path.splitext(os.path.basename(path))[0]
    for name, (share, loops) in clock_shares(folder).items():
        text = with_fields(text, name, {"follows_clock": f"{share:.2f}"})
        print(f"{name}: follows the clock by {share:.2f} ({loops} loops)")
    for name in ROW_CLASSES:
        kind, series = fit_kernels.CLASSES[name]
        samples = fit_kernels.samples(rows, kind, series)
        if len(samples) < 20:  # transferred
            continue
        axes, grid, quality = fit(name, kind, samples, rates_of(text, name), bandwidth, sm_count)
        table = f"{gpu}/kernel_{name}.bin"
        with open(os.path.join(os.path.dirname(path), table), "wb") as file:
            file.write(fit_decode.ratio_grid(axes, grid))
        text = with_fields(text, name, {"shapes": table})
        print("%s: held-out median %.1f %%, mean %.1f %%, %d kernels" % (name, *quality))
    gpu_file.write(path, text)


if __name__ == "__main__":
    main()
