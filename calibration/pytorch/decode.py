"""Kernels of inference in PyTorch, bf16: decode.csv.

usage: decode.py OUT_DIRECTORY [--budget SECONDS]

Products of a few rows (one token for every sequence of a batch) with the weights not in the cache, one
layer of a Llama model over a key/value cache, kernel by kernel (attention over a cache, rotary, the
cache's update, norms of a few rows), the head with its arg-max, and attention of a prefill as [B, S, H]
activations call it. Host times of the same calls without autograd are in inference_host.csv.
"""

import argparse
import os
import random
import time

import torch
import torch.nn.functional as F

from common import (
    DRY_RUN, Pool, Table, device, itemsize, median, quantile, random_like_training, synchronize,
)  # fmt: skip
from kernel_trace import Case, Phase, Recorder
from model import rotary_tables

ROWS = (1, 2, 4, 8, 16, 32, 64, 128)
MODELS = [  # hidden, heads, kv heads, ffn, vocabulary
    (2048, 32, 8, 8192, 128256), (3072, 24, 8, 8192, 128256), (4096, 32, 32, 11008, 32000),
    (4096, 32, 8, 14336, 128256), (5120, 40, 40, 13824, 32000), (8192, 64, 8, 28672, 128256),
    (3584, 28, 4, 18944, 152064),
]  # fmt: skip
CONTEXTS = (256, 1024, 2048, 4096, 8192, 16384, 32768)


class Layer:
    """A Llama block without autograd; `ranks` shares of it, as tensor parallelism leaves."""

    def __init__(self, hidden, heads, kv_heads, ffn, ranks=1):
        self.size = hidden // heads
        self.heads, self.kv_heads = heads // ranks, max(1, kv_heads // ranks)
        ffn //= ranks
        weight = lambda *d: random_like_training(d, torch.bfloat16, 0.02)  # noqa: E731
        self.norm = torch.ones(hidden, device=device(), dtype=torch.bfloat16)
        self.qkv = weight((self.heads + 2 * self.kv_heads) * self.size, hidden)
        self.out = weight(hidden, self.heads * self.size)
        self.up, self.down = weight(2 * ffn, hidden), weight(hidden, ffn)

    def __call__(self, x, tables, cache, at):
        batch, length, hidden = x.shape
        h = F.rms_norm(x, (hidden,), self.norm)
        widths = [self.heads * self.size, self.kv_heads * self.size, self.kv_heads * self.size]
        parts = F.linear(h, self.qkv).split(widths, -1)
        q, k, v = (z.view(batch, length, -1, self.size).transpose(1, 2) for z in parts)
        cosine, sine = tables[0][at : at + length], tables[1][at : at + length]
        q = q * cosine + self._rotate_half(q) * sine
        k = k * cosine + self._rotate_half(k) * sine
        cache[0][:, :, at : at + length] = k
        cache[1][:, :, at : at + length] = v
        if length > 1:
            o = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        else:
            keys, values = cache[0][:, :, : at + 1], cache[1][:, :, : at + 1]
            o = F.scaled_dot_product_attention(q, keys, values, enable_gqa=True)
        x = x + self.product(o.transpose(1, 2).reshape(batch, length, -1), self.out)
        a, b = F.linear(F.rms_norm(x, (hidden,), self.norm), self.up).chunk(2, -1)
        return x + self.product(F.silu(a) * b, self.down)

    def product(self, x, weight):
        """A product whose weight's rows are split over ranks; here without the sum over them."""
        return F.linear(x, weight)

    def _rotate_half(self, t):
        half = self.size // 2
        return torch.cat([-t[..., half:], t[..., :half]], -1)


