"""Scenario files to tasks: the same files that `rehearse run` reads, as far as a real step can be run.

Also reads task lists: JSON files (a list, or one object a line) in the form of the measured tables.
"""

import json
import os

GPT2 = {"n_layer": 12, "n_embd": 768, "n_head": 12, "vocab_size": 50257}
SCHEDULES = {"gpipe": "GPipe", "1f1b": "1F1B", "interleaved-1f1b": "Interleaved1F1B",
             "interleaved-zero-bubble": "InterleavedZeroBubble", "zbv": "ZBV"}  # fmt: skip
REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Unsupported(ValueError):
    """The scenario asks for what this program cannot run."""


def load_tasks(path):
    if path.endswith((".yaml", ".yml")):
        return scenario_tasks(_parse(path), os.path.splitext(os.path.basename(path))[0], path)
    with open(path, encoding="utf-8") as file:
        text = file.read().strip()
    data = [json.loads(line) for line in text.splitlines()] if path.endswith("l") else json.loads(text)
    if isinstance(data, dict):
        return scenario_tasks(data, os.path.splitext(os.path.basename(path))[0], path)
    return [complete(task) for task in data]


def complete(task):
    """A task with its defaults filled in and without what was measured of it."""
    known = ("name", "model_name", "model", "plan", "seq", "micro_batch", "num_micro", "precision",
             "recompute", "lora", "compile")  # fmt: skip
    result = {"recompute": "none", "precision": "bf16", "num_micro": 1}
    result.update({k: v for k, v in task.items() if k in known})
    result.setdefault("model_name", result["name"].split(".")[0])
    return result


def _parse(path):
    with open(path, encoding="utf-8") as file:
        if path.endswith(".json"):
            return json.load(file)
        try:
            import yaml
        except ImportError as error:
            raise Unsupported(f"{path}: PyYAML is not installed here; give the file as JSON") from error
        return yaml.safe_load(file)


def _named(kind, value, near):
    """A mapping, or a file named by path or by its name under configs/, overlaid with the rest."""
    if isinstance(value, dict) and "name" not in value:
        return dict(value)
    name = value["name"] if isinstance(value, dict) else value
    candidates = [os.path.join(os.path.dirname(near), name), name]
    candidates += [os.path.join(REPOSITORY, "configs", kind, name + end) for end in (".json", ".yaml")]
    for candidate in candidates:
        if os.path.isfile(candidate):
            result = _parse(candidate)
            if isinstance(value, dict):
                result.update({k: v for k, v in value.items() if k != "name"})
            return result
    raise Unsupported(f"{near}: no file for {kind} {name!r}")


def model_spec(config):
    """Hugging Face keys to the measured program's."""
    if config.get("model_type", "gpt2") == "gpt2":
        c = {**GPT2, **config}
        hidden = c.get("hidden_size", c["n_embd"])
        heads = c.get("num_attention_heads", c["n_head"])
        return dict(family="gpt", layers=c.get("num_hidden_layers", c["n_layer"]), hidden=hidden,
                    heads=heads, kv_heads=heads, vocab=c["vocab_size"],
                    ffn=c.get("n_inner") or c.get("intermediate_size") or 4 * hidden,
                    tied=c.get("tie_word_embeddings", True))  # fmt: skip
    if config["model_type"] not in ("llama", "mistral"):
        raise Unsupported(f"model_type {config['model_type']!r} is not run here")
    heads = config["num_attention_heads"]
    if config.get("head_dim", config["hidden_size"] // heads) * heads != config["hidden_size"]:
        raise Unsupported("heads x head_dim must be hidden_size")
    return dict(family="llama", layers=config["num_hidden_layers"], hidden=config["hidden_size"],
                heads=heads, kv_heads=config.get("num_key_value_heads", heads),
                ffn=config["intermediate_size"], vocab=config["vocab_size"], tied=False)  # fmt: skip


def scenario_tasks(scenario, stem, path):
    """One task a plan of the scenario."""
    overlays = scenario.get("plans") or {"": {}}
    tasks = []
    for plan_name, overlay in overlays.items():
        overlay = dict(overlay or {})
        training = {**scenario["training"], **overlay.pop("training", {})}
        runtime = overlay.pop("runtime", scenario.get("runtime", "pytorch-eager"))
        if runtime != "pytorch-eager":
            raise Unsupported(f"{path}: runtime {runtime!r} is not run here")
        plan = {**scenario.get("plan", {}), **overlay}
        config = _named("models", scenario["model"], path)
        named = scenario["model"]
        model_name = named if isinstance(named, str) else named.get("name", stem)
        spec = model_spec(config)
        name = f"{stem}.{plan_name}" if plan_name else stem
        if "data_parallel" not in plan:
            whole = _cluster_size(scenario["cluster"], path)
            plan["data_parallel"] = max(1, whole // (plan.get("tensor_parallel", 1)
                                                     * plan.get("pipeline_parallel", 1)))  # fmt: skip
        tasks.append(_task(name, model_name, spec, training, plan))
    return tasks


