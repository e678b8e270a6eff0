"""Host times of calls inside a model: calls_in_model.csv.

usage: torchrun --nproc-per-node 2 calls_in_model.py OUT_DIRECTORY

A decode step of eight Llama layers, issued back to back, and what each call of a layer takes of it; on
rank 0 alone (the other waits), then on both ranks with their reductions. The same of a mixture of experts
as training runs it, alone and over two expert-parallel ranks: forward by call, backward as a whole. `tiny`
is the layer of inference_host.csv, which says how this machine's host compares with that one's. Host times
alone: the shapes leave the GPU waiting.
"""

import argparse
import os
import time

import torch
import torch.distributed as dist
import torch.nn as nn
import torch.nn.functional as F

import group
from common import Table, device, median, random_like_training, synchronize

BF16 = torch.bfloat16
MODELS = {  # hidden, heads, kv heads, ffn
    "tiny": (64, 4, 2, 64), "llama-1b": (2048, 32, 8, 8192), "llama-3b": (3072, 24, 8, 8192),
    "llama2-7b": (4096, 32, 32, 11008), "llama3-8b": (4096, 32, 8, 14336),
    "llama2-13b": (5120, 40, 40, 13824),
}  # fmt: skip
ALONE = [
    ("tiny", 1, 16), ("llama-1b", 1, 1024), ("llama-1b", 8, 4096), ("llama-1b", 64, 512),
    ("llama-3b", 1, 1024), ("llama-3b", 8, 2048), ("llama-3b", 32, 1024), ("llama2-7b", 1, 1024),
    ("llama2-7b", 16, 1024), ("llama3-8b", 1, 2048), ("llama3-8b", 16, 4096), ("llama3-8b", 64, 1024),
    ("llama2-13b", 4, 2048), ("llama-1b", 1, 1024), ("llama-3b", 8, 2048),
]  # fmt: skip
TOGETHER = [
    ("tiny", 1, 16), ("llama-1b", 4, 1024), ("llama-3b", 8, 2048), ("llama-3b", 64, 1024),
    ("llama2-7b", 4, 4096), ("llama3-8b", 1, 1024), ("llama3-8b", 16, 2048),
]  # fmt: skip
LAYERS = 8


class Marks:
    """The time between one mark and the next, by name; off, nothing."""

    def __init__(self, on):
        self.on, self.times, self.last = on, {}, 0.0

    def begin(self):
        self.last = time.perf_counter()

    def __call__(self, name):
        if self.on:
            now = time.perf_counter()
            self.times.setdefault(name, []).append((now - self.last) * 1e6)
            self.last = time.perf_counter()


class Layer:
    def __init__(self, shape, ranks):
        hidden, heads, kv_heads, ffn = shape
        self.size = hidden // heads
        self.heads, self.kv_heads, ffn = heads // ranks, max(1, kv_heads // ranks), ffn // ranks
        weight = lambda *d: random_like_training(d, BF16, 0.02)  # noqa: E731
        self.norm = torch.ones(hidden, device=device(), dtype=BF16)
        self.qkv = weight((self.heads + 2 * self.kv_heads) * self.size, hidden)
        self.out, self.up = weight(hidden, self.heads * self.size), weight(2 * ffn, hidden)
        self.down = weight(hidden, ffn)

    def rotate_half(self, t):
        half = self.size // 2
        return torch.cat([-t[..., half:], t[..., :half]], -1)

    def __call__(self, x, tables, cache, at, reduces, mark):
        mark.begin()
        batch, length, hidden = x.shape
        h = F.rms_norm(x, (hidden,), self.norm)
        mark("rms_norm")
        y = F.linear(h, self.qkv)
        mark("linear_qkv")
        widths = [self.heads * self.size, self.kv_heads * self.size, self.kv_heads * self.size]
        q, k, v = (z.view(batch, length, -1, self.size).transpose(1, 2) for z in y.split(widths, -1))
        mark("split_view")
        cosine, sine = tables[0][at : at + length], tables[1][at : at + length]
        mark("slices")
        q = q * cosine + self.rotate_half(q) * sine
        mark("rotary_q")
        k = k * cosine + self.rotate_half(k) * sine
        mark("rotary_k")
        cache[0][:, :, at : at + length] = k
        cache[1][:, :, at : at + length] = v
        mark("cache_update")
        keys, values = cache[0][:, :, : at + 1], cache[1][:, :, : at + 1]
        o = F.scaled_dot_product_attention(q, keys, values, enable_gqa=True)
        mark("attention")
        o = o.transpose(1, 2).reshape(batch, length, -1)
        mark("reshape")
        o = F.linear(o, self.out)
        mark("linear_out")
        if reduces:
            dist.all_reduce(o)
            mark("all_reduce_1")
        x = x + o
        mark("add")
        h = F.rms_norm(x, (hidden,), self.norm)
        mark("rms_norm_2")
        y = F.linear(h, self.up)
        mark("linear_up")
        a, b = y.chunk(2, -1)
        mark("chunk")
        a = F.silu(a) * b
        mark("silu_mul")
        o = F.linear(a, self.down)
        mark("linear_down")
        if reduces:
            dist.all_reduce(o)
            mark("all_reduce_2")
        x = x + o
        mark("add_2")
        return x


