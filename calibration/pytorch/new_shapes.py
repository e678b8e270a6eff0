"""What a product's call costs the host where its shape is new to the process: new_shapes.csv.

usage: new_shapes.py OUT_DIRECTORY

Products of one shape again and again (same), of shapes that the process has not had (new), and of those
once more (seen). The matrix library chooses a kernel for a new shape, and remembers which.
"""

import argparse
import os
import time

import torch

from common import DRY_RUN, Table, device, quantile, random_like_training, synchronize

SIZES = [(256, 1024), (1024, 2048), (2048, 16384)]  # inputs, outputs
ROUNDS, CALLS = (2, 2) if DRY_RUN else (24, 20)


def products(inputs, outputs):
    bf16 = torch.bfloat16
    weight, x = random_like_training((outputs, inputs), bf16), random_like_training((1024, inputs), bf16)
    grad = random_like_training((1024, outputs), bf16)
    return {
        "forward": lambda rows: torch.mm(x[:rows], weight.t()),
        "dgrad": lambda rows: torch.mm(grad[:rows], weight),
        "wgrad": lambda rows: torch.mm(grad[:rows].t(), x[:rows]),
    }


def timed(product, rows):
    times = []
    for n in rows:
        began = time.perf_counter()
        product(n)
        times.append((time.perf_counter() - began) * 1e6)
    synchronize()
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out")
    table = Table(os.path.join(parser.parse_args().out, "new_shapes.csv"),
                  ["product", "inputs", "outputs", "shapes", "p10_us", "p25_us", "median_us", "p75_us"])  # fmt: skip
    for inputs, outputs in SIZES:
        for name, product in products(inputs, outputs).items():
            timed(product, [256] * 20)
            times = {"same": [], "new": [], "seen": []}
            for r in range(ROUNDS):
                fresh = range(300 + r * CALLS, 300 + (r + 1) * CALLS)
                times["same"] += timed(product, [256] * CALLS)
                times["new"] += timed(product, fresh)
                times["seen"] += timed(product, fresh)
            for shapes, t in times.items():
                table.row(product=name, inputs=inputs, outputs=outputs, shapes=shapes, p10_us=quantile(t, 0.1),
                          p25_us=quantile(t, 0.25), median_us=quantile(t, 0.5), p75_us=quantile(t, 0.75))  # fmt: skip
    table.close()


if __name__ == "__main__":
    main()
