"""Kernels as training runs them: between the kernels that come before and after, from burst to
sustained clocks. in_context.csv (a kernel) and in_context_clocks.csv (50 ms of a loop).

usage: python3 in_context.py OUT_DIRECTORY [--budget SECONDS] [--half 0|1]

The GPU rests, then a loop runs for about 0.7 s under the profiler: forward and backward of two blocks,
with or without an optimizer step, or one kernel again and again. A kernel's `burst_us` is its median
over the first 30 ms, `sustained_us` over the last third; `gap_us` is the median from the end of the
kernel before it on its stream to its start, in that last third.
"""

import argparse
import os
import time

import torch
import torch.nn.functional as F

from common import DRY_RUN, Budget, ClockSampler, Nvml, Table, device, free_memory, median
from common import random_like_training, synchronize
from kernel_trace import DEVICE_EVENTS, _dimensions, _load, short_name
from model import Block, Groups, NoSharding, created_as, rotary_tables

COLUMNS = ["case", "kernel", "grid", "block", "per_iteration", "burst_us", "sustained_us", "gap_us",
           "before"]  # fmt: skip
CLOCK_COLUMNS = ["case", "at_s", "iteration_us", "sm_mhz", "watts"]

# name, family, hidden, heads, kv_heads, ffn, length, batch, optimizer
BLOCKS = [
    ("llama_2560_s4096_b2", "llama", 2560, 20, 20, 6912, 4096, 2, False),
    ("gpt_1280_s2048_b4", "gpt", 1280, 20, 20, 5120, 2048, 4, False),
    ("llama_4096_gqa_s4096_b1", "llama", 4096, 32, 8, 11008, 4096, 1, False),
    ("gpt_2048_s1024_b8_step", "gpt", 2048, 16, 16, 8192, 1024, 8, True),
    ("llama_3072_gqa_s8192_b1_step", "llama", 3072, 24, 8, 8192, 8192, 1, True),
    ("llama_2048_s16384_b1", "llama", 2048, 16, 16, 5632, 16384, 1, False),
    ("gpt_768_s1024_b32", "gpt", 768, 12, 12, 3072, 1024, 32, False),
    ("gpt_5120_s2048_b1_step", "gpt", 5120, 40, 40, 20480, 2048, 1, True),
    ("llama_5120_s2048_b4", "llama", 5120, 40, 40, 13824, 2048, 4, False),
]


