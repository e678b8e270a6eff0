"""Kernels of mixtures of experts, of LoRA's thin products and of offload: experts.csv.

usage: experts.py OUT_DIRECTORY

Routing and the permutation of tokens forward and backward, grouped products, host times of the same
calls, copies between host and GPU, AdamW on the host. Each line is one kernel of a call: how often it
runs in the call and how long it takes altogether, the mean of a few calls.
"""

import argparse
import os
import time

import torch
import torch.nn.functional as F

from common import Table, device, free_memory, median, synchronize

BF16 = torch.bfloat16
ROUTINGS = [  # tokens, hidden, experts, experts a token
    (2048, 2048, 8, 2), (4096, 2048, 8, 2), (8192, 2048, 8, 2), (16384, 2048, 16, 4),
    (4096, 4096, 8, 2), (8192, 4096, 8, 2), (8192, 2048, 128, 8), (4096, 7168, 64, 8),
    (16384, 1024, 32, 4), (1024, 1024, 8, 2), (32768, 2048, 8, 2),
]  # fmt: skip
GROUPS = [  # experts, rows each, n, k
    (8, 2048, 4096, 2048), (8, 2048, 2048, 8192), (16, 1024, 4096, 7168), (16, 1024, 7168, 2048),
    (32, 512, 4096, 7168), (32, 256, 1536, 2048), (64, 128, 1536, 2048), (8, 4096, 28672, 4096),
    (8, 4096, 4096, 14336), (128, 512, 1536, 2048), (128, 512, 2048, 768),
]  # fmt: skip
LORA = [  # rows, in, out, rank
    (8192, 2048, 3072, 16), (8192, 3072, 5120, 16), (16384, 2048, 3072, 16), (8192, 4096, 4096, 8),
    (8192, 4096, 6144, 64), (4096, 8192, 8192, 16), (16384, 2048, 2048, 64), (4096, 4096, 4096, 32),
    (2048, 4096, 12288, 16), (32768, 4096, 4096, 128),
]  # fmt: skip


class Recorder:
    def __init__(self, path):
        self.table = Table(path, ["group", "case", "shape", "kernel", "count", "us"])

    def kernels(self, group, case, shape, call, repetitions=5):
        try:
            self._kernels(group, case, shape, call, repetitions)
        except RuntimeError as error:
            print("FAILED", group, case, shape, str(error)[:200], flush=True)

    def _kernels(self, group, case, shape, call, repetitions):
        for _ in range(3):
            call()
        synchronize()
        activities = [torch.profiler.ProfilerActivity.CUDA]
        with torch.profiler.profile(activities=activities) as profiler:
            for _ in range(repetitions):
                call()
            synchronize()
        totals = {}
        for event in profiler.events():
            if event.device_type == torch.autograd.DeviceType.CUDA:
                count, us = totals.get(event.name, (0, 0.0))
                totals[event.name] = (count + 1, us + event.device_time_total)
        for name, (count, us) in totals.items():
            self.table.row(group=group, case=case, shape=shape, kernel=name[:120],
                           count=count / repetitions, us=us / repetitions)  # fmt: skip
        self.table.flush()

    def host(self, case, call, calls=200):
        times = []
        for i in range(calls + 20):
            began = time.perf_counter()
            call()
            if i >= 20:
                times.append(time.perf_counter() - began)
            if i % 20 == 19:
                synchronize()
        self.table.row(group="host", case=case, shape="-", kernel="-", count=1,
                       us=median(times) * 1e6)  # fmt: skip


def normal(*shape, dtype=BF16, grad=False):
    return torch.randn(*shape, device=device(), dtype=dtype).requires_grad_(grad)


def gradient(output, inputs, grad):
    return lambda: torch.autograd.grad(output, inputs, grad, retain_graph=True)


