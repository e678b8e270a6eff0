#!/usr/bin/env python3
"""Measures prefill and decode of Llama models in PyTorch, bf16: eager, and as a CUDA graph.

usage: measure_inference.py TASKS.json --out ROWS.jsonl [--shard K/N]                one-GPU tasks
       torchrun --nproc-per-node N measure_inference.py TASKS.json --out ROWS.jsonl  tasks with tp = N

A task gives name, model (as in the measured tables), tp, batch, prompt and context. A row adds prefill_s
(one prefill of the batch), decode_eager_s and decode_graph_s (one token for every sequence), peak_alloc.
"""

import argparse
import gc
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "pytorch"))

import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402
import torch.nn.functional as F  # noqa: E402

import group  # noqa: E402
from common import Budget, device, random_like_training, synchronize  # noqa: E402
from decode import Layer  # noqa: E402
from model import rotary_tables  # noqa: E402


class ReducedLayer(Layer):
    """A share of a layer whose row-parallel products are summed over the ranks."""

    def product(self, x, weight):
        out = F.linear(x, weight)
        if dist.is_initialized():
            dist.all_reduce(out)
        return out


def seconds(call, repetitions):
    for _ in range(3):
        call()
    synchronize()
    if dist.is_initialized():
        dist.barrier()
    began = time.perf_counter()
    for _ in range(repetitions):
        call()
    synchronize()
    return (time.perf_counter() - began) / repetitions


@torch.no_grad()
def measure(task):
    spec, ranks = task["model"], task["tp"]
    torch.cuda.reset_peak_memory_stats()
    shape = (spec["hidden"], spec["heads"], spec["kv_heads"], spec["ffn"])
    layers = [ReducedLayer(*shape, ranks) for _ in range(spec["layers"])]
    hidden, vocabulary = spec["hidden"], spec["vocab"]
    table = random_like_training((vocabulary, hidden), torch.bfloat16, 0.02)
    head = random_like_training((vocabulary, hidden), torch.bfloat16, 0.02)
    norm = torch.ones(hidden, device=device(), dtype=torch.bfloat16)
    batch, prompt, context = task["batch"], task["prompt"], task["context"]
    longest = max(prompt, context) + 1
    tables = rotary_tables(longest, layers[0].size, device())
    kv = (batch, layers[0].kv_heads, longest, layers[0].size)
    caches = [[torch.zeros(kv, device=device(), dtype=torch.bfloat16) for _ in range(2)]
              for _ in layers]  # fmt: skip

    def forward(ids, at):
        x = table[ids]
        for layer, cache in zip(layers, caches):
            x = layer(x, tables, cache, at)
        return F.linear(F.rms_norm(x[:, -1:], (hidden,), norm), head).argmax(-1)

    ids = torch.randint(0, vocabulary, (batch, prompt), device=device())
    token = torch.randint(0, vocabulary, (batch, 1), device=device())
    result = dict(prefill_s=seconds(lambda: forward(ids, 0), 6),
                  decode_eager_s=seconds(lambda: forward(token, context), 20))  # fmt: skip
    result["decode_graph_s"] = seconds(captured(lambda: forward(token, context)).replay, 40)
    result["peak_alloc"] = torch.cuda.max_memory_allocated()
    return result


def captured(call):
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph


def selected(arguments, world):
    with open(arguments.tasks, encoding="utf-8") as file:
        tasks = [t for t in json.load(file) if t["tp"] == world]
    if world == 1:
        part, parts = map(int, arguments.shard.split("/"))
        tasks = tasks[part::parts]
    done = set()
    if os.path.exists(arguments.out):
        with open(arguments.out, encoding="utf-8") as file:
            done = {json.loads(line)["name"] for line in file}
    return [t for t in tasks if t["name"] not in done]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("tasks")
    parser.add_argument("--out", required=True)
    parser.add_argument("--shard", default="0/1", help="K/N: every Nth one-GPU task from the Kth")
    parser.add_argument("--budget", type=float, default=300, help="seconds, then no new task begins")
    arguments = parser.parse_args()
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    if world > 1:
        group.start(timeout_seconds=90)
    else:
        torch.cuda.set_device(device())
    budget = Budget(arguments.budget)
    for task in selected(arguments, world):
        over = budget.over()
        if group.agree(over) if world > 1 else over:
            break
        try:
            row = {**task, **measure(task)}
        except torch.cuda.OutOfMemoryError:
            row = {**task, "oom": True}
        gc.collect()
        torch.cuda.empty_cache()
        if rank == 0:
            with open(arguments.out, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{budget.spent():6.1f} s  {row}", flush=True)
    if world > 1:
        group.leave()


if __name__ == "__main__":
    main()
