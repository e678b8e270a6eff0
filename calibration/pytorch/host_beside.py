"""Host times of training beside other processes of the host: host_beside.csv.

usage: torchrun --nproc-per-node N host_beside.py OUT_DIRECTORY [--pin none|apart|one]

The first 1, 2, 4, ... N processes train a small Llama at once while the others sleep: `alone` without
communication, `pairs` tensor parallel over pairs of processes, several on a GPU where there are more
processes than GPUs. Phases are issued to an idle GPU, and their host times end with the call, not with
the GPU. Calls are timed in passes of their own. `--pin apart` gives each process a share of the
processors, `one` a single one.
"""

import argparse
import os
import time
from datetime import timedelta

import torch
import torch.distributed as dist

import model
from common import DRY_RUN, Table, device, median, quantile, synchronize

HIDDEN, HEADS, FFN, VOCABULARY, LENGTH = (64, 4, 128, 64, 8) if DRY_RUN else (1024, 16, 2816, 1024, 64)
CALLS = [  # where the training program finds them
    (torch.nn.functional, "linear"), (torch.nn.functional, "rms_norm"), (torch.nn.functional, "silu"),
    (torch.nn.functional, "scaled_dot_product_attention"), (torch, "cat"), (dist, "all_reduce"),
]  # fmt: skip


class Calls:
    """Times calls of functions by replacing them for a while."""

    def __init__(self):
        self.times = {}

    def __enter__(self):
        self.originals = [(home, name, getattr(home, name)) for home, name in CALLS if hasattr(home, name)]
        for home, name, function in self.originals:
            setattr(home, name, self.timed(name, function))
        return self

    def __exit__(self, *_):
        for home, name, function in self.originals:
            setattr(home, name, function)

    def timed(self, name, function):
        times = self.times.setdefault(name, [])

        def call(*arguments, **options):
            began = time.perf_counter()
            result = function(*arguments, **options)
            times.append((time.perf_counter() - began) * 1e6)
            return result

        return call


def yardstick():
    """Microseconds of a fixed amount of Python: how fast this processor is now."""
    began, total = time.perf_counter(), 0
    for i in range(100_000):
        total += i
    return (time.perf_counter() - began) * 1e6


class Program:
    """A small model, its optimizer, and the phases of its step."""

    def __init__(self, layers, sharding):
        spec = dict(family="llama", layers=layers, hidden=HIDDEN, heads=HEADS, kv_heads=HEADS, ffn=FFN,
                    vocab=VOCABULARY, tied=False)  # fmt: skip
        dtype = torch.float32 if DRY_RUN else torch.bfloat16
        self.net = model.build(spec, LENGTH, "none", dtype, device(), sharding)
        options = {} if DRY_RUN else dict(fused=True)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=1e-4, **options)
        self.ids = torch.randint(0, VOCABULARY, (1, LENGTH), device=device())

    def forward(self):
        self.loss = model.loss(self.net(self.ids), self.ids)

    def backward(self):
        self.loss.backward()

    def update(self):
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def phases(self):
        return ("forward", self.forward), ("backward", self.backward), ("optimizer", self.update)


def measure(program, meet, repetitions):
    """Host times by what was timed, in microseconds: phases apart, a whole step, calls, the yardstick."""
    times = {}
    note = lambda what, us: times.setdefault(what, []).append(us)  # noqa: E731
    for repetition in range(repetitions + 3):
        meet()
        note("yardstick", yardstick())
        for what, phase in program.phases():
            synchronize()
            began = time.perf_counter()
            phase()
            note(what, (time.perf_counter() - began) * 1e6)
        synchronize()
        meet()
        began = time.perf_counter()
        for _, phase in program.phases():
            phase()
        note("step", (time.perf_counter() - began) * 1e6)
        synchronize()
        if repetition == 2:
            times.clear()
    with Calls() as calls:
        for _ in range(max(2, repetitions // 3)):
            meet()
            for what, phase in program.phases():
                synchronize()
                before = {name: len(t) for name, t in calls.times.items()}
                phase()
                for name, t in calls.times.items():
                    times.setdefault(f"{what}.{name}", []).extend(t[before[name]:])
            synchronize()
    return {what: t for what, t in times.items() if t}


def meeting(among):
    """A call that waits for a group, or for nobody."""
    return (lambda: dist.barrier(among)) if among is not None else (lambda: None)


def pin(how, rank, ranks):
    processors = sorted(os.sched_getaffinity(0))
    share = max(1, len(processors) // ranks)
    if how == "apart":
        os.sched_setaffinity(0, processors[rank * share : (rank + 1) * share])
    elif how == "one":
        os.sched_setaffinity(0, [processors[rank * share]])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--pin", choices=("none", "apart", "one"), default="none")
    parser.add_argument("--layers", type=int, nargs="*", default=[2, 8])
    parser.add_argument("--repetitions", type=int, default=20)
    arguments = parser.parse_args()
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    pin(arguments.pin, rank, ranks)
    if not DRY_RUN:
        os.environ["LOCAL_RANK"] = str(rank % torch.cuda.device_count())
        torch.cuda.set_device(device())
    dist.init_process_group("gloo", timeout=timedelta(seconds=120))
    backend = "gloo" if DRY_RUN else "nccl"
    pairs = [dist.new_group([i, i + 1], backend=backend) for i in range(0, ranks - 1, 2)]
    counts = [n for n in (1, 2, 4, 8, 16) if n <= ranks]
    among = {n: dist.new_group(list(range(n)), backend="gloo") for n in counts if n > 1}
    name = f"host_beside_{arguments.pin}.csv"
    path = os.path.join(arguments.out, name) if rank == 0 else os.devnull
    table = Table(path, ["pin", "active", "mode", "layers", "rank", "what", "number", "median_us", "p10_us",
                         "p90_us"])  # fmt: skip
    everyone = [None] * ranks
    for layers in arguments.layers:
        for mode in ("alone", "pairs"):
            together = mode == "pairs" and ranks > 1
            if mode == "pairs" and not together:
                continue
            sharding = model.TensorSharding(pairs[rank // 2], False) if together else None
            program = Program(layers, sharding)
            for active in counts:
                if together and active == 1:
                    continue
                mine = {}
                dist.barrier()
                if rank < active:
                    mine = measure(program, meeting(among.get(active)), arguments.repetitions)
                dist.all_gather_object(everyone, mine)
                for i, times in enumerate(everyone):
                    for what, t in times.items():
                        table.row(pin=arguments.pin, active=active, mode=mode, layers=layers, rank=i,
                                  what=what, number=len(t), median_us=median(t),
                                  p10_us=quantile(t, 0.1), p90_us=quantile(t, 0.9))  # fmt: skip
                table.flush()
                if rank == 0:
                    step = f"{median(mine['step']):.0f} us a step"
                    print(arguments.pin, mode, layers, "layers", active, "active", step, flush=True)
    table.close()
    dist.barrier()
    os._exit(0)


if __name__ == "__main__":
    main()