def _cluster_size(cluster, path):
    described = _named("clusters", cluster, path)
    return described.get("gpus_per_node", 1) * described.get("nodes", 1)


def _task(name, model_name, spec, training, plan):
    tensor, pipeline = plan.get("tensor_parallel", 1), plan.get("pipeline_parallel", 1)
    if plan.get("context_parallel", 1) > 1 or plan.get("vocabulary_parallel", False):
        raise Unsupported(f"{name}: context and vocabulary parallelism are not run here")
    if isinstance(training.get("precision", "bf16"), dict) or training.get("recompute") == "selective":
        raise Unsupported(f"{name}: precision must be a preset, recomputation none or full")
    data = plan.get("data_parallel", 1)
    micro, whole = training["micro_batch_size"], training["global_batch_size"]
    precision = training.get("precision", "bf16")
    if precision not in ("bf16", "amp", "fp32", "tf32", "fsdp-mixed"):
        raise Unsupported(f"{name}: precision {precision!r} is not run here")
    kind, details = _kind(plan, data, tensor, pipeline)
    if kind in ("fsdp", "zero2"):
        if precision == "bf16":
            precision, details["reduce"] = "bf16pure", "bf16"
        else:
            precision = "amp"
    return dict(name=name, model_name=model_name, model=spec, plan={"kind": kind, **details},
                seq=training["sequence_length"], micro_batch=micro,
                num_micro=max(1, whole // (micro * data)), precision=precision,
                recompute=training.get("recompute", "none"))  # fmt: skip


def _kind(plan, data, tensor, pipeline):
    if pipeline > 1:
        schedule = plan.get("schedule", "1f1b")
        if schedule not in SCHEDULES:
            raise Unsupported(f"schedule {schedule!r} is not run here")
        return "pp", dict(pp=pipeline, schedule=SCHEDULES[schedule],
                          vstages=plan.get("virtual_stages", 1))  # fmt: skip
    if tensor > 1:
        details = dict(tp=tensor, dp=data)
        return "tp", {**details, "sp": True} if plan.get("sequence_parallel") else details
    zero = plan.get("zero_stage", 0)
    if zero:
        return {1: "zero1", 2: "zero2", 3: "fsdp"}[zero], dict(dp=data)
    if data == 1:
        return "single", {}
    if plan.get("gradient_sync", "overlap") == "end":
        return "tp", dict(tp=1, dp=data)
    details = dict(dp=data)
    bucket = str(plan.get("bucket_size", "25 MiB")).split()
    if bucket != ["25", "MiB"]:
        details["bucket_mb"] = int(bucket[0])
    return "ddp", details


def gpus(task):
    plan = task["plan"]
    return plan.get("dp", 1) * plan.get("tp", 1) * plan.get("pp", 1)
