"""Kernels and collectives between each other on two GPUs.

usage: torchrun --nproc-per-node 2 between.py OUT_DIRECTORY [--budget SECONDS]

stream_gaps.csv: gaps between the kernels of a chain on the default stream, with and without work on
other streams. between.csv, between_blocks.csv: every all_reduce of a loop, on each rank: how long it
took, and what was before it. The ranks wait for each other in every all_reduce, so the shorter of
the two times is the all_reduce's own. Each rank writes files of its own (.0.csv, .1.csv).
"""

import argparse
import os

import torch
import torch.distributed as dist
import torch.nn.functional as F

import group as job
import model
from common import DRY_RUN, Budget, Table, device, free_memory, median, quantile
from common import random_like_training, synchronize
from kernel_trace import DEVICE_EVENTS, _load

B16 = torch.bfloat16
GAP_COLUMNS = [
    "rank", "case", "covered", "gaps", "median_us", "p10_us", "p90_us", "mean_us", "streams",
]  # fmt: skip
COLUMNS = ["case", "mib", "rank", "index", "all_reduce_us", "busy_before_us", "wait_before_us"]
BLOCKS = [  # name, spec, length, batch
    ("llama_4096", dict(family="llama", hidden=4096, heads=32, kv_heads=32, ffn=11008), 4096, 1),
    ("gpt_2048", dict(family="gpt", hidden=2048, heads=16, kv_heads=16, ffn=8192), 2048, 4),
]


def profiled(call):
    """Device events of a call that both ranks begin together."""
    synchronize()
    dist.barrier()
    synchronize()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        call()
        synchronize()
    events = [e for e in _load(profiler)["traceEvents"] if e.get("cat") in DEVICE_EVENTS]
    return sorted(events, key=lambda e: e["ts"])


def gaps(table, rank, name, chain, beside, count):
    def call():
        for i in range(count):
            beside(i)
            chain()

    call()
    streams = {}
    for event in profiled(call):
        streams.setdefault(event["tid"], []).append(event)
    main = max(streams.values(), key=lambda v: sum("nccl" not in e["name"] for e in v))
    others = [(e["ts"], e["ts"] + e["dur"]) for v in streams.values() if v is not main for e in v]
    found = {0: [], 1: []}
    for a, b in zip(main, main[1:]):
        gap = b["ts"] - a["ts"] - a["dur"]
        if gap < 30:
            found[int(any(start <= b["ts"] <= end for start, end in others))].append(gap)
    for covered, values in found.items():
        if values:
            table.row(rank=rank, case=name, covered=covered, gaps=len(values),
                      median_us=median(values), p10_us=quantile(values, 0.1),
                      p90_us=quantile(values, 0.9), mean_us=sum(values) / len(values),
                      streams=len(streams))  # fmt: skip
    table.flush()


def measure_gaps(out, rank, budget):
    table = Table(os.path.join(out, f"stream_gaps.{rank}.csv"), GAP_COLUMNS)
    x, y, z = (random_like_training((16 << 20,), B16) for _ in range(3))
    square = random_like_training((2048, 2048), B16)
    share = random_like_training((16 << 20,), B16)
    whole = torch.empty(32 << 20, dtype=B16, device=device())
    small = torch.zeros(1024, device=device())
    normal, high, second = torch.cuda.Stream(), torch.cuda.Stream(priority=-1), torch.cuda.Stream(priority=-1)

    def chain():
        for _ in range(10):
            torch.add(x, y, out=z)
        for _ in range(10):
            torch.mm(square, square)

    def on(stream, what):
        def beside(i):
            if i % 4 == 0:
                with torch.cuda.stream(stream):
                    what()

        return beside

    def reduce(i):
        if i % 4 == 0:
            dist.all_reduce(share, async_op=True)

    touch = lambda: small.add_(1)  # noqa: E731
    gather = lambda: dist.all_gather_into_tensor(whole, share)  # noqa: E731
    touching, gathering = on(high, touch), on(second, gather)
    cases = {
        "alone": lambda i: None,
        "normal_stream_small": on(normal, touch),
        "ddp_all_reduce": reduce,
        "priority_stream_small": on(high, touch),
        "priority_gather": on(high, gather),
        "two_priority": lambda i: (touching(i), gathering(i)),
        "alone_after": lambda i: None,
    }
    for name, beside in cases.items():
        if job.agree(budget.over()):
            return
        gaps(table, rank, name, chain, beside, 24)


