"""`rehearse list`, `price` and `validate`: what there is, single prices, and measured runs."""

import csv
import io
import json
import os
import unittest

from harness import CONFIGS, CommandTest, SOURCE


def names_in(kind):
    return sorted(os.path.splitext(f)[0] for f in os.listdir(os.path.join(CONFIGS, kind))
                  if f.endswith((".yaml", ".json")))


class ListTest(CommandTest):
    def first_words(self, kind):
        return [line.split()[0] for line in self.done("list", kind).splitlines()]

    def test_files_of_every_kind(self):
        for kind in ("models", "gpus", "clusters", "runtimes", "scenarios"):
            with self.subTest(kind=kind):
                self.assertEqual(sorted(self.first_words(kind)), names_in(kind))

    def test_registries(self):
        for kind, some in (("schedules", {"gpipe", "1f1b", "interleaved-1f1b", "zbv"}),
                           ("collectives", {"ring", "tree", "hierarchical"}),
                           ("strategies", {"bucketed", "fully-sharded"}),
                           ("families", {"gpt2", "llama"}), ("formats", {"json"}),
                           ("commands", {"run", "compare", "list"})):
            with self.subTest(kind=kind):
                self.assertLessEqual(some, set(self.first_words(kind)))

    def test_unknown_kind_has_the_nearest_name(self):
        self.assertIn("no kind 'modles' to list (did you mean 'models'?)", self.refused("list", "modles"))


class PriceTest(CommandTest):
    def price(self, *arguments):
        return json.loads(self.done("price", *arguments, "--json"))

    def test_the_examples_of_the_interface(self):
        for line in ("gemm gpu=h100-sxm m=4096 n=4096 k=11008 dtype=bf16",
                     "attention gpu=h200-sxm batch=2 heads=32 kv_heads=8 length=4096 head_size=128 "
                     "direction=backward",
                     "all_reduce cluster=h200-4 ranks=4 bytes=64MiB"):
            with self.subTest(line=line):
                self.assertGreater(self.price(*line.split())["time_s"], 0)

    def test_an_ideal_product_takes_its_flops_at_the_peak(self):
        priced = self.price("gemm", "gpu=h100-sxm", "m=4096", "n=4096", "k=4096", "dtype=bf16", "--ideal")
        self.assertAlmostEqual(priced["time_s"], 2 * 4096 ** 3 / 989.4e12, delta=1e-3 * priced["time_s"])

    def test_every_collective_has_a_price(self):
        for op in ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "send_recv"):
            with self.subTest(op=op):
                self.assertGreater(self.price(op, "cluster=h200-4", "ranks=4", "bytes=1MiB")["time_s"], 0)

    def test_clocks_are_burst_unless_said(self):
        line = ("gemm", "gpu=h200-sxm", "m=8192", "n=8192", "k=8192", "dtype=bf16")
        self.assertEqual(self.price(*line), self.price(*line, "clocks=burst"))
        self.assertIn("clock", self.refused("price", *line, "clocks=fast"))

    def test_csv_prices_every_row(self):
        self.write("rows.csv", "m,n,k,note\n1024,1024,1024,small\n4096,4096,4096,\"large, yes\"\n")
        rows = list(csv.DictReader(io.StringIO(
            self.done("price", "gemm", "gpu=h100-sxm", "dtype=bf16", "--csv", "rows.csv"))))
        self.assertEqual([r["note"] for r in rows], ["small", "large, yes"])
        one = self.price("gemm", "gpu=h100-sxm", "dtype=bf16", "m=4096", "n=4096", "k=4096")
        self.assertAlmostEqual(float(rows[1]["predicted_us"]), 1e6 * one["time_s"],
                               delta=1e-5 * 1e6 * one["time_s"])
        self.assertLess(float(rows[0]["predicted_us"]), float(rows[1]["predicted_us"]))

    def test_csv_with_a_column_of_operators(self):
        self.write("rows.csv", "operator,cluster,ranks,bytes\nall_reduce,h200-4,4,1MiB\nall_gather,h200-2,2,1MiB\n")
        rows = list(csv.DictReader(io.StringIO(self.done("price", "--csv", "rows.csv"))))
        self.assertEqual(len(rows), 2)

    def test_mistakes_of_a_row_name_it(self):
        self.write("rows.csv", "m,n,k\n1024,1024,1024\n1024,x,1024\n")
        self.assertIn("rows.csv:3:", self.refused("price", "gemm", "gpu=h100-sxm", "--csv", "rows.csv"))

    def test_mistakes_have_the_nearest_name(self):
        self.assertIn("did you mean 'gemm'?", self.refused("price", "gem", "m=1"))
        self.assertIn("did you mean 'h100-sxm'?",
                      self.refused("price", "gemm", "gpu=h100-smx", "m=1", "n=1", "k=1"))
        self.assertIn("missing 'k'", self.refused("price", "gemm", "gpu=h100-sxm", "m=1", "n=1"))
        self.assertIn("must be key=value", self.refused("price", "gemm", "gpu=h100-sxm", "m"))
        self.assertIn("none.csv", self.refused("price", "gemm", "--csv", "none.csv"))


