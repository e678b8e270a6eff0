"""Host time: what the CPU spends to issue one operator, forward, backward and in the optimizer.

usage: host.py OUT_DIRECTORY [--budget SECONDS]

host.csv. Operators work on tiny tensors, many in a row without a synchronisation, so that the GPU never
holds the host up: the host's clock over their number is the cost of issuing one. Nothing else should
run on the machine meanwhile.

- forward: without gradients, with gradients (the graph is built), under autocast;
- backward: slope over the length of a chain of the operator, so that starting the engine drops out;
- module: calls of nn.Module around the operator;
- optimizer: fused AdamW by number of tensors, zero_grad, DDP-like bucket work;
- device: launch-to-launch gaps that the GPU sees.
Whole blocks, which include the interplay of all these, are measured by model_host.csv.
"""

import argparse
import os
import time

import torch
import torch.nn.functional as F

import model
from common import DRY_RUN, Budget, Table, Timer, device, free_memory, median, quantile, synchronize

COLUMNS = ["group", "op", "mode", "parameters", "median_us", "p10_us", "p90_us", "calls"]


def issue_us(run, calls=200, rounds=9):
    """Microseconds of host time a call, over several rounds."""
    if DRY_RUN:
        calls, rounds = 3, 2
    for _ in range(3):
        run()
    result = []
    for _ in range(rounds):
        synchronize()
        began = time.perf_counter()
        for _ in range(calls):
            run()
        result.append((time.perf_counter() - began) / calls * 1e6)
        synchronize()
    return result


class Host:
    def __init__(self, out, budget):
        self.table = Table(os.path.join(out, "host.csv"), COLUMNS)
        self.budget = budget

    def record(self, group, op, mode, times, calls, parameters=""):
        self.table.row(group=group, op=op, mode=mode, parameters=parameters,
                       median_us=median(times), p10_us=quantile(times, 0.1),
                       p90_us=quantile(times, 0.9), calls=calls)  # fmt: skip
        self.table.flush()

    def guarded(self, function, *arguments):
        if self.budget.over():
            return
        try:
            function(*arguments)
        except (RuntimeError, ValueError, TypeError, AttributeError) as error:
            print("FAILED host", function.__name__, arguments[:1], str(error)[:200], flush=True)
            free_memory()


def _tensor(*shape, dtype=torch.bfloat16, grad=False):
    t = torch.zeros(shape, dtype=torch.float32 if DRY_RUN else dtype, device=device())
    return t.requires_grad_() if grad else t


def operators(grad):
    """name -> call, on [128, 1, 256] activations: what a block of the measured program issues."""
    x, y = _tensor(128, 1, 256, grad=grad), _tensor(128, 1, 256, grad=grad)
    w, b = _tensor(256, 256, grad=grad), _tensor(256, grad=grad)
    w32, b32 = _tensor(256, dtype=torch.float32, grad=grad), _tensor(256, dtype=torch.float32, grad=grad)
    x32 = _tensor(128, 1, 256, dtype=torch.float32, grad=grad)
    heads = _tensor(128, 1, 4, 64, grad=grad).permute(1, 2, 0, 3)
    table = _tensor(512, 256, grad=grad)
    ids = torch.zeros((1, 128), dtype=torch.long, device=device())
    logits = _tensor(128, 512, dtype=torch.float32, grad=grad)
    targets = torch.zeros(128, dtype=torch.long, device=device())
    broadcast = _tensor(128, 64)
    return {
        "linear": lambda: F.linear(x, w),
        "linear_bias": lambda: F.linear(x, w, b),
        "add": lambda: x + y,
        "mul": lambda: x * y,
        "mul_broadcast": lambda: heads * broadcast,
        "neg": lambda: -x,
        "silu": lambda: F.silu(x),
        "gelu": lambda: F.gelu(x, approximate="tanh"),
        "slice_last": lambda: x[..., 128:],
        "view": lambda: x.view(128, 1, 4, 64),
        "permute": lambda: heads.permute(2, 0, 1, 3),
        "reshape_copy": lambda: heads.reshape(1, 4 * 128 * 64),
        "split3": lambda: x.split([128, 64, 64], -1),
        "chunk2": lambda: x.chunk(2, -1),
        "cat2": lambda: torch.cat([x, y], -1),
        "layer_norm": lambda: F.layer_norm(x, (256,), b, b),
        "layer_norm_fp32": lambda: F.layer_norm(x32, (256,), w32, b32),
        "rms_norm": lambda: F.rms_norm(x, (256,), b),
        "attention": lambda: F.scaled_dot_product_attention(heads, heads, heads, is_causal=True),
        "embedding": lambda: F.embedding(ids, table),
        "transpose_contiguous": lambda: table.transpose(0, 1).contiguous(),
        "cast_to_fp32": lambda: x.float(),
        "cast_to_bf16": lambda: x32.bfloat16(),
        "cross_entropy": lambda: F.cross_entropy(logits, targets),
        "zeros": lambda: torch.zeros(1024, device=x.device),
        "empty": lambda: torch.empty(1024, device=x.device),
        "divide_scalar": lambda: x32 / 4,
    }


