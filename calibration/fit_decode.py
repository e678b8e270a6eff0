#!/usr/bin/python3
"""Fits inference to the microbenchmarks of decode.csv: thin products, attention of one query over a cache, and
the small kernels of a layer. Writes tables beside the GPU file, and into it what is told of them.

usage: calibration/fit_decode.py calibration/results/h200-sxm configs/gpus/h200-sxm.yaml
"""

import os
import struct
import sys

import numpy as np
import pandas as pd
from scipy.interpolate import RBFInterpolator
from scipy.optimize import minimize

import gpu_file

OVERHEAD = 3.0  # us, of the yardstick
GRAPH_GAP = 0.57  # us, launch.csv: gap_graph; a product or attention in two kernels has one inside

ROLES = (
    "norm1 qkv q_mul q_neg q_cat q_mul2 q_add k_mul k_neg k_cat k_mul2 k_add copy_k copy_v attention "
    "proj add1 norm2 up silu gate down add2"
).split()


def keys(text):
    return {k: int(v) for k, v in (part.split("=") for part in text.split())}


def layer_roles(kernels):
    """Time of each call of a layer; second kernels of a call (split-K) count to it."""
    roles, role, out = iter(ROLES), None, {}
    for name, us in kernels:
        if name.startswith("Memset"):
            continue
        if "splitKreduce" in name or "lean_reduction" in name or "combine" in name:
            out[role] += us + GRAPH_GAP
            continue
        role = next(roles, None)
        if role is None:
            return None
        out[role] = us
    return out if role == ROLES[-1] else None


def stored(folder):
    return next((p for p in (folder + "/decode.csv", folder + "/decode.csv.gz") if os.path.exists(p)), None)


def read(path):
    d = pd.read_csv(path)
    rows, products = [], []
    for (op, text), x in d.groupby(["op", "parameters"], sort=False):
        x = x.sort_values("index")
        kernels = list(zip(x.kernel, x.median_us))
        p = keys(text)
        if op == "linear":
            us = [u for k, u in kernels if not k.startswith("Memset")]
            products.append((p["m"], p["n"], p["k"], sum(us) + GRAPH_GAP * (len(us) - 1)))
        elif op == "decode_ends":
            us = [u for k, u in kernels if k.startswith("nvjet") or "gemm" in k or "splitK" in k]
            products.append((p["batch"], p["vocabulary"], p["hidden"], sum(us) + GRAPH_GAP * (len(us) - 1)))
            last = [u for k, u in kernels if "ArgMax" in k]
            if last:
                rows.append(dict(p, op=op, argmax=sum(last)))
        else:
            times = layer_roles(kernels)
            if times is None:
                print("not understood:", op, text, file=sys.stderr)
                continue
            p.update(times, op=op)
            rows.append(p)
            if op == "decode_layer":
                size, n = p["hidden"] // p["heads"], p["ranks"]
                heads, kv, f, h = p["heads"] // n, max(1, p["kv_heads"] // n), p["ffn"] // n, p["hidden"]
                for role, shape in [("qkv", ((heads + 2 * kv) * size, h)), ("proj", (h, heads * size)),
                                    ("up", (2 * f, h)), ("down", (h, f))]:  # fmt: skip
                    products.append((p["batch"], *shape, times[role]))
    return pd.DataFrame(rows), pd.DataFrame(products, columns=["m", "n", "k", "us"])


def ratio_grid(axes, values):
    out = b"RHRATIO1" + struct.pack("<I", len(axes)) + struct.pack(f"<{len(axes)}I", *map(len, axes))
    for axis in axes:
        out += struct.pack(f"<{len(axis)}I", *axis)
    v = np.clip(np.rint(np.asarray(values).ravel() * 4096), -32768, 32767).astype("<i2")
    return out + v.tobytes()


class Smooth:
    """log2 of measured over yardstick, interpolated over the logarithms of sizes, clamped to what was seen."""

    def __init__(self, x, y, smoothing):
        self.scale = np.maximum(x.std(0), 1e-9)
        frame = pd.DataFrame(np.column_stack([np.round(x, 6), y]))
        g = frame.groupby(list(range(x.shape[1])))[x.shape[1]].median().reset_index().to_numpy()
        self.low, self.high = g[:, :-1].min(0), g[:, :-1].max(0)
        self.fit = RBFInterpolator(g[:, :-1] / self.scale, g[:, -1], neighbors=min(60, len(g)),
                                   kernel="linear", smoothing=smoothing)  # fmt: skip

    def __call__(self, x):
        return self.fit(np.clip(x, self.low, self.high) / self.scale)


def on_grid(smooth, axes):
    mesh = np.meshgrid(*[np.log2(np.asarray(a, float)) for a in axes], indexing="ij")
    return smooth(np.column_stack([m.ravel() for m in mesh]))