def routing(recorder, tokens, hidden, experts, topk):
    shape = f"T={tokens} H={hidden} E={experts} k={topk}"
    x, logits = normal(tokens, hidden), normal(tokens, experts, grad=True)
    router, d_logits = normal(experts, hidden), normal(tokens, experts)
    scores = torch.softmax(logits.float(), -1).detach()
    weights, chosen = scores.topk(topk, -1)
    flat = chosen.reshape(-1)
    order = flat.argsort(stable=True)
    rows = order // topk
    leaf = x.clone().requires_grad_()
    gathered = leaf[rows]
    d_rows, d_x = torch.randn_like(gathered), torch.randn_like(x)
    held = gathered.detach().clone().requires_grad_()
    scale = weights.to(BF16).reshape(-1)[order, None].clone().requires_grad_()
    weighted = held * scale
    summed = torch.zeros_like(x).index_add(0, rows, held)
    parts = held.detach().split([held.shape[0] // experts] * experts)
    normal_weights = torch.softmax(logits.float(), -1).topk(topk, -1)[0]
    normal_weights = (normal_weights / normal_weights.sum(-1, keepdim=True)).to(BF16)
    d_weights = torch.randn_like(normal_weights)
    leaf_weights = weights.to(BF16).clone().requires_grad_()
    picked = leaf_weights.reshape(-1)[order, None]
    counts = torch.bincount(flat, minlength=experts)
    calls = {
        "softmax": lambda: torch.softmax(logits.float(), -1),
        "topk": lambda: scores.topk(topk, -1),
        "normalize": lambda: (weights / weights.sum(-1, keepdim=True)).to(BF16),
        "argsort": lambda: flat.argsort(stable=True),
        "bincount": lambda: torch.bincount(flat, minlength=experts),
        "floor_divide": lambda: order // topk,
        "gather_rows": lambda: x[rows],
        "gather_rows_backward": gradient(gathered, leaf, d_rows),
        "weight_rows": lambda: held.detach() * scale.detach(),
        "weight_rows_backward": gradient(weighted, [held, scale], d_rows),
        "index_add": lambda: torch.zeros_like(x).index_add(0, rows, d_rows),
        "index_add_backward": gradient(summed, held, d_x),
        "cat_experts": lambda: torch.cat(parts),
        "router_forward": lambda: F.linear(x, router),
        "router_dgrad": lambda: d_logits @ router,
        "router_wgrad": lambda: d_logits.t() @ x,
        "router_backward": gradient(normal_weights, logits, d_weights),
        "pick_weights_backward": gradient(picked, leaf_weights, torch.ones_like(picked)),
    }
    for case, call in calls.items():
        recorder.kernels("moe", case, shape, call)
    if (tokens, hidden, experts) == (8192, 2048, 8):
        calls["tolist"] = lambda: counts.tolist()
        calls["split"] = lambda: held.detach().split([held.shape[0] // experts] * experts)
        for case, call in calls.items():
            recorder.host(case, call)


def grouped(recorder, experts, rows, n, k):
    if not hasattr(torch, "_grouped_mm"):
        return
    x, w, gy = normal(experts * rows, k), normal(experts, n, k), normal(experts * rows, n)
    ends = torch.arange(1, experts + 1, device=device(), dtype=torch.int32) * rows
    shape = f"E={experts} m={rows} n={n} k={k}"
    calls = {
        "forward": lambda: torch._grouped_mm(x, w.transpose(-2, -1), offs=ends),
        "dgrad": lambda: torch._grouped_mm(gy, w, offs=ends),
        "wgrad": lambda: torch._grouped_mm(gy.t(), x, offs=ends),
        "one_expert_forward": lambda: F.linear(x[:rows], w[0]),
        "one_expert_dgrad": lambda: gy[:rows] @ w[0],
        "one_expert_wgrad": lambda: gy[:rows].t() @ x[:rows],
    }
    for case, call in calls.items():
        recorder.kernels("grouped", case, shape, call)


def lora(recorder, m, into, out, rank):
    x, u, g = normal(m, into), normal(m, rank), normal(m, out)
    down, up = normal(rank, into), normal(out, rank)
    shape = f"m={m} in={into} out={out} r={rank}"
    calls = {
        "down_forward": lambda: F.linear(x, down), "up_forward": lambda: F.linear(u, up),
        "down_dgrad": lambda: u @ down, "up_dgrad": lambda: g @ up,
        "down_wgrad": lambda: u.t() @ x, "up_wgrad": lambda: g.t() @ u,
        "scale": lambda: g * 2.0, "add": lambda: g + g,
    }  # fmt: skip
    for case, call in calls.items():
        recorder.kernels("lora", case, shape, call)


def offload(recorder):
    for size in (1, 16, 256, 1024):
        there = torch.empty(size << 20, dtype=torch.uint8, device=device())
        here = torch.empty(size << 20, dtype=torch.uint8, pin_memory=True)
        to_device = lambda t=there, h=here: t.copy_(h, non_blocking=True)  # noqa: E731
        to_host = lambda t=there, h=here: h.copy_(t, non_blocking=True)  # noqa: E731
        recorder.kernels("copy", "host_to_device", f"{size} MiB", to_device)
        recorder.kernels("copy", "device_to_host", f"{size} MiB", to_host)
    for count in (1 << 24, 1 << 26):
        parameter = torch.zeros(count, requires_grad=True)
        parameter.grad = torch.ones(count)
        for fused in (False, True):
            optimizer = torch.optim.AdamW([parameter], fused=fused)
            optimizer.step()
            began = time.perf_counter()
            for _ in range(3):
                optimizer.step()
            us = (time.perf_counter() - began) / 3 * 1e6
            shape = f"n={count} threads={torch.get_num_threads()} cores={os.cpu_count()}"
            recorder.table.row(group="cpu", case=f"adamw fused={fused}", shape=shape, kernel="-",
                               count=1, us=us)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    parser.add_argument("--budget", type=float, default=150)
    arguments = parser.parse_args()
    began = time.monotonic()
    recorder = Recorder(os.path.join(arguments.out, "experts.csv"))
    work = [(routing, c) for c in ROUTINGS] + [(grouped, c) for c in GROUPS] + [(lora, c) for c in LORA]
    for benchmark, case in [*work, (offload, ())]:
        if time.monotonic() - began < arguments.budget:
            benchmark(recorder, *case)
            free_memory()
    print(f"experts: {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
