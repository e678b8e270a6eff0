"""Device time of the memory-bound kernels of eager training: kernels.csv.

usage: kernels.py OUT_DIRECTORY [--budget SECONDS]
"""

import argparse
import itertools
import os
import random

import cases_elementwise
import cases_model
import cases_optimizer
from kernel_trace import Recorder


def interleave(groups):
    """One case of each group in turn, so that a run that is cut off has some of everything."""
    for row in itertools.zip_longest(*groups):
        yield from (case for case in row if case is not None)


def all_cases():
    groups = [
        cases_elementwise.elementwise_cases(),
        cases_model.rotary_cases(),
        cases_model.gated_cases(),
        cases_model.norm_cases(),
        cases_model.loss_cases(),
        cases_model.embedding_cases(),
        cases_model.reduction_cases(),
        cases_model.transpose_cases(),
        cases_optimizer.optimizer_cases(),
        cases_optimizer.fsdp_cases(),
        cases_optimizer.foreach_cases(),
    ]
    shuffler = random.Random(1)
    shuffled = []
    for group in groups:
        cases = list(group)
        shuffler.shuffle(cases)
        shuffled.append(cases)
    return list(interleave(shuffled))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    parser.add_argument("--budget", type=float, default=240)
    arguments = parser.parse_args()
    recorder = Recorder(os.path.join(arguments.out, "kernels.csv"), arguments.budget)
    cases = all_cases()
    done = recorder.run(cases)
    spent = recorder.budget.spent()
    print(f"kernels: {done} of {len(cases)} cases, {len(recorder.errors)} failed, {spent:.0f} s")


if __name__ == "__main__":
    main()
