"""NCCL collectives by operation, size, dtype: collectives.csv.

usage: torchrun --nproc-per-node N collectives.py OUT_DIRECTORY [--budget SECONDS]

mode `stream`: enqueued one by one, as eager training does; `graph`: many inside one CUDA graph, so that
no launch is between them; the difference at small sizes is launch cost, the graph's time the wire's.
mode `kernel`: the kernel's own time by CUPTI, least over the ranks for each call (a rank that comes first
waits for the others inside its kernel).
`bytes` is the full buffer: each rank's input for all_reduce and reduce_scatter, the output of all_gather,
each rank's buffer for all_to_all and broadcast; in send_recv every rank sends `bytes` to the next and
receives as much; in send only rank 0 sends, to rank 1.
"""

import argparse
import os

import torch
import torch.distributed as dist

import group
from common import (
    DRY_RUN, DTYPES, Budget, Table, Timer, device, free_memory, median, quantile, spin, synchronize,
)  # fmt: skip
from kernel_trace import _load

OPERATIONS = ("all_reduce", "all_gather", "reduce_scatter", "send_recv", "broadcast", "all_to_all",
              "send")  # fmt: skip
COLUMNS = ["operation", "dtype", "ranks", "bytes", "mode", "median_us", "min_us", "p90_us", "reps",
           "algorithm_gbytes_per_s", "bus_gbytes_per_s", "kernel"]  # fmt: skip
KERNEL_SIZES = {1 << p for p in (10, 14, 17, 20, 22, 24, 26, 28, 30)} | {25 << 20}


def bus_factor(operation, ranks):
    """Bus over algorithm bandwidth, as nccl-tests define it."""
    if operation == "all_reduce":
        return 2.0 * (ranks - 1) / ranks
    if operation in ("all_gather", "reduce_scatter", "all_to_all"):
        return (ranks - 1) / ranks
    return 1.0


def make_call(operation, buffer, rank, ranks):
    """A callable that runs the operation once on `buffer` (whole, of `bytes`)."""
    share = buffer.numel() // ranks
    other = torch.empty_like(buffer)
    if operation == "all_reduce":
        return lambda: dist.all_reduce(buffer)
    if operation == "all_gather":
        return lambda: dist.all_gather_into_tensor(buffer, other[:share])
    if operation == "reduce_scatter":
        return lambda: dist.reduce_scatter_tensor(other[:share], buffer)
    if operation == "broadcast":
        return lambda: dist.broadcast(buffer, 0)
    if operation == "all_to_all":
        return lambda: dist.all_to_all_single(other, buffer)
    if operation == "send":

        def send():
            if rank == 0:
                dist.send(buffer, 1)
            elif rank == 1:
                dist.recv(other, 0)

        return send

    def send_recv():
        works = dist.batch_isend_irecv([
            dist.P2POp(dist.isend, buffer, (rank + 1) % ranks),
            dist.P2POp(dist.irecv, other, (rank - 1) % ranks),
        ])  # fmt: skip
        for work in works:
            work.wait()

    return send_recv


def sizes():
    if DRY_RUN:
        return [1024]
    everything = [1 << p for p in range(10, 31)]
    extra = [25 << 20, 3 << 20, 48 << 20, 100 << 20, 200 << 20, 400 << 20]
    return sorted(everything + extra)


def plan():
    """(operation, dtype, bytes) in order of value: training's own first."""
    main = [(o, "bf16", s) for s in sizes() for o in ("all_reduce", "all_gather", "reduce_scatter")]
    main += [(o, "bf16", s) for s in sizes() if s.bit_count() == 1 for o in ("send_recv", "broadcast")]
    fp32 = [("all_reduce", "fp32", s) for s in sizes() if s.bit_count() == 1]
    fp32 += [("reduce_scatter", "fp32", s) for s in sizes() if s.bit_count() == 1]
    rest = [(o, "bf16", s) for s in sizes() if s.bit_count() == 1 for o in ("all_to_all", "send")]
    return main + fp32 + rest


