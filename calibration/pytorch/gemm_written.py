"""Matrix products whose operand the kernel before has just written, as training's, beside operands in
memory: gemm_written.csv.

usage: gemm_written.py OUT_DIRECTORY [--budget SECONDS]

Columns as gemm.csv. `forward`, `dgrad`, `wgrad`: the L2 cache was evicted before. `…_written`: then a
kernel (the call's first) wrote the operand that training would have written: x of forward, dy of the
others. Their products alone are in gemm.csv, with cache `written`.
"""

import argparse
import os

import torch
import torch.nn.functional as F

from common import random_like_training
from kernel_trace import Case, Phase, Recorder

PAIRS = [  # n, k
    (2304, 768), (768, 768), (3072, 768), (768, 3072), (3072, 1024), (1024, 1024), (4096, 1024),
    (1024, 4096), (4800, 1600), (1600, 1600), (6400, 1600), (1600, 6400), (6144, 2048), (2048, 2048),
    (16384, 2048), (2048, 8192), (12288, 4096), (4096, 4096), (22016, 4096), (4096, 11008),
]  # fmt: skip


def case(m, n, k):
    def make():
        b16 = torch.bfloat16
        x, dy = random_like_training((m, k), b16), random_like_training((m, n), b16)
        w = random_like_training((n, k), b16, 0.02)
        calls = {
            "forward": (x, lambda: F.linear(x, w)),
            "dgrad": (dy, lambda: dy @ w),
            "wgrad": (dy, lambda: dy.t() @ x),
        }

        def after_writing(operand, call):
            def run():
                operand.mul_(1.0)
                return call()

            return run

        phases = []
        for direction, (operand, call) in calls.items():
            phases.append(Phase(direction, call))
            phases.append(Phase(direction + "_written", after_writing(operand, call)))
        return phases

    return Case("linear", "bf16", dict(m=m, n=n, k=k), make, cold=True, reps=4)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    parser.add_argument("--budget", type=float, default=15)
    arguments = parser.parse_args()
    path = os.path.join(arguments.out, "gemm_written.csv")
    recorder = Recorder(path, arguments.budget, batch_cases=10, rest=1.0)
    done = recorder.run(case(m, n, k) for m in (8192, 4096, 16384, 2048) for n, k in PAIRS)
    print(f"gemm_written: {done} cases", flush=True)


if __name__ == "__main__":
    main()