def held_out(groups, x, y, smoothing):
    errors = []
    for fold in range(5):
        test = groups % 5 == fold
        guess = Smooth(x[~test], y[~test], smoothing)(x[test])
        errors.append(np.abs(2.0 ** (guess - y[test]) - 1))
    e = np.concatenate(errors)
    return np.median(e) * 100, e.mean() * 100, len(e)


def thin_products(products, gpu):
    p = products.groupby(["m", "n", "k"], as_index=False).us.median()
    p = p[p.m <= 128]
    count = (p.m * p.k + p.n * p.k + p.m * p.n) * 2.0
    yard = OVERHEAD + 1e6 * np.maximum(count / gpu.bandwidth, 2.0 * p.m * p.n * p.k / gpu.peak)
    x, y = np.log2(p[["m", "n", "k"]].to_numpy(float)), np.log2(p.us / yard).to_numpy()
    groups = p.groupby(["n", "k"]).ngroup().to_numpy()
    smoothing = 0.02
    quality = held_out(np.random.default_rng(1).permutation(groups.max() + 1)[groups], x, y, smoothing)
    n_axis = [256, 512, 768, 1024, 1536, 2048, 2560, 3072, 3584, 4096, 5120, 6144, 7168, 8192, 10240, 12288,
              14336, 16384, 19456, 22016, 24576, 28672, 32768, 40960, 57344, 98304, 131072, 163840]  # fmt: skip
    k_axis = [512, 768, 1024, 1536, 2048, 2560, 2752, 3072, 3456, 3584, 4096, 4736, 5120, 5504, 6144, 6912, 7168,
              8192, 9472, 11008, 13824, 14336, 16384, 18944, 22016, 28672]  # fmt: skip
    axes = [[1, 2, 4, 8, 16, 32, 64, 128], n_axis, k_axis]
    return axes, on_grid(Smooth(x, y, smoothing), axes), quality


