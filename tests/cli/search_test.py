"""`rehearse search`: the best plan that fits, the front of time and memory, and why the second loses."""

import csv
import unittest

from harness import CommandTest, TINY

FEWER = ("--over", "plan.zero_stage=0,1", "--over", "plan.schedule=1f1b", "--over", "training.micro_batch_size=1,2,4",
         "--over", "training.recompute=none")


class SearchTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.write("s.yaml", TINY)

    def search(self, *arguments):
        return self.json("search", "s.yaml", *FEWER, *arguments)

    def test_the_winner_is_a_sweeps_best(self):
        found = self.search()
        self.write("sweep.yaml", "base: s.yaml\ncross:\n  plan.tensor_parallel: [1, 2, 4]\n"
                                 "  plan.pipeline_parallel: [1, 2, 4]\n  plan.zero_stage: [0, 1]\n"
                                 "  plan.sequence_parallel: [false, true]\n  training.micro_batch_size: [1, 2, 4]\n")
        self.done("sweep", "sweep.yaml", "--out", "r.csv")
        with open(self.path("r.csv"), encoding="utf-8") as file:
            rows = [r for r in csv.DictReader(file) if r["status"] == "ok"]
        self.assertEqual(found["best"][0]["step_time_s"], min(float(r["step_time_s"]) for r in rows))

    def test_what_is_said_of_the_winner_can_be_run(self):
        best = self.search("--top", "3")["best"]
        self.assertEqual(len(best), 3)
        for plan in best:
            sets = [a for k, v in plan["settings"].items()
                    for a in ("--set", f"{k}={str(v).lower() if isinstance(v, bool) else v}")]
            self.assertEqual(self.json("run", "s.yaml", *sets)["step_time_s"], plan["step_time_s"])

    def test_exhaustive_finds_the_same(self):
        pruned, exhaustive = self.search(), self.search("--exhaustive")
        self.assertEqual(pruned["best"], exhaustive["best"])
        self.assertEqual(pruned["front"], exhaustive["front"])
        self.assertEqual(exhaustive["bounded"], 0)

    def test_objectives(self):
        memory = self.search("--objective", "memory")["best"]
        self.assertEqual([p["objective"] for p in memory], sorted(p["peak_reserved_bytes"] for p in memory))
        cheapest = self.search("--objective", "cost", "--max-gpus", "4")["best"][0]
        self.assertEqual(cheapest["gpus"], 1)  # what is so small costs least on one
        energy = self.search("--objective", "energy")["best"][0]
        run = self.json("run", "s.yaml", *[a for k, v in energy["settings"].items()
                                           for a in ("--set", f"{k}={str(v).lower() if isinstance(v, bool) else v}")])
        self.assertAlmostEqual(energy["objective"] / run["energy_per_step_j"], 1)
        self.assertIn("did you mean 'memory'?", self.refused("search", "s.yaml", "--objective", "memori"))

    def test_the_second_has_a_reason(self):
        found = self.search()
        self.assertRegex(found["runner_up"], r"→.*% time a token")
        self.assertIn("the second is not the first", self.done("search", "s.yaml", *FEWER))

    def test_mistakes(self):
        self.assertIn("is not what a search varies", self.refused("search", "s.yaml", "--over", "model.x=1"))
        self.assertIn("did you mean '1f1b'?", self.refused("search", "s.yaml", "--over", "plan.schedule=1f1"))
        self.assertIn("--plan", self.refused("search", "llama3-8b-4xh200"))


if __name__ == "__main__":
    unittest.main()