def block_loop(family, hidden, heads, kv_heads, ffn, length, batch, optimizer):
    if DRY_RUN:
        hidden, heads, kv_heads, ffn, length, batch = 64, 2, 2, 128, 32, 2
    spec = dict(family=family, hidden=hidden, heads=heads, kv_heads=kv_heads, ffn=ffn)
    with created_as(torch.bfloat16, device()):
        blocks = torch.nn.ModuleList(Block(spec, NoSharding(), Groups()) for _ in range(2))
    tables = rotary_tables(length, hidden // heads, device())
    x = random_like_training((length, batch, hidden), torch.bfloat16).requires_grad_()
    gradient = random_like_training((length, batch, hidden), torch.bfloat16)
    stepper = torch.optim.AdamW(blocks.parameters(), lr=1e-6, fused=not DRY_RUN) if optimizer else None

    def iterate():
        y = x
        for block in blocks:
            y = block(y, tables)
        y.backward(gradient)
        if stepper:
            stepper.step()
            stepper.zero_grad(set_to_none=True)
        else:
            for p in blocks.parameters():
                p.grad = None
        x.grad = None

    return iterate


def single_loops():
    b16 = torch.bfloat16
    rand = random_like_training

    def product():
        x, w = rand((8192, 4096), b16), rand((4096, 4096), b16)
        return lambda: F.linear(x, w)

    def attention(backward, length=4096, batch=2):
        q, k, v = (rand((length, batch, 32, 128), b16).permute(1, 2, 0, 3).requires_grad_() for _ in range(3))
        g = rand((batch, 32, length, 128), b16)

        def forward():
            with torch.no_grad():
                F.scaled_dot_product_attention(q, k, v, is_causal=True)

        def both():
            F.scaled_dot_product_attention(q, k, v, is_causal=True).backward(g)
            q.grad = k.grad = v.grad = None

        return both if backward else forward

    def strided():
        a, b = rand((8192, 12288), b16)[:, :4096], rand((8192, 12288), b16)[:, 4096:8192]
        return lambda: a * b

    def add():
        a, b, c = (rand((8192, 16384), b16) for _ in range(3))
        return lambda: torch.add(a, b, out=c)

    def adamw():
        ps = [torch.nn.Parameter(rand((4096, 4096), b16)) for _ in range(24)]
        for p in ps:
            p.grad = torch.zeros_like(p)
        return torch.optim.AdamW(ps, lr=1e-6, fused=not DRY_RUN).step

    if DRY_RUN:
        return {}
    return {"product": product, "attention": lambda: attention(False), "attention_both": lambda: attention(True),
            "strided_mul": strided, "add": add, "adamw": adamw}  # fmt: skip


def run_loop(case, iterate, tables, nvml, seconds):
    table, clocks = tables
    for _ in range(4):
        iterate()
    synchronize()
    if DRY_RUN:
        return
    began = time.perf_counter()
    for _ in range(5):
        iterate()
    synchronize()
    each = (time.perf_counter() - began) / 5
    count = max(5, int(seconds / each))
    # Events bound what the host runs ahead, and give the time of every few iterations.
    every = max(1, int(0.05 / each))
    time.sleep(1.2)
    marks = []
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        time.sleep(0.3)
        with ClockSampler(nvml, 0.01) as sampler:
            start = time.monotonic()
            for i in range(count):
                iterate()
                if i % every == every - 1:
                    event = torch.cuda.Event()
                    event.record()
                    marks.append(event)
                    if len(marks) > 2:
                        marks[-3].synchronize()
            synchronize()
    write_clocks(case, clocks, sampler, start)
    write_kernels(case, table, _load(profiler), count)


def write_clocks(case, clocks, sampler, start):
    for at, mhz, watts in sampler.samples:
        clocks.row(case=case, at_s=round(at - start, 3), iteration_us=0, sm_mhz=mhz, watts=watts)
    clocks.flush()


def write_kernels(case, table, trace, count):
    events = sorted((e for e in trace["traceEvents"] if e.get("cat") in DEVICE_EVENTS), key=lambda e: e["ts"])
    if not events:
        return
    first, last = events[0]["ts"], events[-1]["ts"]
    series, previous = {}, {}
    for e in events:
        arguments = e.get("args", {})
        stream = arguments.get("stream")
        before = previous.get(stream)
        key = (short_name(e["name"]), _dimensions(arguments.get("grid")), _dimensions(arguments.get("block")))
        s = series.setdefault(key, dict(burst=[], sustained=[], gap=[], count=0, before=""))
        s["count"] += 1
        if e["ts"] - first < 30e3:
            s["burst"].append(e["dur"])
        if e["ts"] - first > (last - first) * 2 / 3:
            s["sustained"].append(e["dur"])
            if before is not None:
                s["gap"].append(e["ts"] - before["ts"] - before["dur"])
                s["before"] = short_name(before["name"])[:40]
        previous[stream] = e
    for (name, grid, block), s in sorted(series.items(), key=lambda i: -sum(i[1]["sustained"])):
        if s["count"] < count // 2:
            continue
        table.row(case=case, kernel=name, grid=grid, block=block, per_iteration=round(s["count"] / count, 2),
                  burst_us=median(s["burst"]) if s["burst"] else 0,
                  sustained_us=median(s["sustained"]) if s["sustained"] else 0,
                  gap_us=median(s["gap"]) if s["gap"] else 0, before=s["before"])  # fmt: skip
    table.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    parser.add_argument("--budget", type=float, default=100)
    arguments = parser.parse_args()
    if not DRY_RUN:
        torch.cuda.set_device(device())
    budget, nvml = Budget(arguments.budget), Nvml()
    tables = (Table(os.path.join(arguments.out, "in_context.csv"), COLUMNS),
              Table(os.path.join(arguments.out, "in_context_clocks.csv"), CLOCK_COLUMNS))  # fmt: skip
    cases = [(b[0], lambda b=b: block_loop(*b[1:])) for b in BLOCKS] + list(single_loops().items())
    done = 0
    for case, make in cases:
        if budget.over():
            break
        try:
            run_loop(case, make(), tables, nvml, 0.7)
            done += 1
        except (RuntimeError, ValueError) as error:
            print("FAILED", case, type(error).__name__, str(error)[:200], flush=True)
        free_memory()
    print(f"in_context: {done} of {len(cases)} loops", flush=True)


if __name__ == "__main__":
    main()
