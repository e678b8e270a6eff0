"""Device time of every kernel that an operator launches, by name.

Each measured call is enclosed by marker kernels (torch.cuda._sleep, whose kernel is called
spin_kernel). The CUDA profiler (CUPTI) records all kernels of the stream; in order of start they fall
into segments between markers, so a kernel belongs to its call whichever thread launched it: the
autograd thread's too. Times are the kernels' own durations, as in traces of real training steps.
"""

import dataclasses
import json
import os
import tempfile
import time
import typing

import torch

from common import DRY_RUN, Budget, L2Flush, Table, free_memory, median, spin, synchronize

MARKER = "spin_kernel"
DEVICE_EVENTS = ("kernel", "gpu_memcpy", "gpu_memset")
COLUMNS = [
    "op", "dtype", "direction", "cache", "parameters", "elements", "bytes", "index", "kernels",
    "kernel", "grid", "block", "reps", "median_us", "min_us", "max_us",
]  # fmt: skip


@dataclasses.dataclass
class Phase:
    """One measured call. `bytes` is the least traffic of the whole call, every operand once."""

    direction: str
    run: typing.Callable[[], object]
    elements: int = 0
    bytes: int = 0


@dataclasses.dataclass
class Case:
    """An operator at one size. `make` allocates and returns its phases, which run in this order in
    every repetition. cold: the L2 cache is evicted before each phase; hot: it is left as it is."""

    op: str
    dtype: str
    parameters: dict
    make: typing.Callable[[], list]
    cold: bool = True
    reps: int = 6


@dataclasses.dataclass
class _Kernel:
    name: str
    grid: str
    block: str
    us: float


def segments_of_trace(trace, tags):
    """Splits a Chrome trace's device events at the markers: {tag: [[_Kernel, ...] per segment]}.
    tags[i] is what runs after marker i; None is ignored."""
    events = [e for e in trace["traceEvents"] if e.get("cat") in DEVICE_EVENTS]
    events.sort(key=lambda e: e["ts"])
    found = sum(MARKER in e["name"] for e in events)
    if found != len(tags):
        raise RuntimeError(f"{found} markers in the trace, {len(tags)} were launched")
    result, marker, current = {}, -1, None
    for e in events:
        if MARKER in e["name"]:
            marker += 1
            tag = tags[marker]
            current = None
            if tag is not None:
                current = []
                result.setdefault(tag, []).append(current)
        elif current is not None:
            arguments = e.get("args", {})
            current.append(
                _Kernel(e["name"], _dimensions(arguments.get("grid")),
                        _dimensions(arguments.get("block")), float(e["dur"]))
            )  # fmt: skip
    return result


def _dimensions(value):
    return "x".join(str(v) for v in value) if value else ""


def summarise(repetitions):
    """The kernels of a call by position, with median, least and largest time. Repetitions whose
    sequence of kernels differs from the commonest (a first call that tunes, say) are left out."""
    keyed = {}
    for kernels in repetitions:
        keyed.setdefault(tuple(k.name for k in kernels), []).append(kernels)
    chosen = max(keyed.values(), key=len)
    for position, first in enumerate(chosen[0]):
        times = [kernels[position].us for kernels in chosen]
        yield first, len(chosen), median(times), min(times), max(times)


class Recorder:
    """Runs cases in batches under the profiler and writes one CSV row a kernel."""

    def __init__(self, path, budget_seconds, batch_cases=40, rest=0.0):
        self.table = Table(path, COLUMNS)
        self.budget = Budget(budget_seconds)
        self.batch_cases = batch_cases
        self.rest = rest  # idle time after a repetition, in units of its time: burst clocks
        self.flush_l2 = L2Flush()
        self.errors = []

    def run(self, cases):
        done, batch = 0, []
        for case in cases:
            if self.budget.over():
                break
            batch.append(case)
            if len(batch) == self.batch_cases:
                done += self._batch(batch)
                batch = []
        if batch and not self.budget.over():
            done += self._batch(batch)
        return done

    def _batch(self, cases):
        if DRY_RUN:
            return self._batch_on_cpu(cases)
        with torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CUDA]
        ) as profiler:
            tags, phases = self._enqueue(cases)
            synchronize()
        try:
            self._write(cases, phases, segments_of_trace(_load(profiler), tags))
        except (RuntimeError, OSError, ValueError) as error:
            self._complain(f"batch from {cases[0].op}", error)
        free_memory()
        return len(cases)

    def _enqueue(self, cases):
        tags, phases_of = [], {}

        def mark(tag):
            tags.append(tag)
            spin(1)

        for index, case in enumerate(cases):
            if self.budget.over():
                break
            try:
                phases = case.make()
                for phase in phases:  # warm-up: load kernels, choose algorithms, fill the allocator
                    phase.run()
                for _ in range(case.reps):
                    began = time.monotonic()
                    for number, phase in enumerate(phases):
                        if case.cold:
                            self.flush_l2()
                        mark((index, number))
                        phase.run()
                        mark(None)
                    if self.rest:
                        synchronize()
                        time.sleep(min(0.1, self.rest * (time.monotonic() - began)))
                phases_of[index] = [dataclasses.replace(p, run=None) for p in phases]
            except (RuntimeError, ValueError, TypeError, AttributeError) as error:
                self._complain(f"{case.op} {case.parameters}", error)
            phases = None
            if not self.rest and index % 8 == 7:
                synchronize()
        return tags, phases_of

    def _batch_on_cpu(self, cases):
        for case in cases:
            try:
                phases = case.make()
                times = [[] for _ in phases]
                for _ in range(2):
                    for number, phase in enumerate(phases):
                        began = time.perf_counter()
                        phase.run()
                        times[number].append((time.perf_counter() - began) * 1e6)
                segments = {
                    (0, n): [[_Kernel("cpu", "", "", t)] for t in ts] for n, ts in enumerate(times)
                }
                self._write([case], {0: phases}, segments)
            except (RuntimeError, ValueError, TypeError, AttributeError) as error:
                self._complain(f"{case.op} {case.parameters}", error)
        return len(cases)

    def _write(self, cases, phases_of, segments):
        for (index, number), repetitions in sorted(segments.items()):
            if index not in phases_of:
                continue
            case, phase = cases[index], phases_of[index][number]
            summary = list(summarise(repetitions))
            for position, (kernel, reps, mid, low, high) in enumerate(summary):
                self.table.row(
                    op=case.op, dtype=case.dtype, direction=phase.direction,
                    cache="cold" if case.cold else "hot",
                    parameters=" ".join(f"{k}={v}" for k, v in case.parameters.items()),
                    elements=phase.elements, bytes=phase.bytes,
                    index=position, kernels=len(summary), kernel=short_name(kernel.name),
                    grid=kernel.grid, block=kernel.block, reps=reps,
                    median_us=mid, min_us=low, max_us=high,
                )  # fmt: skip
        self.table.flush()

    def _complain(self, where, error):
        message = f"{where}: {type(error).__name__}: {str(error)[:300]}"
        self.errors.append(message)
        print("FAILED", message, flush=True)
        free_memory()


def short_name(name):
    """A kernel's name without its namespaces and argument list, short enough to read."""
    for noise in ("void ", "at::native::", "(anonymous namespace)::", "at_cuda_detail::cub::detail::"):
        name = name.replace(noise, "")
    return name[:120]


def _load(profiler):
    handle, path = tempfile.mkstemp(suffix=".json")
    os.close(handle)
    try:
        profiler.export_chrome_trace(path)
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    finally:
        os.unlink(path)
