"""The caching allocator's calls in the first steps of a task: allocations.<task>.csv.gz.

usage: allocations.py TASKS.json OUT_DIRECTORY      one-GPU tasks; ddp with dp = 1 too (one rank)

A row is a call, in order: action, bytes, address, stream, and the line of model.py or measure.py that made
it (empty: autograd's). What the simulator's allocator is compared with.
"""

import gzip
import os
import sys

import torch
import torch.distributed as dist

import measure
import scenarios
from common import device

OURS = ("model.py", "measure.py", "parallel.py")


def place(frames):
    mine = [f for f in frames or [] if os.path.basename(f["filename"]) in OURS]
    return f"{mine[0]['name']}:{mine[0]['line']}" if mine else ""


def record(task, directory):
    torch.cuda.memory._record_memory_history(max_entries=1_000_000, context="alloc", stacks="python")
    print(task["name"], measure.measure(task, False), flush=True)
    events = torch.cuda.memory._snapshot()["device_traces"][0]
    torch.cuda.memory._record_memory_history(enabled=None)
    with gzip.open(os.path.join(directory, f"allocations.{task['name']}.csv.gz"), "wt") as file:
        file.write("action,bytes,address,stream,place\n")
        for e in events:
            file.write(f"{e['action']},{e['size']},{e['addr']},{e['stream']},{place(e.get('frames'))}\n")


def main():
    torch.cuda.set_device(device())
    dist.init_process_group("nccl", init_method="tcp://127.0.0.1:29531", rank=0, world_size=1)
    for task in scenarios.load_tasks(sys.argv[1]):
        record(task, sys.argv[2])
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
