"""The memory-bound pieces of a transformer, written as the measured program writes them, so that
strided views, broadcasts and the autograd nodes' own kernels are those of real training.
Activations are [sequence, batch, hidden]."""

import torch
import torch.nn.functional as F

from common import DRY_RUN, DTYPES, device, itemsize, random_like_training
from kernel_trace import Case, Phase


def _autograd_phases(forward, inputs, grads_of, elements, forward_bytes, backward_bytes):
    """Forward, then backward of the outputs just made. grads_of(outputs) gives their gradients."""
    held = {}

    def run_forward():
        held["out"] = forward()

    def run_backward():
        out = held.pop("out")
        outputs = out if isinstance(out, tuple) else (out,)
        if "grads" not in held:
            held["grads"] = grads_of(outputs)
        torch.autograd.grad(outputs, inputs, held["grads"], allow_unused=True)

    return [
        Phase("forward", run_forward, elements, forward_bytes),
        Phase("backward", run_backward, elements, backward_bytes),
    ]


def _random_like(outputs):
    result = []
    for t in outputs:
        g = torch.empty_like(t)  # keeps a permuted layout, as attention's gradients do
        result.append(g if DRY_RUN else g.normal_())
    return result


def rotary_tables(length, size):
    inverse = 1.0 / (500000.0 ** (torch.arange(0, size, 2, device=device()).float() / size))
    angles = torch.outer(torch.arange(length, device=device()).float(), inverse)
    angles = torch.cat([angles, angles], -1)
    return angles.cos().to(torch.bfloat16), angles.sin().to(torch.bfloat16)


def rotate_half(t):
    half = t.shape[-1] // 2
    return torch.cat([-t[..., half:], t[..., :half]], -1)


def rotary_cases():
    """Split of the fused qkv, then rotary: strided elementwise kernels over [B, H, S, D] views of
    [S, B, H, D]; backward ends in the concatenation of the three gradients."""
    shapes = [
        (4096, 2, 24, 8, 128), (2048, 4, 32, 8, 64), (4096, 1, 32, 32, 128), (2048, 1, 24, 8, 128),
        (8192, 1, 32, 8, 128), (4096, 4, 32, 8, 128), (1024, 4, 12, 12, 64), (2048, 8, 16, 16, 128),
        (16384, 1, 32, 8, 64), (4096, 8, 32, 8, 64), (4096, 2, 12, 4, 128), (512, 1, 8, 8, 64),
        (1024, 1, 32, 8, 64), (4096, 1, 64, 8, 128), (32768, 1, 32, 8, 128),
    ]  # fmt: skip
    if DRY_RUN:
        shapes = [(16, 2, 4, 2, 8)]
    for length, batch, heads, kv_heads, size in shapes:
        for rotary in (True, False):
            yield _rotary_case(length, batch, heads, kv_heads, size, rotary)


def _rotary_case(length, batch, heads, kv_heads, size, rotary):
    width = (heads + 2 * kv_heads) * size

    def make():
        qkv = random_like_training((length, batch, width), torch.bfloat16).requires_grad_()
        cosine, sine = rotary_tables(length, size)

        def forward():
            q, k, v = qkv.split([heads * size, kv_heads * size, kv_heads * size], -1)
            q = q.view(length, batch, heads, size).permute(1, 2, 0, 3)
            k = k.view(length, batch, kv_heads, size).permute(1, 2, 0, 3)
            v = v.view(length, batch, kv_heads, size).permute(1, 2, 0, 3)
            if rotary:
                q = q * cosine + rotate_half(q) * sine
                k = k * cosine + rotate_half(k) * sine
            return q, k, v

        elements = length * batch * width
        return _autograd_phases(forward, (qkv,), _random_like, elements, 0, 0)

    name = "qkv_split_rotary" if rotary else "qkv_split"
    parameters = dict(length=length, batch=batch, heads=heads, kv_heads=kv_heads, head_size=size)
    return Case(name, "bf16", parameters, make, cold=False)


def gated_cases():
    """SiLU gate: silu(a) * b where a and b are halves of one product's output."""
    if DRY_RUN:
        sizes = [(8, 16)]
    else:
        widths = (2048, 5504, 8192, 11008, 14336)
        sizes = [(t, w) for t in (512, 2048, 4096, 8192, 16384, 65536) for w in widths]
    for tokens, width in sizes:
        yield _gated_case(tokens, width)


def _gated_case(tokens, width):
    def make():
        x = random_like_training((tokens, 1, 2 * width), torch.bfloat16).requires_grad_()

        def forward():
            a, b = x.chunk(2, -1)
            return F.silu(a) * b

        n = tokens * width
        return _autograd_phases(forward, (x,), _random_like, n, 2 * 5 * n, 0)

    return Case("gated_silu", "bf16", dict(tokens=tokens, width=width), make, cold=False)


def norm_cases():
    hidden = (768, 1024, 1280, 1600, 2048, 2560, 3072, 4096, 5120, 8192)
    tokens = (1024, 2048, 4096, 8192, 16384, 32768, 65536)
    if DRY_RUN:
        hidden, tokens = (16,), (8,)
    for h in hidden:
        for t in tokens:
            for kind in ("layer_norm", "rms_norm"):
                for dtype in ("bf16", "fp32"):
                    if h * t <= 1 << 28:
                        yield _norm_case(kind, dtype, t, h)


