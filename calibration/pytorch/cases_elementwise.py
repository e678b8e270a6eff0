"""Elementwise kernels over contiguous tensors, by size: the classes that eager PyTorch runs."""

import torch
import torch.nn.functional as F

from common import DRY_RUN, DTYPES, MIB, device, itemsize, random_like_training
from kernel_trace import Case, Phase

SIZES = [MIB >> 4, MIB >> 2, MIB, 4 * MIB, 8 * MIB, 16 * MIB, 32 * MIB, 64 * MIB, 128 * MIB,
         256 * MIB, 512 * MIB, 1024 * MIB, 2048 * MIB]  # fmt: skip
HOT_LIMIT = 64 * MIB  # larger tensors are never in the L2 cache


def _bytes(*tensors):
    return sum(t.numel() * t.element_size() for t in tensors)


def _unary(function):
    def make(n, dtype):
        a = random_like_training((n,), dtype)
        out = function(a)
        return lambda: function(a), _bytes(a, out)

    return make


def _binary(function):
    def make(n, dtype):
        a, b = random_like_training((n,), dtype), random_like_training((n,), dtype)
        return lambda: function(a, b), _bytes(a, b, a)

    return make


def _in_place(function):
    def make(n, dtype):
        a, b = random_like_training((n,), dtype), random_like_training((n,), dtype)
        return lambda: function(a, b), _bytes(a, b, a)

    return make


def _fill(n, dtype):
    return lambda: torch.zeros(n, dtype=dtype, device=device()), n * itemsize(dtype)


def _zero_in_place(n, dtype):
    a = torch.empty(n, dtype=dtype, device=device())
    return lambda: a.zero_(), _bytes(a)


def _copy_in_place(n, dtype):
    a, b = torch.empty(n, dtype=dtype, device=device()), random_like_training((n,), dtype)
    return lambda: a.copy_(b), _bytes(a, b)


def _mixed_add(n, dtype):
    """fp32 + bf16 -> fp32: the residual under autocast."""
    a, b = random_like_training((n,), torch.float32), random_like_training((n,), dtype)
    return lambda: a + b, _bytes(a, b, a)


def _mixed_accumulate(n, dtype):
    """fp32 += bf16: accumulation into fp32 main gradients."""
    a, b = random_like_training((n,), torch.float32), random_like_training((n,), dtype)
    return lambda: a.add_(b), _bytes(a, b, a)


def _mixed_copy(n, dtype):
    """bf16 into fp32 in place, as a gradient goes into an fp32 buffer."""
    a, b = torch.empty(n, device=device()), random_like_training((n,), dtype)
    return lambda: a.copy_(b), _bytes(a, b)


def _scale_into(n, dtype):
    """DDP's copy of a gradient into its bucket, divided by the number of ranks."""
    a, b = torch.empty(n, dtype=dtype, device=device()), random_like_training((n,), dtype)
    return lambda: torch.mul(b, 0.5, out=a), _bytes(a, b)


# name, dtypes, maker: maker(elements, dtype) -> (callable, least bytes)
OPERATORS = [
    ("add", ("bf16", "fp32"), _binary(torch.add)),
    ("mul", ("bf16", "fp32"), _binary(torch.mul)),
    ("cast_to_fp32", ("bf16",), _unary(lambda a: a.float())),
    ("cast_to_bf16", ("fp32",), _unary(lambda a: a.bfloat16())),
    ("fill", ("bf16", "fp32"), _fill),
    ("copy", ("bf16", "fp32"), _copy_in_place),
    ("add_in_place", ("bf16", "fp32"), _in_place(lambda a, b: a.add_(b))),
    ("scale_in_place", ("bf16", "fp32"), _in_place(lambda a, b: a.div_(1.5))),
    ("mixed_add", ("bf16",), _mixed_add),
    ("gelu", ("bf16", "fp32"), _unary(lambda a: F.gelu(a, approximate="tanh"))),
    ("silu", ("bf16", "fp32"), _unary(F.silu)),
    ("scale_into", ("bf16", "fp32"), _scale_into),
    ("mixed_copy", ("bf16",), _mixed_copy),
    ("mixed_accumulate", ("bf16",), _mixed_accumulate),
    ("neg", ("bf16",), _unary(torch.neg)),
    ("zero_in_place", ("bf16", "fp32"), _zero_in_place),
]


def elementwise_cases():
    sizes = [4096] if DRY_RUN else SIZES
    for name, dtypes, maker in OPERATORS:
        for dtype_name in dtypes:
            for size in sizes:
                for cold in (True, False):
                    if not cold and size > HOT_LIMIT:
                        continue
                    yield _case(name, dtype_name, maker, size, cold)
    for dtype_name in ("bf16", "fp32"):
        for size in sizes:
            yield _gelu_backward(dtype_name, size)


def _case(name, dtype_name, maker, size, cold):
    dtype = DTYPES[dtype_name]
    # scale_in_place touches one tensor only; the second operand of the maker is not read
    elements = size // itemsize(dtype)

    def make():
        run, count = maker(elements, dtype)
        if name == "scale_in_place":
            count = 2 * elements * itemsize(dtype)
        return [Phase("forward", run, elements, count)]

    return Case(name, dtype_name, {"tensor_bytes": size}, make, cold=cold)


def _gelu_backward(dtype_name, size):
    dtype = DTYPES[dtype_name]
    elements = size // itemsize(dtype)

    def make():
        x = random_like_training((elements,), dtype).requires_grad_()
        g = random_like_training((elements,), dtype)
        y = F.gelu(x, approximate="tanh")
        return [
            Phase("backward", lambda: torch.autograd.grad(y, x, g, retain_graph=True), elements,
                  3 * elements * itemsize(dtype))
        ]  # fmt: skip

    return Case("gelu", dtype_name, {"tensor_bytes": size}, make)
