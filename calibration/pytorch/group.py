"""Starting and leaving a torch.distributed job of the benchmarks, and one way to time together."""

import os
from datetime import timedelta

import torch
import torch.distributed as dist

from common import DRY_RUN, device


def start(timeout_seconds=60):
    """Joins the job that torchrun started. A collective that hangs ends the process."""
    where = device()
    if DRY_RUN:
        dist.init_process_group("gloo", timeout=timedelta(seconds=timeout_seconds))
    else:
        torch.cuda.set_device(where)
        dist.init_process_group(
            "nccl", timeout=timedelta(seconds=timeout_seconds), device_id=where
        )
    return dist.get_rank(), dist.get_world_size()


def leave(code=0):
    """Ends at once: tearing communicators down may hang after a failure."""
    dist.barrier()
    os._exit(code)


def agree(value):
    """True on every rank where it is true on any: all stop together."""
    flag = torch.tensor([1.0 if value else 0.0], device=device())
    dist.all_reduce(flag)
    return bool(flag.item() > 0)


def largest(value):
    """The largest of the ranks' values, on every rank."""
    t = torch.tensor([value], dtype=torch.float64, device=device())
    dist.all_reduce(t, op=dist.ReduceOp.MAX)
    return float(t.item())
