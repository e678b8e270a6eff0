"""What writing a weight's gradient into what is there costs: gemm_accumulate.csv.

usage: gemm_accumulate.py OUT_DIRECTORY

out[n, k] = dy[m, n]^T x[m, k] of bf16 operands: `bf16` and `fp32` write the result, `..._accumulate`
add it to what is there (beta = 1), as Megatron's fused gradient accumulation does; `add_to_fp32` is a
bf16 result added by a kernel of its own. Median of events, the L2 cache evicted before each.
"""

import os
import sys

import torch

from common import DRY_RUN, Table, device, events_us

PAIRS = [(2048, 2048), (4096, 4096), (12288, 4096), (4096, 11008), (22016, 4096), (8192, 2048),
         (6144, 6144), (18432, 6144), (24576, 6144), (6144, 24576), (20480, 5120), (5120, 20480)]  # fmt: skip


def kinds(dy, x, n, k):
    b16, b32 = (torch.zeros(n, k, device=device(), dtype=t) for t in (torch.bfloat16, torch.float32))
    dyt = dy.t()
    return {
        "bf16": lambda: torch.mm(dyt, x, out=b16),
        "bf16_accumulate": lambda: b16.addmm_(dyt, x),
        "fp32": lambda: torch.mm(dyt, x, out_dtype=torch.float32, out=b32),
        "fp32_accumulate": lambda: torch.addmm(b32, dyt, x, out_dtype=torch.float32, out=b32),
        "add_to_fp32": lambda: b32.add_(torch.mm(dyt, x)),
    }


def main():
    table = Table(os.path.join(sys.argv[1], "gemm_accumulate.csv"), ["m", "n", "k", "kind", "median_us"])
    if DRY_RUN:
        return
    flush = torch.empty(256 << 20, dtype=torch.int8, device=device())
    for m in (1024, 2048, 4096, 8192):
        for n, k in PAIRS:
            dy = torch.randn(m, n, device=device(), dtype=torch.bfloat16)
            x = torch.randn(m, k, device=device(), dtype=torch.bfloat16)
            for kind, run in kinds(dy, x, n, k).items():
                table.row(m=m, n=n, k=k, kind=kind, median_us=events_us(run, flush.zero_))
    table.close()


if __name__ == "__main__":
    main()