def _norm_case(kind, dtype_name, tokens, hidden):
    dtype = DTYPES[dtype_name]

    def make():
        x = random_like_training((tokens, 1, hidden), dtype).requires_grad_()
        weight = random_like_training((hidden,), dtype).requires_grad_()
        bias = random_like_training((hidden,), dtype).requires_grad_()
        if kind == "layer_norm":
            inputs = (x, weight, bias)
            forward = lambda: F.layer_norm(x, (hidden,), weight, bias)  # noqa: E731
        else:
            inputs = (x, weight)
            forward = lambda: F.rms_norm(x, (hidden,), weight)  # noqa: E731
        size = tokens * hidden * itemsize(dtype)
        return _autograd_phases(forward, inputs, _random_like, tokens * hidden, 2 * size, 3 * size)

    return Case(kind, dtype_name, dict(tokens=tokens, hidden=hidden), make, cold=False, reps=5)


def transpose_cases():
    """The layout change after the embedding."""
    shapes = [(2048, 1, 768), (4096, 2, 3072), (8192, 4, 4096)] if not DRY_RUN else [(4, 2, 8)]
    for length, batch, hidden in shapes:
        yield _transpose_case(length, batch, hidden)


def _transpose_case(length, batch, hidden):
    """[batch, sequence, hidden] to [sequence, batch, hidden], contiguous, and back."""

    def make():
        x = random_like_training((batch, length, hidden), torch.bfloat16).requires_grad_()
        n = length * batch * hidden
        forward = lambda: x.transpose(0, 1).contiguous()  # noqa: E731
        return _autograd_phases(forward, (x,), _random_like, n, 4 * n, 4 * n)

    return Case("transpose", "bf16", dict(length=length, batch=batch, hidden=hidden), make)


def embedding_cases():
    combos = [
        (v, t, h, d)
        for v, h in ((32000, 4096), (50304, 768), (50304, 1600), (128256, 2048), (128256, 3072))
        for t in (1024, 4096, 8192, 16384)
        for d in ("bf16", "fp32")
    ]
    if DRY_RUN:
        combos = [(64, 16, 8, "fp32")]
    for vocabulary, tokens, hidden, dtype in combos:
        yield _embedding_case(vocabulary, tokens, hidden, dtype)
    for length, hidden in () if DRY_RUN else ((1024, 768), (1024, 1600), (2048, 2048)):
        yield _embedding_case(length, length, hidden, "bf16", positions=True)
        yield _embedding_case(length, length, hidden, "fp32", positions=True)


def _embedding_case(vocabulary, tokens, hidden, dtype_name, positions=False):
    dtype = DTYPES[dtype_name]

    def make():
        weight = random_like_training((vocabulary, hidden), dtype).requires_grad_()
        if positions:
            ids = torch.arange(tokens, device=device())
        else:
            ids = torch.randint(0, vocabulary, (1, tokens), device=device())
        n = tokens * hidden
        forward = lambda: F.embedding(ids, weight)  # noqa: E731
        size = itemsize(dtype)
        return _autograd_phases(forward, (weight,), _random_like, n, 2 * n * size,
                                n * size + vocabulary * hidden * size)  # fmt: skip

    name = "position_embedding" if positions else "embedding"
    parameters = dict(vocabulary=vocabulary, tokens=tokens, hidden=hidden)
    return Case(name, dtype_name, parameters, make)


def loss_cases():
    """Cross-entropy over fp32 logits: cast, log-softmax, nll; backward ends in the cast back."""
    combos = [(v, t) for v in (32000, 50304, 128256) for t in (1024, 2048, 4096, 8192, 16384)]
    if DRY_RUN:
        combos = [(64, 8)]
    for vocabulary, tokens in combos:
        for dtype in ("bf16", "fp32"):
            yield _loss_case(vocabulary, tokens, dtype)


def _loss_case(vocabulary, tokens, dtype_name):
    def make():
        logits = random_like_training((tokens, 1, vocabulary), DTYPES[dtype_name]).requires_grad_()
        targets = torch.randint(0, vocabulary, (1, tokens), device=device())

        def forward():
            flat = logits.float().view(-1, vocabulary)
            return F.cross_entropy(flat, targets.t().reshape(-1)) / 4

        ones = lambda outputs: [torch.ones_like(t) for t in outputs]  # noqa: E731
        n = tokens * vocabulary
        return _autograd_phases(forward, (logits,), ones, n, 0, 0)

    parameters = dict(tokens=tokens, vocabulary=vocabulary)
    return Case("cross_entropy", dtype_name, parameters, make, cold=False, reps=4)


def reduction_cases():
    """Sum over rows: the gradient of a bias."""
    widths = (768, 1600, 2304, 3072, 4096, 6144, 8192, 12288, 16384)
    combos = [(t, w) for t in (1024, 4096, 16384) for w in widths]
    if DRY_RUN:
        combos = [(8, 16)]
    for tokens, width in combos:
        for dtype in ("bf16", "fp32"):
            yield _reduction_case(tokens, width, dtype)


def _reduction_case(tokens, width, dtype_name):
    dtype = DTYPES[dtype_name]

    def make():
        g = random_like_training((tokens, width), dtype)
        n = tokens * width
        return [Phase("backward", lambda: g.sum(0, keepdim=True), n, n * itemsize(dtype))]

    return Case("bias_gradient", dtype_name, dict(tokens=tokens, width=width), make, cold=False)
