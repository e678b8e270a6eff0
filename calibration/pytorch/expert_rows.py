"""Rows of experts from step to step of a benchmark, which trains on one batch: expert_rows.csv.

usage: expert_rows.py OUT_DIRECTORY

`new`: numbers of rows, over all layers, that no step before has had.
"""

import argparse
import os
import time

import torch

import model
from common import DRY_RUN, Table, device, free_memory, synchronize

STEPS = 3 if DRY_RUN else 20
CASES = [  # name, layers, hidden, heads, kv heads, ffn, vocabulary, experts, topk, length, sequences
    ("moe-8x1b", 8, 2048, 32, 8, 8192, 32000, 8, 2, 2048, 2), ("moe-8x0.5b", 12, 1024, 16, 4, 3584, 32000, 8, 2, 2048, 4),
    ("moe-8x2b", 4, 4096, 32, 8, 7168, 32000, 8, 2, 4096, 2), ("moe-32x", 8, 1024, 16, 4, 1024, 32000, 32, 4, 2048, 8),
    ("moe-16x", 8, 1536, 12, 4, 2816, 50257, 16, 2, 2048, 4), ("moe-8x1b.mb4", 8, 2048, 32, 8, 8192, 32000, 8, 2, 2048, 4),
    ("moe-16x.k4.mb8", 12, 2048, 32, 4, 1408, 32000, 16, 4, 2048, 8),
]  # fmt: skip
TINY = [("tiny", 2, 64, 4, 2, 64, 128, 4, 2, 32, 2)]
COLUMNS = ["model", "step", "experts", "new", "mean_rows", "sd_rows", "least", "most", "forward_ms", "backward_ms", "step_ms"]


def train(table, name, layers, hidden, heads, kv_heads, ffn, vocab, experts, topk, length, sequences):
    spec = dict(family="llama", layers=layers, hidden=hidden, heads=heads, kv_heads=kv_heads, ffn=ffn,
                vocab=vocab, tied=False, experts=experts, topk=topk)  # fmt: skip
    torch.manual_seed(1234)
    net = model.build(spec, length, "none", torch.bfloat16, device())
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, **({} if DRY_RUN else {"fused": True}))
    x = torch.randint(0, vocab, (sequences, length), device=device())
    seen, now, bincount = set(), [], torch.bincount

    def counted(*a, **k):
        now.append(bincount(*a, **k))
        return now[-1]

    torch.bincount = counted
    for step in range(STEPS):
        now.clear()
        synchronize()
        began = time.perf_counter()
        loss = model.loss(net(x), x)
        forward = time.perf_counter()
        loss.backward()
        backward = time.perf_counter()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        synchronize()
        end = time.perf_counter()
        rows = [n for counts in now for n in counts.tolist()]
        mean = sum(rows) / len(rows)
        table.row(model=name, step=step, experts=len(rows), new=len(set(rows) - seen), mean_rows=mean,
                  sd_rows=(sum((n - mean) ** 2 for n in rows) / len(rows)) ** 0.5, least=min(rows), most=max(rows),
                  forward_ms=(forward - began) * 1e3, backward_ms=(backward - forward) * 1e3, step_ms=(end - began) * 1e3)  # fmt: skip
        seen.update(rows)
    torch.bincount = bincount


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out")
    table = Table(os.path.join(parser.parse_args().out, "expert_rows.csv"), COLUMNS)
    for case in TINY if DRY_RUN else CASES:
        train(table, *case)
        table.flush()
        free_memory()
    table.close()


if __name__ == "__main__":
    main()
