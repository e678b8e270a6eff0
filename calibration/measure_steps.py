#!/usr/bin/env python3
"""Measures real training steps of the scenarios or tasks given, in eager PyTorch.

usage: measure_steps.py FILE [FILE...] --out STEPS.jsonl [--shard K/N]          one-GPU tasks
       torchrun --nproc-per-node N measure_steps.py FILE... --out STEPS.jsonl   tasks of N GPUs

A FILE is a scenario (.yaml, or the same as .json) or a list of tasks (.json, .jsonl) in the form of the
measured tables. Each task appends one line to STEPS.jsonl. A task whose name is in it already is left
out, so that the same command goes on where it was cut off; a task that broke the job is left out too.
"""

import argparse
import json
import os
import sys
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "pytorch"))

import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402

import group  # noqa: E402
import measure  # noqa: E402
import scenarios  # noqa: E402
from common import DRY_RUN, Budget, device  # noqa: E402


def names_done(path):
    """Names in the output and of tasks begun but never ended (they broke the job)."""
    done = set()
    for name in (path, path + ".begun"):
        if os.path.exists(name):
            with open(name, encoding="utf-8") as file:
                done.update(json.loads(line)["name"] for line in file if line.strip())
    return done


def append(path, value):
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(value) + "\n")


def selected(arguments, world):
    tasks = [t for path in arguments.files for t in scenarios.load_tasks(path)]
    if world == 1:
        tasks = [t for t in tasks if t["plan"]["kind"] == "single"]
        part, parts = map(int, arguments.shard.split("/"))
        tasks = tasks[part::parts]
    else:
        tasks = [t for t in tasks if t["plan"]["kind"] != "single" and scenarios.gpus(t) == world]
    done = names_done(arguments.out)
    return [t for t in tasks if t["name"] not in done]


def run_one(task, kernels):
    try:
        return measure.measure(task, kernels)
    except Exception as error:  # a benchmark must go on with the next task
        if measure.out_of_memory(error):
            return {"out_of_memory": True}
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {str(error)[:300]}"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--out", required=True)
    parser.add_argument("--shard", default="0/1", help="K/N: every Nth one-GPU task from the Kth")
    parser.add_argument("--budget", type=float, default=500, help="seconds, then no new task begins")
    parser.add_argument("--kernels", action="store_true", help="add the largest kernels of a step")
    arguments = parser.parse_args()
    budget = Budget(arguments.budget)
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    tasks = selected(arguments, world)
    if world > 1:
        group.start(timeout_seconds=90)
    elif not DRY_RUN:
        torch.cuda.set_device(device())
    for task in tasks:
        over = budget.over()
        if group.agree(over) if world > 1 else over:
            if rank == 0:
                print("the budget is spent before", task["name"], flush=True)
            break
        if rank == 0:
            append(arguments.out + ".begun", {"name": task["name"]})
        mine = run_one(task, arguments.kernels)
        if "error" in mine and world > 1:
            if rank == 0:
                print("FAILED", task["name"], mine["error"], flush=True)
            os._exit(3)  # the others may be inside a collective: end the job, start it again
        measure.clean_up()
        everyone = [mine]
        if world > 1:
            everyone = [None] * world
            dist.all_gather_object(everyone, mine)
        if rank == 0:
            row = measure.row(task, world, everyone)
            append(arguments.out, row)
            step = row.get("step_s", [0.0])[0] * 1e3
            note = "out of memory" if row.get("out_of_memory") else row.get("error", "")
            print(f"{budget.spent():6.1f} s  {task['name']:56s} {step:10.2f} ms {note}", flush=True)
    else:
        if rank == 0:
            print("all tasks done", flush=True)
    if world > 1:
        group.leave()


if __name__ == "__main__":
    main()
