"""One training step under a plan: what is wrapped, who synchronises, which optimizer.

A task is a dictionary as in the measured tables: model, seq, micro_batch, num_micro, precision,
recompute, and plan with `kind` single | ddp | fsdp | zero1 | zero2 | tp | pp and its degrees.
"""

import contextlib
import dataclasses
import typing

import torch
import torch.distributed as dist
from torch import nn

import model
from common import DRY_RUN, device

FSDP_KINDS = ("fsdp", "zero2")


@dataclasses.dataclass
class Job:
    """What is measured: step() runs one optimizer step; parameters are this rank's whole ones."""

    step: typing.Callable[[], None]
    parameters: int
    distributed: bool


@dataclasses.dataclass
class Ranks:
    """Groups of this rank along each axis; None where the degree is 1."""

    data: object = None
    tensor: object = None
    pipeline: object = None
    pipeline_rank: int = 0
    data_mesh: object = None


def make_ranks(plan):
    if plan["kind"] == "single":
        return Ranks()
    from torch.distributed.device_mesh import init_device_mesh

    degrees = (plan.get("pp", 1), plan.get("dp", 1), plan.get("tp", 1))
    mesh = init_device_mesh(device().type, degrees, mesh_dim_names=("pp", "dp", "tp"))
    groups = [mesh[name].get_group() if degree > 1 else None
              for name, degree in zip(("pp", "dp", "tp"), degrees)]  # fmt: skip
    return Ranks(pipeline=groups[0], data=groups[1], tensor=groups[2],
                 pipeline_rank=mesh["pp"].get_local_rank(), data_mesh=mesh["dp"])  # fmt: skip


def parameter_dtype(task):
    """Mixed precision keeps fp32 parameters; `bf16` and `bf16pure` keep everything in bf16."""
    precision = task["precision"]
    if precision in ("fp32", "tf32", "amp"):
        return torch.float32
    if task["plan"]["kind"] in FSDP_KINDS and precision != "bf16pure":
        return torch.float32
    return torch.bfloat16


def make_job(task):
    plan = task["plan"]
    ranks = make_ranks(plan)
    if not DRY_RUN:
        torch.backends.cuda.matmul.allow_tf32 = task["precision"] == "tf32"
    if plan.get("pp", 1) > 1:
        return _pipeline_job(task, ranks)
    sharding = model.NoSharding()
    if ranks.tensor is not None:
        sharding = model.TensorSharding(ranks.tensor, bool(plan.get("sp")))
    groups = model.Groups(experts=ranks.data if plan.get("ep") else None,
                          context=ranks.data if plan.get("cp") else None)  # fmt: skip
    length = task["seq"] * (plan.get("dp", 1) if plan.get("cp") else 1)
    net = model.build(task["model"], length, task.get("recompute", "none"),
                      parameter_dtype(task), device(), sharding, groups)  # fmt: skip
    if task.get("lora"):
        with model.created_as(parameter_dtype(task), device()):
            model.add_lora(net, task["lora"])
    if task.get("compile"):
        torch._dynamo.reset()
        for block in net.blocks:
            block.compile()
    parameters = count(net)
    wrapped = _wrap(net, task, ranks)
    optimizer = _optimizer(net if plan["kind"] == "zero1" else wrapped, plan, ranks)
    step = _accumulating_step(wrapped, net, optimizer, task, ranks)
    return Job(step, parameters, plan["kind"] != "single")


def count(module):
    return sum(p.numel() for p in module.parameters())


def _wrap(net, task, ranks):
    plan, kind = task["plan"], task["plan"]["kind"]
    if kind in ("ddp", "zero1"):
        return nn.parallel.DistributedDataParallel(
            net, device_ids=None if DRY_RUN else [device().index],
            bucket_cap_mb=plan.get("bucket_mb", 25), process_group=ranks.data,
            gradient_as_bucket_view=True,
        )  # fmt: skip
    if kind in FSDP_KINDS:
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

        reduce = torch.bfloat16 if plan.get("reduce", "fp32") == "bf16" else torch.float32
        options = dict(
            mesh=ranks.data_mesh, reshard_after_forward=kind == "fsdp",
            mp_policy=MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=reduce),
        )  # fmt: skip
        for block in net.blocks:
            fully_shard(block, **options)
        fully_shard(net, **options)
    return net