def measure_forward(host):
    for grad in (False, True):
        mode = "forward_graph" if grad else "forward"
        for name, run in operators(grad).items():

            def one(name=name, run=run):
                with torch.set_grad_enabled(grad):
                    host.record("operator", name, mode, issue_us(run), 200)

            host.guarded(one)


def measure_autocast(host):
    if DRY_RUN:
        return
    x = _tensor(128, 1, 256, dtype=torch.float32, grad=True)
    h = _tensor(128, 1, 256, grad=True)
    weight = _tensor(256, 256, dtype=torch.float32, grad=True)
    bias = _tensor(256, dtype=torch.float32, grad=True)
    heads = _tensor(128, 1, 4, 64, grad=True).permute(1, 2, 0, 3)
    calls = {
        "linear": lambda: F.linear(x, weight),
        "linear_bias": lambda: F.linear(x, weight, bias),
        "linear_bias_bf16_input": lambda: F.linear(h, weight, bias),
        "layer_norm": lambda: F.layer_norm(x, (256,), bias, bias),
        "attention": lambda: F.scaled_dot_product_attention(heads, heads, heads, is_causal=True),
        "add_mixed": lambda: x + h,
        "gelu": lambda: F.gelu(h, approximate="tanh"),
    }
    for name, run in calls.items():

        def one(name=name, run=run):
            # the weight's cast is cached within one autocast region, as in a forward pass
            with torch.autocast("cuda", torch.bfloat16):
                host.record("operator", name, "forward_autocast", issue_us(run), 200)

        host.guarded(one)

    def casting():
        def run():
            with torch.autocast("cuda", torch.bfloat16):
                F.linear(h, weight, bias)

        host.record("operator", "linear_bias_cast_weights", "forward_autocast", issue_us(run), 200)

    host.guarded(casting)


def chains():
    """name -> function(x, i): one link of a chain whose backward is measured."""
    n = 64
    w = [_tensor(256, 256, grad=True) for _ in range(n)]
    b = [_tensor(256, grad=True) for _ in range(n)]
    y = _tensor(128, 1, 256, grad=True)
    rows = _tensor(128, 64)

    def attention(x, i):
        h = x.view(128, 1, 4, 64).permute(1, 2, 0, 3)
        o = F.scaled_dot_product_attention(h, h, h, is_causal=True)
        return o.permute(2, 0, 1, 3).reshape(128, 1, 256)

    def rotary(x, i):
        h = x.view(128, 1, 4, 64).permute(1, 2, 0, 3)
        turned = torch.cat([-h[..., 32:], h[..., :32]], -1)
        return (h * rows + turned * rows).permute(2, 0, 1, 3).reshape(128, 1, 256)

    return n, w + b, {
        "linear": lambda x, i: F.linear(x, w[i]),
        "linear_bias": lambda x, i: F.linear(x, w[i], b[i]),
        "add": lambda x, i: x + y,
        "mul_tensor": lambda x, i: x * y,
        "neg": lambda x, i: -x,
        "silu": lambda x, i: F.silu(x),
        "gelu": lambda x, i: F.gelu(x, approximate="tanh"),
        "layer_norm": lambda x, i: F.layer_norm(x, (256,), b[i], b[i]),
        "rms_norm": lambda x, i: F.rms_norm(x, (256,), b[i]),
        "view": lambda x, i: x.view(128, 256).view(128, 1, 256),
        "split_cat": lambda x, i: torch.cat(x.split([128, 64, 64], -1), -1),
        "chunk_silu_mul": lambda x, i: _gate(x),
        "attention": attention,
        "rotary": rotary,
    }  # fmt: skip


