"""Compute and collectives at the same time: how each slows the other. overlap.csv.

usage: torchrun --nproc-per-node N overlap.py OUT_DIRECTORY [--budget SECONDS]

Each pair is timed alone and together on two streams. One side is given several times the other's work,
so that the shorter lies wholly within it: its slow-down is that of full overlap. Then the sides swap.
`slowdown` = together / alone, of `subject` under `background`.
"""

import argparse
import os

import torch
import torch.distributed as dist
import torch.nn.functional as F

import group
from collectives import make_call
from common import (
    DRY_RUN, Budget, Table, Timer, device, free_memory, median, random_like_training, spin,
    synchronize,
)  # fmt: skip

COLUMNS = ["subject", "background", "ranks", "subject_alone_us", "subject_together_us", "slowdown",
           "background_alone_us", "covered", "repetitions"]  # fmt: skip
TARGET = 12e-3  # seconds of the subject's work


def compute_kernels():
    """name -> callable. Products of one and of several waves, attention, memory-bound kernels."""
    b16 = torch.bfloat16

    def product(m, n, k, layout="forward"):
        x, w, g = (random_like_training(s, b16) for s in ((m, k), (n, k), (m, n)))
        calls = {"forward": lambda: F.linear(x, w), "dgrad": lambda: g.mm(w),
                 "wgrad": lambda: g.t().mm(x)}  # fmt: skip
        return calls[layout]

    def copy(elements):
        a, b = torch.empty(elements, dtype=b16, device=device()), random_like_training((elements,), b16)
        return lambda: a.copy_(b)

    def adamw(elements):
        p = torch.nn.Parameter(random_like_training((elements,), b16))
        p.grad = random_like_training((elements,), b16)
        optimizer = torch.optim.AdamW([p], lr=1e-5, fused=True)
        return optimizer.step

    def attention(batch, heads, length, size):
        q, k, v = (random_like_training((length, batch, heads, size), b16).permute(1, 2, 0, 3)
                   for _ in range(3))  # fmt: skip
        return lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True)

    def norm(tokens, hidden):
        x, w = random_like_training((tokens, hidden), b16), random_like_training((hidden,), b16)
        return lambda: F.rms_norm(x, (hidden,), w)

    if DRY_RUN:
        x = random_like_training((64, 64), torch.float32)
        return {"tiny": lambda: (lambda: x @ x)}
    return {
        "gemm_8192x22016x4096": lambda: product(8192, 22016, 4096),
        "gemm_8192x16384x2048_wgrad": lambda: product(8192, 16384, 2048, "wgrad"),
        "gemm_8192x16384x2048_dgrad": lambda: product(8192, 16384, 2048, "dgrad"),
        "gemm_8192x3072x2048": lambda: product(8192, 3072, 2048),
        "gemm_2048x4096x4096": lambda: product(2048, 4096, 4096),
        "copy_256MiB": lambda: copy(1 << 27),
        "copy_32MiB": lambda: copy(1 << 24),
        "adamw_512Mi": lambda: adamw(1 << 28),
        "attention_2x32x4096x128": lambda: attention(2, 32, 4096, 128),
        "rms_norm_8192x4096": lambda: norm(8192, 4096),
        "gemm_16384x768x3072": lambda: product(16384, 768, 3072),
        "gemm_4096x4096x4096": lambda: product(4096, 4096, 4096),
    }


def communications(rank, ranks):
    def collective(operation, size):
        count = size // 2 // ranks * ranks
        kind = torch.float32 if DRY_RUN else torch.bfloat16
        return lambda: make_call(operation, torch.ones(count, dtype=kind, device=device()), rank, ranks)

    if DRY_RUN:
        return {"all_reduce_1KiB": collective("all_reduce", 1024)}
    mib = 1 << 20
    return {
        "all_reduce_25MiB": collective("all_reduce", 25 * mib),
        "all_reduce_256MiB": collective("all_reduce", 256 * mib),
        "all_gather_128MiB": collective("all_gather", 128 * mib),
        "reduce_scatter_256MiB": collective("reduce_scatter", 256 * mib),
        "send_recv_32MiB": collective("send_recv", 32 * mib),
        "all_reduce_2MiB": collective("all_reduce", 2 * mib),
    }


