"""Predicts what one training step of a model costs on a GPU cluster.

    >>> import rehearse
    >>> r = rehearse.run("llama3-8b", cluster="h200-4", plan={"zero_stage": 3})
    >>> r.step_time_s, r.peak_memory_bytes
    >>> rehearse.sweep("llama3-8b", cluster="h200-4",
    ...                cross={"plan.tensor_parallel": [1, 2, 4], "training.sequence_length": [2048, 4096]})

A scenario is given either as a file (or a name in configs/scenarios), or by its parts, which are what a
scenario file has: model, cluster, training, plan, runtime. All quantities that come back are SI base units,
with the unit in the name; communication volumes are unidirectional.
"""

import functools
import itertools
import json

from . import _core
from ._core import ScenarioError
from .exercises import check, hint
from .expressions import Condition
from .plots import plot_breakdown, plot_memory, plot_roofline, plot_timeline
from .results import Price, Result, Timeline

__all__ = [
    "Price", "Result", "ScenarioError", "Timeline", "check", "compare", "hint", "names",
    "plot_breakdown", "plot_memory", "plot_roofline", "plot_timeline", "price", "run", "sweep",
    "timeline",
]  # fmt: skip

DEFAULT_TRAINING = {"sequence_length": 4096, "micro_batch_size": 1, "global_batch_size": 32}


def run(scenario, *, plan=None, ideal=False, set=None, **parts):
    """Simulates one step. Returns a Result.

    scenario: a scenario file or name; or, with `cluster` given, a model (a name, or a mapping of
    Hugging Face keys). plan: the name of one of a file's plans, or a mapping of plan fields.
    parts: cluster, training, runtime, ... as in a scenario file; of `training` what is left out is
    sequence_length 4096, micro_batch_size 1, global_batch_size 32. set: {"plan.zero_stage": 3, ...},
    as --set. ideal: efficiency 1, no host and no fixed cost: the textbook's closed forms.
    Raises ScenarioError with every mistake of the scenario.
    """
    source, name = _source(scenario, plan, parts, set)
    return Result(json.loads(_core.run(source, name, ideal)))


def timeline(scenario, *, plan=None, ideal=False, set=None, **parts):
    """What runs when: a Timeline, whose `frame` has a row a kernel. Arguments as run()."""
    source, name = _source(scenario, plan, parts, set)
    return Timeline(json.loads(_core.trace(source, name, ideal)))


def compare(scenario, *, set=None):
    """All plans of a scenario file, fastest first: a frame with a row a plan."""
    import pandas

    source = _core.Source("", str(scenario), _overrides(set))
    cache = _core.Cache()
    rows = [{"plan": name, **_core.evaluate(source, name, cache)} for name in _core.plans(source)]
    return pandas.DataFrame(rows).sort_values("step_time_s", ignore_index=True)


def sweep(scenario, *, cross=None, zip=None, where=None, plan=None, set=None, **parts):
    """Every combination of values: a frame with a row a combination.

    cross: {key: [values]}, all combinations; zip: {key: [values]}, together; keys as in --set. where:
    an expression over keys, or a list of them, e.g. "plan.tensor_parallel * plan.pipeline_parallel <= 8";
    combinations for which it does not hold are left out. A plan that is not possible has its reason in
    the column `infeasible` and no numbers. The other arguments are run()'s.
    """
    import pandas

    conditions = [Condition(w) for w in ([where] if isinstance(where, str) else where or [])]
    cache, rows = _core.Cache(), []
    for point in _points(cross or {}, zip or {}):
        if not all(condition.holds(point) for condition in conditions):
            continue
        try:
            source, name = _source(scenario, plan, parts, {**(set or {}), **point})
            rows.append({**point, **_core.evaluate(source, name, cache), "infeasible": None})
        except ScenarioError as error:
            rows.append({**point, "infeasible": str(error)})
    return pandas.DataFrame(rows)


def price(operator, *, ideal=False, **keys):
    """One kernel or collective on its own: price("gemm", gpu="h100-sxm", m=4096, n=4096, k=11008)."""
    pairs = [(key, _text(value)) for key, value in keys.items()]
    return Price(json.loads(_core.price(operator, pairs, ideal)))


def names(kind):
    """What there is of a kind: models, clusters, gpus, runtimes, scenarios."""
    return _core.names(kind)


def _source(scenario, plan, parts, overrides):
    """The source that _core reads, and the name of the plan in it."""
    chosen = plan if isinstance(plan, str) else ""
    if "cluster" not in parts and not isinstance(scenario, dict):
        if parts:
            raise TypeError(f"with {', '.join(parts)} a cluster is needed too")
        extra = {f"plan.{k}": v for k, v in plan.items()} if isinstance(plan, dict) else {}
        return _core.Source("", str(scenario), _overrides({**extra, **(overrides or {})})), chosen
    if "cluster" in parts:
        tree = {"model": scenario, **parts}
        tree["training"] = {**DEFAULT_TRAINING, **parts.get("training", {})}
    else:
        tree = dict(scenario)
    if isinstance(plan, dict):
        tree["plan"] = {**tree.get("plan", {}), **plan}
    # JSON is YAML too, and keeps apart what YAML might guess about (no, 1e3, ...).
    return _core.Source(json.dumps(tree), "scenario", _overrides(overrides)), chosen


def _overrides(values):
    return [f"{key}={_text(value)}" for key, value in (values or {}).items()]


def _text(value):
    if isinstance(value, str):
        return value
    return json.dumps(value if not hasattr(value, "item") else value.item())


def _points(crossed, zipped):
    lengths = {key: len(list(values)) for key, values in zipped.items()}
    if len({*lengths.values()}) > 1:
        raise ValueError(f"zipped keys need as many values each: {lengths}")
    columns = [[{key: value} for value in values] for key, values in crossed.items()]
    if zipped:
        keys = list(zipped)
        columns.append([dict(builtin_zip(keys, row)) for row in builtin_zip(*zipped.values())])
    for row in itertools.product(*columns):
        yield functools.reduce(lambda a, b: {**a, **b}, row, {})


builtin_zip = __builtins__["zip"] if isinstance(__builtins__, dict) else __builtins__.zip
