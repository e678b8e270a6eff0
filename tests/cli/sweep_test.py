"""`rehearse sweep`: every combination of a file, one result whatever the jobs and however often it is killed."""

import csv
import io
import json
import os
import pty
import random
import signal
import subprocess
import time
import unittest

from harness import REHEARSE, CommandTest

SWEEP = """\
base:
  model: {model_type: llama, num_hidden_layers: 8, hidden_size: 64, num_attention_heads: 8,
          num_key_value_heads: 4, intermediate_size: 192, vocab_size: 512}
  cluster: {name: dgx-h100}
  training: {sequence_length: 128, micro_batch_size: 1, global_batch_size: 48}
cross:
  plan.tensor_parallel: [1, 2, 3, 4]
  plan.pipeline_parallel: [1, 2]
  training.micro_batch_size: [1, 2]
  training.recompute: [none, full]
  cluster.intra_node.bandwidth: {from: 100 GB/s, to: 800 GB/s, factor: 2}
where: plan.tensor_parallel * plan.pipeline_parallel <= gpus and plan.tensor_parallel * plan.pipeline_parallel < 8
"""


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


class SweepTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.write("s.yaml", SWEEP)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def start(self, *arguments):
        return subprocess.Popen([REHEARSE, "sweep", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, cwd=self.folder, stdin=subprocess.DEVNULL)

    def whole(self, name="whole.csv"):
        self.done("sweep", "s.yaml", "--out", name)
        return self.read(name)

    def test_a_row_a_point(self):
        summary = self.done("sweep", "s.yaml", "--out", "r.csv")
        rows = rows_of(self.read("r.csv").decode())
        self.assertEqual(len(rows), 4 * 2 * 2 * 2 * 4 - 32 // 2)  # 4 x 2 = 8 GPUs are left out
        self.assertEqual([int(r["point"]) for r in rows], sorted({int(r["point"]) for r in rows}))
        self.assertEqual({r["cluster.intra_node.bandwidth"] for r in rows},
                         {"100 GB/s", "200 GB/s", "400 GB/s", "800 GB/s"})
        self.assertIn("112 points", summary)
        self.assertIn("left out by where", summary)

    def test_points_that_cannot_be_have_a_row_with_the_reason_and_are_counted(self):
        summary = self.done("sweep", "s.yaml", "--out", "r.csv")
        rows = rows_of(self.read("r.csv").decode())
        infeasible = [r for r in rows if r["status"] == "infeasible"]
        self.assertTrue(infeasible)
        for row in infeasible:
            self.assertEqual(row["plan.tensor_parallel"], "3")
            self.assertIn("does not divide the cluster's 8 GPUs", row["reason"])
            self.assertEqual(row["step_time_s"], "")
        self.assertIn(f"{len(infeasible)} infeasible", summary)
        self.assertIn("does not divide the cluster's 8 GPUs", " ".join(summary.split()))

    def test_a_row_says_what_run_says(self):
        self.whole("r.csv")
        row = [r for r in rows_of(self.read("r.csv").decode()) if r["status"] == "ok"][5]
        base = SWEEP[SWEEP.index("  model"):SWEEP.index("cross")]
        self.write("one.yaml", "\n".join(line[2:] for line in base.splitlines()) + "\n")
        keys = [k for k in row if "." in k]
        run = self.json("run", "one.yaml", *[a for k in keys for a in ("--set", f"{k}={row[k]}")])
        for name in ("step_time_s", "tokens_per_second", "mfu", "peak_memory_bytes", "peak_reserved_bytes",
                     "energy_per_million_tokens_j"):
            self.assertEqual(float(row[name]), run[name])

    def test_the_number_of_jobs_changes_nothing(self):
        whole = self.whole()
        for jobs in ("1", "2", "5"):
            self.done("sweep", "s.yaml", "--out", f"{jobs}.csv", "--jobs", jobs)
            self.assertEqual(self.read(f"{jobs}.csv"), whole)

    def test_json_lines_hold_the_same(self):
        rows = rows_of(self.whole().decode())
        self.done("sweep", "s.yaml", "--out", "r.jsonl")
        lines = [json.loads(line) for line in self.read("r.jsonl").splitlines()]
        self.assertEqual(len(lines), len(rows))
        for line, row in zip(lines, rows):
            self.assertEqual(list(line), list(row))
            self.assertEqual(line["status"], row["status"])
            self.assertEqual("" if line["step_time_s"] is None else float(row["step_time_s"]),
                             "" if line["step_time_s"] is None else line["step_time_s"])
        self.assertEqual(lines[0]["plan.tensor_parallel"], 1)

    def test_killed_at_any_moment_it_goes_on_and_loses_and_doubles_nothing(self):
        for name in ("r.csv", "r.jsonl"):
            with self.subTest(out=name):
                whole = self.whole("whole" + name[1:])
                random.seed(7)
                kills = 0
                while kills < 12:
                    process = self.start("s.yaml", "--out", name, "--jobs", "2")
                    time.sleep(random.uniform(0.02, 0.35))
                    if process.poll() is not None:
                        process.communicate()
                        os.remove(self.path(name))  # it was through: from the start again
                        continue
                    process.send_signal(signal.SIGKILL)
                    process.communicate()
                    kills += 1
                    if os.path.exists(self.path(name)):
                        there = self.read(name)
                        self.assertTrue(whole.startswith(there))
                self.done("sweep", "s.yaml", "--out", name)
                self.assertEqual(self.read(name), whole)

    def test_any_beginning_is_completed_without_computing_it_again(self):
        whole = self.whole()
        random.seed(11)
        for size in [0, 1, whole.index(b"\n"), len(whole) - 1, *random.sample(range(len(whole)), 8)]:
            with open(self.path("r.csv"), "wb") as file:
                file.write(whole[:size])
            there = max(0, whole[:size].count(b"\n") - 1)
            summary = self.done("sweep", "s.yaml", "--out", "r.csv")
            self.assertEqual(self.read("r.csv"), whole)
            self.assertIn(f"{112 - there} points simulated", summary)
            if there:
                self.assertIn(f"{there} were there already", summary)

    def test_a_finished_sweep_is_left_as_it_is(self):
        whole = self.whole()
        first = self.done("sweep", "s.yaml", "--out", "r.csv").split("r.csv:")[0]
        again = self.done("sweep", "s.yaml", "--out", "r.csv")
        self.assertEqual(again.split("r.csv:")[0], first)
        self.assertIn("0 points simulated", again)
        self.assertEqual(self.read("r.csv"), whole)

    def test_a_changed_sweep_is_refused_and_restart_starts_over(self):
        before = self.whole("r.csv")
        self.write("s.yaml", SWEEP.replace("global_batch_size: 48", "global_batch_size: 96"))
        message = self.refused("sweep", "s.yaml", "--out", "r.csv")
        self.assertIn("r.csv:2: error:", message)
        self.assertIn("has changed", message)
        self.assertIn("--restart", message)
        self.assertEqual(self.read("r.csv"), before)
        self.done("sweep", "s.yaml", "--out", "r.csv", "--restart")
        self.assertNotEqual(self.read("r.csv"), before)

    def test_a_file_of_something_else_is_not_overwritten(self):
        self.write("r.csv", "name,value\na,1\n")
        self.assertIn("not the header", self.refused("sweep", "s.yaml", "--out", "r.csv"))
        self.write("r.jsonl", '{"a": 1}\n')
        self.assertIn("not a row", self.refused("sweep", "s.yaml", "--out", "r.jsonl"))
        self.assertEqual(self.read("r.jsonl"), b'{"a": 1}\n')

    def test_two_sweeps_do_not_write_one_file(self):
        import fcntl
        with open(self.path("r.csv"), "w", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self.assertIn("another sweep is writing", self.refused("sweep", "s.yaml", "--out", "r.csv"))

    def test_ctrl_c_ends_cleanly_and_the_same_command_goes_on(self):
        whole = self.whole()
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            with self.subTest(signal=number):
                self.write("r.csv", "")
                process = self.start("s.yaml", "--out", "r.csv", "--jobs", "1")
                while len(self.read("r.csv")) < 1000:
                    time.sleep(0.001)
                process.send_signal(number)
                _, errors = process.communicate(timeout=60)
                self.assertEqual(process.returncode, code)
                self.assertIn("the same command goes on with r.csv", errors)
                there = self.read("r.csv")
                self.assertTrue(there.endswith(b"\n"))
                self.assertTrue(whole.startswith(there))
                self.assertLess(len(there), len(whole))
                self.done("sweep", "s.yaml", "--out", "r.csv")
                self.assertEqual(self.read("r.csv"), whole)

    def test_progress_is_for_terminals(self):
        quiet = self.rehearse("sweep", "s.yaml", "--out", "quiet.csv")
        self.assertEqual(quiet.stderr, "")
        main, other = pty.openpty()
        process = subprocess.Popen([REHEARSE, "sweep", "s.yaml", "--out", "r.csv"], stdout=subprocess.DEVNULL,
                                   stderr=other, cwd=self.folder)
        os.close(other)
        shown = b""
        while True:
            try:
                piece = os.read(main, 4096)
            except OSError:
                break
            if not piece:
                break
            shown += piece
        os.close(main)
        self.assertEqual(process.wait(), 0)
        self.assertRegex(shown.decode(), r"\r\[#* *\] +[0-9.]+ %  [0-9]+ points  [0-9]+/s")

    def test_mistakes(self):
        for text, said in ((SWEEP.replace("plan.tensor_parallel: [", "plan.tensor_paralel: ["), "did you mean"),
                           (SWEEP.replace("[none, full]", "[none, ful]"), "did you mean 'full'?"),
                           (SWEEP.replace("800 GB/s", "800"), "same unit"),
                           (SWEEP.replace("from: 100 GB/s, to: 800 GB/s", "from: 100 s, to: 800 s"), "bandwidth"),
                           (SWEEP.replace("<= gpus", "<= gpu"), "did you mean 'gpus'?"),
                           (SWEEP.replace("dgx-h100", "dgx-h10"), "unknown cluster 'dgx-h10'")):
            self.write("s.yaml", text)
            message = self.refused("sweep", "s.yaml", "--out", "r.csv")
            self.assertRegex(message, r"^s\.yaml:\d+:\d+: error: ")
            self.assertIn(said, message)
        self.assertIn("neither in .csv nor in .jsonl", self.refused("sweep", "s.yaml", "--out", "r.txt"))
        self.assertIn("unknown sweep", self.refused("sweep", "no-such", "--out", "r.csv"))

    def test_shipped_sweeps_are_listed(self):
        self.assertIn("llama3-8b-4xh200", self.done("list", "sweeps").split())


if __name__ == "__main__":
    unittest.main()
