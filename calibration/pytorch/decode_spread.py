"""How eager decoding spreads: within a process and between processes: decode_spread.csv.

usage: [torchrun --nproc-per-node 2] decode_spread.py OUT_DIRECTORY --label LABEL [--cases NAME...]

Steps of measure_inference.py's program on whole models. A case is measured `--repeats` times, each three
steps and then twenty issued back to back; the time of every step is that of its issue. The yardstick (a
fixed amount of Python) before each repeat says how fast the processor was. A process has a `--label` of
its own.
"""

import argparse
import gc
import os
import time

import torch
import torch.distributed as dist
import torch.nn.functional as F

import group
from common import Table, device, median, random_like_training, synchronize
from host_beside import yardstick
from decode import Layer
from model import rotary_tables

BF16 = torch.bfloat16
MODELS = {  # layers, hidden, heads, kv heads, ffn, vocabulary
    "llama-1b": (16, 2048, 32, 8, 8192, 128256), "llama-3b": (28, 3072, 24, 8, 8192, 128256),
    "llama2-7b": (32, 4096, 32, 32, 11008, 32000), "llama3-8b": (32, 4096, 32, 8, 14336, 128256),
    "llama2-13b": (40, 5120, 40, 40, 13824, 32000),
}  # fmt: skip
CASES = {1: ["llama-1b.b1.c1024", "llama-3b.b8.c2048", "llama-1b.b64.c512", "llama2-7b.b16.c1024",
             "llama-3b.b32.c1024", "llama2-13b.b4.c2048"],
         2: ["llama-1b.b4.c1024", "llama-3b.b8.c2048", "llama3-8b.b1.c1024",
             "llama2-7b.b4.c4096"]}  # fmt: skip


class ReducedLayer(Layer):
    def product(self, x, weight):
        out = F.linear(x, weight)
        if dist.is_initialized():
            dist.all_reduce(out)
        return out


def decoder(name, batch, context, ranks):
    """A call that issues one decode step of the whole model."""
    count, hidden, heads, kv_heads, ffn, vocabulary = MODELS[name]
    layers = [ReducedLayer(hidden, heads, kv_heads, ffn, ranks) for _ in range(count)]
    table, head = (random_like_training((vocabulary, hidden), BF16, 0.02) for _ in range(2))
    norm = torch.ones(hidden, device=device(), dtype=BF16)
    tables = rotary_tables(context + 1, layers[0].size, device())
    kv = (batch, layers[0].kv_heads, context + 1, layers[0].size)
    caches = [[torch.zeros(kv, device=device(), dtype=BF16) for _ in range(2)] for _ in layers]
    ids = torch.randint(0, vocabulary, (batch, 1), device=device())

    def step():
        x = table[ids]
        for layer, cache in zip(layers, caches):
            x = layer(x, tables, cache, context)
        return F.linear(F.rms_norm(x[:, -1:], (hidden,), norm), head).argmax(-1)

    return step, count


def switches():
    """Involuntary context switches of this process so far."""
    with open("/proc/self/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("nonvoluntary"))


def processor():
    """The processor that this process runs on."""
    with open("/proc/self/stat", encoding="utf-8") as file:
        return int(file.read().rsplit(")", 1)[1].split()[36])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--label", required=True)
    parser.add_argument("--cases", nargs="*")
    parser.add_argument("--repeats", type=int, default=6)
    arguments = parser.parse_args()
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    rank = 0
    if ranks > 1:
        rank, ranks = group.start()
    else:
        torch.cuda.set_device(device())
    name = f"decode_spread_{arguments.label}.csv"
    table = Table(os.path.join(arguments.out, name) if rank == 0 else os.devnull,
                  ["label", "case", "ranks", "repeat", "cpu", "yardstick_us", "switches", "layer_us",
                   "issue_least_us", "issue_median_us", "issue_most_us"])  # fmt: skip
    for case in arguments.cases or CASES[ranks]:
        model, batch, context = case.split(".")
        with torch.no_grad():
            step, layers = decoder(model, int(batch[1:]), int(context[1:]), ranks)
            for repeat in range(arguments.repeats):
                speed = min(yardstick() for _ in range(3))
                for _ in range(3):
                    step()
                synchronize()
                if ranks > 1:
                    dist.barrier()
                before, issues = switches(), []
                began = last = time.perf_counter()
                for _ in range(20):
                    step()
                    now = time.perf_counter()
                    issues.append((now - last) * 1e6 / layers)
                    last = now
                synchronize()
                layer = (time.perf_counter() - began) / 20 * 1e6 / layers
                table.row(label=arguments.label, case=case, ranks=ranks, repeat=repeat, cpu=processor(),
                          yardstick_us=speed, switches=switches() - before, layer_us=layer,
                          issue_least_us=min(issues), issue_median_us=median(issues),
                          issue_most_us=max(issues))  # fmt: skip
                table.flush()
        if rank == 0:
            print(arguments.label, case, f"{layer:.0f} us a layer, yardstick {speed:.0f}", flush=True)
        del step
        gc.collect()
        torch.cuda.empty_cache()
    table.close()
    if ranks > 1:
        group.leave()


if __name__ == "__main__":
    main()
