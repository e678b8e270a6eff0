"""Kernels over lists of tensors: fused AdamW, foreach operators, FSDP's packing and unpacking."""

import torch

from common import DRY_RUN, DTYPES, device, itemsize, random_like_training
from kernel_trace import Case, Phase


def optimizer_cases():
    # tensors, elements of each: from one that fits the cache to a whole model's shard
    combos = [
        (1, 1 << 16), (1, 1 << 20), (1, 1 << 22), (1, 1 << 24), (1, 1 << 26), (1, 1 << 28),
        (1, 1 << 29), (16, 1 << 20), (64, 1 << 20), (256, 1 << 20), (100, 768), (400, 2048),
        (1000, 1 << 14), (64, 1 << 23), (32, 1 << 25), (148, 840_000), (16, 1 << 27),
    ]  # fmt: skip
    if DRY_RUN:
        combos = [(2, 64)]
    for dtype in ("bf16", "fp32"):
        for tensors, elements in combos:
            if tensors * elements <= 1 << 30:
                yield _adamw(tensors, elements, dtype)


def _adamw(tensors, elements, dtype_name):
    dtype = DTYPES[dtype_name]

    def make():
        params = [torch.nn.Parameter(random_like_training((elements,), dtype, 0.02))
                  for _ in range(tensors)]  # fmt: skip
        for p in params:
            p.grad = random_like_training((elements,), dtype, 1e-3)
        optimizer = torch.optim.AdamW(params, lr=1e-4, **({} if DRY_RUN else {"fused": True}))
        n = tensors * elements
        return [Phase("step", optimizer.step, n, 7 * n * itemsize(dtype))]

    parameters = dict(tensors=tensors, elements_each=elements)
    return Case("adamw", dtype_name, parameters, make, reps=5)


def foreach_cases():
    combos = [(1, 1 << 24), (16, 1 << 20), (256, 1 << 18), (64, 1 << 23)]
    if DRY_RUN:
        combos = [(2, 64)]
    for dtype in ("bf16", "fp32"):
        for tensors, elements in combos:
            yield _foreach("foreach_scale", tensors, elements, dtype)
            yield _foreach("foreach_zero", tensors, elements, dtype)
            yield _foreach("foreach_add", tensors, elements, dtype)
            yield _foreach("foreach_norm", tensors, elements, dtype)


def _foreach(name, tensors, elements, dtype_name):
    dtype = DTYPES[dtype_name]
    n = tensors * elements

    def make():
        a = [random_like_training((elements,), dtype) for _ in range(tensors)]
        b = [random_like_training((elements,), dtype) for _ in range(tensors)]
        calls = {
            "foreach_scale": (lambda: torch._foreach_mul_(a, 0.5), 2),
            "foreach_zero": (lambda: torch._foreach_zero_(a), 1),
            "foreach_add": (lambda: torch._foreach_add_(a, b), 3),
            "foreach_norm": (lambda: torch._foreach_norm(a), 1),
        }
        run, touched = calls[name]
        return [Phase("step", run, n, touched * n * itemsize(dtype))]

    return Case(name, dtype_name, dict(tensors=tensors, elements_each=elements), make, reps=4)


def fsdp_cases():
    """What FSDP2 runs around its collectives, for one block's parameters over `world` ranks:
    pack: the local shards, cast, into the all-gather's input; unpack: the gathered buffer into
    whole parameters; reduce_pack: whole gradients into the reduce-scatter's input, cast to fp32."""
    blocks = {
        "llama-1b": [(3072, 2048), (2048, 2048), (16384, 2048), (2048, 8192), (2048,), (2048,)],
        "llama-3b": [(5120, 3072), (3072, 3072), (16384, 3072), (3072, 8192), (3072,), (3072,)],
        "llama-8b": [(6144, 4096), (4096, 4096), (28672, 4096), (4096, 14336), (4096,), (4096,)],
        "gpt2-124m": [(2304, 768), (768, 768), (3072, 768), (768, 3072), (2304,), (768,), (3072,),
                      (768,), (768,), (768,), (768,), (768,)],
        "head-128256x2048": [(128256, 2048), (128256, 2048), (2048,)],
    }  # fmt: skip
    if DRY_RUN:
        blocks = {"tiny": [(8, 4), (4,)]}
    for name, shapes in blocks.items():
        for world in (2, 4):
            yield _fsdp_pack(name, shapes, world)
            yield _fsdp_unpack(name, shapes, world)
            yield _fsdp_reduce_pack(name, shapes, world)


def _counts(shapes):
    result = []
    for shape in shapes:
        n = 1
        for d in shape:
            n *= d
        result.append(n)
    return result


def _fsdp_pack(name, shapes, world):
    def make():
        counts = [n // world for n in _counts(shapes)]
        shards = [random_like_training((n,), torch.float32) for n in counts]
        packed = torch.empty(sum(counts), dtype=torch.bfloat16, device=device())
        views = list(packed.split(counts))
        total = sum(counts)
        run = lambda: torch._foreach_copy_(views, shards)  # noqa: E731
        return [Phase("forward", run, total, 6 * total)]

    return Case("fsdp_pack", "fp32", dict(block=name, world=world), make, reps=4)


def _fsdp_unpack(name, shapes, world):
    def make():
        counts = [n // world for n in _counts(shapes)]
        gathered = random_like_training((world, sum(counts)), torch.bfloat16)
        whole = [torch.empty(world, n, dtype=torch.bfloat16, device=device()) for n in counts]
        total = world * sum(counts)
        run = lambda: torch.split_with_sizes_copy(gathered, counts, dim=1, out=whole)  # noqa: E731
        return [Phase("forward", run, total, 4 * total)]

    return Case("fsdp_unpack", "bf16", dict(block=name, world=world), make, reps=4)


def _fsdp_reduce_pack(name, shapes, world):
    def make():
        gradients = [random_like_training(s, torch.bfloat16) for s in shapes]
        total = sum(_counts(shapes))
        packed = torch.empty(world, total // world, dtype=torch.float32, device=device())
        run = lambda: torch._chunk_cat(gradients, 0, world, out=packed)  # noqa: E731
        return [Phase("backward", run, total, 6 * total)]

    return Case("fsdp_reduce_pack", "bf16", dict(block=name, world=world), make, reps=4)