def times_in_stream(call, calls, rounds):
    """Microseconds a call. The host enqueues while a spin kernel holds the stream."""
    result = []
    for _ in range(3):
        call()
    for _ in range(rounds):
        synchronize()
        dist.barrier()
        timer = Timer()
        spin(30)
        timer.start()
        for _ in range(calls):
            call()
        timer.stop()
        result.append(timer.seconds() / calls * 1e6)
    return result


def times_in_graph(call, calls, rounds):
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        call()
    torch.cuda.current_stream().wait_stream(side)
    synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        for _ in range(calls):
            call()
    graph.replay()
    result = []
    for _ in range(rounds):
        synchronize()
        dist.barrier()
        timer = Timer()
        timer.start()
        graph.replay()
        timer.stop()
        result.append(timer.seconds() / calls * 1e6)
    synchronize()
    del graph
    return result


def times_of_kernel(call, calls):
    """The NCCL kernel's own time, least over ranks, and its name."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        for _ in range(calls):
            call()
        synchronize()
    events = [e for e in _load(profiler)["traceEvents"]
              if e.get("cat") == "kernel" and "nccl" in e["name"].lower()]  # fmt: skip
    events.sort(key=lambda e: e["ts"])
    mine = [float(e["dur"]) for e in events]
    gathered = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, mine)
    lengths = {len(g) for g in gathered if g}
    if len(lengths) != 1:
        return [], ""
    name = events[0]["name"].split("(")[0] if events else ""
    return [min(column) for column in zip(*(g for g in gathered if g))], name


def repetitions(size):
    """Calls in a round, so that a round stays near 10 ms."""
    if DRY_RUN:
        return 2
    if size <= 1 << 20:
        return 50
    return max(2, min(50, int(10e-3 / (size / 200e9))))


def measure_point(mode, call, calls):
    if mode == "kernel":
        return times_of_kernel(call, 10)
    times = (times_in_stream if mode == "stream" else times_in_graph)(call, calls, 7)
    return [group.largest(t) for t in times], ""


def run_mode(mode, table, budget, rank, ranks):
    """All points in one mode until the budget is spent; returns how many were measured."""
    done = 0
    for operation, dtype, size in plan():
        if mode == "kernel" and size not in KERNEL_SIZES:
            continue
        if group.agree(budget.over()):
            break
        item = 4 if dtype == "fp32" else 2
        elements = max(ranks, size // item // ranks * ranks)
        kind = torch.float32 if DRY_RUN else DTYPES[dtype]
        call = make_call(operation, torch.ones(elements, dtype=kind, device=device()), rank, ranks)
        calls = repetitions(size)
        times, kernel = measure_point(mode, call, calls)
        if times:
            mid = median(times)
            bandwidth = elements * item / mid * 1e-3
            table.row(operation=operation, dtype=dtype, ranks=ranks, bytes=elements * item, mode=mode,
                      median_us=mid, min_us=min(times), p90_us=quantile(times, 0.9),
                      reps=len(times) * (1 if mode == "kernel" else calls), kernel=kernel,
                      algorithm_gbytes_per_s=bandwidth,
                      bus_gbytes_per_s=bandwidth * bus_factor(operation, ranks))  # fmt: skip
        table.flush()
        done += 1
        del call
        if size >= 1 << 28:
            free_memory()
    return done


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    parser.add_argument("--budget", type=float, default=90)
    arguments = parser.parse_args()
    rank, ranks = group.start()
    whole = Budget(arguments.budget)
    table = Table(os.path.join(arguments.out, "collectives.csv") if rank == 0 else os.devnull, COLUMNS)
    # a mode that fails takes only what comes after it: the surest first
    for mode, share in (("stream", 0.45), ("kernel", 0.2), ("graph", 1.0)):
        if DRY_RUN and mode != "stream":
            continue
        budget = Budget(min(whole.left(), share * arguments.budget))
        done = run_mode(mode, table, budget, rank, ranks)
        if rank == 0:
            print(f"collectives, {mode}: {done} points, {budget.spent():.0f} s", flush=True)
    table.close()
    group.leave()


if __name__ == "__main__":
    main()
