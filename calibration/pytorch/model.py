"""The transformer whose training is measured: GPT and Llama blocks in eager PyTorch.

Activations are [sequence, batch, hidden]. qkv is one product, gate and up another; rotary is plain
elementwise code; norms and attention are PyTorch's own functions; the loss is cross-entropy over fp32
logits. Tensor parallelism is explicit: `sharding` says what happens where a block is entered and left.
"""

import contextlib
import dataclasses

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint


@dataclasses.dataclass
class Groups:
    """Process groups that blocks communicate in, besides tensor parallelism's."""

    experts: object = None
    context: object = None


class NoSharding:
    """One GPU holds every column and row."""

    degree = 1
    sequence = False

    def enter(self, x):
        return x

    def leave(self, x):
        return x


class Attention(nn.Module):
    """`context` is the group over which Ulysses exchanges positions for heads, or None."""

    def __init__(self, spec, sharding, context=None):
        super().__init__()
        self.sharding, self.context = sharding, context
        self.size = spec["hidden"] // spec["heads"]
        self.heads = spec["heads"] // sharding.degree
        self.kv_heads = max(1, spec["kv_heads"] // sharding.degree)
        self.rotary = spec["family"] == "llama"
        bias = spec["family"] == "gpt"
        width = (self.heads + 2 * self.kv_heads) * self.size
        self.qkv = nn.Linear(spec["hidden"], width, bias=bias)
        self.proj = nn.Linear(self.heads * self.size, spec["hidden"], bias=bias)

    def forward(self, x, tables):
        x = self.sharding.enter(x)
        length, batch, _ = x.shape
        kv_width = self.kv_heads * self.size
        q, k, v = self.qkv(x).split([self.heads * self.size, kv_width, kv_width], -1)
        q = q.view(length, batch, self.heads, self.size)
        k = k.view(length, batch, self.kv_heads, self.size)
        v = v.view(length, batch, self.kv_heads, self.size)
        if self.context is not None:
            q, k, v = (_ExchangeHeads.apply(z, self.context, True) for z in (q, k, v))
        q, k, v = (z.permute(1, 2, 0, 3) for z in (q, k, v))
        if self.rotary:
            cosine, sine = tables
            q = q * cosine + _rotate_half(q) * sine
            k = k * cosine + _rotate_half(k) * sine
        o = F.scaled_dot_product_attention(
            q, k, v, is_causal=True, enable_gqa=self.kv_heads != self.heads
        )
        o = o.permute(2, 0, 1, 3)
        if self.context is not None:
            o = _ExchangeHeads.apply(o, self.context, False)
        o = o.reshape(length, batch, self.heads * self.size)
        return self.sharding.leave(self.proj(o))


def _rotate_half(t):
    half = t.shape[-1] // 2
    return torch.cat([-t[..., half:], t[..., :half]], -1)


class Mlp(nn.Module):
    def __init__(self, spec, sharding):
        super().__init__()
        self.sharding = sharding
        self.gated = spec["family"] == "llama"
        width = spec["ffn"] // sharding.degree
        self.up = nn.Linear(spec["hidden"], 2 * width if self.gated else width, bias=not self.gated)
        self.down = nn.Linear(width, spec["hidden"], bias=not self.gated)

    def forward(self, x):
        x = self.up(self.sharding.enter(x))
        if self.gated:
            a, b = x.chunk(2, -1)
            x = F.silu(a) * b
        else:
            x = F.gelu(x, approximate="tanh")
        return self.sharding.leave(self.down(x))


class Experts(nn.Module):
    """Mixture of experts as Mixtral's: a softmax router chooses `topk` experts a token; tokens are
    sorted by expert and the experts run one after another. Over a group, every rank holds its share
    of the experts and rows travel there and back; the host reads how many."""

    def __init__(self, spec, group):
        super().__init__()
        self.group, self.topk, self.number = group, spec["topk"], spec["experts"]
        self.ranks = 1 if group is None else dist.get_world_size(group)
        self.local = self.number // self.ranks
        hidden, width = spec["hidden"], spec["ffn"]
        self.router = nn.Linear(hidden, self.number, bias=False)
        linear = lambda out, into: nn.ModuleList(  # noqa: E731
            nn.Linear(into, out, bias=False) for _ in range(self.local)
        )
        self.up, self.down = linear(2 * width, hidden), linear(hidden, width)

    def forward(self, x):
        shape = x.shape
        x = x.reshape(-1, shape[-1])
        weights, chosen = torch.softmax(self.router(x).float(), -1).topk(self.topk, -1)
        weights = (weights / weights.sum(-1, keepdim=True)).to(x.dtype)
        chosen = chosen.reshape(-1)
        order = chosen.argsort(stable=True)
        counts = torch.bincount(chosen, minlength=self.number)
        rows = x[order // self.topk]
        rows = self._alone(rows, counts) if self.group is None else self._exchanged(rows, counts)
        weighted = rows * weights.reshape(-1)[order, None]
        return torch.zeros_like(x).index_add(0, order // self.topk, weighted).view(shape)

    def _expert(self, index, rows):
        a, b = self.up[index](rows).chunk(2, -1)
        return self.down[index](F.silu(a) * b)

    def _alone(self, rows, counts):
        parts = rows.split(counts.tolist())
        return torch.cat([self._expert(i, part) for i, part in enumerate(parts)])

    def _exchanged(self, rows, counts):
        received = torch.empty_like(counts)
        dist.all_to_all_single(received, counts, group=self.group)
        here = counts.view(self.ranks, self.local).tolist()
        there = received.view(self.ranks, self.local).tolist()
        sent, got = [sum(r) for r in here], [sum(r) for r in there]
        rows = _ExchangeRows.apply(rows, sent, got, self.group)
        pieces = rows.split([n for rank in there for n in rank])
        outputs = []
        for i in range(self.local):
            part = torch.cat([pieces[r * self.local + i] for r in range(self.ranks)])
            outputs.append(self._expert(i, part).split([there[r][i] for r in range(self.ranks)]))
        rows = torch.cat([outputs[i][r] for r in range(self.ranks) for i in range(self.local)])
        return _ExchangeRows.apply(rows, got, sent, self.group)


class LoraLinear(nn.Module):
    """A frozen product and a trainable one of low rank beside it."""

    def __init__(self, base, rank):
        super().__init__()
        self.base = base
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)

    def forward(self, x):
        return self.base(x) + self.up(self.down(x)) * 2.0


def add_lora(net, rank):
    """Freezes the net and puts LoRA on every block's qkv and proj."""
    net.requires_grad_(False)
    for block in net.blocks:
        block.attention.qkv = LoraLinear(block.attention.qkv, rank)
        block.attention.proj = LoraLinear(block.attention.proj, rank)


def _norm(spec):
    kind = nn.LayerNorm if spec["family"] == "gpt" else nn.RMSNorm
    return kind(spec["hidden"])


class Block(nn.Module):
    """`groups`: the ranks that share the experts, and those that share a sequence, or None."""

    def __init__(self, spec, sharding, groups):
        super().__init__()
        self.norm1 = _norm(spec)
        self.attention = Attention(spec, sharding, groups.context)
        self.norm2 = _norm(spec)
        self.mlp = Experts(spec, groups.experts) if spec.get("experts") else Mlp(spec, sharding)

    def forward(self, x, tables):
        x = x + self.attention(self.norm1(x), tables)
        return x + self.mlp(self.norm2(x))


class Stage(nn.Module):
    """Blocks [first_layer, last_layer) with the embedding before, where `embeds`, and the final norm
    and head after, where `predicts`. The whole model is one stage that does both."""

    def __init__(self, spec, length, layers, embeds, predicts, sharding, recompute, groups=None):
        super().__init__()
        self.spec, self.length, self.recompute = spec, length, recompute
        self.embeds, self.predicts, self.sharding = embeds, predicts, sharding
        if embeds:
            self.token = nn.Embedding(spec["vocab"], spec["hidden"])
            if spec["family"] == "gpt":
                self.position = nn.Embedding(length, spec["hidden"])
        self.blocks = nn.ModuleList(
            Block(spec, sharding, groups or Groups()) for _ in range(*layers)
        )
        if predicts:
            self.norm = _norm(spec)
            self.head = nn.Linear(spec["hidden"], spec["vocab"], bias=False)
            if spec.get("tied") and embeds:
                self.head.weight = self.token.weight
        self.tables = None

    def _embed(self, ids):
        h = self.token(ids)
        if self.spec["family"] == "gpt":
            h = h + self.position(torch.arange(ids.shape[1], device=ids.device))
        h = h.transpose(0, 1).contiguous()
        if self.sharding.sequence:
            h = h.chunk(self.sharding.degree, 0)[self.sharding.rank].contiguous()
        return h

    def forward(self, x):
        h = self._embed(x) if self.embeds else x
        if self.spec["family"] == "llama" and self.tables is None:
            self.tables = rotary_tables(
                self.length, self.spec["hidden"] // self.spec["heads"], h.device
            )
        for block in self.blocks:
            if self.recompute == "full":
                h = checkpoint(block, h, self.tables, use_reentrant=False)
            else:
                h = block(h, self.tables)
        if not self.predicts:
            return h
        h = self.norm(h)
        if self.sharding.sequence:
            h = self.sharding.gather(h)
        return self.head(h)


def rotary_tables(length, size, where):
    exponents = torch.arange(0, size, 2, device=where).float() / size
    angles = torch.outer(torch.arange(length, device=where).float(), 1.0 / 500000.0**exponents)
    angles = torch.cat([angles, angles], -1)
    return angles.cos().to(torch.bfloat16), angles.sin().to(torch.bfloat16)


def loss(logits, targets):
    """logits [sequence, batch, vocabulary], targets [batch, sequence]."""
    return F.cross_entropy(logits.float().view(-1, logits.shape[-1]), targets.t().reshape(-1))


def autocast(precision):
    if precision == "amp":
        return torch.autocast("cuda", torch.bfloat16)
    return contextlib.nullcontext()


@contextlib.contextmanager
def created_as(dtype, where):
    """Parameters made inside are of this dtype, on this device."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    placed = torch.device(where) if where.type != "cpu" else contextlib.nullcontext()
    try:
        with placed:
            yield
    finally:
        torch.set_default_dtype(before)


def build(spec, length, recompute, dtype, where, sharding=None, groups=None):
    """The whole model on one device."""
    layers = (0, spec["layers"])
    with created_as(dtype, where):
        return Stage(spec, length, layers, True, True, sharding or NoSharding(), recompute, groups)


class TensorSharding:
    """Megatron's: columns of the first product and rows of the second are split over the group.
    With sequence parallelism activations outside are split along the sequence."""

    def __init__(self, group, sequence):
        self.group = group
        self.degree = dist.get_world_size(group)
        self.rank = dist.get_rank(group)
        self.sequence = sequence

    def enter(self, x):
        return self.gather(x) if self.sequence else _CopyIn.apply(x, self.group)

    def leave(self, x):
        operation = _ScatterSequence if self.sequence else _ReduceOut
        return operation.apply(x, self.group)

    def gather(self, x):
        return _GatherSequence.apply(x, self.group)


def _all_gather(x, group):
    degree = dist.get_world_size(group)
    out = x.new_empty((x.shape[0] * degree, *x.shape[1:]))
    dist.all_gather_into_tensor(out, x.contiguous(), group=group)
    return out


def _reduce_scatter(x, group):
    x = x.contiguous()
    out = x.new_empty((x.shape[0] // dist.get_world_size(group), *x.shape[1:]))
    dist.reduce_scatter_tensor(out, x, group=group)
    return out


class _CopyIn(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, group):
        ctx.group = group
        return x

    @staticmethod
    def backward(ctx, gradient):
        gradient = gradient.contiguous()
        dist.all_reduce(gradient, group=ctx.group)
        return gradient, None


class _ReduceOut(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, group):
        x = x.contiguous()
        dist.all_reduce(x, group=group)
        return x

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


class _GatherSequence(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, group):
        ctx.group = group
        return _all_gather(x, group)

    @staticmethod
    def backward(ctx, gradient):
        return _reduce_scatter(gradient, ctx.group), None


class _ScatterSequence(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, group):
        ctx.group = group
        return _reduce_scatter(x, group)

    @staticmethod
    def backward(ctx, gradient):
        return _all_gather(gradient, ctx.group), None


class _ExchangeRows(torch.autograd.Function):
    """Rows to other ranks, by counts; the gradients come back the same way."""

    @staticmethod
    def forward(ctx, x, sent, got, group):
        ctx.exchange = (sent, got, group)
        return _exchange_rows(x, sent, got, group)

    @staticmethod
    def backward(ctx, gradient):
        sent, got, group = ctx.exchange
        return _exchange_rows(gradient, got, sent, group), None, None, None


def _exchange_rows(x, sent, got, group):
    out = x.new_empty((sum(got), *x.shape[1:]))
    dist.all_to_all_single(out, x.contiguous(), got, sent, group=group)
    return out


class _ExchangeHeads(torch.autograd.Function):
    """Ulysses: [length/P, batch, heads, size] to [length, batch, heads/P, size], or back."""

    @staticmethod
    def forward(ctx, x, group, to_heads):
        ctx.exchange = (group, to_heads)
        return _exchange_heads(x, group, to_heads)

    @staticmethod
    def backward(ctx, gradient):
        group, to_heads = ctx.exchange
        return _exchange_heads(gradient, group, not to_heads), None, None


def _exchange_heads(x, group, to_heads):
    ranks = dist.get_world_size(group)
    length, batch, heads, size = x.shape
    if to_heads:
        x = x.view(length, batch, ranks, heads // ranks, size).permute(2, 0, 1, 3, 4)
    x = x.contiguous()
    out = torch.empty_like(x)
    dist.all_to_all_single(out, x, group=group)
    if to_heads:
        return out.view(ranks * length, batch, heads // ranks, size)
    out = out.view(ranks, length // ranks, batch, heads, size).permute(1, 2, 0, 3, 4)
    return out.reshape(length // ranks, batch, ranks * heads, size)