def seconds_each(call, calls=6):
    for _ in range(2):
        call()
    synchronize()
    dist.barrier()
    timer = Timer()
    spin(500)
    timer.start()
    for _ in range(calls):
        call()
    timer.stop()
    return group.largest(timer.seconds() / calls)


def together(subject, count, background, background_count, streams):
    """Seconds of the subject's calls while the background runs, and whether it ran all along."""
    synchronize()
    dist.barrier()
    if DRY_RUN:
        background()
        timer = Timer()
        timer.start()
        for _ in range(count):
            subject()
        timer.stop()
        return timer.seconds(), True
    inner, outer = streams
    spin(12000)  # the host enqueues both sides meanwhile
    ready = torch.cuda.Event()
    ready.record()
    inner.wait_event(ready)
    outer.wait_event(ready)
    subject_timer, background_timer = Timer(), Timer()
    begun = torch.cuda.Event()
    with torch.cuda.stream(outer):
        background()
        begun.record()  # the background's first call is over: both overlap from here
        background_timer.start()
        for _ in range(background_count):
            background()
        background_timer.stop()
    with torch.cuda.stream(inner):
        inner.wait_event(begun)
        subject_timer.start()
        for _ in range(count):
            subject()
        subject_timer.stop()
    synchronize()
    elapsed = subject_timer.seconds()
    return elapsed, background_timer.seconds() >= elapsed


def measure(subject, background, streams, alone):
    """One direction of a pair: medians over three rounds, largest over ranks."""
    subject_each, background_each = alone
    count = max(1, round((1e-3 if DRY_RUN else TARGET) / subject_each))
    count = min(count, 300)
    span = count * subject_each
    background_count = min(600, int(3.0 * span / background_each) + 2)
    times, covered = [], True
    for _ in range(3):
        elapsed, whole = together(subject, count, background, background_count, streams)
        times.append(group.largest(elapsed))
        covered = covered and not group.agree(not whole)
    return median(times) / count, covered, count


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    parser.add_argument("--budget", type=float, default=70)
    arguments = parser.parse_args()
    rank, ranks = group.start()
    budget = Budget(arguments.budget)
    table = Table(os.path.join(arguments.out, "overlap.csv") if rank == 0 else os.devnull, COLUMNS)
    streams = None if DRY_RUN else (torch.cuda.Stream(), torch.cuda.Stream())
    comms = {name: make() for name, make in communications(rank, ranks).items()}
    kernels = compute_kernels()
    done = 0
    for comm_name, comm in comms.items():
        comm_alone = seconds_each(comm)
        for name, make in kernels.items():
            if group.agree(budget.over()):
                break
            kernel = make()
            alone = seconds_each(kernel)
            pairs = [(name, kernel, alone, comm_name, comm, comm_alone),
                     (comm_name, comm, comm_alone, name, kernel, alone)]  # fmt: skip
            for subject, run, each, under, other, other_each in pairs:
                time, covered, count = measure(run, other, streams, (each, other_each))
                table.row(subject=subject, background=under, ranks=ranks,
                          subject_alone_us=each * 1e6, subject_together_us=time * 1e6,
                          slowdown=time / each, background_alone_us=other_each * 1e6,
                          covered=int(covered), repetitions=count)  # fmt: skip
            table.flush()
            done += 1
            del kernel, pairs
            free_memory()
    if rank == 0:
        total = len(comms) * len(kernels)
        print(f"overlap: {done} of {total} pairs, {budget.spent():.0f} s", flush=True)
    table.close()
    group.leave()


if __name__ == "__main__":
    main()