def _gate(x):
    a, b = torch.cat([x, x], -1).chunk(2, -1)
    return F.silu(a) * b


def measure_backward(host):
    links, parameters, functions = chains()
    for accumulate in (False, True):
        mode = "backward_accumulate" if accumulate else "backward"
        for name, link in functions.items():
            if accumulate and "linear" not in name and "norm" not in name:
                continue

            def one(name=name, link=link, accumulate=accumulate, mode=mode):
                times = _backward_slope(link, links, parameters, accumulate)
                host.record("operator", name, mode, times, links)

            host.guarded(one)


def _backward_slope(link, links, parameters, accumulate):
    """Microseconds a link: (long chain - short chain) / difference in length."""
    short, rounds = links // 4, 2 if DRY_RUN else 15

    def once(length):
        if not accumulate:
            for p in parameters:
                p.grad = None
        x = _tensor(128, 1, 256, grad=True)
        out, gradient = x, _tensor(128, 1, 256)
        for i in range(length):
            out = link(out, i)
        synchronize()
        began = time.perf_counter()
        out.backward(gradient)
        elapsed = time.perf_counter() - began
        synchronize()
        return elapsed

    once(links)
    once(short)
    return [(once(links) - once(short)) / (links - short) * 1e6 for _ in range(rounds)]


def measure_modules(host):
    linear = torch.nn.Linear(256, 256, bias=False, device=device(),
                             dtype=torch.float32 if DRY_RUN else torch.bfloat16)  # fmt: skip
    x = _tensor(128, 1, 256)
    nested = torch.nn.Sequential(torch.nn.Sequential(torch.nn.Identity()))
    calls = {
        "linear_module": lambda: linear(x),
        "linear_function": lambda: F.linear(x, linear.weight),
        "identity_module_depth3": lambda: nested(x),
    }
    for name, run in calls.items():
        host.guarded(lambda name=name, run=run: host.record("module", name, "forward", issue_us(run), 200))


def measure_optimizer(host):
    for dtype in (torch.bfloat16, torch.float32):
        for tensors in (1, 16, 64, 148, 292, 580):

            def one(tensors=tensors, dtype=dtype):
                params = [torch.nn.Parameter(_tensor(1024, dtype=dtype)) for _ in range(tensors)]
                optimizer = torch.optim.AdamW(params, lr=1e-4, **({} if DRY_RUN else {"fused": True}))
                gradients = [_tensor(1024, dtype=dtype) for _ in params]
                label = f"tensors={tensors} dtype={'bf16' if dtype == torch.bfloat16 else 'fp32'}"
                for p, g in zip(params, gradients):
                    p.grad = g
                host.record("optimizer", "adamw_step", "step", issue_us(optimizer.step, 10), 10, label)

                def clear():
                    for p, g in zip(params, gradients):
                        p.grad = g
                    optimizer.zero_grad(set_to_none=True)

                host.record("optimizer", "assign_and_zero_grad", "step", issue_us(clear, 10), 10, label)

            host.guarded(one)


