"""`rehearse compare`: plans side by side, best first, with what fits."""

import json
import re
import unittest

from harness import CommandTest, TINY

# Eight sequences at once do not fit beside whole copies of the model; cut over four they do.
LARGE = """\
model: llama3-8b
cluster: h200-4
training: {sequence_length: 4096, micro_batch_size: 4, global_batch_size: 32}
plans:
  whole: {}
  whole-recomputed: {training: {recompute: full}}
  tp4: {tensor_parallel: 4, sequence_parallel: true}
"""


class CompareTest(CommandTest):
    def runs(self, *arguments):
        return self.json("compare", *arguments)["runs"]

    def test_the_shipped_scenario(self):
        text = self.done("compare", "llama3-8b-4xh200")
        for name in ("ddp", "fsdp", "tp4", "pp4"):
            self.assertRegex(text, rf"(?m)^{name} ")

    def test_best_is_first(self):
        self.write("s.yaml", TINY + "plans: {ddp: {}, fsdp: {zero_stage: 3}, pp: {pipeline_parallel: 4}}\n")
        runs = self.runs("s.yaml")
        self.assertEqual({r["plan"] for r in runs}, {"ddp", "fsdp", "pp"})
        rates = [r["tokens_per_second"] for r in runs]
        self.assertEqual(rates, sorted(rates, reverse=True))

    def test_what_does_not_fit_comes_last_and_is_said(self):
        self.write("s.yaml", LARGE)
        runs = self.runs("s.yaml")
        fits = [r["fits_in_memory"] for r in runs]
        self.assertEqual(fits, sorted(fits, reverse=True))
        self.assertIn(False, fits)
        self.assertIn(True, fits)
        text = self.done("compare", "s.yaml")
        self.assertIn("do not fit in memory:", text)
        after = text[text.index("do not fit in memory:"):]
        for run in runs:
            if not run["fits_in_memory"]:
                self.assertRegex(after, rf"(?m)^ *{run['plan']} ")

    def test_json_has_the_schema_and_whole_runs(self):
        result = self.json("compare", "llama3-8b-4xh200")
        self.assertEqual(result["schema"], "rehearse.compare/1")
        for run in result["runs"]:
            self.assertEqual(run["schema"], "rehearse.run/1")

    def test_compare_and_run_agree(self):
        for run in self.runs("llama3-8b-4xh200"):
            alone = self.json("run", "llama3-8b-4xh200", "--plan", run["plan"])
            for report in (run, alone):
                report["simulation"].pop("wall_s")
            self.assertEqual(run, alone)

    def test_several_scenarios(self):
        self.write("a.yaml", TINY)
        self.write("b.yaml", TINY + "plan: {zero_stage: 3}\n")
        self.assertEqual({r["plan"] for r in self.runs("a.yaml", "b.yaml")}, {"a", "b"})

    def test_vary_runs_every_combination(self):
        self.write("s.yaml", TINY)
        runs = self.runs("s.yaml", "--vary", "plan.zero_stage=0,1,3", "--vary", "training.recompute=none,full")
        self.assertEqual({r["plan"] for r in runs},
                         {f"zero_stage={z} recompute={r}" for z in (0, 1, 3) for r in ("none", "full")})

    def test_vary_takes_values_with_commas_in_brackets(self):
        self.write("s.yaml", TINY)
        runs = self.runs("s.yaml", "--vary", "cluster={name: dgx-h100, nodes: 2},h200-2")
        self.assertEqual({r["gpus"] for r in runs}, {16, 2})

    def test_vary_leaves_out_what_cannot_be_and_says_so(self):
        self.write("s.yaml", TINY)
        result = self.rehearse("compare", "s.yaml", "--vary", "plan.tensor_parallel=1,3", "--json", "-")
        self.assertEqual(result.returncode, 0)
        self.assertIn("left out tensor_parallel=3", result.stderr)
        self.assertEqual(len(json.loads(result.stdout)["runs"]), 1)

    def test_vary_of_which_nothing_can_be_is_a_mistake(self):
        self.write("s.yaml", TINY)
        self.assertIn("no combination of --vary can run",
                      self.refused("compare", "s.yaml", "--vary", "plan.tensor_parallel=3,5"))

    def test_vary_needs_a_key(self):
        self.write("s.yaml", TINY)
        self.assertIn("key=a,b,c", self.refused("compare", "s.yaml", "--vary", "4,8"))

    def test_a_plan_that_cannot_be_is_a_mistake(self):
        self.write("s.yaml", TINY + "plans: {a: {}, b: {tensor_parallel: 3}}\n")
        self.assertIn("s.yaml:5:", self.refused("compare", "s.yaml"))

    def test_neighbours_are_explained_and_the_parts_add_up(self):
        text = self.done("compare", "llama3-8b-4xh200")
        section = text[text.index("from each plan"):text.index("energy and cost")]
        pairs = [" ".join(p.split()) for p in re.split(r"\n  (?=\S+ → \S+: )", section)[1:]]
        self.assertEqual(len(pairs), 3)
        for pair in pairs:
            total, parts = re.match(r".*?([-+][0-9.]+) % time a token = (.*)", pair).groups()
            shares = [float(share) for share in re.findall(r"([-+][0-9.]+) % [a-z]", parts)]
            self.assertAlmostEqual(sum(shares), float(total), delta=0.6)  # parts under 0.2 % are not said
        self.assertIn("ZeRO 0 → 3", text)

    def test_tokens_and_a_price_tell_what_training_takes(self):
        self.write("s.yaml", TINY)
        run = self.json("compare", "s.yaml", "--tokens", "2T", "--price", "3", "--set", "cluster.pue=1.5")["runs"][0]
        training = run["training"]
        self.assertEqual(training["tokens"], 2e12)
        self.assertAlmostEqual(training["time_s"] * run["tokens_per_second"], 2e12, delta=1)
        self.assertAlmostEqual(training["cost"], 3 * training["time_s"] * run["gpus"] / 3600, places=2)
        self.assertAlmostEqual(training["energy_j"] / (1.5 * run["power_per_gpu_w"] * run["gpus"] * training["time_s"]), 1)
        self.assertAlmostEqual(run["cost_per_million_tokens"] * 2e6 / training["cost"], 1)

    def test_without_a_price_the_cost_is_unknown_and_not_zero(self):
        self.write("s.yaml", TINY)
        run = self.json("compare", "s.yaml", "--tokens", "1B")["runs"][0]
        self.assertIsNone(run["cost_per_million_tokens"])
        self.assertIsNone(run["training"]["cost"])
        self.assertIn("no price", self.done("compare", "s.yaml"))
        self.assertIn("such as '15T'", self.refused("compare", "s.yaml", "--tokens", "many"))

    def test_ideal_is_faster(self):
        self.write("s.yaml", TINY)
        self.assertLess(self.runs("s.yaml", "--ideal")[0]["step_time_s"], self.runs("s.yaml")[0]["step_time_s"])


if __name__ == "__main__":
    unittest.main()
