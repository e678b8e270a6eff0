"""What a launch takes when the queue to the GPU is full: launch_queue.csv.

usage: launch_queue.py OUT_DIRECTORY

Kernels of a known length behind one that holds the GPU: `depth` is how many launches return before one
waits. `full`: many more kernels than the queue holds, the host's time from one launch to the next once it
is full and the GPU's time a kernel; `free`: fewer than it holds. The difference of the GPU's times is
what a full queue costs.
"""

import argparse
import os
import time

import torch

from common import Table, device, median, quantile, synchronize

CYCLES_A_MICROSECOND = 1980


def issue(number, cycles):
    """Host times of launches in a row behind a kernel of 30 ms, and the GPU's time for all of them."""
    a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    synchronize()
    torch.cuda._sleep(30_000 * CYCLES_A_MICROSECOND)
    a.record()
    times, last = [], time.perf_counter()
    for _ in range(number):
        torch.cuda._sleep(cycles)
        now = time.perf_counter()
        times.append((now - last) * 1e6)
        last = now
    b.record()
    synchronize()
    return times, a.elapsed_time(b) * 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out")
    arguments = parser.parse_args()
    torch.cuda.set_device(device())
    table = Table(os.path.join(arguments.out, "launch_queue.csv"),
                  ["kernel_us", "mode", "launches", "depth", "host_median_us", "host_p90_us", "host_most_us",
                   "host_mean_us", "gpu_us"])  # fmt: skip
    issue(100, 2000)
    for us in (5, 10, 20, 50):
        for mode, number in (("free", 700), ("full", 6000)) * 3:
            times, gpu = issue(number, us * CYCLES_A_MICROSECOND)
            depth = next((i for i, t in enumerate(times) if t > 3000), -1)
            rest = times[depth + 1:] if depth >= 0 else times
            table.row(kernel_us=us, mode=mode, launches=number, depth=depth, host_median_us=median(rest),
                      host_p90_us=quantile(rest, 0.9), host_most_us=max(rest),
                      host_mean_us=sum(rest) / len(rest), gpu_us=gpu / number)  # fmt: skip
            table.flush()
    table.close()


if __name__ == "__main__":
    main()
