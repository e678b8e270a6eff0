#!/usr/bin/env python3
"""Kernels of nanotron's layers, and what its ZeRO 1 costs the host.

    calibration/pytorch/nanotron_kernels.py OUT.jsonl

Triton's norm and interleaved rotary with the grids and tiles of flash-attn 2's (norm: a program a row, in backward one a
multiprocessor; rotary: one for 4 positions of a head), FlashAttention 2 on whole batches and on sequences by their offsets,
and the loss step by step over fp32 logits. Times are medians by events of calls behind each other, on several tensors in
turn. The host: every rank's part of every parameter laid out flat, and copied back after a gather.
"""
import json
import sys
import time
from statistics import median

import numpy as np
import torch
import triton
import triton.language as tl

LENGTH = 4096
TENSORS = 4  # more than the L2 cache holds


def random(*shape):
    return torch.randn(shape, device="cuda", dtype=torch.bfloat16)


def microseconds(run, calls=8, repeats=8):
    for i in range(3):
        run(i)
    times = []
    for _ in range(repeats):
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda._sleep(900_000)
        began.record()
        for i in range(calls):
            run(i)
        ended.record()
        ended.synchronize()
        times.append(began.elapsed_time(ended) * 1e3 / calls)
    return round(median(times), 1)


@triton.jit
def norm_forward(x, w, y, r, n, B: tl.constexpr):
    i, c = tl.program_id(0), tl.arange(0, B)
    m = c < n
    v = tl.load(x + i * n + c, mask=m, other=0.0).to(tl.float32)
    s = 1 / tl.sqrt(tl.sum(v * v, 0) / n + 1e-5)
    tl.store(r + i, s)
    tl.store(y + i * n + c, v * s * tl.load(w + c, mask=m, other=0.0).to(tl.float32), mask=m)


@triton.jit
def norm_backward(x, w, dy, r, dx, dw, n, rows, each, B: tl.constexpr):
    i, c = tl.program_id(0), tl.arange(0, B)
    m = c < n
    gain = tl.load(w + c, mask=m, other=0.0).to(tl.float32)
    acc = tl.zeros((B,), tl.float32)
    for k in range(i * each, min((i + 1) * each, rows)):
        s = tl.load(r + k)
        h = tl.load(x + k * n + c, mask=m, other=0.0).to(tl.float32) * s
        g = tl.load(dy + k * n + c, mask=m, other=0.0).to(tl.float32)
        acc += g * h
        gw = tl.where(m, g * gain, 0.0)
        tl.store(dx + k * n + c, (gw - h * tl.sum(gw * h, 0) / n) * s, mask=m)
    tl.store(dw + i * n + c, acc, mask=m)


