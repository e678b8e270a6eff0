"""Causal attention, forward and backward, as the measured program calls it: attention.csv.

usage: attention.py OUT_DIRECTORY [--budget SECONDS]

scaled_dot_product_attention chooses its backend (cuDNN's flash attention on H200); inputs are
[B, H, S, D] views of [S, B, H, D] tensors: `fused`, slices of one qkv (GPT), or `rotary`, dense q and k
and a slice for v (Llama).
"""

import argparse
import os
import random
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from common import DRY_RUN, DTYPES, itemsize, random_like_training
from kernel_trace import Case, Phase, Recorder

HEADS = [  # heads, kv heads, head size
    (12, 12, 64), (16, 16, 64), (20, 20, 64), (25, 25, 64), (32, 32, 64), (32, 8, 64), (16, 4, 64),
    (16, 16, 128), (24, 24, 128), (24, 8, 128), (12, 4, 128), (32, 32, 128), (32, 8, 128),
    (16, 4, 128), (8, 2, 128), (8, 8, 128), (40, 40, 128), (64, 8, 128), (28, 4, 128),
    (32, 32, 80), (20, 20, 80), (16, 16, 96), (32, 32, 96), (8, 8, 64), (6, 6, 64),
]  # fmt: skip
LENGTHS = (512, 1024, 2048, 4096, 8192, 16384)
BATCHES = (1, 2, 4, 8, 16)


def shapes():
    result = []
    for heads, kv_heads, size in HEADS:
        for length in LENGTHS:
            for batch in BATCHES:
                flops = 2.0 * batch * heads * length * length * size  # causal forward
                if batch * length <= 32768 and flops <= 3e12:
                    result.append((batch, heads, kv_heads, length, size))
    random.Random(4).shuffle(result)
    # micro-batches of the usual number of tokens first
    return sorted(result, key=lambda s: not 2048 <= s[0] * s[3] <= 16384)


def fp32_shapes():
    for heads, kv_heads, size in ((12, 12, 64), (16, 16, 64), (25, 25, 64), (32, 8, 64), (16, 16, 128),
                                  (24, 8, 128), (32, 32, 128), (32, 32, 80)):  # fmt: skip
        for batch, length in ((1, 1024), (4, 1024), (8, 1024), (2, 2048), (4, 2048), (1, 4096), (2, 4096)):
            yield batch, heads, kv_heads, length, size


def fp32_cases():
    """In fp32 flash attention is not to be had: what PyTorch falls back to, with and without TF32."""
    for shape in fp32_shapes():
        layout = "fused" if shape[1] == shape[2] else "rotary"
        yield _case(shape, layout, "fp32")


def attention_cases():
    if DRY_RUN:
        yield _case((2, 4, 2, 16, 8), "rotary", "fp32")
        yield _case((2, 4, 4, 16, 8), "fused", "fp32")
        return
    for shape in shapes():
        yield _case(shape, "fused" if shape[1] == shape[2] else "rotary", "bf16")
    for shape in ((4, 16, 16, 2048, 64), (2, 32, 32, 4096, 128)):
        yield _case(shape, "rotary", "bf16")
        yield _case(shape, "fused", "fp16")


def _case(shape, layout, dtype_name):
    batch, heads, kv_heads, length, size = shape
    dtype = DTYPES[dtype_name]

    def make():
        width = (heads + 2 * kv_heads) * size
        qkv = random_like_training((length, batch, width), dtype)
        q, k, v = qkv.split([heads * size, kv_heads * size, kv_heads * size], -1)
        q = q.view(length, batch, heads, size).permute(1, 2, 0, 3)
        k = k.view(length, batch, kv_heads, size).permute(1, 2, 0, 3)
        v = v.view(length, batch, kv_heads, size).permute(1, 2, 0, 3)
        if layout == "rotary":  # elementwise results are dense and keep the permuted order
            q, k = q * 1.0, k * 1.0
        inputs = tuple(t.detach().requires_grad_() for t in (q, k, v))
        gradient = random_like_training((length, batch, heads * size), dtype)
        held = {}

        def forward():
            o = F.scaled_dot_product_attention(
                *inputs, is_causal=True, enable_gqa=kv_heads != heads
            )
            held["out"] = o.permute(2, 0, 1, 3).reshape(length, batch, heads * size)

        def backward():
            torch.autograd.grad(held.pop("out"), inputs, gradient)

        query, both = batch * length * heads * size, 2 * batch * length * kv_heads * size
        bytes_forward = (2 * query + both) * itemsize(dtype)
        return [
            Phase("forward", forward, query, bytes_forward),
            Phase("backward", backward, query, 2 * bytes_forward + query * itemsize(dtype)),
        ]

    parameters = dict(batch=batch, heads=heads, kv_heads=kv_heads, length=length, head_size=size,
                      layout=layout)  # fmt: skip
    return Case("attention", dtype_name, parameters, make, cold=False, reps=4)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    parser.add_argument("--budget", type=float, default=100)
    parser.add_argument("--fp32", action="store_true", help="fp32 only, attention_fp32.csv")
    parser.add_argument("--tf32", action="store_true", help="with --fp32: TF32 products allowed")
    parser.add_argument("--flash", action="store_true", help="FlashAttention 2, attention_flash.csv")
    arguments = parser.parse_args()
    name = "attention"
    if arguments.fp32:
        torch.backends.cuda.matmul.allow_tf32 = arguments.tf32
        name += "_tf32" if arguments.tf32 else "_fp32"
    if arguments.flash:
        name += "_flash"
    recorder = Recorder(os.path.join(arguments.out, name + ".csv"), arguments.budget, rest=0.3)
    cases = list(fp32_cases() if arguments.fp32 else attention_cases())
    with sdpa_kernel([SDPBackend.FLASH_ATTENTION]) if arguments.flash else nullcontext():
        done = recorder.run(cases)
    spent = recorder.budget.spent()
    print(f"attention: {done} of {len(cases)}, {len(recorder.errors)} failed, {spent:.0f} s")


if __name__ == "__main__":
    main()
