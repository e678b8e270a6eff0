#!/usr/bin/env python3
"""Writes tests/data/published/*.yaml from transcriptions of published results.

    tools/convert_published.py TRANSCRIPTIONS OUT

A transcription (one YAML file a source) states each run as the source prints it; the file written
here states it as a scenario, and says once what was assumed where the source leaves a choice open.
What a source says about a run is never changed here; rows that are formulas, not measurements, are
left out. See tests/data/published/README.md for the format.
"""

import os
import sys

import yaml

from published_table import write


def gpt(m, vocab, positions):
    return {"model_type": "gpt2", "num_hidden_layers": m["layers"], "hidden_size": m["hidden"],
            "num_attention_heads": m["heads"], "n_positions": positions, "vocab_size": vocab}


def h100(name="h100-sxm"):
    """H100 with H200's slowdowns of kernels beside collectives: the same die and NVLink."""
    return {"name": name, "efficiency": {"overlap": {"transfer": "h200-sxm"}}}


ALIKE = "H100: kernels and NCCL's collectives slow each other as on H200 (the same die and NVLink), where that was measured"


def nodes(gpus, per_node=8):
    """Columns of a cluster of so many GPUs in hosts of eight."""
    return {"cluster.gpus_per_node": min(gpus, per_node), "cluster.nodes": max(1, gpus // per_node)}


def alias(name):
    return "m" + "".join(c if c.isalnum() else "_" for c in name)


BEFORE_2024 = {"waits_for_batch": True}
WAITS = "Megatron-LM before 2024: the size of a micro-batch is broadcast and read back from the GPU before every forward"
FP16 = {"parameters": "fp16", "compute": "fp16", "gradients": "fp16", "reduce": "fp16",
             "optimizer_states": "fp32", "master_weights": True}
MEGATRON_ASSUMED = "dropout 0.1 after attention's softmax and both blocks, as Megatron-LM trains by default; attention is not FlashAttention"


def korthikanti(t, out):
    models, rows = {}, []
    for r in t["rows"]:
        m, p, b = r["model"], r["par"], r["batch"]
        scaled = r["id"].startswith("kor_530B_dp8")
        if not (r["id"].startswith("kor_t5") or scaled):
            continue
        models[alias(m["name"])] = gpt(m, m["vocab"], m["seq_len"])
        batch = b["gbs"] or 280 * p["dp"]
        row = {"name": r["id"], "series": "data parallel" if scaled else "table 5",
               "model": "*" + alias(m["name"]), **nodes(r["hw"]["n_gpus"]),
               "training.micro_batch_size": b["mbs"], "training.global_batch_size": batch,
               "training.recompute": r["recompute"].split()[0],
               "plan.tensor_parallel": p["tp"], "plan.sequence_parallel": p["sp"],
               "plan.pipeline_parallel": p["pp"], "plan.virtual_stages": p["vp"]}
        if scaled:
            l, h, s, v = m["layers"], m["hidden"], m["seq_len"], m["vocab"]
            flops = 72 * batch * l * s * h * h * (1 + s / (6 * h) + v / (12 * h * l))
            peak = 312e12 * r["hw"]["n_gpus"]
            row["measured.step_time_s"] = flops / (r["measured"]["mfu_pct"] / 100 * peak)
        else:
            row["measured.step_time_s"] = r["measured"]["iter_time_s"]
        rows.append(row)
    write(out, {"title": "Korthikanti et al. 2022, Reducing Activation Recomputation in Large Transformer Models (arXiv:2205.05198), table 5",
                "repository": "calculon-ai/calculon, NVIDIA/Megatron-LM",
                "path": "calculon/llm/validation.py; README.md", "commit": "caa4b11f8fe1; f2e5db402c^",
                "licence": "facts of a published paper; Calculon: Apache-2.0"},
          [MEGATRON_ASSUMED, WAITS,
           "embedding and head share their weight (Megatron's default)",
           "series 'data parallel': batch of 2,240 sequences (280 a replica); the step time follows from the stated MFU by the paper's equation for model FLOPs",
           "no distributed optimizer; gradients are reduced after the last backward (Megatron's local DDP)"],
          {"cluster": {"name": "dgx-a100"},
           "training": {"sequence_length": 2048, "precision": "mixed-fp16", "attention": "unfused", "dropout": 0.1},
           "plan": {"gradient_sync": "end"},
           "runtime": {"name": "megatron", "behaviour": BEFORE_2024}}, rows, models)


def sc21(t, out):
    models, rows = {}, []
    for r in t["rows"]:
        m, p, b = r["model"], r["par"], r["batch"]
        models[alias(m["name"])] = gpt(m, m["vocab"], m["seq_len"])
        rows.append({"name": r["id"], "model": "*" + alias(m["name"]), **nodes(r["hw"]["n_gpus"]),
                     "training.micro_batch_size": b["mbs"], "training.global_batch_size": b["gbs"],
                     "plan.tensor_parallel": p["tp"], "plan.pipeline_parallel": p["pp"],
                     "plan.virtual_stages": p["vp"],
                     "plan.gradient_sync": "overlap" if r["ddp_impl"] == "torch" else "end",
                     "measured.step_time_s": r["derived"]["iter_time_s_from_eq3"]})
    write(out, {"title": "Narayanan et al. 2021, Efficient Large-Scale Language Model Training on GPU Clusters (SC21, arXiv:2104.04473), table 1",
                "repository": "NVIDIA/Megatron-LM",
                "path": "images/cases_april2021.png; examples/academic_paper_scripts/sc21/run_table_1.sh",
                "commit": "f2e5db402c^; d98e8a64ddf3", "licence": "facts of a published paper; Megatron-LM: BSD-3-Clause"},
          [MEGATRON_ASSUMED, WAITS,
           "step time from the printed TFLOP/s a GPU (integers, so within 0.4 %) by the paper's equation 3, which counts recomputation",
           "code of April 2021: backward's tensor-parallel all-reduces are not overlapped; gradients accumulate and are reduced in fp16 (no --accumulate-allreduce-grads-in-fp32), by kernels of their own",
           "the replicas' sequences in one optimizer step are the stated batch"],
          {"cluster": {"name": "dgx-a100"},
           "training": {"sequence_length": 2048, "precision": FP16, "recompute": "full", "attention": "unfused", "dropout": 0.1},
           "runtime": {"name": "megatron", "behaviour": {"overlaps_tensor_communication": False, "fused_gradient_accumulation": False, **BEFORE_2024}}}, rows, models)


def vtrain(t, out):
    rows = []
    for r in t["rows"]:
        m, p, b = r["model"], r["par"], r["batch"]
        rows.append({"name": r["id"], "model.num_hidden_layers": m["layers"], "model.hidden_size": m["hidden"],
                     "cluster.gpus_per_node": r["n_gpus"],
                     "training.micro_batch_size": b["mbs"], "training.global_batch_size": b["gbs"],
                     "plan.tensor_parallel": p["tp"], "plan.pipeline_parallel": p["pp"],
                     "plan.data_parallel": p["dp"],
                     "measured.step_time_s": r["iter_time_ms"] / 1000})
    write(out, {"title": "Bang et al. 2024, vTrain (MICRO 2024), measured iteration times on one node",
                "repository": "VIA-Research/vTrain", "path": "data/ground_truth_single.csv",
                "commit": "f8dda8473a48", "licence": "see the repository; numbers only"},
          [MEGATRON_ASSUMED,
           "Megatron-DeepSpeed: fp16 with fp32 master weights, gradients reduced after the last backward, in fp16, and accumulated by kernels of their own",
           "full recomputation, 50,257 tokens padded to a multiple of 128 a rank, embedding and head tied"],
          {"model": {"model_type": "gpt2", "num_attention_heads": 16, "n_positions": 1024, "vocab_size": 51200},
           "cluster": {"name": "dgx-a100"},
           "training": {"sequence_length": 1024, "precision": FP16, "recompute": "full", "attention": "unfused", "dropout": 0.1},
           "plan": {"gradient_sync": "end"},
           "runtime": {"name": "megatron", "behaviour": {"fused_gradient_accumulation": False}}}, rows)


def zero_bubble(t, out):
    models, rows = {}, []
    for r in t["rows"]:
        m, p, b = r["model"], r["par"], r["batch"]
        if p["schedule"] not in ("1F1B", "1F1B-I"):
            continue  # pass times, not steps
        models[alias(m["name"])] = gpt(m, 32000, m["seq_len"])
        chunks = (m["layers"] + 2) // p["pp"] if p["schedule"] == "1F1B-I" else 1
        row = {"name": r["id"], "series": "interleaved" if chunks > 1 else "1F1B",
               "model": "*" + alias(m["name"]), **nodes(r["hw"]["n_gpus"]),
               "training.micro_batch_size": b["mbs"], "training.global_batch_size": b["gbs"],
               "plan.pipeline_parallel": p["pp"], "plan.virtual_stages": chunks,
               "plan.stage_layers": None,
               "measured.step_time_s": r["derived"]["iter_time_s"]}
        if chunks > 1:  # the first and the last chunk are a layer less: none
            stages = p["pp"] * chunks
            row["plan.stage_layers"] = [0] + [1] * (stages - 2) + [0]
        if r["measured"].get("mem_GB"):
            row["measured.peak_memory"] = f"{r['measured']['mem_GB']} GB"
        rows.append(row)
    write(out, {"title": "Qi et al. 2023, Zero Bubble Pipeline Parallelism (arXiv:2401.10241), tables 4, 6, 7, 11, 12",
                "repository": "arXiv", "path": "tables 4, 6, 7, 11, 12", "commit": "v1",
                "licence": "facts of a published paper"},
          [MEGATRON_ASSUMED, WAITS,
           "vocabulary 32,000 and tied embeddings: what the stated parameter counts leave room for",
           "no recomputation; eight GPUs a host, 8 x 200 Gb/s RoCE",
           "fp16 with fp16 gradients, as the authors' scripts run it (--fp16 without --accumulate-allreduce-grads-in-fp32); memory in units of 10^9 bytes",
           "interleaved: one layer a chunk, none in the first and the last (the paper: the first and the last stage have one layer less)"],
          {"cluster": {"name": "dgx-a100"},
           "training": {"sequence_length": 1024, "precision": FP16, "attention": "unfused", "dropout": 0.1},
           "runtime": {"name": "megatron", "behaviour": BEFORE_2024}}, rows, models)


def mosaicml(t, out):
    models, rows = {}, []
    for r in t["rows"]:
        m, p, b = r["model"], r["par"], r["batch"]
        a100 = r["hw"]["gpu"].startswith("A100")
        name = alias(m["name"])
        models[name] = {"model_type": "mpt", "d_model": m["hidden"], "n_heads": m["heads"],
                        "n_layers": m["layers"], "expansion_ratio": m["ffn"] // m["hidden"],
                        "vocab_size": m["vocab"], "attn_config": {"alibi": False}}
        precision = "bf16" if p["mp_mode"] == "PURE" else "fsdp-mixed"
        fp8 = r["precision"] == "amp_fp8"
        rows.append({"name": r["id"], "series": ("A100" if a100 else "H100") + (" fp8" if fp8 else ""),
                     "model": "*" + name, "model.max_seq_len": m["seq_len"],
                     "cluster.name": "dgx-a100" if a100 else "dgx-h100",
                     "cluster.gpu": "a100-sxm-40gb" if a100 else h100(),
                     "cluster.nodes": r["hw"]["n_gpus"] // 8,
                     "training.sequence_length": m["seq_len"],
                     "training.micro_batch_size": b["mbs"], "training.global_batch_size": b["gbs"],
                     "training.recompute": "none" if r["recompute"] == "none" else "full",
                     "training.precision": "fsdp-fp8" if fp8 else precision,
                     "measured.tokens_per_second_per_gpu": r["measured"]["tokens_per_s"] / r["hw"]["n_gpus"]})
    write(out, {"title": "MosaicML llm-foundry, MPT training benchmarks",
                "repository": "mosaicml/llm-foundry", "path": "scripts/train/benchmarking/README.md",
                "commit": "8c8dd48f7216", "licence": "Apache-2.0"},
          ["PyTorch FSDP (FULL_SHARD); PURE: parameters, gradients, reduction and states in bf16; DEFAULT: fp32 parameters gathered as bf16",
           "gradients are reduced after every micro-batch (the sharded gradients are all that fits)",
           "MPT with learned positions, no biases, embedding and head tied; FlashAttention 1 (attention in the long rows runs at its rate, not at 2's), fused cross-entropy, no dropout",
           "H100: hosts of eight with 8 x 400 Gb/s (the source names no network)", ALIKE],
          {"training": {}, "plan": {"zero_stage": 3, "gradient_reduction": "every_micro_batch"}, "runtime": "llm-foundry"}, rows, models)


def balanced(m, stages):
    """Layers a stage as nanotron's build_model cuts: blocks in order, the head weighing as its product does; the block whose
    sum first passes a stage's share is still that stage's."""
    layer = m["hidden"] * (4 * m["hidden"] + 3 * m["ffn"])
    whole = m["layers"] * layer + m["hidden"] * m["vocab"]
    counts, stage = [0] * stages, 0
    for i in range(m["layers"]):
        counts[stage] += 1
        if (i + 1) * layer * stages > (stage + 1) * whole:
            stage += 1
    return counts


def polled(r, m):
    """Whether a pipeline's messages were polled every 0.1 s: its step took at least 0.4 s a micro-batch (0.6 s where stages
    have two neighbours) more than its products would at 400 TFLOP/s, and than checks take of a tensor-parallel host."""
    if r["pp"] == 1 or r["tp"] > 16:
        return False
    periods = r["ga"] + r["pp"] - 1
    step = r["dp"] * r["ga"] * r["mbs"] * 4096 / r["tokens_per_s"]
    products = 6 * m["params_b"] * 1e9 * r["mbs"] * 4096 / (r["tp"] * r["pp"] * 400e12)
    return step / periods - products > (0.4 + 0.045 * r["tp"] if r["pp"] == 2 else 0.6)


def playbook(t, out):
    models = {}
    for name, m in t["meta"]["common"]["models"].items():
        models["m" + name] = {"model_type": "llama", "num_hidden_layers": m["layers"], "hidden_size": m["hidden"],
                              "num_attention_heads": m["heads"], "num_key_value_heads": m["kv_heads"],
                              "intermediate_size": m["ffn"], "vocab_size": m["vocab"],
                              "max_position_embeddings": 4096, "tie_word_embeddings": m["tied"]}
    used = {r["model"] for r in t["rows"]}
    rows = [{"name": r["id"], "model": "*m" + r["model"], "cluster.nodes": r["n_gpus"] // 8,
             "training.micro_batch_size": r["mbs"],
             "training.global_batch_size": batch if (batch := r["dp"] * r["ga"] * r["mbs"]) != 256 else None,
             "plan.tensor_parallel": r["tp"], "plan.pipeline_parallel": r["pp"], "plan.data_parallel": r["dp"],
             "plan.zero_stage": r["zero"], "plan.bucket_size": "1 TiB" if r["zero"] == 1 else None,
             "plan.stage_layers": balanced(t["meta"]["common"]["models"][r["model"]], r["pp"]) if r["pp"] > 1 else None,
             "runtime.behaviour.checks_collectives": True if r["pp"] > 1 and r["n_gpus"] > 8 else None,
             "runtime.behaviour.polls_messages": True if polled(r, t["meta"]["common"]["models"][r["model"]]) else None,
             "measured.tokens_per_second_per_gpu": r["tokens_per_s"] / r["n_gpus"],
             "measured.peak_reserved": f"{r['gpu_mem_GB']} GiB" if r["gpu_mem_GB"] else None} for r in t["rows"]]
    write(out, {"title": "Hugging Face, The Ultra-Scale Playbook: benchmark of nanotron",
                "repository": "vinjn/nanotron-ultrascale-playbook, huggingface/nanotron",
                "path": "assets/data/benchmarks/benchmarks_interactive.html; scripts/scaling_benchmarks.py",
                "commit": "924e4d0b88e0; 2411b022a75f, 67c5ebb6a925", "licence": "Apache-2.0"},
          ["AWS p5 hosts: eight H100, 32 EFA ports of 100 Gb/s; schedule 1F1B with blocking messages, no recomputation; layers are cut by cost, head included (nanotron's get_block_compute_costs and build_model; where the head would not be on the last stage, it is put there)",
           "gradients are reduced in DDP's buckets of 25 MB of bf16, which are 50 MB in the fp32 that travels; with ZeRO 1 nanotron makes no DDP and reduces all at once after the last micro-batch (sync_gradients_across_dp)",
           "pipelines over several hosts ran with torch.distributed's checks of collectives: the script measures pipelines anew that are older than some job, and its launcher (run_multinode.sh) sets TORCH_DISTRIBUTED_DEBUG=DETAIL in later versions; that it is these runs is read off their times (one run without a pipeline, repeated, took 4.7 times as long, as if checked)",
           "70 pipelines, on one host too, ran with messages that are polled every 0.1 s, as in the version of nanotron (67c5ebb6a925, p2p.py) that the benchmark's base configuration came with; which they are is read off their times, with a gap between the two kinds (polled() in tools/convert_published.py); of those with ZeRO 1, all that reserved more than 65 GiB are of this kind",
           "the batch is the one that a run's name states; four are smaller than the others'",
           "NCCL's Simple protocol alone and no NVLS: run_multinode.sh activates PyTorch 2.1 (conda 2-1-cu121), whose NCCL is 2.18.1, with which aws-ofi-nccl allows no NVLS (pull request 268), nor, before its 1.7.3, LL and LL128 on p5 (pull request 280); the plugin's version is not stated: that it was an older one is read off the times of tensor parallelism over hosts, which follow the ranks",
           ALIKE,
           "tensor parallelism with reduce-scatter and all-gather (the script's mode), ranks ordered tp, dp, pp",
           "bf16 parameters, fp32 gradient accumulation and optimizer; FlashAttention 2",
           "memory: GiB (nanotron writes bytes / 1024^3 and calls it GB) that the allocator reserved: the source does not say which, and the largest, 77.4, is what a GPU of 79.1 GiB leaves"],
          {"cluster": {"name": "aws-p5", "gpu": h100(), "collectives": {"protocols": ["simple"], "nvls": False}},
           "training": {"sequence_length": 4096, "global_batch_size": 256, "precision": "mixed"},
           "plan": {"bucket_size": "50 MiB", "sequence_parallel": True, "vocabulary_parallel": True, "pipeline_messages": "blocking"},
           "runtime": {"name": "nanotron"}}, rows, {k: v for k, v in models.items() if k[1:] in used},
          ["model", "cluster.nodes"])


def dgxc(t, out):
    rows = []
    for r in t["rows"]:
        p, b, m = r["par"], r["batch"], r["model"]
        name = "llama3-8b" if m["ref"] == "llama3_8b" else "llama3-70b"
        jax = r["framework"].startswith("MaxText")
        lora = "LORA" in m["name"]
        if b["gbs"] is None:
            continue  # a later tag's table without its configuration; the same measurements as above
        row = {"name": r["id"].removeprefix("dgxc_"), "series": "MaxText" if jax else "fine-tuning" if r["task"] == "finetune" else "NeMo",
               "model": name, "cluster.nodes": r["hw"]["n_gpus"] // 8,
               "training.sequence_length": m["seq_len"], "training.micro_batch_size": b["mbs"] or 1,
               "training.global_batch_size": b["gbs"]}
        if p["pp"] == 41:
            row["beyond"] = "the source prints 41 as the pipeline's degree"
        if lora and b["gbs"] == 32 and r["hw"]["n_gpus"] == 32:
            row["beyond"] = "the source prints the time of an earlier tag's run of 128 sequences beside a batch of 32"
        if jax:
            row["runtime"] = "pytorch-compile"
            row["training.precision"] = "fsdp-mixed"
            row["training.recompute"] = "full"
            row["plan.zero_stage"] = 3
            row["beyond"] = "MaxText (JAX): XLA's kernels and its rematerialisation policy are not simulated"
        else:
            row.update({"plan.tensor_parallel": p["tp"] or 1, "plan.sequence_parallel": (p["tp"] or 1) > 1,
                        "plan.pipeline_parallel": p["pp"] or 1, "plan.virtual_stages": p["vp"] or 1,
                        "plan.context_parallel": p["cp"] or 1, "plan.zero_stage": 1})
        if lora:
            row["training.lora"] = {"rank": 16, "targets": ["qkv", "proj"]}
        row["measured.step_time_s"] = r["measured"]["iter_time_s"]
        rows.append(row)
    write(out, {"title": "NVIDIA DGX Cloud Benchmarking recipes: Llama 3.1 on DGX H100 (EOS)",
                "repository": "NVIDIA/dgxc-benchmarking", "path": "*/README*.md",
                "commit": "tags v24.11.1 to v25.05", "licence": "Apache-2.0"},
          ["NeMo's recipes: sequence parallelism with tensor parallelism, its collectives overlapped with the products (user buffers, which are not NCCL's kernels: that they slow the products is not counted), distributed optimizer with overlapped gather and reduction, no recomputation",
           "gradients kept and reduced in bf16: plugins.grad_reduce_in_fp32 = False in NeMo 2's performance recipes, optim.grad_sync_dtype=bf16 in the scripts of 24.09 (NeMo-Framework-Launcher, examples/training/llama/h100)",
           "fine-tuning: micro-batches of one sequence; LoRA of rank 16 on the attention's products",
           "Llama 3's vocabulary and FlashAttention; context parallelism as a ring (NeMo's p2p)"],
          {"cluster": {"name": "dgx-h100"},
           "training": {"precision": {"parameters": "bf16", "compute": "bf16", "gradients": "bf16", "reduce": "bf16",
                                      "optimizer_states": "fp32", "master_weights": "fp32"}},
           "runtime": "megatron"}, rows)


TITAN_GPUS = {
    "H100-SXM 96GB HBM2e (2.4 TB/s, 500W limit)": ("dgx-h100", "h100-sxm-500w"),
    "A100-80GB": ("aws-p4de", "a100-sxm"), "H200": ("dgx-h200", "h200-sxm"),
    "B200 (power limited)": ("dgx-b200", "b200-sxm-750w")}


def titan_runtime(row, gpu):
    """A100's of 2024 are eager; of the tables of December 2024 blocks are compiled, later the loss is, too."""
    december = "2024" in row["source"]
    if row["torch_compile"] is False or gpu == "a100-sxm":
        name = "torchtitan-eager"
    else:
        name = "torchtitan-2024" if december else "torchtitan"
    second = gpu in ("h100-sxm-500w", "h200-sxm")
    return {"name": name, "behaviour": {"flash_attention": 2}} if second else name


def torchtitan(t, out):
    rows = []
    for r in t["rows"]:
        m, p, b, c = r["model"], r["par"], r["batch"], r["recompute"]
        cluster, gpu = TITAN_GPUS[r["hw"]["gpu"]]
        float8 = "float8" in r["precision"] or "mxfp8" in r["precision"]
        batch = b["gbs"] or b["local_bs"] * p["fsdp"]
        recompute = "full" if c.startswith("full") else "alternate" if c == "selective layer" else "operators"
        row = {"name": r["id"], "model": "llama2-70b" if m["ref"] == "llama2_70b" else "llama3-8b",
               "cluster.name": cluster, "cluster.gpu": h100(gpu) if gpu.startswith("h100") else gpu, "cluster.nodes": r["hw"]["n_gpus"] // 8,
               "training.sequence_length": m["seq_len"] or 8192,
               "training.micro_batch_size": b["local_bs"], "training.global_batch_size": batch,
               "training.recompute": recompute,
               "training.precision": "fsdp-fp8" if float8 else "fsdp-mixed",
               "plan.tensor_parallel": p["tp"], "plan.sequence_parallel": p["tp"] > 1,
               "plan.vocabulary_parallel": p["tp"] > 1,
               "plan.context_parallel": p["cp"], "runtime": titan_runtime(r, gpu)}
        if r.get("async_tp"):
            row["beyond"] = "asynchronous tensor parallelism (symmetric memory) is not simulated"
        if "mxfp8" in r["precision"] or "rowwise" in r["precision"]:
            row["beyond"] = f"{r['precision']}: only products with one scale a tensor were measured"
        measured = r["measured"]
        if measured.get("oom"):
            row["measured.out_of_memory"] = True
        else:
            row["measured.tokens_per_second_per_gpu"] = measured["tokens_per_s_per_gpu"]
        if "peak_mem_GiB" in measured:
            row["measured.peak_reserved"] = f"{measured['peak_mem_GiB']} GiB"
        if "peak_mem_GB" in measured:
            row["measured.peak_reserved"] = f"{measured['peak_mem_GB']} GiB"
        rows.append(row)
    write(out, {"title": "PyTorch torchtitan benchmarks",
                "repository": "pytorch/torchtitan", "path": "benchmarks/*.md; docs/performance.md; torchtitan/components/quantization/mxfp8.md",
                "commit": "b5bcd76c66d0", "licence": "BSD-3-Clause"},
          ["FSDP2 with fp32 parameters gathered as bf16; sequences of 8,192 where the source does not say (torchtitan's Llama 3 default)",
           "'selective' recomputation is torchtitan's per-operator default where the kind is not stated",
           "A100: eager (torchtitan issue 186, April 2024, plans these runs as '64 A100 FSDP2 and 2D eager') on AWS with EFA (issue 394), whose A100 of 80 GB are p4de.24xlarge",
           "the memory that torchtitan logs is max_memory_reserved; its run scripts of 2025 set PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True, those of 2024 did not",
           "tables of December 2024: compiled blocks, the loss eager (torchtitan pull request 755); later ones: the loss compiled, too (1033). Tensor parallelism with loss parallel, as torchtitan enables by default",
           "H100 of 500 W with HBM2e: h100-sxm-500w; B200 'power limited': 750 W, as benchmarks of the same company's B200 state (b200-sxm-750w)",
           ALIKE,
           "H100 and H200: PyTorch's attention of 2024 and early 2025 is FlashAttention 2",
           "B200: Llama 3 8B, and GiB, as torchao, whose benchmark it is, says (torchao/prototype/mx_formats/README.md, benchmarks/float8/training/parse_torchtitan_logs.py); how far power was limited is not stated"],
          {"training": {}, "plan": {"zero_stage": 3}}, rows)


def simumax(t, out):
    rows = []
    for r in t["rows"]:
        p, b, m = r["par"], r["batch"], r["model"]
        rows.append({"name": r["id"].removeprefix("simumax_"), "model.num_hidden_layers": m["layers_run"],
                     "training.sequence_length": m["seq_len"],
                     "training.global_batch_size": b["gbs"],
                     "plan.tensor_parallel": p["tp"], "plan.sequence_parallel": p["tp"] > 1,
                     "plan.pipeline_parallel": p["pp"], "plan.context_parallel": p["cp"],
                     "plan.data_parallel": p["dp"],
                     "measured.step_time_s": r["measured"]["iter_time_ms"] / 1000,
                     "measured.peak_memory": f"{r['measured']['max_allocated_GiB']} GiB"})
    write(out, {"title": "SimuMax 1.2: Megatron-LM on eight B200", "repository": "MooreThreads/SimuMax",
                "path": "docs/b200/b200_release_v1.2_summary.json", "commit": "4dcaae513ba7",
                "licence": "see the repository; numbers only"},
          ["bf16 with fp32 main gradients, distributed optimizer, no overlap of tensor-parallel, pipeline or gradient communication, fused cross-entropy",
           "vocabulary 128,256 as in Llama 3; no recomputation"],
          {"model": {"name": "llama3-70b"}, "cluster": {"name": "dgx-b200"},
           "training": {"micro_batch_size": 1, "precision": "mixed"},
           "plan": {"zero_stage": 1, "gradient_sync": "end"},
           "runtime": {"name": "megatron", "behaviour": {"overlaps_tensor_communication": False}}}, rows)


def golden(t, out):
    rows = []
    for r in t["rows"]:
        a = r["args"]
        chunks = a["num-layers"] // a["pipeline-model-parallel-size"] // a.get("num-layers-per-virtual-pipeline-stage", a["num-layers"])
        gpu = r["gpu"].split("-")[0].lower()
        rows.append({"name": r["id"].removeprefix("golden_gpt_").replace("_memory_speed_dev", ""),
                     "cluster.name": "gb200-nvl72" if gpu == "gb200" else f"dgx-{gpu}",
                     "cluster.gpus_per_node": r["gpus_per_node"], "cluster.nodes": r["nodes"],
                     "training.micro_batch_size": a["micro-batch-size"],
                     "plan.tensor_parallel": a["tensor-model-parallel-size"],
                     "plan.pipeline_parallel": a["pipeline-model-parallel-size"],
                     "plan.virtual_stages": max(1, chunks),
                     "measured.peak_memory": f"{int(r['measured']['mem_max_allocated_bytes'])} B"})
    model = {"model_type": "megatron_gpt", "num_layers": 32, "hidden_size": 4096, "num_attention_heads": 32,
             "num_query_groups": 8, "vocab_size": 131073, "max_position_embeddings": 8192,
             "untie_embeddings_and_output_weights": True}
    write(out, {"title": "Megatron-LM's functional tests: allocated memory of GPT-3 7B",
                "repository": "NVIDIA/Megatron-LM",
                "path": "tests/functional_tests/test_cases/gpt/gpt3_7b_*/{model_config.yaml,golden_values_*.json}",
                "commit": "d98e8a64ddf3", "licence": "BSD-3-Clause"},
          ["dropout 0.1 after both blocks, Megatron-LM's default",
           "times are not compared: these runs are deterministic (other kernels of attention, memory filled before its use), which is not simulated; they take 14 to 49 % longer than predicted without"],
          {"model": model,
           "training": {"sequence_length": 8192, "global_batch_size": 8, "precision": "mixed", "dropout": 0.1},
           "plan": {"zero_stage": 1},
           "runtime": {"name": "megatron", "behaviour": {"fused_gradient_accumulation": False}}}, rows)


SOURCES = {"korthikanti2022": korthikanti, "megatron_sc21_table1": sc21, "vtrain_single_node": vtrain,
           "zero_bubble": zero_bubble, "mosaicml_llm_foundry": mosaicml,
           "hf_ultrascale_playbook": playbook, "nvidia_dgxc_benchmarking": dgxc,
           "torchtitan": torchtitan, "simumax_b200_megatron": simumax,
           "megatron_golden_values": golden}


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    given, out = sys.argv[1:]
    for name, convert in SOURCES.items():
        with open(os.path.join(given, name + ".yaml"), encoding="utf-8") as f:
            transcription = yaml.safe_load(f)
        convert(transcription, os.path.join(out, name + ".yaml"))


if __name__ == "__main__":
    main()
