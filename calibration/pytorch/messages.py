"""Messages between pipeline stages, and the host's cost of a backward in two parts: messages.csv.

usage: torchrun --nproc-per-node 2 messages.py OUT_DIRECTORY

send_ahead: how long sends take whose receiver comes 200 ms later: whether NCCL buffers them. host_*: the
host's time to issue a message. The rest: host milliseconds of forward and backward, whole and split into
inputs and weights as zero-bubble schedules do, by number of blocks.
"""

import argparse
import os
import time

import torch
import torch.distributed as dist

import group
import model
from common import Table, device, median, synchronize


def exchange(operation, tensor):
    other = 1 - dist.get_rank()
    return dist.batch_isend_irecv([dist.P2POp(operation, tensor, other)])


def sends_ahead(table, mebibytes):
    rank = dist.get_rank()
    count = 12 if mebibytes <= 16 else 4
    tensors = [torch.empty(mebibytes << 20, dtype=torch.uint8, device=device()) for _ in range(count)]
    for trial in range(2):
        synchronize()
        dist.barrier()
        synchronize()
        if rank == 1:
            time.sleep(0.2)
        events = [torch.cuda.Event(enable_timing=True) for _ in range(count + 1)]
        events[0].record()
        for tensor, event in zip(tensors, events[1:]):
            for work in exchange(dist.isend if rank == 0 else dist.irecv, tensor):
                work.wait()
            event.record()
        synchronize()
        if trial and rank == 0:
            for i, event in enumerate(events[1:]):
                table.row(what="send_ahead", bytes=mebibytes << 20, index=i,
                          milliseconds=events[0].elapsed_time(event))  # fmt: skip


def host_cost(table):
    rank = dist.get_rank()
    tensor = torch.empty(1024, dtype=torch.uint8, device=device())
    operation = dist.isend if rank == 0 else dist.irecv
    for what, waits in (("host_issue", False), ("host_issue_and_wait", True)):
        for trial in range(3):
            dist.barrier()
            synchronize()
            began = time.perf_counter()
            for _ in range(200):
                for work in exchange(operation, tensor):
                    if waits:
                        work.wait()
            if trial and rank == 0:
                milliseconds = (time.perf_counter() - began) / 200 * 1e3
                table.row(what=what, bytes=1024, index=trial, milliseconds=milliseconds)
            synchronize()


def split_backward(table, family, blocks):
    from torch.distributed.pipelining._backward import stage_backward_input, stage_backward_weight

    spec = dict(family=family, hidden=256, heads=4, kv_heads=4, ffn=1024, vocab=1024)
    with model.created_as(torch.bfloat16, device()):
        net = torch.nn.ModuleList(
            model.Block(spec, model.NoSharding(), model.Groups()) for _ in range(blocks)
        )
    tables = model.rotary_tables(128, 64, device()) if family == "llama" else None
    times = {"forward": [], "backward": [], "backward_inputs": [], "backward_weights": []}
    for repetition in range(24):
        x = torch.randn(128, 1, 256, device=device(), dtype=torch.bfloat16, requires_grad=True)
        synchronize()
        marks = [time.perf_counter()]
        h = x
        for block in net:
            h = block(h, tables)
        marks.append(time.perf_counter())
        g = torch.ones_like(h)
        if repetition % 2:
            _, groups = stage_backward_input([h], [g], [x], net.parameters())
            marks.append(time.perf_counter())
            stage_backward_weight(net.parameters(), groups)
            marks.append(time.perf_counter())
            names = ("forward", "backward_inputs", "backward_weights")
        else:
            h.backward(g)
            marks.append(time.perf_counter())
            names = ("forward", "backward")
        for name, a, b in zip(names, marks, marks[1:]):
            times[name].append(b - a)
    for name, values in times.items():
        table.row(what=f"{family}_{name}", bytes=0, index=blocks, milliseconds=median(values) * 1e3)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    arguments = parser.parse_args()
    group.start(timeout_seconds=90)
    rank = dist.get_rank()
    name = "messages.csv" if rank == 0 else f".messages_{rank}.csv"
    table = Table(os.path.join(arguments.out, name), ["what", "bytes", "index", "milliseconds"])
    for mebibytes in (1, 4, 12, 16, 24, 48, 64, 128):
        sends_ahead(table, mebibytes)
    host_cost(table)
    if rank == 0:
        for family in ("llama", "gpt"):
            for blocks in (2, 6, 12):
                split_backward(table, family, blocks)
        table.flush()
    dist.barrier()
    group.leave()


if __name__ == "__main__":
    main()