def loop(table, rank, name, mebibytes, iterate, count):
    for _ in range(3):
        iterate()
    index, end, busy = 0, None, 0.0
    for event in profiled(lambda: [iterate() for _ in range(count)]):
        if "nccl" in event["name"]:
            table.row(case=name, mib=mebibytes, rank=rank, index=index, all_reduce_us=event["dur"],
                      busy_before_us=busy, wait_before_us=event["ts"] - end if end else 0)  # fmt: skip
            index, busy = index + 1, 0.0
        else:
            busy += event["dur"]
        end = event["ts"] + event["dur"]
    table.flush()


def measure_between(out, rank, budget):
    table = Table(os.path.join(out, f"between.{rank}.csv"), COLUMNS)
    for mebibytes in (32, 64, 8):
        if job.agree(budget.over()):
            return
        elements = (mebibytes << 20) // 2
        buffers = [random_like_training((elements,), B16) for _ in range(12)]
        turn = [0]

        def rotating():
            turn[0] = (turn[0] + 1) % len(buffers)
            dist.all_reduce(buffers[turn[0]])

        loop(table, rank, "same", mebibytes, lambda: dist.all_reduce(buffers[0]), 40)
        loop(table, rank, "rotating", mebibytes, rotating, 40)
        x = random_like_training((elements // 4096, 4096), B16, 0.02)
        w = random_like_training((4096, 4096), B16, 0.02)

        def after(kernels, call):
            def iterate():
                for _ in range(kernels):
                    y = call()
                dist.all_reduce(y)

            return iterate

        for kernels in (1, 4, 16):
            iterate = after(kernels, lambda: F.linear(x, w))
            loop(table, rank, f"after_{kernels}_products", mebibytes, iterate, 40)
        loop(table, rank, "after_20_adds", mebibytes, after(20, lambda: torch.add(x, x)), 30)
        del buffers
        free_memory()


def measure_blocks(out, rank, budget):
    table = Table(os.path.join(out, f"between_blocks.{rank}.csv"), COLUMNS)
    group = dist.new_group(list(range(dist.get_world_size())))
    for name, spec, length, batch in BLOCKS:
        if job.agree(budget.over()):
            return
        sharding = model.TensorSharding(group, False)
        with model.created_as(B16, device()):
            blocks = torch.nn.ModuleList(model.Block(spec, sharding, model.Groups()) for _ in range(3))
        tables = model.rotary_tables(length, spec["hidden"] // spec["heads"], device())
        x = random_like_training((length, batch, spec["hidden"]), B16).requires_grad_()
        gradient = random_like_training((length, batch, spec["hidden"]), B16)

        def iterate():
            y = x
            for block in blocks:
                y = block(y, tables)
            y.backward(gradient)
            for p in blocks.parameters():
                p.grad = None
            x.grad = None

        loop(table, rank, name, length * batch * spec["hidden"] * 2 / 2**20, iterate, 12)
        del blocks
        free_memory()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    parser.add_argument("--budget", type=float, default=45)
    arguments = parser.parse_args()
    budget = Budget(arguments.budget)
    rank, _ = job.start()
    if not DRY_RUN:
        for measure in (measure_gaps, measure_between, measure_blocks):
            measure(arguments.out, rank, budget)
    print(f"between: {budget.spent():.0f} s", flush=True)
    job.leave()


if __name__ == "__main__":
    main()