def decode_attention(layers, gpu):
    a = layers[layers.op == "decode_layer"].copy()
    size = a.hidden // a.heads
    kv = np.maximum(1, a.kv_heads // a.ranks)
    group = (a.heads // a.ranks) // kv
    blocks, keys_ = a.batch * kv, a.context + 1
    count = 2.0 * (2 * blocks * keys_ * size + 2 * blocks * group * size)
    yard = OVERHEAD + 1e6 * count / gpu.bandwidth
    x = np.log2(np.column_stack([blocks, group, keys_, size]).astype(float))
    y = np.log2(a.attention / yard).to_numpy(float)
    groups = np.random.default_rng(2).permutation(len(a))
    smoothing = 0.003
    quality = held_out(groups, x, y, smoothing)
    axes = [[1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 160, 256, 320, 512, 640, 1024, 1280, 2048, 2560],
            [1, 3, 4, 7, 8], [256, 512, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 32768], [64, 128]]
    return axes, on_grid(Smooth(x, y, smoothing), axes), quality


def classes(layers, gpu):
    """Small kernels: fixed + max(bytes / (bandwidth * efficiency), elements / rate)."""
    a = layers[layers.op != "decode_ends"].copy()
    tokens = a.batch * a.get("length", pd.Series(1, a.index)).fillna(1)
    size, n = a.hidden / a.heads, a.ranks
    q, kv = tokens * (a.heads // n) * size, tokens * np.maximum(1, a.kv_heads // n) * size
    f, h = tokens * (a.ffn // n), tokens * a.hidden
    both = lambda left, right, x, y: (pd.concat([a[left], a[right]]), pd.concat([x, y]))  # noqa: E731
    decode = a.op == "decode_layer"
    small = lambda t, e, yes: (t[yes], e[yes])  # noqa: E731
    out = {}
    fit = lambda *data: fit_class(gpu.bandwidth, *data)  # noqa: E731
    for name, (us, elements), traffic in [
        ("inference_rotary", both("q_mul", "k_mul", q, kv), 4),
        ("inference_negate", both("q_neg", "k_neg", q / 2, kv / 2), 4),
        ("inference_cat", both("q_cat", "k_cat", q, kv), 4),
        ("inference_rotary_half", both("q_mul2", "k_mul2", q, kv), 4),
        ("inference_cache", both("copy_k", "copy_v", kv, kv), 4),
        ("inference_add", both("add1", "add2", h, h), 6), ("inference_silu", (a.silu, f), 4),
        ("inference_gate", (a.gate, f), 6),
    ]:  # fmt: skip
        out[name] = fit(us.to_numpy(float), elements.to_numpy(float), traffic)
    us, e = both("q_add", "k_add", q, kv)
    both_decode = pd.concat([decode, decode]).to_numpy()
    out["inference_rotary_add"] = fit(us[both_decode].to_numpy(float), e[both_decode].to_numpy(float), 6)
    out["inference_rotary_add_strided"] = fit(us[~both_decode].to_numpy(float), e[~both_decode].to_numpy(float), 6)
    out["inference_norm"] = fit(a.norm2.to_numpy(float), h.to_numpy(float), 4, a.hidden.to_numpy(float))
    m = layers[layers.op == "decode_ends"]
    values = (m.argmax, m.batch * m.vocabulary)
    out["argmax"] = fit(*(v.to_numpy(float) for v in values), 2, m.vocabulary.to_numpy(float))
    return out


def fit_class(bandwidth, us, elements, traffic, columns=None):
    """`columns`: a block works through a row."""
    best = None

    def guess(v):
        fixed, slope, rate = np.exp(np.clip(v, -60, 60))
        other = elements / rate * 1e6 if columns is None else columns / rate * 1e6
        return fixed + np.maximum(elements * traffic / bandwidth / slope * 1e6, other)

    def loss(v):
        return np.mean(np.abs(np.log(guess(v) / us)))

    for start in [(1.5, 0.7, 4e11), (2.5, 0.8, 1e12), (1, 0.8, 9e8), (2.0, 3.0, 3e11)]:
        r = minimize(loss, np.log(start), method="Nelder-Mead", options=dict(maxiter=4000))
        if best is None or r.fun < best.fun:
            best = r
    fixed, slope, rate = np.exp(np.clip(best.x, -60, 60))
    return fixed, slope, rate, columns is not None, 100 * np.mean(np.abs(guess(best.x) / us - 1)), len(us)


def class_lines(fitted):
    lines = []
    for name, (fixed, slope, rate, by_column, error, n) in fitted.items():
        fields = [f"bandwidth_efficiency: {min(slope, 1):.3f}"]
        if by_column:
            fields.append(f"per_column: {1e9 / rate:.3f} ns")
        elif rate < 1e13:
            fields.append(f"elements_per_second: {rate:.3e}")
        fields.append(f"fixed: {fixed:.2f} us")
        lines.append(f"  {name}: {{{', '.join(fields)}}}  # {n} kernels, mean error {error:.1f} %\n")
    return lines


class Gpu:
    """The datasheet's figures, as the GPU file has them."""

    def __init__(self, text):
        self.bandwidth = gpu_file.number(text, "memory_bandwidth") * 1e9
        self.peak = gpu_file.number(text, "bf16") * 1e12


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    folder, path = sys.argv[1].rstrip("/"), sys.argv[2]
    data = stored(folder)
    if not data:
        raise SystemExit(f"fit_decode: there is no decode.csv in {folder}")
    text = gpu_file.read(path)
    gpu = Gpu(text)
    layers, products = read(data)
    name = os.path.splitext(os.path.basename(path))[0]
    tables = os.path.join(os.path.dirname(path), name)
    os.makedirs(tables, exist_ok=True)

    axes, values, quality = thin_products(products, gpu)
    with open(f"{tables}/gemm_thin_bf16.bin", "wb") as out:
        out.write(ratio_grid(axes, values))
    print("thin products: held-out median %.2f %%, mean %.2f %%, %d" % quality)
    text = gpu_file.with_block(text, ["efficiency", "gemm"], [
        "    thin:  # one to 128 rows, as inference runs them",
        "      bf16:",
        f"        table: {name}/gemm_thin_bf16.bin",
        f"        overhead: {OVERHEAD:.0f} us",
        f'        source: "{data}, PyTorch\'s linear with weights out of the cache, fit_decode.py"',
        f"        held_out_mean_percent: {quality[1]:.2f}  # a fifth of the (n, k) pairs",
    ])  # fmt: skip

    axes, values, quality = decode_attention(layers, gpu)
    with open(f"{tables}/attention_decode_bf16.bin", "wb") as out:
        out.write(ratio_grid(axes, values))
    print("attention over a cache: held-out median %.2f %%, mean %.2f %%, %d" % quality)
    text = gpu_file.with_block(text, ["efficiency", "attention"], [
        "    decode:  # one query of every sequence over a cache",
        f"      table: {name}/attention_decode_bf16.bin",
        f"      overhead: {OVERHEAD:.0f} us",
        f'      source: "{data}, PyTorch\'s scaled_dot_product_attention, fit_decode.py"',
        f"      held_out_mean_percent: {quality[1]:.2f}  # a fifth of {quality[2]} layers",
    ])  # fmt: skip

    lines = class_lines(classes(layers, gpu))
    begin, end = "  # fit_decode begin\n", "  # fit_decode end\n"
    head, rest = text.split(begin)
    gpu_file.write(path, head + begin + "".join(lines) + end + rest.split(end)[1])
    print("".join(lines), end="")


if __name__ == "__main__":
    main()