@triton.jit
def rotary(x, y, cos, sin, n, d, sb, ss, sh, ob, os, oh, M: tl.constexpr, K: tl.constexpr):
    r = tl.program_id(0) * M + tl.arange(0, M)
    batch, head = tl.program_id(1), tl.program_id(2)
    c = tl.arange(0, K)
    other = c + (c + 1) % 2 * 2 - 1
    m = (r[:, None] < n) & (c[None, :] < d)
    at = x + batch * sb + r[:, None] * ss + head * sh
    a = tl.load(at + c[None, :], mask=m, other=0.0).to(tl.float32)
    b = tl.load(at + other[None, :], mask=m, other=0.0).to(tl.float32)
    angle = r[:, None] * (d // 2) + c[None, :] // 2
    u = tl.load(cos + angle, mask=m, other=1.0).to(tl.float32)
    v = tl.load(sin + angle, mask=m, other=0.0).to(tl.float32)
    out = tl.where(c[None, :] % 2 == 0, a * u - b * v, a * u + b * v)
    tl.store(y + batch * ob + r[:, None] * os + head * oh + c[None, :], out, mask=m)


def norms(rows, columns):
    x, dy, y = ([random(rows, columns) for _ in range(TENSORS)] for _ in range(3))
    w, r = random(columns), torch.ones(rows, device="cuda")
    parts = torch.cuda.get_device_properties(0).multi_processor_count
    dw, block, each = torch.empty(parts, columns, device="cuda"), triton.next_power_of_2(columns), -(-rows // parts)
    for warps in (4, 8, 16, 32):
        def forward(i):
            norm_forward[(rows,)](x[i % TENSORS], w, y[i % TENSORS], r, columns, block, num_warps=warps)

        def backward(i):
            t = i % TENSORS
            norm_backward[(parts,)](x[t], w, dy[t], r, y[t], dw, columns, rows, each, block, num_warps=warps)

        yield {"what": "norm", "rows": rows, "columns": columns, "warps": warps, "forward_us": microseconds(forward),
               "backward_us": microseconds(backward)}


def rotaries(batch, heads, size):
    q, out = ([random(batch, LENGTH, heads, size) for _ in range(TENSORS)] for _ in range(2))
    keys = [random(batch, LENGTH, 2, heads, size)[:, :, 0] for _ in range(TENSORS)]
    cos, sin = random(LENGTH, size // 2), random(LENGTH, size // 2)
    grid, block = (LENGTH // 4, batch, heads), 64 if size <= 64 else 128

    def run(x, y):
        rotary[grid](x, y, cos, sin, LENGTH, size, *x.stride()[:3], *y.stride()[:3], 4, block)

    yield {"what": "rotary", "batch": batch, "heads": heads, "head_size": size,
           "queries_us": microseconds(lambda i: run(q[i % TENSORS], out[i % TENSORS])),
           "keys_us": microseconds(lambda i: run(keys[i % TENSORS], keys[i % TENSORS]))}


def attention(batch, heads, size, offsets):
    shape = (batch * LENGTH, heads, size) if offsets else (batch, LENGTH, heads, size)
    q, k, v, g = (random(*shape) for _ in range(4))
    at = None
    if offsets:
        kv = random(batch * LENGTH, 2, heads, size)
        k, v = kv[:, 0], kv[:, 1]
        at = torch.arange(0, batch + 1, dtype=torch.int32, device="cuda") * LENGTH

    def forward(_):
        return torch.ops.aten._flash_attention_forward(q, k, v, at, at, LENGTH, LENGTH, 0.0, True, False)

    out, lse, seed, offset, _ = forward(0)

    def backward(_):
        torch.ops.aten._flash_attention_backward(g, q, k, v, out, lse, at, at, LENGTH, LENGTH, 0.0, True, seed, offset)

    yield {"what": "attention", "by_offsets": offsets, "batch": batch, "heads": heads, "head_size": size,
           "forward_us": microseconds(forward, 2), "backward_us": microseconds(backward, 2)}


def loss(batch, vocabulary):
    logits = random(LENGTH, batch, vocabulary)
    target, row = torch.randint(0, vocabulary, (LENGTH * batch,), device="cuda"), torch.arange(LENGTH * batch, device="cuda")
    x = logits.float()
    most, total = torch.max(x, dim=-1)[0].unsqueeze(-1), torch.rand((LENGTH, batch, 1), device="cuda") + 1
    y = x - most

    def less_one(_):
        y.view(-1, vocabulary)[row, target] -= 1.0

    steps = {"cast": lambda _: logits.float(), "max": lambda _: torch.max(x, dim=-1), "sub": lambda _: x - most,
             "exp": lambda _: torch.exp(y, out=y), "sum": lambda _: y.sum(-1), "div": lambda _: y.div_(total),
             "mul": lambda _: y.mul_(total), "cast_back": lambda _: x.to(torch.bfloat16),
             "index": lambda _: y.view(-1, vocabulary)[row, target], "less_one": less_one}
    yield {"what": "loss", "batch": batch, "vocabulary": vocabulary, **{f"{k}_us": microseconds(f, 2) for k, f in steps.items()}}


def gather(tensors, ranks, elements=64):
    parameters = [torch.zeros(ranks * elements, dtype=torch.bfloat16, device="cuda") for _ in range(tensors)]
    ends = np.cumsum(np.full(ranks, elements))
    offsets = {i: {r: (ends[r] - elements, ends[r]) for r in range(ranks)} for i in range(tensors)}
    whole, times = torch.zeros(ranks * tensors * elements, dtype=torch.bfloat16, device="cuda"), []
    for _ in range(7):
        torch.cuda.synchronize()
        at = [time.perf_counter()]
        outputs = [[p[slice(*offsets[i][r])] if r in offsets[i] else None for r in range(ranks)] for i, p in enumerate(parameters)]
        inputs = [p[slice(*offsets[i][0])] for i, p in enumerate(parameters)]
        for x in inputs + [o for of in outputs for o in of]:
            assert x.device == whole.device
            assert x.dtype == whole.dtype
        by_rank = [[of[r] for of in outputs] for r in range(ranks)]
        at.append(time.perf_counter())
        torch._utils._flatten_dense_tensors(inputs)
        flat = [torch._utils._flatten_dense_tensors(of) for of in by_rank]
        for f, x in zip(flat, whole.view(ranks, -1)):
            f.copy_(x)
        at.append(time.perf_counter())
        for of, f in zip(by_rank, flat):
            for one, gathered in zip(of, torch._utils._unflatten_dense_tensors(f, of)):
                one.copy_(gathered)
        at.append(time.perf_counter())
        torch.cuda.synchronize()
        times.append((at[1] - at[0], at[2] - at[1], at[3] - at[2], time.perf_counter() - at[0]))
    part = [round(median(t) * 1e6 / tensors / ranks, 2) for t in zip(*times[2:])]
    yield {"what": "gather", "tensors": tensors, "ranks": ranks,
           **dict(zip(("lay_out_us_per_part", "flatten_us_per_part", "copy_us_per_part", "us_per_part"), part))}


def main():
    heads = [(1, 32, 64), (2, 32, 64), (1, 32, 96), (2, 32, 96), (1, 32, 128), (2, 32, 128), (4, 8, 128)]
    cases = [attention(*s, o) for s in [*heads, (4, 32, 64), (8, 8, 64)] for o in (False, True)]
    cases += [loss(*s) for s in [(1, 131072), (2, 131072), (2, 65536), (4, 16384)]]
    cases += [norms(r, c) for r in (4096, 8192, 16384, 32768) for c in (2048, 3072, 4096)]
    cases += [rotaries(*s) for s in [*heads, (16, 4, 64)]]
    cases += [gather(n, k) for n, k in [(50, 2), (100, 2), (50, 8), (100, 8), (200, 8), (50, 32), (100, 32), (100, 64), (200, 64)]]
    with open(sys.argv[1], "w", encoding="utf-8") as out:
        for case in cases:
            for row in case:
                out.write(json.dumps(row) + "\n")
                out.flush()


if __name__ == "__main__":
    main()