def _optimizer(net, plan, ranks):
    options = dict(lr=1e-4) if DRY_RUN else dict(lr=1e-4, fused=True)
    if plan["kind"] == "zero1":
        from torch.distributed.optim import ZeroRedundancyOptimizer

        return ZeroRedundancyOptimizer(
            net.parameters(), torch.optim.AdamW, process_group=ranks.data, **options
        )
    return torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], **options)


def _batch(task):
    shape = (task["micro_batch"] * task["num_micro"], task["seq"])
    ids = [torch.randint(0, task["model"]["vocab"], shape, device=device()) for _ in range(2)]
    return ids[0], ids[1]


def _accumulating_step(wrapped, net, optimizer, task, ranks):
    """Micro-batches one after another; gradients are synchronised in the last one's backward."""
    inputs, targets = _batch(task)
    size, micro = task["micro_batch"], task["num_micro"]
    plan, kind = task["plan"], task["plan"]["kind"]
    precision = "none" if kind in FSDP_KINDS else task["precision"]

    def one(index):
        rows = slice(index * size, (index + 1) * size)
        with model.autocast(precision):
            value = model.loss(wrapped(inputs[rows]), targets[rows]) / micro
        value.backward()

    def step():
        for index in range(micro):
            last = index == micro - 1
            if kind in FSDP_KINDS:
                wrapped.set_requires_gradient_sync(last)
                wrapped.set_is_last_backward(last)
            quiet = kind in ("ddp", "zero1") and not last
            with wrapped.no_sync() if quiet else contextlib.nullcontext():
                one(index)
        if kind == "tp" and ranks.data is not None:
            for name, p in net.named_parameters():
                of_one_rank = plan.get("ep") and (".up." in name or ".down." in name)
                if p.grad is not None and not of_one_rank:
                    dist.all_reduce(p.grad, group=ranks.data)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def stage_numbers(schedule, rank, ranks, chunks):
    """The model chunks of a pipeline rank, in model order: round robin, or there and back (ZBV)."""
    if schedule == "ZBV":
        return [rank, 2 * ranks - 1 - rank]
    return [rank + i * ranks for i in range(chunks)]


def _pipeline_job(task, ranks):
    from torch.distributed import pipelining

    plan, spec = task["plan"], task["model"]
    degree, schedule_name = plan["pp"], plan["schedule"]
    chunks = 2 if schedule_name == "ZBV" else plan.get("vstages", 1)
    total = degree * chunks
    numbers = stage_numbers(schedule_name, ranks.pipeline_rank, degree, chunks)
    cuts = [round(i * spec["layers"] / total) for i in range(total + 1)]
    with model.created_as(parameter_dtype(task), device()):
        modules = [
            model.Stage(spec, task["seq"], (cuts[i], cuts[i + 1]), i == 0, i == total - 1,
                        model.NoSharding(), task.get("recompute", "none"))
            for i in numbers
        ]  # fmt: skip
    stages = [pipelining.PipelineStage(m, i, total, device(), group=ranks.pipeline)
              for m, i in zip(modules, numbers)]  # fmt: skip
    kind = {
        "GPipe": "ScheduleGPipe", "1F1B": "Schedule1F1B",
        "Interleaved1F1B": "ScheduleInterleaved1F1B",
        "InterleavedZeroBubble": "ScheduleInterleavedZeroBubble", "ZBV": "ScheduleZBVZeroBubble",
    }[schedule_name]  # fmt: skip
    alone = schedule_name in ("GPipe", "1F1B")
    schedule = getattr(pipelining, kind)(
        stages[0] if alone else stages, n_microbatches=task["num_micro"], loss_fn=model.loss
    )
    whole = nn.ModuleList(modules)
    optimizer = torch.optim.AdamW(whole.parameters(), lr=1e-4, fused=True)
    inputs, targets = _batch(task)
    positional = (inputs,) if any(m.embeds for m in modules) else ()
    predicts = any(m.predicts for m in modules)

    def step():
        named = dict(target=targets, losses=[]) if predicts else {}
        with model.autocast(task["precision"]):
            schedule.step(*positional, **named)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return Job(step, count(whole), True)
