"""Two communicators on one link, and channels of a collective: links.csv.

usage: torchrun --nproc-per-node 2 links.py OUT_DIRECTORY [--budget SECONDS]

kind `channels`: an operation alone on a communicator that has so many channels (NCCL's min_ctas and
max_ctas). kind `together`: a chain of the subject on one communicator while a chain of the background
runs on another all along (`covered` 1). `background_us` is the mean over the background's whole chain, of
which the last part runs alone: with the number of calls, min(200, 40 ms / alone_us) of the subject and
min(600, 3 times the subject's chain / background_alone_us + 4) of the background, it says how fast the
background went beside the subject. Times are the largest over ranks.
"""

import argparse
import csv
import os
import time

import torch
import torch.distributed as dist

MIB = 1 << 20
CHANNELS = (1, 2, 4, 8, 16, 24, 32)
BACKGROUNDS = (("all_reduce", 256), ("reduce_scatter", 256), ("exchange", 64), ("one_way", 64))
SUBJECTS = (("all_reduce", (1, 8, 64, 256)), ("all_gather", (64, 256)), ("exchange", (8, 64)),
            ("one_way", (16, 64)))  # fmt: skip


def communicator(ranks, channels=None):
    options = dist.ProcessGroupNCCL.Options()
    if channels:
        options.config.min_ctas = options.config.max_ctas = channels
    return dist.new_group(list(range(ranks)), pg_options=options)


def make_call(name, mib, group, rank, ranks):
    elements = mib * MIB // 2
    full, other = (torch.zeros(elements, dtype=torch.bfloat16, device="cuda") for _ in range(2))
    part = other[: elements // ranks]

    def exchange():
        peer = (rank + 1) % ranks
        for work in dist.batch_isend_irecv([dist.P2POp(dist.isend, full, peer, group=group),
                                            dist.P2POp(dist.irecv, other, peer, group=group)]):  # fmt: skip
            work.wait()

    def one_way():
        dist.send(full, 1, group=group) if rank == 0 else dist.recv(other, 0, group=group)

    return {
        "all_reduce": lambda: dist.all_reduce(full, group=group),
        "all_gather": lambda: dist.all_gather_into_tensor(full, part, group=group),
        "reduce_scatter": lambda: dist.reduce_scatter_tensor(part, full, group=group),
        "exchange": exchange,
        "one_way": one_way,
    }[name]


def largest(value):
    tensor = torch.tensor([value], device="cuda")
    dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
    return tensor.item()


def together_start():
    torch.cuda.synchronize()
    dist.barrier()
    torch.cuda.synchronize()


def alone(call, stream):
    with torch.cuda.stream(stream):
        for _ in range(4):
            call()
        reps = 12
        for _ in range(2):
            together_start()
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda._sleep(4_000_000)
            begin.record(stream)
            for _ in range(reps):
                call()
            end.record(stream)
            torch.cuda.synchronize()
            seconds = largest(begin.elapsed_time(end) / 1e3 / reps)
            reps = min(300, max(4, int(0.03 / seconds)))
    return seconds


def beside(subject, background, own, other):
    """Seconds of a call of each, and whether the background outlasted the subject."""
    reps = min(200, max(4, int(0.04 / own[1])))
    back = min(600, int(3 * reps * own[1] / other[1]) + 4)
    together_start()
    begin, end, back_begin, back_end = (torch.cuda.Event(enable_timing=True) for _ in range(4))
    for stream, cycles in ((other[0], 20_000_000), (own[0], 22_000_000)):
        with torch.cuda.stream(stream):
            torch.cuda._sleep(cycles)
    back_begin.record(other[0])
    begin.record(own[0])
    issued = 0
    for i in range(max(reps, back)):  # in the same order on all ranks
        if i < back:
            with torch.cuda.stream(other[0]):
                background()
        while issued < reps and issued <= i * reps // max(reps, back):
            with torch.cuda.stream(own[0]):
                subject()
            issued += 1
    end.record(own[0])
    back_end.record(other[0])
    torch.cuda.synchronize()
    mine, theirs = begin.elapsed_time(end), back_begin.elapsed_time(back_end)
    return largest(mine / 1e3 / reps), largest(theirs / 1e3 / back), int(theirs > mine)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out")
    parser.add_argument("--budget", type=float, default=75)
    arguments = parser.parse_args()
    began = time.monotonic()
    local = int(os.environ["LOCAL_RANK"])
    torch.cuda.set_device(local)
    dist.init_process_group("nccl", device_id=torch.device("cuda", local))
    rank, ranks = dist.get_rank(), dist.get_world_size()
    first, second = torch.cuda.Stream(), torch.cuda.Stream()
    rows = []

    def put(kind, subject, mib, seconds, channels=0, background="", background_mib=0, rest=(0, 0, 0, 0)):
        rows.append({"kind": kind, "subject": subject, "mib": mib, "channels": channels,
                     "background": background, "background_mib": background_mib,
                     "alone_us": f"{seconds * 1e6:.2f}", "together_us": f"{rest[0] * 1e6:.2f}",
                     "background_alone_us": f"{rest[1] * 1e6:.2f}", "background_us": f"{rest[2] * 1e6:.2f}",
                     "covered": rest[3]})  # fmt: skip

    for channels in CHANNELS:
        group = communicator(ranks, channels)
        for name, mib in (("all_reduce", 1), ("all_reduce", 16), ("all_reduce", 256), ("all_gather", 256),
                          ("exchange", 64)):  # fmt: skip
            put("channels", name, mib, alone(make_call(name, mib, group, rank, ranks), first), channels)
    one, two = communicator(ranks), communicator(ranks)
    for back, back_mib in BACKGROUNDS:
        background = make_call(back, back_mib, two, rank, ranks)
        their_time = alone(background, second)
        for name, sizes in SUBJECTS:
            for mib in sizes:
                if largest(time.monotonic() - began) > arguments.budget - 5:
                    continue
                subject = make_call(name, mib, one, rank, ranks)
                own_time = alone(subject, first)
                took, theirs, covered = beside(subject, background, (first, own_time), (second, their_time))
                put("together", name, mib, own_time, 0, back, back_mib, (took, their_time, theirs, covered))
    if rank == 0:
        with open(os.path.join(arguments.out, "links.csv"), "w", newline="") as out:
            writer = csv.DictWriter(out, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
