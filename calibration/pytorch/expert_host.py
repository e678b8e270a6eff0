"""Host time of whole steps of tiny models with experts, and of dense ones for the machine's speed:
expert_host.csv.

usage: expert_host.py OUT_DIRECTORY [--budget SECONDS]

Everything on the GPU is shorter than what the host takes to issue it, so that a step takes what its
host takes. Slopes over layers and over experts are the cost of a layer and of an expert.
"""

import argparse
import os
import time

import torch

import model
from common import DRY_RUN, Budget, Table, device, free_memory, median, quantile, synchronize

SPEC = dict(family="llama", hidden=256, heads=4, kv_heads=2, ffn=512, vocab=1024, tied=False)
CASES = [(experts, 2, layers, 128) for layers in (2, 6) for experts in (0, 8, 32, 2)]
CASES += [(8, 2, 4, 1024), (64, 4, 2, 128)]  # experts, experts a token, layers, length
COLUMNS = [
    "experts", "topk", "layers", "length", "tensors", "forward_us", "backward_us", "optimizer_us",
    "zero_grad_us", "step_us", "p90_us", "loop_us",
]  # fmt: skip


def step_times(spec, length, rounds):
    net = model.build(spec, length, "none", torch.bfloat16, device())
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, **({} if DRY_RUN else {"fused": True}))
    x = torch.randint(0, 1024, (1, length), device=device())
    spans = {"forward": [], "backward": [], "optimizer": [], "zero_grad": [], "step": []}

    def step(marks):
        loss = model.loss(net(x), x) / 1
        marks.append(time.perf_counter())
        loss.backward()
        marks.append(time.perf_counter())
        optimizer.step()
        marks.append(time.perf_counter())
        optimizer.zero_grad(set_to_none=True)
        marks.append(time.perf_counter())

    for _ in range(rounds):
        synchronize()
        marks = [time.perf_counter()]
        step(marks)
        for name, a, b in zip(spans, marks, marks[1:]):
            spans[name].append((b - a) * 1e6)
        spans["step"].append((marks[-1] - marks[0]) * 1e6)
    synchronize()
    began = time.perf_counter()
    for _ in range(rounds):
        step([])
    synchronize()
    loop = (time.perf_counter() - began) / rounds * 1e6
    steady = {name: values[rounds // 4 :] for name, values in spans.items()}
    return dict(
        {f"{name}_us": median(values) for name, values in steady.items()},
        p90_us=quantile(steady["step"], 0.9),
        loop_us=loop,
        tensors=len(list(net.parameters())),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    parser.add_argument("--budget", type=float, default=30)
    arguments = parser.parse_args()
    budget = Budget(arguments.budget)
    table = Table(os.path.join(arguments.out, "expert_host.csv"), COLUMNS)
    for experts, topk, layers, length in CASES:
        if budget.over():
            break
        spec = dict(SPEC, layers=layers)
        if experts:
            spec.update(experts=experts, topk=topk)
        try:
            times = step_times(spec, length, 3 if DRY_RUN else 24)
            table.row(experts=experts, topk=topk, layers=layers, length=length, **times)
        except RuntimeError as error:
            print("FAILED", experts, layers, str(error)[:200], flush=True)
        table.flush()
        free_memory()
    print(f"expert_host: {budget.spent():.0f} s", flush=True)


if __name__ == "__main__":
    main()
