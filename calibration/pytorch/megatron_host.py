#!/usr/bin/env python3
"""Host time of Megatron-LM: what Python, autograd and PyTorch cost to issue a layer and to get a batch.

Follows the public structure of Megatron-LM's transformer layer (2021 to 2023): custom autograd
functions around every parallel linear, attention as two batched products with a softmax between,
dropout under a forked generator, bias + GELU and bias + dropout + add scripted, and full
recomputation by a re-entrant checkpoint that saves and restores generator states. Tensors are tiny,
so that the GPU is never waited for. A batch is got as get_batch() of those years does it on every rank
for every micro-batch: from a loader with two workers, its sizes broadcast in the tensor-parallel
group and read back, then its tokens; mask, loss mask and positions are made on the GPU.
Writes CSV: part, tensor_parallel, recompute, microseconds (of a layer the slope over their number).

    torchrun --nproc-per-node 1 megatron_host.py OUT.csv
    torchrun --nproc-per-node 2 megatron_host.py OUT.csv    # also tensor parallelism over two GPUs
"""

import contextlib
import os
import statistics
import sys
import time

import numpy
import torch
import torch.distributed as dist
import torch.nn.functional as F

HIDDEN, HEADS, LENGTH, BATCH = 128, 4, 32, 4


class CopyToRegion(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x

    @staticmethod
    def backward(ctx, grad):
        if TP > 1:
            dist.all_reduce(grad)
        return grad


class ReduceFromRegion(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        if TP > 1:
            dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx, grad):
        return grad


class Linear(torch.autograd.Function):
    """LinearWithGradAccumulationAndAsyncCommunication."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        ctx.use_bias = bias is not None
        out = torch.matmul(x, weight.t())
        return out if bias is None else out + bias

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        dx = grad.matmul(weight)
        grad = grad.contiguous().view(-1, grad.shape[-1])
        x = x.contiguous().view(-1, x.shape[-1])
        handle = dist.all_reduce(dx, async_op=True) if TP > 1 and ctx.use_bias else None
        weight.main_grad.add_(grad.t().matmul(x))
        if handle:
            handle.wait()
        return dx, None, grad.sum(dim=0) if ctx.use_bias else None


class Softmax(torch.autograd.Function):
    """ScaledUpperTriangMaskedSoftmax: one kernel each way."""

    @staticmethod
    def forward(ctx, x, scale):
        out = torch.softmax(x, dim=-1)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx, grad):
        (out,) = ctx.saved_tensors
        return torch._softmax_backward_data(grad, out, -1, out.dtype), None


@torch.jit.script
def bias_gelu(bias, y):
    x = bias + y
    return x * 0.5 * (1.0 + torch.tanh(0.79788456 * x * (1 + 0.044715 * x * x)))


@torch.jit.script
def bias_gelu_back(g, bias, y):
    x = bias + y
    t = torch.tanh(0.79788456 * x * (1 + 0.044715 * x * x))
    return (0.5 * x * ((1 - t * t) * (0.79788456 + 0.1070322243 * x * x)) + 0.5 * (1 + t)) * g


class GeLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, y, bias):
        ctx.save_for_backward(y, bias)
        return bias_gelu(bias, y)

    @staticmethod
    def backward(ctx, grad):
        y, bias = ctx.saved_tensors
        d = bias_gelu_back(grad, bias, y)
        return d, d.sum(dim=(0, 1))


@torch.jit.script
def bias_dropout_add(x, bias, residual, prob: float):
    return residual + torch.nn.functional.dropout(x + bias, p=prob, training=True)


class Tracker:
    def __init__(self):
        self.state = torch.cuda.get_rng_state()

    @contextlib.contextmanager
    def fork(self):
        original = torch.cuda.get_rng_state()
        torch.cuda.set_rng_state(self.state)
        try:
            yield
        finally:
            self.state = torch.cuda.get_rng_state()
            torch.cuda.set_rng_state(original)


class ParallelLinear(torch.nn.Module):
    def __init__(self, rows, columns, kind):
        super().__init__()
        self.kind = kind
        self.weight = torch.nn.Parameter(torch.randn(columns, rows, device="cuda", dtype=torch.half))
        self.bias = torch.nn.Parameter(torch.zeros(columns, device="cuda", dtype=torch.half))
        self.weight.main_grad = torch.zeros(columns, rows, device="cuda")

    def forward(self, x):
        if self.kind == "column":
            return Linear.apply(x, self.weight, self.bias), None
        if self.kind == "column_skip_bias":
            return Linear.apply(CopyToRegion.apply(x), self.weight, None), self.bias
        return ReduceFromRegion.apply(Linear.apply(x, self.weight, None)), self.bias


class CoreAttention(torch.nn.Module):
    def forward(self, q, k, v):
        s, b, heads, size = q.shape
        query = q.view(s, b * heads, size)
        key = k.view(s, b * heads, size)
        buffer = torch.empty(b * heads, s, s, dtype=q.dtype, device="cuda")
        scores = torch.baddbmm(buffer, query.transpose(0, 1), key.transpose(0, 1).transpose(1, 2), beta=0.0, alpha=0.1)
        scores = scores.view(b, heads, s, s)
        probs = Softmax.apply(scores, 1.0)
        with TRACKER.fork():
            probs = F.dropout(probs, 0.1)
        value = v.view(s, b * heads, size)
        context = torch.bmm(probs.view(b * heads, s, s), value.transpose(0, 1))
        return context.view(b, heads, s, size).permute(2, 0, 1, 3).contiguous().view(s, b, heads * size)


class Layer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1 = torch.nn.LayerNorm(HIDDEN, device="cuda", dtype=torch.half)
        self.norm2 = torch.nn.LayerNorm(HIDDEN, device="cuda", dtype=torch.half)
        self.qkv = ParallelLinear(HIDDEN, 3 * HIDDEN, "column")
        self.core = CoreAttention()
        self.proj = ParallelLinear(HIDDEN, HIDDEN, "row")
        self.up = ParallelLinear(HIDDEN, 4 * HIDDEN, "column_skip_bias")
        self.down = ParallelLinear(4 * HIDDEN, HIDDEN, "row")

    def forward(self, x):
        mixed, _ = self.qkv(self.norm1(x))
        mixed = mixed.view(*mixed.shape[:-1], HEADS, 3 * HIDDEN // HEADS)
        q, k, v = torch.split(mixed, HIDDEN // HEADS, dim=-1)
        context = self.core(q.contiguous(), k.contiguous(), v.contiguous())
        out, bias = self.proj(context)
        with torch.enable_grad() if torch.is_grad_enabled() else contextlib.nullcontext():
            x = bias_dropout_add(out, bias.expand_as(x), x, 0.1)
        hidden, bias = self.up(self.norm2(x))
        hidden = GeLU.apply(hidden, bias)
        out, bias = self.down(hidden)
        return bias_dropout_add(out, bias.expand_as(x), x, 0.1)


class Checkpoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx, function, x):
        ctx.function = function
        ctx.states = torch.get_rng_state(), torch.cuda.get_rng_state(), TRACKER.state
        with torch.no_grad():
            out = function(x)
        ctx.save_for_backward(x)
        return out

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        now = torch.get_rng_state(), torch.cuda.get_rng_state(), TRACKER.state
        torch.set_rng_state(ctx.states[0])
        torch.cuda.set_rng_state(ctx.states[1])
        TRACKER.state = ctx.states[2]
        detached = x.detach()
        detached.requires_grad = True
        with torch.enable_grad():
            out = ctx.function(detached)
        torch.set_rng_state(now[0])
        torch.cuda.set_rng_state(now[1])
        TRACKER.state = now[2]
        torch.autograd.backward(out, grad)
        return None, detached.grad


def layer_times(layers, recompute):
    """Host microseconds of forward and backward of so many layers."""
    model = torch.nn.ModuleList([Layer() for _ in range(layers)])
    x = torch.randn(LENGTH, BATCH, HIDDEN, device="cuda", dtype=torch.half, requires_grad=True)
    grad = torch.ones_like(x)
    forward, backward = [], []
    for i in range(30):
        torch.cuda.synchronize()
        start = time.perf_counter()
        y = x
        for layer in model:
            y = Checkpoint.apply(layer, y) if recompute else layer(y)
        middle = time.perf_counter()
        torch.autograd.backward(y, grad)
        end = time.perf_counter()
        if i >= 10:
            forward.append((middle - start) * 1e6)
            backward.append((end - middle) * 1e6)
    torch.cuda.synchronize()
    return statistics.median(forward), statistics.median(backward)


class Samples(torch.utils.data.Dataset):
    def __len__(self):
        return 4096

    def __getitem__(self, i):
        return {"text": numpy.full(1025, i, dtype=numpy.int64)}


def broadcast_data(data):
    """tensor_parallel.broadcast_data() of one key, by the group's first rank. Also when the host began
    to wait for the sizes."""
    sizes = [0] * 5
    for i, s in enumerate(data["text"].size()):
        sizes[i] = s
    on_gpu = torch.tensor(sizes, dtype=torch.long, device="cuda")
    dist.broadcast(on_gpu, 0)
    waits = time.perf_counter()
    sizes = on_gpu.cpu()
    shape = []
    for s in sizes:
        if s > 0:
            shape.append(int(s))
    flat = torch.cat([data["text"].contiguous().view(-1)], dim=0).cuda()
    dist.broadcast(flat, 0)
    return flat.narrow(0, 0, flat.numel()).view(shape), waits


def get_batch(batches):
    text, waits = broadcast_data(next(batches))
    text = text.long()
    labels, tokens = text[:, 1:].contiguous(), text[:, :-1].contiguous()
    length = tokens.size(1)
    mask = torch.tril(torch.ones((1, length, length), device=tokens.device)).view(1, 1, length, length)
    loss_mask = torch.ones(tokens.size(), dtype=torch.float, device=tokens.device)
    positions = torch.arange(length, dtype=torch.long, device=tokens.device).unsqueeze(0).expand_as(tokens)
    return (tokens, labels, loss_mask, mask < 0.5, positions), waits


def batch_time(size):
    """Microseconds of get_batch() with an idle GPU: before the host waits for it, and from there on."""
    loader = torch.utils.data.DataLoader(Samples(), batch_size=size, num_workers=2, pin_memory=True)
    batches, before, after = iter(loader), [], []
    for i in range(200):
        time.sleep(0.005)  # the layers of a micro-batch
        torch.cuda.synchronize()
        start = time.perf_counter()
        _, waits = get_batch(batches)
        if i >= 50:
            before.append((waits - start) * 1e6)
            after.append((time.perf_counter() - waits) * 1e6)
    return statistics.median(before), statistics.median(after)


def main():
    global TP, TRACKER
    world = int(os.environ["WORLD_SIZE"])
    torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl")
    TRACKER = Tracker()
    rows = ["part,tensor_parallel,recompute,microseconds"]
    for TP in sorted({1, world}):
        for recompute in (False, True):
            few, many = layer_times(4, recompute), layer_times(20, recompute)
            for i, part in enumerate(("forward", "backward")):
                rows.append(f"{part},{TP},{'full' if recompute else 'none'},{(many[i] - few[i]) / 16:.1f}")
    for size in (1, 6):
        for part, us in zip(("before", "after"), batch_time(size)):
            rows.append(f"batch of {size} {part} the wait,{world},none,{us:.1f}")
    if dist.get_rank() == 0:
        with open(sys.argv[1], "w", encoding="ascii") as f:
            f.write("\n".join(rows) + "\n")
        print("\n".join(rows))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