class Exchange(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, sent, received):
        ctx.splits = (sent, received)
        out = x.new_empty((sum(received), *x.shape[1:]))
        dist.all_to_all_single(out, x.contiguous(), received, sent)
        return out

    @staticmethod
    def backward(ctx, grad):
        sent, received = ctx.splits
        out = grad.new_empty((sum(sent), *grad.shape[1:]))
        dist.all_to_all_single(out, grad.contiguous(), sent, received)
        return out, None, None


class Experts(nn.Module):
    """Softmax router, top-k, experts in a loop; spread over `ranks` where that is more than one."""

    def __init__(self, hidden, ffn, experts, chosen, ranks):
        super().__init__()
        self.experts, self.chosen, self.ranks, self.own = experts, chosen, ranks, experts // ranks
        linear = lambda a, b: nn.Linear(a, b, bias=False)  # noqa: E731
        self.router = linear(hidden, experts)
        self.up = nn.ModuleList(linear(hidden, 2 * ffn) for _ in range(self.own))
        self.down = nn.ModuleList(linear(ffn, hidden) for _ in range(self.own))

    def forward(self, x, mark):
        mark.begin()
        logits = self.router(x).float()
        mark("router")
        weights, chosen = torch.softmax(logits, -1).topk(self.chosen, -1)
        mark("softmax_topk")
        weights = (weights / weights.sum(-1, keepdim=True)).to(x.dtype)
        mark("normalize")
        flat = chosen.reshape(-1)
        order = flat.argsort(stable=True)
        mark("argsort")
        counts = torch.bincount(flat, minlength=self.experts)
        mark("bincount")
        h = x[order // self.chosen]
        mark("gather_rows")
        if self.ranks > 1:
            h, parts, own, others = self.dispatch(h, counts, mark)
        else:
            parts = h.split(counts.tolist())
            mark("tolist_split")
        results = []
        for up, down, part in zip(self.up, self.down, parts):
            a, b = up(part).chunk(2, -1)
            results.append(down(F.silu(a) * b))
        mark("experts")
        if self.ranks > 1:
            back = [y.split([row[e] for row in others]) for e, y in enumerate(results)]
            h = torch.cat([back[e][r] for r in range(self.ranks) for e in range(self.own)])
            mark("join")
            h = Exchange.apply(h, [sum(r) for r in others], [sum(r) for r in own])
            mark("return")
        else:
            h = torch.cat(results)
            mark("join")
        scale = weights.reshape(-1)[order, None]
        out = torch.zeros_like(x).index_add(0, order // self.chosen, h * scale)
        mark("combine")
        return out

    def dispatch(self, h, counts, mark):
        received = torch.empty_like(counts)
        dist.all_to_all_single(received, counts)
        mark("counts_exchange")
        own = counts.view(self.ranks, self.own).tolist()
        others = received.view(self.ranks, self.own).tolist()
        mark("tolist")
        h = Exchange.apply(h, [sum(r) for r in own], [sum(r) for r in others])
        mark("dispatch")
        pieces = h.split([n for row in others for n in row])
        parts = [torch.cat([pieces[r * self.own + e] for r in range(self.ranks)]) for e in range(self.own)]
        mark("arrange")
        return h, parts, own, others


def timed(call, repetitions, together):
    times = []
    for _ in range(repetitions):
        if together:
            dist.barrier()
        synchronize()
        began = time.perf_counter()
        call()
        times.append((time.perf_counter() - began) * 1e6)
    return median(times)


@torch.no_grad()
def decode(table, name, batch, context, ranks):
    layers = [Layer(MODELS[name], ranks) for _ in range(LAYERS)]
    size, kv_heads = layers[0].size, layers[0].kv_heads
    tables = [random_like_training((context + 1, size), BF16) for _ in range(2)]
    shape = (batch, kv_heads, context + 1, size)
    caches = [[torch.zeros(shape, device=device(), dtype=BF16) for _ in range(2)] for _ in layers]
    token = random_like_training((batch, 1, MODELS[name][0]), BF16)

    def step(mark):
        x = token
        for layer, cache in zip(layers, caches):
            x = layer(x, tables, cache, context, ranks > 1, mark)

    off, on = Marks(False), Marks(True)
    for _ in range(5):
        step(off)
    synchronize()
    began = time.perf_counter()
    for _ in range(20):
        step(off)
    synchronize()
    loop = (time.perf_counter() - began) / 20 * 1e6
    for _ in range(20):
        synchronize()
        step(on)
    case = f"model={name} batch={batch} context={context} ranks={ranks}"
    row = lambda what, us: table.row(kind="decode", case=case, what=what, us=us)  # noqa: E731
    row("layer", loop / LAYERS)
    for what, times in on.times.items():
        row(what, median(times))


def experts(table, count, chosen, ranks, tokens=256, hidden=256, layers=4):
    torch.set_default_dtype(BF16)
    with torch.device(device()):
        blocks = [Experts(hidden, hidden, count, chosen, ranks) for _ in range(layers)]
    torch.set_default_dtype(torch.float32)
    parameters = [p for b in blocks for p in b.parameters()]
    x = random_like_training((tokens, hidden), BF16).requires_grad_()
    grad = random_like_training((tokens, hidden), BF16)

    def forward(mark):
        y = x
        for block in blocks:
            y = y + block(y, mark)
        return y

    off, on, kept = Marks(False), Marks(True), []
    for _ in range(3):
        forward(off).backward(grad)
    ahead = timed(lambda: kept.append(forward(off)), 10, ranks > 1)
    back = timed(lambda: kept.pop().backward(grad), 10, ranks > 1)
    for _ in range(10):
        synchronize()
        forward(on).backward(grad)
        for p in parameters:
            p.grad = None
    case = f"experts={count} chosen={chosen} ranks={ranks}"
    row = lambda what, us: table.row(kind="experts", case=case, what=what, us=us)  # noqa: E731
    row("forward", ahead / layers)
    row("backward", back / layers)
    for what, times in on.times.items():
        row(what, median(times))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    arguments = parser.parse_args()
    rank, ranks = group.start()
    path = os.path.join(arguments.out, "calls_in_model.csv") if rank == 0 else os.devnull
    table = Table(path, ["kind", "case", "what", "us"])
    if rank == 0:
        for case in ALONE:
            decode(table, *case, 1)
        for case in [(4, 1), (8, 2), (16, 2), (64, 8)]:
            experts(table, *case, 1)
    dist.barrier()
    if ranks == 2:
        for case in TOGETHER:
            decode(table, *case, 2)
        for case in [(8, 2), (16, 2), (64, 8)]:
            experts(table, *case, 2)
    table.close()
    group.leave()


if __name__ == "__main__":
    main()
