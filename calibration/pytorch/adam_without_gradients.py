"""Fused AdamW over elements that have never had a gradient: adam_without_gradients.csv.

usage: adam_without_gradients.py OUT_DIRECTORY

Rows of an embedding whose tokens no step has seen have gradients and moments of nothing, of which the update
takes divisions and roots: `share` of a tensor's rows of 2,048 are such, at random, and the others are not.
"""

import argparse
import os

import torch

from common import DTYPES, Table, device, median, synchronize

ROW = 2048
ROWS = 1 << 17
STEPS = 12


def update_times(dtype, share):
    """Microseconds of each update of ROWS x ROW elements."""
    torch.manual_seed(1)
    parameter = torch.nn.Parameter(torch.randn(ROWS, ROW, device=device(), dtype=dtype) * 0.02)
    gradient = torch.randn(ROWS, ROW, device=device(), dtype=dtype) * 1e-3
    gradient[torch.rand(ROWS, device=device()) < share] = 0
    parameter.grad = gradient
    optimizer = torch.optim.AdamW([parameter], lr=1e-4, fused=True)
    times = []
    for _ in range(STEPS):
        a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        synchronize()
        torch.cuda._sleep(4_000_000)  # the host is ahead of the GPU
        a.record()
        optimizer.step()
        b.record()
        synchronize()
        times.append(a.elapsed_time(b) * 1e3)
    return times[2:]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out")
    arguments = parser.parse_args()
    torch.cuda.set_device(device())
    table = Table(os.path.join(arguments.out, "adam_without_gradients.csv"),
                  ["dtype", "elements", "share", "median_us", "min_us", "max_us"])  # fmt: skip
    for dtype in ("bf16", "fp32"):
        for share in (0, 0.25, 0.5, 0.75, 0.9, 1):
            times = update_times(DTYPES[dtype], share)
            table.row(dtype=dtype, elements=ROWS * ROW, share=share, median_us=median(times),
                      min_us=min(times), max_us=max(times))  # fmt: skip
            table.flush()
    table.close()


if __name__ == "__main__":
    main()
