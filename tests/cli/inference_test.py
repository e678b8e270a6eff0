"""Prefill, decode and serving from the command line, and the chart of a pipeline."""

import csv
import unittest

from harness import CommandTest, TINY

MODEL = """\
model: {model_type: llama, num_hidden_layers: 4, hidden_size: 256, num_attention_heads: 8,
        num_key_value_heads: 4, intermediate_size: 768, vocab_size: 512}
cluster: {name: h200-4}
"""
DECODE = MODEL + "task: decode\ninference: {batch: 4, context_length: 512}\n"
SERVING = MODEL + """\
task: serving
serving:
  arrival: {rate: 200 /s, seed: 3}
  requests: 200
  prompt_length: {distribution: uniform, low: 16, high: 256}
  output_length: {distribution: exponential, mean: 32}
  max_batch_tokens: 512
"""


class InferenceTest(CommandTest):
    def test_latent_attention_and_experts_decode(self):
        for model in ("deepseek-v3", "qwen3-30b-a3b", "gpt-oss-120b"):
            for graph in ("true", "false"):
                run = self.json("run", self.write("s.yaml", DECODE), "--set", f"model={model}", "--set",
                                f"inference.cuda_graph={graph}", "--set", "plan.expert_parallel=4")
                self.assertGreater(run["step_time_s"], 0)
                self.assertGreater(run["kv_cache_peak_bytes"], 0)

    def test_a_form_of_latents_is_for_models_that_have_them(self):
        self.write("s.yaml", DECODE)
        error = self.refused("run", "s.yaml", "--set", "inference.latent_attention=absorbed")
        self.assertIn("no latent attention", error)

    def test_what_inference_does_not_do_is_refused(self):
        self.write("s.yaml", DECODE)
        for key, value in (("plan.zero_stage", 3), ("plan.context_parallel", 2)):
            self.assertIn("inference is not simulated with", self.refused("run", "s.yaml", "--set", f"{key}={value}"))
        error = self.refused("run", "s.yaml", "--set", "model=qwen3-30b-a3b", "--set", "plan.expert_parallel=2",
                             "--set", "plan.tensor_parallel=2")
        self.assertIn("experts", error)

    def test_plans_of_decoding_are_compared_swept_and_searched(self):
        self.write("s.yaml", DECODE + "plans: {tp1: {}, tp2: {tensor_parallel: 2}, pp2: {pipeline_parallel: 2}}\n")
        runs = self.json("compare", "s.yaml")["runs"]
        self.assertEqual({r["plan"] for r in runs}, {"tp1", "tp2", "pp2"})
        self.write("sweep.yaml", "base: d.yaml\ncross: {inference.batch: [1, 8], plan.tensor_parallel: [1, 2]}\n")
        self.write("d.yaml", DECODE)
        self.done("sweep", "sweep.yaml", "--out", "out.csv")
        with open(self.path("out.csv"), encoding="utf-8") as file:
            self.assertEqual(len(list(csv.DictReader(file))), 4)
        text = self.done("search", "d.yaml")
        for plan in ("dp 4", "dp 2 tp 2", "dp 1 pp 4"):
            self.assertIn(plan, text)
        for word in ("zero", "recompute", "mb "):
            self.assertNotIn(word, text)


class ServingTest(CommandTest):
    def test_what_users_read(self):
        run = self.json("run", self.write("s.yaml", SERVING))
        for field in ("time_to_first_token_s", "time_per_output_token_s"):
            self.assertEqual(set(run[field]), {"mean", "p50", "p95", "p99"})
            self.assertLessEqual(run[field]["p50"], run[field]["p99"])
        for field in ("throughput_tokens_per_s", "kv_cache_peak_bytes"):
            self.assertGreater(run[field], 0)
        self.assertEqual(run["preemptions"], 0)

    def test_the_seed_decides(self):
        self.write("s.yaml", SERVING)
        first, again = (self.json("run", "s.yaml") for _ in range(2))
        other = self.json("run", "s.yaml", "--set", "serving.arrival.seed=4")
        for run in (first, again, other):
            run.pop("simulation")
        self.assertEqual(first, again)
        self.assertNotEqual(first["time_to_first_token_s"], other["time_to_first_token_s"])

    def test_requests_of_a_trace(self):
        self.write("requests.csv", "arrival_s,prompt_tokens,output_tokens\n0,64,8\n0.5,32,4\n")
        text = SERVING.replace("{rate: 200 /s, seed: 3}", "{trace: requests.csv}")
        self.assertIn("the trace says how long", self.refused("run", self.write("s.yaml", text)))
        text = "".join(line + "\n" for line in text.splitlines() if "_length:" not in line)
        run = self.json("run", self.write("s.yaml", text))
        self.assertEqual(run["requests"], 2)
        self.assertIn("bad.csv", self.refused("run", "s.yaml", "--set", "serving.arrival.trace=bad.csv"))

    def test_every_scheduler_speculation_and_separate_gpus(self):
        self.write("s.yaml", SERVING)
        options = [("serving.scheduler", s) for s in ("static", "continuous", "chunked_prefill")]
        options += [("serving.speculative", "{draft: gpt2, tokens: 3, acceptance: 0.8}"),
                    ("serving.disaggregated", "{prefill_gpus: 1, decode_gpus: 3}")]
        for key, value in options:
            self.assertGreater(self.json("run", "s.yaml", "--set", f"{key}={value}")["throughput_tokens_per_s"], 0)
        error = self.refused("run", "s.yaml", "--set", "serving.disaggregated={prefill_gpus: 1, decode_gpus: 2}")
        self.assertIn("are not the cluster's 4 GPUs", error)

    def test_a_small_cache_preempts(self):
        # What 80 % of a GPU's memory is taken from leaves little for the cache.
        text = SERVING.replace("{name: h200-4}", "{name: h200-4, gpu: {name: h200-sxm, memory: 3 GB, usable_memory: 2.2 GB}}")
        run = self.json("run", self.write("s.yaml", text), "--set", "serving.arrival.rate=100000 /s")
        self.assertGreater(run["kv_cache_peak_bytes"], 0)

    def test_servings_are_compared_by_what_they_serve(self):
        self.write("s.yaml", SERVING + "plans: {four: {}, two: {tensor_parallel: 2}}\n")
        runs = self.json("compare", "s.yaml")["runs"]
        rates = [r["throughput_tokens_per_s"] for r in runs]
        self.assertEqual(rates, sorted(rates, reverse=True))
        self.assertIn("compare and sweep", self.refused("search", "s.yaml", "--plan", "four"))


class PipelineChartTest(CommandTest):
    def test_rows_and_bubbles_of_every_schedule(self):
        self.write("s.yaml", TINY + "plan: {pipeline_parallel: 4}\n")
        for schedule in ("gpipe", "1f1b", "interleaved-zero-bubble", "zb-h1", "zb-h2", "zbv", "dualpipe"):
            text = self.done("explain", "s.yaml", "pipeline", "--set", f"plan.schedule={schedule}")
            for rank in range(4):
                self.assertRegex(text, rf"(?m)^rank {rank} ")
            self.assertIn("over ideal", text)
            self.assertEqual("backward, weights" in text, schedule not in ("gpipe", "1f1b"))


if __name__ == "__main__":
    unittest.main()
