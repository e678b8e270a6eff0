"""What dropout and determinism cost causal attention: attention_variants.csv.

usage: attention_variants.py OUT_DIRECTORY

scaled_dot_product_attention through FlashAttention 2 and through cuDNN, forward and backward (median
of several, by events), with and without dropout, and with torch.use_deterministic_algorithms, which
FlashAttention's backward heeds. Inputs are [B, H, S, D] views of [S, B, H, D] tensors.
"""

import os
import sys

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from common import DRY_RUN, Table, device, events_us

SHAPES = [  # batch, heads, kv heads, length, head size
    (1, 32, 8, 8192, 128), (2, 8, 2, 8192, 128), (1, 32, 32, 4096, 128), (4, 8, 8, 2048, 128),
    (4, 16, 16, 1024, 64), (8, 12, 12, 1024, 64), (1, 64, 8, 4096, 128), (1, 16, 16, 16384, 128),
]  # fmt: skip
BACKENDS = {"flash2": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}


def main():
    table = Table(os.path.join(sys.argv[1], "attention_variants.csv"),
                  ["backend", "batch", "heads", "kv_heads", "length", "head_size", "dropout", "deterministic",
                   "direction", "microseconds"])  # fmt: skip
    if DRY_RUN:
        return
    for batch, heads, kv_heads, length, size in SHAPES:
        def tensor(n):
            t = torch.randn(length, batch, n, size, device=device(), dtype=torch.bfloat16)
            return t.permute(1, 2, 0, 3).requires_grad_()

        q, k, v = tensor(heads), tensor(kv_heads), tensor(kv_heads)
        grad = torch.randn_like(q)
        for backend, which in BACKENDS.items():
            for dropout in (0.0, 0.1):
                for deterministic in (False, True):
                    torch.use_deterministic_algorithms(deterministic)
                    torch.utils.deterministic.fill_uninitialized_memory = False

                    def forward():
                        return F.scaled_dot_product_attention(
                            q, k, v, dropout_p=dropout, is_causal=True, enable_gqa=heads != kv_heads)

                    row = dict(backend=backend, batch=batch, heads=heads, kv_heads=kv_heads, length=length,
                               head_size=size, dropout=dropout, deterministic=int(deterministic))  # fmt: skip
                    try:
                        with sdpa_kernel(which):
                            table.row(**row, direction="forward", microseconds=events_us(forward))
                            out = forward()
                            table.row(**row, direction="backward", microseconds=events_us(
                                lambda: torch.autograd.grad(out, (q, k, v), grad, retain_graph=True)))
                    except RuntimeError as error:
                        print(row, str(error).splitlines()[0][:150], flush=True)
    table.close()


if __name__ == "__main__":
    main()
