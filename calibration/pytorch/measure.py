"""Measures one task: time of a step, host time, memory, kernels. One row of the measured tables."""

import gc
import time

import torch
import torch.distributed as dist

import parallel
from common import DRY_RUN, free_memory, synchronize

ITERATIONS, WARM_UP = 8, 3
SHORT_STEP = 0.1  # seconds: only shorter steps are called host-bound


def _memory(name):
    return 0 if DRY_RUN else getattr(torch.cuda, name)()


def _reset_peak():
    if not DRY_RUN:
        torch.cuda.reset_peak_memory_stats()


def measure(task, kernels=False):
    """This rank's numbers. Raises OutOfMemoryError where the task does not fit."""
    rank = dist.get_rank() if dist.is_initialized() else 0
    torch.manual_seed(1234 + rank)
    free_memory()
    _reset_peak()
    job = parallel.make_job(task)

    def together():
        synchronize()
        if job.distributed:
            dist.barrier()

    synchronize()
    model_allocated = _memory("memory_allocated")
    for _ in range(WARM_UP):
        job.step()
    together()
    _reset_peak()
    synchronised = []
    for _ in range(ITERATIONS):
        together()
        began = time.perf_counter()
        job.step()
        synchronize()
        synchronised.append(time.perf_counter() - began)
    together()
    began = time.perf_counter()
    for _ in range(ITERATIONS):
        job.step()
    synchronize()
    back_to_back = (time.perf_counter() - began) / ITERATIONS
    together()
    began = time.perf_counter()
    job.step()
    issue = time.perf_counter() - began
    synchronize()
    result = {
        "step_s": back_to_back,
        "step_synchronised_s": sorted(synchronised)[ITERATIONS // 2],
        "host_issue_s": issue,
        "peak_allocated_bytes": _memory("max_memory_allocated"),
        "peak_reserved_bytes": _memory("max_memory_reserved"),
        "model_allocated_bytes": model_allocated,
        "between_steps_allocated_bytes": _memory("memory_allocated"),
        "parameters": job.parameters,
    }
    if kernels and not DRY_RUN:
        result["kernels"] = _kernels(job.step)
    return result


def _kernels(step, most=60):
    """The largest kernels of one step by name."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        step()
        synchronize()
    totals = {}
    for event in profiler.events():
        if event.device_type == torch.autograd.DeviceType.CUDA:
            name = event.name[:160]
            number, us = totals.get(name, (0, 0.0))
            totals[name] = (number + 1, us + event.device_time_total)
    rows = [dict(name=n, count=c, total_us=round(us, 1)) for n, (c, us) in totals.items()]
    return sorted(rows, key=lambda r: -r["total_us"])[:most]


def clean_up():
    gc.collect()
    free_memory()


def row(task, world, per_rank):
    """The task with what all ranks measured, as in the measured tables: times are lists of repeats
    (one here), the largest over ranks; memory and parameters are lists of ranks."""
    result = {k: task[k] for k in ("name", "model_name", "model", "plan", "seq", "micro_batch",
                                   "num_micro", "precision")}  # fmt: skip
    result["recompute"] = task.get("recompute", "none")
    result.update({k: task[k] for k in ("lora", "compile") if task.get(k)})
    result["world"] = world
    if any(r.get("out_of_memory") for r in per_rank):
        result["out_of_memory"] = True
        return result
    failed = [r["error"] for r in per_rank if "error" in r]
    if failed:
        result["error"] = failed[0]
        return result
    for key in ("step_s", "step_synchronised_s", "host_issue_s"):
        result[key] = [round(max(r[key] for r in per_rank), 6)]
    step, issue = result["step_s"][0], result["host_issue_s"][0]
    result["bound"] = "host" if step < SHORT_STEP and issue >= 0.8 * step else "gpu"
    for key in ("peak_allocated_bytes", "peak_reserved_bytes", "model_allocated_bytes",
                "between_steps_allocated_bytes", "parameters"):  # fmt: skip
        result[key] = [r[key] for r in per_rank]
    kernels = {str(i): r["kernels"] for i, r in enumerate(per_rank) if r.get("kernels")}
    if kernels:
        result["kernels_by_rank"] = kernels
    return result


def out_of_memory(error):
    return isinstance(error, getattr(torch.cuda, "OutOfMemoryError", MemoryError))


