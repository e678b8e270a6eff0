"""Every file under configs/ loads and takes part in a run."""

import csv
import os
import subprocess
import time
import unittest

from harness import CONFIGS, REHEARSE, CommandTest

TRAINING = "training: {sequence_length: 1024, micro_batch_size: 1, global_batch_size: %d}\n"
TINY_MODEL = ("{model_type: llama, num_hidden_layers: 2, hidden_size: 256, num_attention_heads: 8, "
              "intermediate_size: 512, vocab_size: 1024}")


def names(kind):
    return sorted(os.path.splitext(f)[0] for f in os.listdir(os.path.join(CONFIGS, kind))
                  if f.endswith((".yaml", ".json")))


class ConfigsTest(CommandTest):
    def check_runs(self, text):
        self.write("s.yaml", text)
        run = self.json("run", "s.yaml")
        self.assertGreater(run["step_time_s"], 0)
        self.assertLess(run["step_time_s"], 1e6)
        self.assertGreater(run["peak_memory_bytes"], 0)
        return run

    def test_every_model_runs(self):
        self.assertGreater(len(names("models")), 20)
        for name in names("models"):
            with self.subTest(model=name):
                run = self.check_runs(f"model: {name}\ncluster: h200-1\n" + TRAINING % 1)
                self.assertEqual(run["model"], name)
                self.assertGreater(run["parameters"], 10 ** 8)

    def test_every_gpu_runs(self):
        for name in names("gpus"):
            with self.subTest(gpu=name):
                run = self.check_runs(f"model: {TINY_MODEL}\ncluster: {{name: h200-2, gpu: {name}}}\n" + TRAINING % 4)
                self.assertEqual(run["gpu"], name)

    def test_every_cluster_runs(self):
        for name in names("clusters"):
            with self.subTest(cluster=name):
                run = self.check_runs(f"model: {TINY_MODEL}\ncluster: {name}\n" + TRAINING % 144)
                self.assertEqual(run["cluster"], name)

    def test_every_cluster_runs_on_two_nodes(self):
        for name in names("clusters"):
            if name.startswith(("dgx", "gb")):
                with self.subTest(cluster=name):
                    run = self.check_runs(f"model: {TINY_MODEL}\n"
                                          f"cluster: {{name: {name}, nodes: 2}}\n" + TRAINING % 144)
                    self.assertEqual(run["gpus"] % 2, 0)

    def test_every_runtime_runs(self):
        for name in names("runtimes"):
            for plan in ("{}", "{tensor_parallel: 2}", "{pipeline_parallel: 2}", "{zero_stage: 1}"):
                with self.subTest(runtime=name, plan=plan):
                    run = self.check_runs(f"model: {TINY_MODEL}\ncluster: h200-4\nruntime: {name}\nplan: {plan}\n" +
                                          TRAINING % 8)
                    self.assertEqual(run["runtime"], name)

    def test_every_scenario_runs(self):
        self.assertGreater(len(names("scenarios")), 0)
        for name in names("scenarios"):
            with self.subTest(scenario=name):
                self.assertTrue(self.json("compare", name)["runs"])

    def test_every_sweep_runs(self):
        self.assertGreater(len(names("sweeps")), 0)
        for name in names("sweeps"):
            with self.subTest(sweep=name):
                with open(self.path("r.csv"), "w", encoding="utf-8"):
                    pass
                process = subprocess.Popen([REHEARSE, "sweep", name, "--out", "r.csv"], cwd=self.folder,
                                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                while process.poll() is None and os.path.getsize(self.path("r.csv")) < 2000:
                    time.sleep(0.01)  # a few rows show that it runs
                process.terminate()
                self.assertIn(process.wait(), (0, 143))
                with open(self.path("r.csv"), encoding="utf-8") as file:
                    statuses = {row["status"] for row in csv.DictReader(file)}
                self.assertTrue(statuses)
                self.assertLessEqual(statuses, {"ok", "out_of_memory", "infeasible"})


if __name__ == "__main__":
    unittest.main()
