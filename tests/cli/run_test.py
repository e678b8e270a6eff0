"""`rehearse run`: the JSON that users read, the choice of a plan, dumps, and modes."""

import json
import unittest

from harness import CommandTest, TINY

NUMBER = (int, float)
# Interface of `run --json`: every field with its type.
SCHEMA = {
    "schema": str, "step_time_s": NUMBER, "tokens_per_second": NUMBER,
    "tokens_per_second_per_gpu": NUMBER, "model_tflops_per_gpu": NUMBER, "mfu": NUMBER,
    "mfu_causal": NUMBER, "hfu": NUMBER, "parameters": int, "fits_in_memory": bool,
    "peak_memory_bytes": int, "peak_reserved_bytes": int, "memory_capacity_bytes": int,
    "stages": list, "breakdown_s": dict, "communication": list, "simulation": dict,
}
STAGE = {"pipeline_stage": int, "peak_memory_bytes": int, "memory_at_peak_bytes": dict}
AT_PEAK = {"parameters", "gradients", "optimizer_states", "activations", "temporary"}
BREAKDOWN = {"compute", "exposed_communication", "pipeline_bubble", "host", "optimizer"}
COMMUNICATION = {"operation": str, "group": str, "count": int, "payload_bytes": int,
                 "wire_bytes_per_rank": int, "time_s": NUMBER, "exposed_s": NUMBER}
SIMULATION = {"tasks": int, "events": int, "wall_s": NUMBER, "ranks": int, "simulated_ranks": int,
              "structure_hash": str, "timing_hash": str}
PLANS = ("{ddp: {}, zero1: {zero_stage: 1}, fsdp: {zero_stage: 3}, "
         "tp: {tensor_parallel: 4, sequence_parallel: true}, "
         "pp: {pipeline_parallel: 4, schedule: gpipe}, mixed: {tensor_parallel: 2, pipeline_parallel: 2}}")
NAMES = ("ddp", "zero1", "fsdp", "tp", "pp", "mixed")


class JsonTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.write("s.yaml", TINY + f"plans: {PLANS}\n")

    def check_fields(self, where, schema):
        for name, kind in schema.items():
            self.assertIn(name, where)
            self.assertIsInstance(where[name], kind, name)

    def test_fields_are_those_of_the_interface(self):
        for name in NAMES:
            with self.subTest(plan=name):
                run = self.json("run", "s.yaml", "--plan", name)
                self.assertEqual(run["schema"], "rehearse.run/1")
                self.check_fields(run, SCHEMA)
                self.check_fields(run["simulation"], SIMULATION)
                self.assertEqual(set(run["breakdown_s"]), BREAKDOWN)
                for stage in run["stages"]:
                    self.check_fields(stage, STAGE)
                    self.assertEqual(set(stage["memory_at_peak_bytes"]), AT_PEAK)
                for row in run["communication"]:
                    self.check_fields(row, COMMUNICATION)

    def test_breakdown_adds_up_to_the_step(self):
        for name in NAMES:
            with self.subTest(plan=name):
                run = self.json("run", "s.yaml", "--plan", name)
                self.assertAlmostEqual(sum(run["breakdown_s"].values()), run["step_time_s"], delta=1e-11)
                for part in run["breakdown_s"].values():
                    self.assertGreaterEqual(part, 0)

    def test_numbers_agree_with_each_other(self):
        for name in NAMES:
            with self.subTest(plan=name):
                run = self.json("run", "s.yaml", "--plan", name)
                self.assertAlmostEqual(run["tokens_per_second"] * run["step_time_s"], 16 * 128, places=3)
                self.assertAlmostEqual(run["tokens_per_second_per_gpu"] * 4, run["tokens_per_second"], places=3)
                self.assertEqual(run["simulation"]["ranks"], 4)
                peaks = [stage["peak_memory_bytes"] for stage in run["stages"]]
                self.assertEqual(max(peaks), run["peak_memory_bytes"])
                for stage in run["stages"]:
                    self.assertEqual(sum(stage["memory_at_peak_bytes"].values()), stage["peak_memory_bytes"])
                self.assertGreaterEqual(run["peak_reserved_bytes"], run["peak_memory_bytes"])
                self.assertTrue(run["fits_in_memory"])

    def test_parameters_are_the_whole_model_s(self):
        h, kv, f, v, layers = 64, 32, 192, 512, 8
        block = h * (h + 2 * kv) + h * h + 3 * h * f + 2 * h
        for name in NAMES:
            run = self.json("run", "s.yaml", "--plan", name)
            self.assertEqual(run["parameters"], layers * block + 2 * v * h + h)

    def test_mfu_is_six_n_and_attention_over_the_peak(self):
        run = self.json("run", "s.yaml", "--plan", "ddp")
        per_token = 6 * run["parameters"] + 12 * 8 * 64 * 128
        flops = per_token * run["tokens_per_second_per_gpu"]
        self.assertAlmostEqual(run["model_tflops_per_gpu"], flops / 1e12, delta=1e-6 * flops / 1e12)
        self.assertAlmostEqual(run["mfu"], flops / 989.4e12, delta=1e-3 * run["mfu"])
        self.assertLess(run["mfu_causal"], run["mfu"])
        self.assertEqual(run["hfu"], run["mfu"])
        full = self.json("run", "s.yaml", "--plan", "ddp", "--set", "training.recompute=full")
        self.assertGreater(full["hfu"], full["mfu"])

    def test_fine_tuning_counts_what_it_adds_and_what_trains(self):
        all_train = self.json("run", "s.yaml", "--plan", "ddp")
        self.assertEqual(all_train["trainable_parameters"], all_train["parameters"])
        lora = "training.lora={rank: 4, targets: [proj]}"
        tuned = self.json("run", "s.yaml", "--plan", "ddp", "--set", lora)
        self.assertEqual(tuned["trainable_parameters"], 8 * 4 * (64 + 64))
        self.assertEqual(tuned["parameters"], all_train["parameters"] + tuned["trainable_parameters"])
        self.assertLess(tuned["step_time_s"], all_train["step_time_s"])
        self.assertIn("4,096 trained", self.done("run", "s.yaml", "--plan", "ddp", "--set", lora))

    def test_copies_to_the_host_and_back_are_communication(self):
        run = self.json("run", "s.yaml", "--plan", "fsdp", "--set", "plans.fsdp.offload=[optimizer]")
        copies = {row["group"]: row["payload_bytes"] for row in run["communication"] if row["operation"] == "copy"}
        self.assertEqual(set(copies), {"to_host", "from_host"})
        self.assertEqual(run["stages"][0]["memory_at_peak_bytes"]["optimizer_states"], 0)

    def test_json_goes_to_a_file_and_the_report_to_stdout(self):
        text = self.done("run", "s.yaml", "--plan", "ddp", "--json", "out.json")
        with open(self.path("out.json"), encoding="utf-8") as file:
            run = json.load(file)
        self.assertEqual(run["schema"], "rehearse.run/1")
        self.assertIn("dp 4", text)

    def test_two_runs_print_the_same_but_for_the_clock(self):
        for name in NAMES:
            one, two = (self.json("run", "s.yaml", "--plan", name) for _ in range(2))
            for run in (one, two):
                run["simulation"].pop("wall_s")
            self.assertEqual(one, two)

    def test_pipelines_have_a_stage_for_every_rank_and_a_bubble(self):
        run = self.json("run", "s.yaml", "--plan", "pp", "--ideal")
        self.assertEqual([s["pipeline_stage"] for s in run["stages"]], [0, 1, 2, 3])
        self.assertGreater(run["breakdown_s"]["pipeline_bubble"], 0)
        self.assertEqual({row["operation"] for row in run["communication"]}, {"send_recv"})


class ModesTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.write("s.yaml", TINY + f"plans: {PLANS}\n")

    def test_plan_takes_one(self):
        self.assertEqual(self.json("run", "s.yaml", "--plan", "fsdp")["plan"], "fsdp")

    def test_a_scenario_of_one_plan_needs_no_choice(self):
        self.write("one.yaml", TINY)
        self.assertEqual(self.json("run", "one.yaml")["schema"], "rehearse.run/1")

    def test_set_changes_the_scenario(self):
        self.write("one.yaml", TINY)
        run = self.json("run", "one.yaml", "--set", "plan.tensor_parallel=2",
                        "--set", "training.global_batch_size=32")
        self.assertIn("tp 2", run["plan_summary"])
        self.assertEqual(run["tokens_per_step"], 32 * 128)

    def test_unfolded_runs_take_the_same_time(self):
        for name in ("ddp", "zero1", "fsdp", "pp"):
            with self.subTest(plan=name):
                folded = self.json("run", "s.yaml", "--plan", name)
                unfolded = self.json("run", "s.yaml", "--plan", name, "--no-fold")
                self.assertEqual(unfolded["step_time_s"], folded["step_time_s"])
                self.assertEqual(unfolded["peak_memory_bytes"], folded["peak_memory_bytes"])
                self.assertEqual(unfolded["simulation"]["simulated_ranks"], 4)
                self.assertLess(folded["simulation"]["simulated_ranks"], 5)

    def test_unfolded_tensor_parallel_runs_take_the_same_time(self):
        for name in ("tp", "mixed"):
            with self.subTest(plan=name):
                folded = self.json("run", "s.yaml", "--plan", name)
                unfolded = self.json("run", "s.yaml", "--plan", name, "--no-fold")
                # Ranks that meet inside a segment are unfolded kernel by kernel.
                self.assertAlmostEqual(unfolded["step_time_s"], folded["step_time_s"],
                                       delta=1e-4 * folded["step_time_s"])

    def test_ideal_is_faster_and_has_no_host(self):
        for name in NAMES:
            with self.subTest(plan=name):
                real = self.json("run", "s.yaml", "--plan", name)
                ideal = self.json("run", "s.yaml", "--plan", name, "--ideal")
                self.assertLess(ideal["step_time_s"], real["step_time_s"])
                self.assertEqual(ideal["breakdown_s"]["host"], 0)

    def test_a_plan_that_does_not_fit_says_so_first_and_exits_0(self):
        text = self.done("run", "llama3-8b-4xh200", "--plan", "ddp",
                         "--set", "training.micro_batch_size=8")
        self.assertIn("DOES NOT FIT IN MEMORY", text)
        self.assertLess(text.index("DOES NOT FIT"), text.index("tokens/s"))
        run = self.json("run", "llama3-8b-4xh200", "--plan", "ddp",
                        "--set", "training.micro_batch_size=8")
        self.assertFalse(run["fits_in_memory"])
        self.assertGreater(run["step_time_s"], 0)
        self.assertGreater(run["peak_reserved_bytes"], run["memory_capacity_bytes"])
        self.assertTrue(run["memory_advice"])

    def test_inline_overrides_reach_a_named_file(self):
        self.write("one.yaml", TINY.replace("{name: h200-4}",
                                            "{name: dgx-a100, nodes: 2, inter_node: {nics_per_node: 4}}"))
        self.assertEqual(self.json("run", "one.yaml")["gpus"], 16)


class DumpTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.write("s.yaml", TINY + "plan: {pipeline_parallel: 2}\n")

    def test_every_stage_is_printed(self):
        for stage, part in (("scenario", "plan: dp 2 pp 2 1f1b"), ("model", "block x 8"),
                            ("program", "run block forward frame"), ("tasks", "duration_ps"),
                            ("timeline", "start_ps")):
            with self.subTest(stage=stage):
                self.assertIn(part, self.done("run", "s.yaml", "--dump", stage))

    def test_the_timeline_has_every_task_in_order(self):
        tasks = self.done("run", "s.yaml", "--dump", "tasks").splitlines()
        timeline = self.done("run", "s.yaml", "--dump", "timeline").splitlines()
        self.assertEqual(len(tasks), len(timeline))
        for line in timeline:
            words = line.split()
            self.assertLessEqual(int(words[words.index("start_ps") + 1]),
                                 int(words[words.index("end_ps") + 1]))

    def test_dumps_are_the_same_again(self):
        for stage in ("scenario", "model", "program", "tasks", "timeline"):
            self.assertEqual(self.done("run", "s.yaml", "--dump", stage),
                             self.done("run", "s.yaml", "--dump", stage))


class HashTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.write("s.yaml", TINY)

    def hashes(self, *arguments):
        run = self.json("run", "s.yaml", *arguments)["simulation"]
        return run["structure_hash"], run["timing_hash"]

    def test_a_changed_bandwidth_changes_the_timing_hash_alone(self):
        structure, timing = self.hashes()
        other = self.hashes("--set", "cluster.intra_node.bandwidth=100 GB/s")
        self.assertEqual(other[0], structure)
        self.assertNotEqual(other[1], timing)

    def test_a_changed_plan_changes_both(self):
        structure, timing = self.hashes()
        other = self.hashes("--set", "plan.zero_stage=3")
        self.assertNotEqual(other[0], structure)
        self.assertNotEqual(other[1], timing)


if __name__ == "__main__":
    unittest.main()
