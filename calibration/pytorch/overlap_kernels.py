"""Kernels and collectives at the same time, by their own times in a trace. overlap_kernels.csv.

usage: torchrun --nproc-per-node N overlap_kernels.py OUT_DIRECTORY [--budget SECONDS]

A chain of one compute kernel on one stream, a chain of one collective on another of higher or of equal
priority (FSDP2 gives its streams a higher one, DDP's has the same), both long; rank 0's profile says how
long each kernel took while the other chain was under way (`*_together_us`, medians), how long from the
end of one to the end of the next (`*_period_us`: with what it waited), and how long each takes alone.
"""

import argparse
import os

import torch
import torch.distributed as dist
import torch.nn.functional as F

import group
from collectives import make_call
from common import DRY_RUN, Budget, Table, device, free_memory, median, random_like_training
from common import spin, synchronize
from kernel_trace import _load

COLUMNS = ["kernel", "collective", "priority", "ranks", "kernel_alone_us", "kernel_together_us",
           "kernel_period_us", "collective_alone_us", "collective_together_us", "collective_period_us",
           "kernels_seen", "collectives_seen", "collective_grid", "kernel_grid", "kernel_name"]  # fmt: skip


def compute_kernels():
    b16 = torch.bfloat16
    rand = random_like_training

    def product(m, n, k, layout="forward"):
        x, w, g = rand((m, k), b16), rand((n, k), b16), rand((m, n), b16)
        return {"forward": lambda: F.linear(x, w), "dgrad": lambda: g.mm(w), "wgrad": lambda: g.t().mm(x)}[layout]

    def attention(batch, heads, length, size):
        q, k, v = (rand((length, batch, heads, size), b16).permute(1, 2, 0, 3) for _ in range(3))
        return lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True)

    def add(elements, dtype=b16):
        a, b, c = (rand((elements,), dtype) for _ in range(3))
        return lambda: torch.add(a, b, out=c)

    def strided(rows, width):
        a, b = rand((rows, 3 * width), b16)[:, :width], rand((rows, 3 * width), b16)[:, width:2 * width]
        return lambda: a * b

    def norm(tokens, hidden):
        x, w = rand((tokens, hidden), b16), rand((hidden,), b16)
        return lambda: F.rms_norm(x, (hidden,), w)

    return {
        "gemm_8192x16384x2048": lambda: product(8192, 16384, 2048),
        "gemm_8192x2048x2048": lambda: product(8192, 2048, 2048),
        "gemm_8192x2048x8192_dgrad": lambda: product(8192, 2048, 8192, "dgrad"),
        "gemm_8192x8192x3072_wgrad": lambda: product(8192, 8192, 3072, "wgrad"),
        "gemm_4096x3072x3072": lambda: product(4096, 3072, 3072),
        "gemm_4096x3072x3072_wgrad": lambda: product(4096, 3072, 3072, "wgrad"),
        "gemm_4096x22016x4096": lambda: product(4096, 22016, 4096),
        "gemm_8192x6400x1600": lambda: product(8192, 6400, 1600),
        "gemm_16384x768x768": lambda: product(16384, 768, 768),
        "attention_4x32x2048x64": lambda: attention(4, 32, 2048, 64),
        "attention_1x32x4096x128": lambda: attention(1, 32, 4096, 128),
        "add_64Mi": lambda: add(1 << 25),
        "strided_8192x4096": lambda: strided(8192, 4096),
        "rms_norm_8192x2048": lambda: norm(8192, 2048),
    }


def communications(rank, ranks):
    def collective(operation, mib, dtype):
        count = mib * (1 << 20) // torch.empty(0, dtype=dtype).element_size() // ranks * ranks
        return lambda: make_call(operation, torch.ones(count, dtype=dtype, device=device()), rank, ranks)

    b16, f32 = torch.bfloat16, torch.float32
    return {  # name -> (priority, make)
        "all_gather_100MiB_bf16": (-1, collective("all_gather", 100, b16)),
        "reduce_scatter_200MiB_fp32": (-1, collective("reduce_scatter", 200, f32)),
        "reduce_scatter_100MiB_bf16": (-1, collective("reduce_scatter", 100, b16)),
        "all_reduce_25MiB_bf16": (0, collective("all_reduce", 25, b16)),
        "all_reduce_25MiB_fp32": (0, collective("all_reduce", 25, f32)),
        "send_recv_32MiB_bf16": (0, collective("send_recv", 32, b16)),
    }