def product_cases(pool):
    shapes = set()
    for h, heads, kv, f, v in MODELS:
        size = h // heads
        for ranks in (1, 2, 4):
            qkv = (heads // ranks + 2 * max(1, kv // ranks)) * size
            shapes |= {(qkv, h), (h, h // ranks), (2 * f // ranks, h), (h, f // ranks)}
        shapes.add((v, h))
    cases = [(m, n, k) for n, k in sorted(shapes) for m in ROWS]
    random.Random(5).shuffle(cases)
    for m, n, k in cases if not DRY_RUN else [(1, 8, 4)]:
        yield _product_case(m, n, k, pool)


def _product_case(m, n, k, pool):
    def make():
        x, w = random_like_training((m, 1, k), torch.bfloat16), pool().take(n, k)
        count = (m * k + n * k + m * n) * itemsize(torch.bfloat16)
        return [Phase("forward", lambda: F.linear(x, w), m * n, count)]

    return Case("linear", "bf16", dict(m=m, n=n, k=k, bias=0), make, cold=True, reps=4)


def layer_cases():
    cases = [
        (model[:4], ranks, batch, context)
        for model in MODELS for ranks in (1, 2, 4) for batch in (1, 4, 8, 16, 32, 64)
        for context in CONTEXTS
    ]  # fmt: skip
    random.Random(6).shuffle(cases)
    if DRY_RUN:
        cases = [((32, 4, 2, 16), 2, 2, 8)]
    for model, ranks, batch, context in cases:
        size, kv = model[0] // model[1], max(1, model[2] // ranks)
        if batch * context * size * kv <= 1 << 30:
            yield _layer_case(model, ranks, batch, context)


def _layer_case(model, ranks, batch, context):
    """The new token of every sequence through one layer."""

    def make():
        layer = Layer(*model, ranks)
        tables = rotary_tables(context + 1, layer.size, device())
        shape = (batch, layer.kv_heads, context + 1, layer.size)
        cache = [random_like_training(shape, torch.bfloat16) for _ in range(2)]
        x = random_like_training((batch, 1, model[0]), torch.bfloat16)
        return [Phase("forward", lambda: layer(x, tables, cache, context), batch, 0)]

    hidden, heads, kv_heads, ffn = model
    parameters = dict(hidden=hidden, heads=heads, kv_heads=kv_heads, ffn=ffn, ranks=ranks,
                      batch=batch, context=context)  # fmt: skip
    return Case("decode_layer", "bf16", parameters, make, cold=True, reps=4)


def prefill_cases():
    cases = [
        (model[:4], ranks, batch, length)
        for model in MODELS for ranks in (1, 2, 4) for batch in (1, 4, 8)
        for length in (512, 1024, 2048, 4096, 8192) if batch * length <= 16384
    ]  # fmt: skip
    random.Random(7).shuffle(cases)
    if DRY_RUN:
        cases = [((32, 4, 2, 16), 1, 2, 8)]
    for model, ranks, batch, length in cases:
        yield _prefill_case(model, ranks, batch, length)


def _prefill_case(model, ranks, batch, length):
    def make():
        layer = Layer(*model, ranks)
        tables = rotary_tables(length, layer.size, device())
        shape = (batch, layer.kv_heads, length + 1, layer.size)
        cache = [random_like_training(shape, torch.bfloat16) for _ in range(2)]
        x = random_like_training((batch, length, model[0]), torch.bfloat16)
        return [Phase("forward", lambda: layer(x, tables, cache, 0), batch * length, 0)]

    hidden, heads, kv_heads, ffn = model
    parameters = dict(hidden=hidden, heads=heads, kv_heads=kv_heads, ffn=ffn, ranks=ranks,
                      batch=batch, length=length)  # fmt: skip
    return Case("prefill_layer", "bf16", parameters, make, cold=False, reps=3)


def end_cases():
    """Embedding of the tokens; last position's norm, head and arg-max."""
    cases = [(h, v, b) for h, _, _, _, v in MODELS for b in (1, 4, 16, 64)]
    for hidden, vocabulary, batch in cases if not DRY_RUN else [(16, 32, 2)]:
        yield _end_case(hidden, vocabulary, batch)


def _end_case(hidden, vocabulary, batch):
    def make():
        table = random_like_training((vocabulary, hidden), torch.bfloat16, 0.02)
        norm = torch.ones(hidden, device=device(), dtype=torch.bfloat16)
        ids = torch.randint(0, vocabulary, (batch, 1), device=device())

        def run():
            x = table[ids]
            return F.linear(F.rms_norm(x[:, -1:], (hidden,), norm), table).argmax(-1)

        return [Phase("forward", run, batch, 0)]

    parameters = dict(hidden=hidden, vocabulary=vocabulary, batch=batch)
    return Case("decode_ends", "bf16", parameters, make, cold=True, reps=4)


@torch.no_grad()
def host_times(out):
    """Host time of one layer and of each of its calls, no autograd, the GPU far behind or idle."""
    table = Table(os.path.join(out, "inference_host.csv"),
                  ["what", "median_us", "p10_us", "p90_us", "calls"])  # fmt: skip
    model = (64, 4, 2, 64)
    layer = Layer(*model)
    tables = rotary_tables(16, layer.size, device())
    cache = [random_like_training((1, 2, 17, 16), torch.bfloat16) for _ in range(2)]
    x = random_like_training((1, 1, 64), torch.bfloat16)
    q = random_like_training((1, 4, 1, 16), torch.bfloat16)
    kv = random_like_training((1, 2, 1, 16), torch.bfloat16)
    w, ids = layer.qkv, torch.zeros((1, 1), dtype=torch.int64, device=device())
    keys = cache[0][:, :, :9]

    def update():
        cache[0][:, :, 8:9] = kv

    calls = {
        "layer_decode": lambda: layer(x, tables, cache, 8),
        "linear": lambda: F.linear(x, w),
        "rms_norm": lambda: F.rms_norm(x, (64,), layer.norm),
        "split": lambda: x.split([32, 16, 16], -1),
        "view_transpose": lambda: x.view(1, 1, -1, 16).transpose(1, 2),
        "slice": lambda: tables[0][8:9],
        "mul": lambda: q * q,
        "add": lambda: x + x,
        "rotate_half": lambda: layer._rotate_half(q),
        "cache_update": update,
        "attention": lambda: F.scaled_dot_product_attention(q, keys, keys, enable_gqa=True),
        "silu": lambda: F.silu(x),
        "chunk": lambda: x.chunk(2, -1),
        "argmax": lambda: x.argmax(-1),
        "index": lambda: w[ids],
    }
    for name, call in calls.items():
        times = []
        for _ in range(5 if DRY_RUN else 300):
            began = time.perf_counter()
            call()
            times.append((time.perf_counter() - began) * 1e6)
            if len(times) % 20 == 0:
                synchronize()
        table.row(what=name, median_us=median(times), p10_us=quantile(times, 0.1),
                  p90_us=quantile(times, 0.9), calls=len(times))  # fmt: skip
    table.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    parser.add_argument("--budget", type=float, default=120)
    arguments = parser.parse_args()
    host_times(arguments.out)
    pools = []

    def pool():
        if not pools:
            pools.append(Pool(1 << 12 if DRY_RUN else 3 << 29, torch.bfloat16))
        return pools[0]

    groups = [list(product_cases(pool)), list(layer_cases()), list(prefill_cases()), list(end_cases())]
    cases = [case for row in _in_turn(groups) for case in row]
    recorder = Recorder(os.path.join(arguments.out, "decode.csv"), arguments.budget, batch_cases=24)
    with torch.no_grad():
        done = recorder.run(cases)
    print(f"decode: {done} of {len(cases)} cases, {len(recorder.errors)} failed")


def _in_turn(groups):
    """Parts of every group in turn, so that a run that is cut off has some of everything."""
    longest = max(len(g) for g in groups)
    for i in range(longest):
        yield [g[i * len(g) // longest] for g in groups
               if i == 0 or i * len(g) // longest != (i - 1) * len(g) // longest]  # fmt: skip


if __name__ == "__main__":
    main()
