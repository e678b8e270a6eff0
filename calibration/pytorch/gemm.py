"""Matrix products as eager PyTorch runs them: F.linear, and its two gradients through autograd, so
that the layouts, the cuBLASLt heuristics and the epilogues are those of training.

usage: gemm.py OUT_DIRECTORY [--budget SECONDS]

gemm.csv: kernel times over many shapes, in bursts (idle time between repetitions keeps the clocks up).
gemm_sustained.csv: a few shapes for a second or more, with SM clock and power: the ratio of sustained
to burst under the power limit, for products alone and diluted with memory-bound kernels.
"""

import argparse
import os
import random
import time

import torch
import torch.nn.functional as F

from common import (
    DRY_RUN, Budget, ClockSampler, Nvml, Pool, Table, Timer, device, free_memory, itemsize, median,
    synchronize,
)  # fmt: skip
from kernel_trace import Case, Phase, Recorder

DTYPE_OF = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32,
            "tf32": torch.float32}  # fmt: skip
TOKENS = (1024, 2048, 4096, 8192, 16384, 32768)
MOST_FLOPS = {"bf16": 9e12, "fp16": 9e12, "tf32": 3e12, "fp32": 6e11}


def gpt_layers():
    """(n, k) of the four products of a GPT block, and its head; all but the head have a bias."""
    for h in (768, 1024, 1280, 1600, 2048, 2560, 4096, 5120):
        yield from ((3 * h, h, True), (h, h, True), (4 * h, h, True), (h, 4 * h, True))
    for h in (768, 1280, 1600, 2048, 2560):
        yield (50304, h, False)