def run_chains(kernel, kernels, comm, comms, compute, communication):
    """A profiled run of both chains (either may be empty): (compute events, collective events)."""
    synchronize()
    dist.barrier()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        spin(8000)  # the host enqueues both sides meanwhile
        ready = torch.cuda.Event()
        ready.record()
        compute.wait_event(ready)
        communication.wait_event(ready)
        issued = [0, 0]
        while issued[0] < kernels or issued[1] < comms:
            # in proportion, so that the launch queue holds both
            if issued[1] >= comms or (issued[0] < kernels and issued[0] * max(1, comms) <= issued[1] * kernels):
                with torch.cuda.stream(compute):
                    kernel()
                issued[0] += 1
            else:
                with torch.cuda.stream(communication):
                    comm()
                issued[1] += 1
        synchronize()
    events = [e for e in _load(profiler)["traceEvents"] if e.get("cat") == "kernel" and "spin" not in e["name"]]
    events.sort(key=lambda e: e["ts"])
    nccl = [e for e in events if "nccl" in e["name"]]
    largest = {}
    for e in events:
        if "nccl" not in e["name"]:
            largest[e["name"]] = largest.get(e["name"], 0) + e["dur"]
    main = max(largest, key=largest.get) if largest else ""
    return [e for e in events if e["name"] == main], nccl


def ends(events):
    return [e["ts"] + e["dur"] for e in events]


def inside(events, others):
    """The events that lie within the span of the others, without the first and last."""
    if not others or not events:
        return []
    low, high = others[0]["ts"], max(ends(others))
    return [e for e in events if e["ts"] >= low and e["ts"] + e["dur"] <= high][1:]


def period(events):
    at = sorted(ends(events))
    return (at[-1] - at[0]) / (len(at) - 1) if len(at) > 1 else 0.0


def middle(events):
    return median([e["dur"] for e in events]) if events else 0.0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    parser.add_argument("--budget", type=float, default=120)
    arguments = parser.parse_args()
    rank, ranks = group.start()
    if DRY_RUN:
        group.leave()
    budget = Budget(arguments.budget)
    table = Table(os.path.join(arguments.out, "overlap_kernels.csv") if rank == 0 else os.devnull, COLUMNS)
    compute = torch.cuda.Stream()
    streams = {0: torch.cuda.Stream(), -1: torch.cuda.Stream(priority=-1)}
    comms = {name: (priority, make()) for name, (priority, make) in communications(rank, ranks).items()}
    alone = {}
    for name, (priority, call) in comms.items():
        call()
        alone[name] = middle(run_chains(None, 0, call, 8, compute, streams[priority])[1][2:])
    for name, make in compute_kernels().items():
        kernel = make()
        for _ in range(3):
            kernel()
        kernel_alone = group.largest(middle(run_chains(kernel, 20, None, 0, compute, streams[0])[0][3:]))
        for comm_name, (priority, call) in comms.items():
            if group.agree(budget.over()):
                break
            comm_alone = group.largest(alone[comm_name])
            span = max(6e3, 12 * comm_alone, 12 * kernel_alone)
            kernels = min(400, int(span / kernel_alone) + 2)
            calls = min(400, int(span / comm_alone) + 2)
            mine, nccl = run_chains(kernel, kernels, call, calls, compute, streams[priority])
            both_mine, both_nccl = inside(mine, nccl), inside(nccl, mine)
            table.row(kernel=name, collective=comm_name, priority=priority, ranks=ranks,
                      kernel_alone_us=kernel_alone, kernel_together_us=middle(both_mine),
                      kernel_period_us=period(both_mine), collective_alone_us=comm_alone,
                      collective_together_us=middle(both_nccl), collective_period_us=period(both_nccl),
                      kernels_seen=len(both_mine), collectives_seen=len(both_nccl),
                      collective_grid=str(nccl[0]["args"].get("grid")) if nccl else "",
                      kernel_grid=str(mine[0]["args"].get("grid")) if mine else "",
                      kernel_name=mine[0]["name"][:100] if mine else "")  # fmt: skip
            table.flush()
        del kernel
        free_memory()
    if rank == 0:
        print(f"overlap_kernels: {budget.spent():.0f} s", flush=True)
    table.close()
    group.leave()


if __name__ == "__main__":
    main()