def measure_device_gaps(host):
    """Time from one kernel's start to the next when the host is ahead: tiny kernels in a row."""
    if DRY_RUN:
        return
    x = _tensor(256)
    w, big = _tensor(256, 256), _tensor(1 << 22)
    calls = {"add_tiny": lambda: x.add_(1), "mm_tiny": lambda: w.mm(w),
             "add_8mib": lambda: big.add_(1)}  # fmt: skip

    def one(name, run):
        times = []
        for _ in range(9):
            torch.cuda._sleep(12_000_000)  # long enough to enqueue all of them
            timer = Timer()
            timer.start()
            for _ in range(300):
                run()
            timer.stop()
            times.append(timer.seconds() / 300 * 1e6)
        host.record("device", name, "stream", times, 300)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(300):
                run()
        times = []
        for _ in range(9):
            timer = Timer()
            timer.start()
            graph.replay()
            timer.stop()
            times.append(timer.seconds() / 300 * 1e6)
        host.record("device", name, "graph", times, 300)

    for name, run in calls.items():
        host.guarded(one, name, run)


def measure_models(out, budget):
    """Host time of whole steps of tiny models, by family, precision and depth: slopes over depth
    give a block's cost, the rest embedding, head, loss and optimizer."""
    table = Table(os.path.join(out, "model_host.csv"), [
        "family", "precision", "layers", "hidden", "length", "recompute", "forward_us", "backward_us",
        "optimizer_us", "zero_grad_us", "step_us", "forward_p90_us", "backward_p90_us", "tensors",
    ])  # fmt: skip
    combos = [(f, p, n, r) for r in ("none", "full") for f in ("gpt", "llama")
              for p in ("bf16", "amp") for n in (4, 12, 24)]  # fmt: skip
    if DRY_RUN:
        combos = [("gpt", "fp32", 2, "none"), ("llama", "fp32", 2, "full")]
    for family, precision, layers, recompute in combos:
        if budget.over():
            break
        try:
            table.row(**_model_host(family, precision, layers, recompute))
        except (RuntimeError, ValueError, TypeError, AttributeError) as error:
            print("FAILED model host", family, precision, str(error)[:200], flush=True)
        table.flush()
        free_memory()


def _model_host(family, precision, layers, recompute):
    spec = dict(family=family, layers=layers, hidden=256, heads=4, kv_heads=4 if family == "gpt" else 2,
                ffn=1024, vocab=1024, tied=family == "gpt")  # fmt: skip
    length, rounds = 128, 2 if DRY_RUN else 25
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    net = model.build(spec, length, recompute, dtype, device())
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, **({} if DRY_RUN else {"fused": True}))
    x = torch.randint(0, 1024, (1, length), device=device())
    spans = {"forward": [], "backward": [], "optimizer": [], "zero_grad": [], "step": []}
    for _ in range(rounds):
        synchronize()
        marks = [time.perf_counter()]
        with model.autocast(precision):
            loss = model.loss(net(x), x) / 1
        marks.append(time.perf_counter())
        loss.backward()
        marks.append(time.perf_counter())
        optimizer.step()
        marks.append(time.perf_counter())
        optimizer.zero_grad(set_to_none=True)
        marks.append(time.perf_counter())
        for name, a, b in zip(spans, marks, marks[1:]):
            spans[name].append((b - a) * 1e6)
        spans["step"].append((marks[-1] - marks[0]) * 1e6)
    skip = rounds // 4
    steady = {name: values[skip:] for name, values in spans.items()}
    return dict(
        family=family, precision=precision, layers=layers, hidden=256, length=length,
        recompute=recompute, tensors=len(list(net.parameters())),
        forward_p90_us=quantile(steady["forward"], 0.9),
        backward_p90_us=quantile(steady["backward"], 0.9),
        **{f"{name}_us": median(values) for name, values in steady.items()},
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    parser.add_argument("--budget", type=float, default=60)
    arguments = parser.parse_args()
    whole = Budget(arguments.budget)
    host = Host(arguments.out, whole)
    measure_models(arguments.out, Budget(arguments.budget * 0.6))
    for measure in (measure_forward, measure_backward, measure_optimizer, measure_autocast,
                    measure_device_gaps, measure_modules):  # fmt: skip
        measure(host)
    print(f"host: {whole.spent():.0f} s")


if __name__ == "__main__":
    main()
