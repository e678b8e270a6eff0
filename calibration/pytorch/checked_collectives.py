#!/usr/bin/env python3
"""What torch.distributed's debug mode DETAIL adds to a collective on the host, and its parts.

    python3 calibration/pytorch/checked_collectives.py OUT.jsonl            # the parts; two cores
    python3 calibration/pytorch/checked_collectives.py OUT.jsonl 2 4 8 16   # whole checks of so many ranks; a core each and some more

ProcessGroupWrapper::runCollectiveChecks of PyTorch (torch/csrc/distributed/c10d/ProcessGroupWrapper.cpp) compares before every
collective, over gloo, what the ranks are about to run: a monitored barrier, in which rank 0 hears from every other and then
answers each, and two gathers of n - 1 rounds around the ring. Messages of pairs are not checked. So a check of n ranks takes

    barrier + 2 gather(1) + 2 (gather(2) - gather(1)) + (n - 2) (2 (gather(2) - gather(1)) + heard + answered)

Needs no GPU: processes on loopback. `checked` is the whole, which the parts should give.
"""
import json
import os
import sys
import time

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

TIMES, ROUNDS = 50, 40


def least(times):
    return sorted(times)[len(times) // 10]  # other work only adds


def timed(call):
    times = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        for _ in range(TIMES):
            call()
        times.append((time.perf_counter() - begin) / TIMES * 1e6)
    return least(times[2:])


def messages(rank):
    """Rank 0's time to answer one more rank, and to hear what one more rank has sent already."""
    x, answered, heard = torch.zeros(1), [], []
    for _ in range(ROUNDS):
        dist.barrier()
        begin = time.perf_counter()
        for _ in range(TIMES):
            dist.send(x, 1) if rank == 0 else dist.recv(x, 0)
        answered.append((time.perf_counter() - begin) / TIMES * 1e6)
        dist.barrier()
        if rank == 1:
            sent = [dist.isend(x, 0) for _ in range(TIMES)]
        else:
            time.sleep(0.02)
        begin = time.perf_counter()
        if rank == 0:
            for _ in range(TIMES):
                dist.recv(x, 1)
        else:
            for s in sent:
                s.wait()
        heard.append((time.perf_counter() - begin) / TIMES * 1e6)
    return least(answered[2:]), least(heard[2:])


def rank_main(rank, ranks, port, detail, out):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), GLOO_SOCKET_IFNAME="lo",
                      TORCH_DISTRIBUTED_DEBUG="DETAIL" if detail else "OFF")
    torch.set_num_threads(1)
    try:  # other work of a shared machine is not to be measured
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        pass
    dist.set_debug_level_from_env()
    dist.init_process_group("gloo", rank=rank, world_size=ranks)
    x = torch.zeros(8, dtype=torch.long)
    gathered = [torch.zeros_like(x) for _ in range(ranks)]
    found = {"gather_us": timed(lambda: dist.all_gather(gathered, x))}
    if ranks == 2 and not detail:
        found["barrier_us"] = timed(lambda: dist.monitored_barrier(wait_all_ranks=True))
        found["answered_us"], found["heard_us"] = messages(rank)
    if rank == 0:
        out.put(found)
    dist.destroy_process_group()


def measure(ranks, port, detail):
    context = mp.get_context("spawn")
    out = context.SimpleQueue()
    started = [context.Process(target=rank_main, args=(r, ranks, port, detail, out)) for r in range(ranks)]
    for p in started:
        p.start()
    for p in started:
        p.join()
    return out.get()


def whole(ranks, port):
    """What checks add to a gather of so many ranks."""
    plain, checked = measure(ranks, port, False), measure(ranks, port + 1, True)
    return {"what": "whole check", "torch": torch.__version__, "cores": os.cpu_count(), "ranks": ranks,
            "gather_us": plain["gather_us"], "check_us": checked["gather_us"] - plain["gather_us"]}


def parts():
    one, two, checked = measure(1, 29600, False), measure(2, 29601, False), measure(2, 29602, True)
    of_round = two["gather_us"] - one["gather_us"]
    return {"what": "check", "torch": torch.__version__, "gather_1_us": one["gather_us"], "gather_2_us": two["gather_us"],
           "barrier_2_us": two["barrier_us"], "answered_us": two["answered_us"], "heard_us": two["heard_us"],
            "checked_2_us": checked["gather_us"] - two["gather_us"],
            "by_parts_2_us": two["barrier_us"] + 2 * two["gather_us"],
            "per_further_rank_us": 2 * of_round + two["answered_us"] + two["heard_us"]}


def main():
    ranks = [int(n) for n in sys.argv[2:]]
    found = [whole(n, 29610 + 2 * i) for i, n in enumerate(ranks)] if ranks else [parts()]
    with open(sys.argv[1], "a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in found)


if __name__ == "__main__":
    main()
