"""How fast processors are, and how it changes: host_states.csv.

usage: host_states.py OUT_DIRECTORY [--seconds S]

1, 2, 4, ... processes do a fixed amount of Python over and over (3 ms or so each time). `spins`: without
a pause; `hands over`: two threads of each process take turns, as backward's thread and the main one do. A
row is a process: quantiles of a piece of work, the share of pieces that took over 1.4 times the fastest
tenth of all, and how often it went from fast to slow.
"""

import argparse
import multiprocessing
import os
import queue
import threading
import time

from common import Table, quantile

SLOW = 1.4


def piece():
    began, total = time.perf_counter(), 0
    for i in range(100_000):
        total += i
    return (time.perf_counter() - began) * 1e6


def spins(seconds):
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        times.append(piece())
    return times


def hands_over(seconds):
    there, back = queue.SimpleQueue(), queue.SimpleQueue()

    def other():
        while there.get():
            back.put(piece())

    thread = threading.Thread(target=other)
    thread.start()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        there.put(True)
        times += [back.get(), piece()]
    there.put(False)
    thread.join()
    return times


WAYS = {"spins": spins, "hands over": hands_over}


def work(way, seconds, start, results):
    start.wait()
    results.put(WAYS[way](seconds))


def together(way, number, seconds):
    start, results = multiprocessing.Barrier(number), multiprocessing.Queue()
    processes = [multiprocessing.Process(target=work, args=(way, seconds, start, results))
                 for _ in range(number)]  # fmt: skip
    for p in processes:
        p.start()
    times = [results.get() for _ in processes]
    for p in processes:
        p.join()
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--seconds", type=float, default=2)
    arguments = parser.parse_args()
    processors = len(os.sched_getaffinity(0))
    counts = [n for n in (1, 2, 4, 8, 16, 32) if n <= processors]
    measured = [(way, n, t) for repeat in range(2) for n in counts for way in WAYS
                for t in together(way, n, arguments.seconds)]  # fmt: skip
    fast = quantile([x for _, _, t in measured for x in t], 0.1)
    table = Table(os.path.join(arguments.out, "host_states.csv"),
                  ["way", "processes", "pieces", "p10_us", "median_us", "p90_us", "mean_us", "slow_share",
                   "turns_slow"])  # fmt: skip
    for way, number, t in measured:
        slow = [x > SLOW * fast for x in t]
        turns = sum(b and not a for a, b in zip(slow, slow[1:]))
        table.row(way=way, processes=number, pieces=len(t), p10_us=quantile(t, 0.1),
                  median_us=quantile(t, 0.5), p90_us=quantile(t, 0.9), mean_us=sum(t) / len(t),
                  slow_share=sum(slow) / len(slow), turns_slow=turns)  # fmt: skip
    table.close()


if __name__ == "__main__":
    main()
