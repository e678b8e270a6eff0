#!/usr/bin/env python3
"""Host time of layers that call what nanotron's layers call, and of a pipeline's message with metadata.

    torchrun --nproc-per-node 2 calibration/pytorch/nanotron_host.py OUT.jsonl

Tiny tensors, so that the GPU never holds the host back. A layer: Triton's norm and rotary as autograd functions, queries,
keys and values laid out as flash_attn_varlen_func takes them, column-parallel products cut around an asynchronous gather,
row-parallel ones with a reduce-scatter, and gradients added to fp32 accumulators one by one. The slope over the number of
layers is a layer's. A message: two small tensors that the receiver reads element by element, then the data.
"""
import json
import sys
import time

import torch
import torch.distributed as dist
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import nn

BF16 = {"dtype": torch.bfloat16, "device": "cuda"}
ROWS, HIDDEN, INNER, HEADS = 64, 256, 512, 8


@triton.jit
def norm_forward(x, w, y, r, n, eps, B: tl.constexpr):
    i, c = tl.program_id(0), tl.arange(0, B)
    m = c < n
    v = tl.load(x + i * n + c, mask=m, other=0.0).to(tl.float32)
    s = 1 / tl.sqrt(tl.sum(v * v, 0) / n + eps)
    tl.store(r + i, s)
    tl.store(y + i * n + c, (v * s * tl.load(w + c, mask=m, other=0.0).to(tl.float32)).to(tl.bfloat16), mask=m)


@triton.jit
def norm_backward(x, w, dy, r, dx, dw, n, rows, B: tl.constexpr):
    i, c = tl.program_id(0), tl.arange(0, B)
    m = c < n
    acc = tl.zeros((B,), tl.float32)
    for k in range(i * rows, (i + 1) * rows):
        s = tl.load(r + k)
        h = tl.load(x + k * n + c, mask=m, other=0.0).to(tl.float32) * s
        g = tl.load(dy + k * n + c, mask=m, other=0.0).to(tl.float32)
        acc += g * h
        gw = g * tl.load(w + c, mask=m, other=0.0).to(tl.float32)
        tl.store(dx + k * n + c, ((gw - h * tl.sum(gw * h, 0) / n) * s).to(tl.bfloat16), mask=m)
    tl.store(dw + i * n + c, acc, mask=m)


@triton.jit
def touch(x, n, B: tl.constexpr):
    i, c = tl.program_id(0), tl.arange(0, B)
    tl.store(x + i * n + c, tl.load(x + i * n + c, mask=c < n, other=0.0), mask=c < n)


class NormFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        shape = x.shape
        x = x.reshape(-1, shape[-1])
        y, r = torch.empty_like(x), torch.empty(x.shape[0], device="cuda")
        norm_forward[(x.shape[0],)](x, w, y, r, x.shape[1], 1e-5, triton.next_power_of_2(x.shape[1]))
        ctx.save_for_backward(x, w, r)
        ctx.shape = shape
        return y.view(shape)

    @staticmethod
    def backward(ctx, dy):
        x, w, r = ctx.saved_tensors
        dy = dy.reshape(-1, dy.shape[-1]).contiguous()
        parts = min(64, x.shape[0])
        dx, dw = torch.empty_like(x), torch.empty((parts, x.shape[1]), device="cuda")
        norm_backward[(parts,)](x, w, dy, r, dx, dw, x.shape[1], x.shape[0] // parts, triton.next_power_of_2(x.shape[1]))
        return dx.view(ctx.shape), dw.sum(0).to(w.dtype)


class RotaryFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, kv):
        q = q.clone()
        ctx.mark_dirty(kv)
        for t in (q, kv):
            touch[(q.numel() // q.shape[-1],)](t, q.shape[-1], 128)
        return q, kv

    @staticmethod
    def backward(ctx, dq, dkv):
        dq, dkv = dq.contiguous(), dkv.contiguous()
        for t in (dq, dkv):
            touch[(dq.numel() // dq.shape[-1],)](t, dq.shape[-1], 128)
        return dq, dkv


BUFFERS = {}


def buffer(name, shape):
    key = (name, *shape)
    if key not in BUFFERS:
        BUFFERS[key] = torch.empty(shape, **BF16)
    return BUFFERS[key]


def product_around_gather(part, whole, handle, weight, out, rank, ranks):
    """out = whole · weight, the own part beside the gather, what is before and behind it after it."""
    rows = part.shape[0]
    pieces = zip(torch.split(out, [rows * rank, rows, rows * (ranks - rank - 1)]),
                 torch.split(whole, [rows * rank, rows, rows * (ranks - rank - 1)]))
    before, _, behind = pieces
    own = out[rows * rank:rows * (rank + 1)]
    torch.mm(part.view(-1, part.shape[-1]), weight, out=own.view(-1, weight.shape[1]))
    handle.wait()
    for o, x in (before, behind):
        if o.numel():
            torch.mm(x.view(-1, x.shape[-1]), weight, out=o.view(-1, weight.shape[1]))


class Column(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, rank, ranks):
        ctx.rank, ctx.ranks, ctx.shape = rank, ranks, x.size()
        ctx.save_for_backward(x, w)
        if ranks == 1:
            return F.linear(x, w)
        whole = buffer("column", (x.shape[0] * ranks, *x.shape[1:]))
        handle = dist.all_gather_into_tensor(whole, x.contiguous(), async_op=True)
        out = torch.empty(x.shape[0] * ranks, *x.shape[1:-1], w.shape[0], **BF16)
        product_around_gather(x.contiguous(), whole, handle, w.t(), out, rank, ranks)
        return out

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        whole, handle, reduced = x, None, None
        if ctx.ranks > 1:
            whole = buffer("column", (x.shape[0] * ctx.ranks, *x.shape[1:]))
            handle = dist.all_gather_into_tensor(whole, x.contiguous(), async_op=True)
        dx = dy.matmul(w)
        dy = dy.contiguous().view(-1, dy.shape[-1])
        if ctx.ranks > 1:
            part = torch.empty(ctx.shape, **BF16)
            reduced = dist.reduce_scatter_tensor(part, dx, async_op=True)
            handle.wait()
        dw = dy.t().matmul(whole.view(-1, whole.shape[-1]))
        if reduced:
            reduced.wait()
            dx = part
        return dx, dw, None, None


class Row(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, rank, ranks):
        ctx.rank, ctx.ranks = rank, ranks
        out = F.linear(x, w)
        if ranks > 1:
            part = torch.empty(out.shape[0] // ranks, *out.shape[1:], **BF16)
            dist.reduce_scatter_tensor(part, out.contiguous())
            out = part
        ctx.save_for_backward(x, w)
        return out

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        whole = dy
        if ctx.ranks == 1:
            dx = dy.matmul(w)
        else:
            dy = dy.contiguous()
            whole = buffer("row", (dy.shape[0] * ctx.ranks, *dy.shape[1:]))
            handle = dist.all_gather_into_tensor(whole, dy, async_op=True)
            dx = torch.empty(*whole.shape[:-1], w.shape[1], **BF16)
            product_around_gather(dy, whole, handle, w, dx, ctx.rank, ctx.ranks)
        x = x.contiguous().view(-1, x.shape[-1])
        return dx, whole.reshape(-1, whole.shape[-1]).t().matmul(x), None, None


class Linear(nn.Module):
    def __init__(self, function, inputs, outputs, rank, ranks):
        super().__init__()
        self.function, self.place = function, (rank, ranks)
        shape = (outputs // ranks, inputs) if function is Column else (outputs, inputs // ranks)
        self.weight = nn.Parameter(torch.randn(shape, **BF16) * 0.02)

    def forward(self, x):
        return self.function.apply(x, self.weight, *self.place)


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(HIDDEN, **BF16))

    def forward(self, x):
        return NormFunction.apply(x, self.weight)


class Attention(nn.Module):
    def __init__(self, *place):
        super().__init__()
        self.heads = HEADS // place[1]
        self.qkv = Linear(Column, HIDDEN, 3 * HIDDEN, *place)
        self.out = Linear(Row, HIDDEN, HIDDEN, *place)

    def forward(self, x, mask):
        qkv = self.qkv(x)
        rows, batch, _ = qkv.shape
        q, k, v = qkv.view(rows, batch, 3, self.heads, -1).permute(2, 1, 0, 3, 4).contiguous()
        kv = torch.cat([k.unsqueeze(0), v.unsqueeze(0)]).permute(1, 2, 0, 3, 4).contiguous()
        q, kv = RotaryFunction.apply(q, kv)
        k, v = torch.split(kv, 1, dim=2)
        for _ in range(2):  # offsets of sequences, of queries and of keys
            offsets = torch.zeros(mask.shape[0] + 1, dtype=torch.int32, device="cuda")
            torch.cumsum(mask.sum(-1, dtype=torch.int32), 0, dtype=torch.int32, out=offsets[1:])
        a = F.scaled_dot_product_attention(
            q.transpose(1, 2), k.squeeze(2).transpose(1, 2), v.squeeze(2).transpose(1, 2), is_causal=True)
        return self.out(a.transpose(1, 2).contiguous().view(batch, rows, -1).transpose(0, 1))


class Gated(nn.Module):
    def forward(self, x):
        gate, up = torch.split(x, x.shape[-1] // 2, dim=-1)
        return F.silu(gate) * up


class Layer(nn.Module):
    def __init__(self, *place):
        super().__init__()
        self.norm1, self.attention, self.norm2 = Norm(), Attention(*place), Norm()
        self.mlp = nn.Sequential(Linear(Column, HIDDEN, 2 * INNER, *place), Gated(), Linear(Row, INNER, HIDDEN, *place))

    def forward(self, x, mask):
        x = self.attention(self.norm1(x), mask) + x
        return self.mlp(self.norm2(x)) + x


def median(values):
    return sorted(values)[len(values) // 2]


def layers_host(count, rank, ranks):
    layers = nn.ModuleList([Layer(rank, ranks) for _ in range(count)])
    accumulators = [(p, torch.zeros(p.shape, device="cuda")) for p in layers.parameters()]
    mask = torch.ones(1, ROWS, dtype=torch.bool, device="cuda")
    x0 = torch.randn(ROWS // ranks, 1, HIDDEN, **BF16, requires_grad=True)

    def once():
        at = [time.perf_counter()]
        x = x0
        for layer in layers:
            x = layer(x, mask)
        loss = x.sum()
        at.append(time.perf_counter())
        loss.backward()
        at.append(time.perf_counter())
        for p, accumulator in accumulators:
            accumulator.add_(p.grad)
            p.grad = None
        at.append(time.perf_counter())
        return [b - a for a, b in zip(at, at[1:])]

    for _ in range(4):
        once()
    single = []
    for _ in range(15):
        dist.barrier()
        torch.cuda.synchronize()
        single.append(once())
    torch.cuda.synchronize()
    begin = time.perf_counter()
    for _ in range(10):
        once()
    torch.cuda.synchronize()
    return [median(s) for s in zip(*single)] + [(time.perf_counter() - begin) / 10]


def send(t, to):
    first = torch.empty(7, dtype=torch.long, device="cuda")
    first.copy_(torch.tensor([t.dim(), t.dim(), 0, 2 * t.numel(), 0, 5, 0]))
    dist.send(first, to)
    assert first[0] == t.dim() and first[1] == t.dim()
    second = torch.empty(2 * t.dim(), dtype=torch.long, device="cuda")
    second.copy_(torch.tensor(tuple(t.shape) + t.stride()))
    dist.send(second, to)
    dist.isend(t, to).wait()


def receive(source):
    first = torch.empty(7, dtype=torch.long, device="cuda")
    dist.recv(first, source)
    dims, strides, contiguous, size, offset, _, _ = first
    second = torch.empty(16, dtype=torch.long, device="cuda")
    dist.recv(second[:dims + strides], source)
    shape, stride = second[:dims], second[dims:dims + strides]
    t = torch.empty((int(size),), dtype=torch.int8, device="cuda").view(torch.bfloat16)
    _ = [True, False][contiguous]
    t = t.as_strided(tuple(map(int, shape)), tuple(map(int, stride)), int(offset))
    dist.irecv(t, source).wait()
    return t


def one_way(rows, metadata, rank):
    t = torch.randn(rows, 1, 2048, **BF16)

    def plain_receive(source):
        dist.recv(t, source)
        torch.cuda.current_stream().synchronize()

    put, get = (send, receive) if metadata else (dist.send, plain_receive)

    def there_and_back():
        if rank == 0:
            put(t, 1)
            get(1)
        else:
            get(0)
            put(t, 0)

    for _ in range(3):
        there_and_back()
    torch.cuda.synchronize()
    begin = time.perf_counter()
    for _ in range(20):
        there_and_back()
    torch.cuda.synchronize()
    return (time.perf_counter() - begin) / 40


def main():
    dist.init_process_group("nccl")
    rank, ranks = dist.get_rank(), dist.get_world_size()
    torch.cuda.set_device(rank)
    with open(sys.argv[1] if rank == 0 else "/dev/null", "w", encoding="utf-8") as out:
        for n in (1, 2) if ranks > 1 else (1,):
            few, many = (layers_host(c, rank if n > 1 else 0, n) for c in (4, 12))
            names = ("forward", "backward", "accumulate", "loop")
            row = {f"{k}_us_per_layer": 1e6 * (b - a) / 8 for k, a, b in zip(names, few, many)}
            out.write(json.dumps({"what": "layer", "tensor_parallel": n, **row}) + "\n")
        for rows in (64, 4096) if ranks > 1 else ():
            for metadata in (False, True):
                us = 1e6 * one_way(rows, metadata, rank)
                out.write(json.dumps({"what": "message", "bytes": rows * 4096, "metadata": metadata, "one_way_us": us}) + "\n")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