class ValidateTest(CommandTest):
    FILE = os.path.join(SOURCE, "tests/data/measured/h200-steps.jsonl")

    def test_rows_and_a_summary(self):
        text = self.done("validate", self.FILE)
        self.assertRegex(text, r"(?m)^step time +\d+ +[\d.]+ %")
        self.assertRegex(text, r"(?m)^peak allocated +\d+ +[\d.]+ %")

    def test_json(self):
        result = self.json("validate", self.FILE)
        self.assertEqual(result["schema"], "rehearse.validate/1")
        with open(self.FILE, encoding="utf-8") as file:
            self.assertEqual(len(result["runs"]), sum(1 for line in file if line.strip()))
        step = result["summary"][0]
        self.assertEqual(step["what"], "step time")
        errors = [abs(r["step_time_error"]) for r in result["runs"] if "step_time_error" in r]
        self.assertEqual(step["runs"], len(errors))
        self.assertAlmostEqual(step["mean"], sum(errors) / len(errors))
        self.assertAlmostEqual(step["worst"], max(errors))

    def test_kernels_by_class(self):
        with open(self.FILE, encoding="utf-8") as file:
            rows = {r["name"]: r for r in map(json.loads, file)}
        result = self.json("validate", "--kernels", self.FILE)
        for run in result["runs"]:
            measured = rows[run["name"]].get("kernels_by_rank")
            if measured is None:
                self.assertIsNone(run.get("kernels"))
                continue
            # Every microsecond of the profile is in one class; ranks are averaged.
            total = sum(k["total_us"] for rank in measured.values() for k in rank
                        if "nccl" not in k["name"]) * 1e-6 / len(measured)
            collectives = {"all_reduce", "all_gather", "reduce_scatter", "broadcast", "send_recv"}
            sums = sum(c["measured_s"] for name, c in run["kernels"].items() if name not in collectives)
            self.assertAlmostEqual(sums, total, places=6)
            self.assertGreater(run["kernels"]["matrix_product"]["predicted_s"], 0)
        self.assertEqual(result["kernel_summary"][0]["what"], "matrix_product")
        text = self.done("validate", "--kernels", self.FILE)
        self.assertIn("runs carry no kernels", text)

    def test_a_check_that_fails_exits_1(self):
        self.assertEqual(self.rehearse("validate", self.FILE, "--max-mean", "0.001").returncode, 1)
        self.assertEqual(self.rehearse("validate", self.FILE, "--max-mean", "1000").returncode, 0)

    def test_a_file_that_is_none(self):
        self.write("x.jsonl", "{\n")
        self.assertIn("x.jsonl:1:1: error: not a measured run", self.refused("validate", "x.jsonl"))
        self.assertIn("none.jsonl", self.refused("validate", "none.jsonl"))

    def test_a_training_run_by_its_mfu(self):
        out = json.loads(self.done("price", "training", "gpu=h100-sxm", "gpus=4096", "parameters=70B", "tokens=15T",
                                   "mfu=0.4", "price=2.5", "pue=1.2", "--json"))
        self.assertAlmostEqual(out["cost"] / 11.06e6, 1, delta=2e-3)
        self.assertAlmostEqual(out["training_time_s"] / 86400 / 45.0, 1, delta=2e-3)
        self.assertAlmostEqual(out["energy_j"] / 3.6e12 / 3.72, 1, delta=2e-3)
        self.assertIn("at most 1", self.refused("price", "training", "gpu=h100-sxm", "parameters=70B", "tokens=1T",
                                                "mfu=40"))


if __name__ == "__main__":
    unittest.main()