def llama_layers():
    """(n, k) of a gated block: fused qkv, projection, fused gate and up, down; and the head."""
    models = [  # hidden, heads + 2 kv heads in units of hidden/heads, ffn, vocabulary
        (2048, 3072, 8192, 128256), (3072, 5120, 8192, 128256), (4096, 6144, 14336, 128256),
        (4096, 12288, 11008, 32000), (5120, 15360, 13824, 32000), (8192, 10240, 28672, 128256),
        (3584, 4608, 18944, 152064),
    ]  # fmt: skip
    for h, qkv, f, v in models:
        for split in (1, 2, 4):  # tensor parallel: a share of the columns, or of the rows
            yield from ((qkv // split, h, False), (h, h // split, False))
            yield from ((2 * f // split, h, False), (h, f // split, False))
        yield (v, h, False)


def shapes():
    """Every (m, n, k, bias, dtype), the likely ones first."""
    unique = sorted(set(gpt_layers()) | set(llama_layers()))
    bf16 = [(m, n, k, b, "bf16") for n, k, b in unique for m in TOKENS]
    random.Random(2).shuffle(bf16)
    few = [(m, n, k, False) for m in (2048, 8192) for n, k in
           ((4096, 4096), (12288, 4096), (4096, 11008), (3072, 768), (50304, 768), (2048, 8192))]  # fmt: skip
    others = [(m, n, k, b, d) for d in ("tf32", "fp16", "fp32") for m, n, k, b in few]
    # sizes off the tile grid, to see tile and wave quantisation
    odd = [(m, n, 4096, False, "bf16") for m in (4096, 4224, 4352, 4480, 4608, 5000, 6144, 7168)
           for n in (4096, 4224, 5120, 8192)]  # fmt: skip
    small = [(m, n, n, False, "bf16") for m in (64, 128, 256, 512) for n in (1024, 4096, 8192)]
    random.Random(3).shuffle(odd)
    third = len(bf16) // 3
    ordered = bf16[:third] + others[:12] + odd[:16] + bf16[third : 2 * third]
    ordered += others[12:] + small + odd[16:] + bf16[2 * third :]
    ordered = dict.fromkeys(ordered)  # a few sizes off the tile grid are shapes of models too
    return [s for s in ordered if 2.0 * s[0] * s[1] * s[2] <= MOST_FLOPS[s[4]]]


def unaligned_shapes():
    """Extents that are no multiple of 8 elements, as GPT-2's vocabulary of 50257: such operands cannot
    be read in 16-byte pieces, which costs some kernels a detour."""
    extents = [(50257, 768), (50257, 1600), (50258, 1024), (50260, 1024), (50264, 1024),
               (32001, 4096), (4097, 4096), (4098, 4096), (4100, 4096), (4096, 4097), (4096, 4098),
               (4096, 4100), (1601, 1600), (6401, 1601)]  # fmt: skip
    shapes = [(m, n, k, False, "bf16") for m in (2048, 8192, 16384) for n, k in extents]
    shapes += [(8192, n, k, False, d) for d in ("fp16", "tf32", "fp32") for n, k in extents[:4]]
    shapes += [(m, 50257, 768, False, "bf16") for m in (1024, 4096, 32768, 8191, 8190)]
    random.Random(8).shuffle(shapes)
    return shapes


def gemm_cases(pools, shapes):
    if DRY_RUN:
        yield _case((8, 16, 4, True, "fp32"), pools)
        yield _case((8, 16, 4, False, "fp32"), pools)
        return
    for shape in shapes:
        yield _case(shape, pools)


def _case(shape, pools):
    m, n, k, bias, dtype_name = shape
    dtype = DTYPE_OF[dtype_name]

    def make():
        torch.backends.cuda.matmul.allow_tf32 = dtype_name == "tf32"
        if dtype not in pools:
            pools[dtype] = Pool(1 << 12 if DRY_RUN else 5 << 29, dtype)
        pool = pools[dtype]
        x = pool.take(m, 1, k).requires_grad_()
        w = pool.take(n, k).requires_grad_()
        b = pool.take(n).requires_grad_() if bias else None
        g = pool.take(m, 1, n)
        y = F.linear(x, w, b)
        size = (m * k + n * k + m * n) * itemsize(dtype)

        def gradient(of):
            return lambda: torch.autograd.grad(y, of, g, retain_graph=True)

        phases = [
            Phase("forward", lambda: F.linear(x, w, b), m * n, size),
            Phase("dgrad", gradient(x), m * k, size),
            Phase("wgrad", gradient(w), n * k, size),
        ]
        if bias:
            phases.append(Phase("bias_grad", gradient(b), m * n, m * n * itemsize(dtype)))
        return phases

    parameters = dict(m=m, n=n, k=k, bias=int(bias))
    return Case("linear", dtype_name, parameters, make, cold=True, reps=4)


SUSTAINED = [  # m, n, k, dtype, layout, share of time in memory-bound kernels
    (8192, 8192, 8192, "bf16", "forward", 0.0), (16384, 12288, 4096, "bf16", "forward", 0.0),
    (8192, 22016, 4096, "bf16", "dgrad", 0.0), (8192, 22016, 4096, "bf16", "wgrad", 0.0),
    (8192, 22016, 4096, "bf16", "forward", 0.25), (8192, 22016, 4096, "bf16", "forward", 0.5),
    (16384, 3072, 768, "bf16", "forward", 0.0), (8192, 16384, 2048, "bf16", "forward", 0.0),
    (8192, 16384, 2048, "bf16", "wgrad", 0.0), (8192, 16384, 2048, "bf16", "dgrad", 0.0),
    (8192, 8192, 8192, "fp16", "forward", 0.0), (8192, 8192, 8192, "tf32", "forward", 0.0),
    (4096, 4096, 4096, "bf16", "forward", 0.0), (8192, 128256, 2048, "bf16", "forward", 0.0),
    (8192, 22016, 4096, "bf16", "forward", 0.75), (2048, 22016, 4096, "bf16", "forward", 0.0),
]  # fmt: skip


def sustained(out, budget, seconds):
    table = Table(os.path.join(out, "gemm_sustained.csv"), [
        "m", "n", "k", "dtype", "layout", "memory_share", "burst_us", "sustained_us", "ratio",
        "burst_tflops", "sustained_tflops", "sm_mhz_mean", "sm_mhz_min", "watts_mean", "celsius",
        "throttle_reasons", "iterations", "p10_us", "p90_us",
    ])  # fmt: skip
    nvml = Nvml()
    cases = SUSTAINED if not DRY_RUN else [(8, 8, 8, "fp32", "forward", 0.5)]
    for case in cases:
        if budget.over():
            break
        try:
            table.row(**_sustain(case, nvml, seconds))
        except RuntimeError as error:
            print("FAILED sustained", case, str(error)[:200], flush=True)
            free_memory()
        table.flush()


def _sustain(case, nvml, seconds):
    m, n, k, dtype_name, layout, share = case
    dtype = DTYPE_OF[dtype_name]
    torch.backends.cuda.matmul.allow_tf32 = dtype_name == "tf32"
    pool = Pool(4 * (m * k + n * k + m * n), dtype)
    x, w, g = pool.take(m, k), pool.take(n, k), pool.take(m, n)
    products = {"forward": lambda: F.linear(x, w), "dgrad": lambda: g.mm(w),
                "wgrad": lambda: g.t().mm(x)}  # fmt: skip
    run = products[layout]
    burst = _burst_seconds(run)
    filler = None
    if share > 0:
        # a copy whose time is share/(1-share) of the product's, at about 4.2 TB/s moved
        count = max(1024, int(burst * share / (1 - share) * 4.2e12 / 2 / 4))
        source = torch.ones(min(count, 1 << 30), device=device())
        target = torch.empty_like(source)
        filler = lambda: target.copy_(source)  # noqa: E731
    timers, began = [], time.monotonic()
    chunk = max(1, int(0.02 / max(burst, 1e-6)))
    with ClockSampler(nvml) as sampler:
        while time.monotonic() - began < seconds:
            block = []
            for _ in range(chunk):
                timer = Timer()
                timer.start()
                run()
                timer.stop()
                block.append(timer)
                if filler is not None:
                    filler()
            timers.append(block)
            if len(timers) > 2:
                timers[-2][-1].seconds()  # stay at most two blocks ahead of the GPU
        synchronize()
        ended = time.monotonic()
        half = (began + ended) / 2
        mean_mhz, least_mhz, watts = sampler.between(half, ended)
    late = [t.seconds() for block in timers[len(timers) // 2 :] for t in block]
    steady = median(late)
    ordered = sorted(late)
    flops = 2.0 * m * n * k
    time.sleep(0.0 if DRY_RUN else 0.4)
    return dict(
        m=m, n=n, k=k, dtype=dtype_name, layout=layout, memory_share=share, burst_us=burst * 1e6,
        sustained_us=steady * 1e6, ratio=burst / steady, burst_tflops=flops / burst * 1e-12,
        sustained_tflops=flops / steady * 1e-12, sm_mhz_mean=mean_mhz, sm_mhz_min=least_mhz,
        watts_mean=watts, celsius=nvml.celsius(), throttle_reasons=nvml.throttle_reasons(),
        iterations=sum(len(b) for b in timers), p10_us=ordered[len(ordered) // 10] * 1e6,
        p90_us=ordered[len(ordered) * 9 // 10] * 1e6,
    )  # fmt: skip


def _burst_seconds(run):
    """Median of single products with the GPU idle between them."""
    times = []
    for _ in range(3):
        run()
    for _ in range(7):
        synchronize()
        time.sleep(0.0 if DRY_RUN else 0.02)
        run()  # wakes the clocks
        timer = Timer()
        timer.start()
        run()
        timer.stop()
        times.append(timer.seconds())
    return median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    parser.add_argument("--budget", type=float, default=150)
    parser.add_argument("--sustained-seconds", type=float, default=0.1 if DRY_RUN else 1.5)
    parser.add_argument("--unaligned", action="store_true", help="odd extents, gemm_unaligned.csv")
    arguments = parser.parse_args()
    whole = Budget(arguments.budget)
    if arguments.unaligned:
        recorder = Recorder(os.path.join(arguments.out, "gemm_unaligned.csv"), whole.left(),
                            batch_cases=24, rest=0.7)  # fmt: skip
        done = recorder.run(list(gemm_cases({}, unaligned_shapes())))
        print(f"unaligned: {done} shapes, {len(recorder.errors)} failed, {whole.spent():.0f} s")
        return
    sustained(arguments.out, Budget(arguments.budget * 0.25), arguments.sustained_seconds)
    free_memory()
    recorder = Recorder(os.path.join(arguments.out, "gemm.csv"), whole.left(), batch_cases=24,
                        rest=0.7)  # fmt: skip
    cases = list(gemm_cases({}, shapes()))
    done = recorder.run(cases)
    print(f"gemm: {done} of {len(cases)} shapes, {len(recorder.errors)} failed, {whole.spent():.0f} s")


if __name__ == "__main__":
    main()
