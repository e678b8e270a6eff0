"""`mpirun -n N rehearse sweep`: points handed out to ranks, one file, the same as on one machine."""

import os
import shutil
import signal
import subprocess
import time
import unittest

from harness import REHEARSE, CommandTest
from sweep_test import SWEEP

MPIRUN = shutil.which("mpirun")


def has_mpi():
    linked = subprocess.run(["ldd", REHEARSE], capture_output=True, text=True, check=False).stdout
    return MPIRUN is not None and "libmpi" in linked


class LaunchTest(CommandTest):
    """What holds with and without MPI in the build."""

    def test_processes_that_cannot_work_together_are_refused(self):
        self.write("s.yaml", SWEEP)
        result = subprocess.run([REHEARSE, "sweep", "s.yaml", "--out", "r.csv"], capture_output=True, text=True,
                                env={**os.environ, "SLURM_STEP_NUM_TASKS": "4"}, cwd=self.folder, check=False)
        self.assertEqual(result.returncode, 2)
        self.assertIn("started as 4 processes", result.stderr)
        self.assertFalse(os.path.exists(self.path("r.csv")))


@unittest.skipUnless(has_mpi(), "no Open MPI in this build")
class MpiTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.write("s.yaml", SWEEP)
        self.done("sweep", "s.yaml", "--out", "whole.csv")
        self.whole = self.read("whole.csv")

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def start(self, ranks, *arguments):
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMPI_", "PMIX_"))}
        return subprocess.Popen([MPIRUN, "--oversubscribe", "--allow-run-as-root", "-n", str(ranks), REHEARSE,
                                 "sweep", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                cwd=self.folder, stdin=subprocess.DEVNULL, env=environment, start_new_session=True)

    def mpirun(self, ranks, *arguments):
        process = self.start(ranks, *arguments)
        out, errors = process.communicate(timeout=300)
        return process.returncode, out, errors

    def test_the_number_of_ranks_changes_nothing(self):
        for ranks in (1, 2, 4):
            with self.subTest(ranks=ranks):
                code, out, errors = self.mpirun(ranks, "s.yaml", "--out", f"{ranks}.csv")
                self.assertEqual(code, 0, errors)
                self.assertEqual(out.count("points simulated"), 1)
                self.assertEqual(self.read(f"{ranks}.csv"), self.whole)

    def test_a_job_killed_part_way_is_gone_on_with(self):
        # More points, so that there is something left to do whenever the signal comes.
        self.write("s.yaml", SWEEP.replace("factor: 2", "factor: 1.03"))
        self.done("sweep", "s.yaml", "--out", "more.csv")
        self.whole = self.read("more.csv")
        for number in (signal.SIGKILL, signal.SIGTERM):
            with self.subTest(signal=number):
                self.write("r.csv", "")
                process = self.start(3, "s.yaml", "--out", "r.csv")
                while process.poll() is None and len(self.read("r.csv")) < len(self.whole) // 8:
                    time.sleep(0.001)
                process.send_signal(number)
                process.communicate(timeout=60)
                there = self.read("r.csv")
                self.assertTrue(self.whole.startswith(there))
                self.assertLess(len(there), len(self.whole))
                deadline = time.monotonic() + 60  # orphaned ranks may take a moment to notice
                code, out, errors = self.mpirun(3, "s.yaml", "--out", "r.csv")
                while code == 2 and "another sweep is writing" in errors and time.monotonic() < deadline:
                    time.sleep(0.5)
                    code, out, errors = self.mpirun(3, "s.yaml", "--out", "r.csv")
                self.assertEqual(code, 0, errors)
                self.assertIn("were there already", out)
                self.assertEqual(self.read("r.csv"), self.whole)

    def test_a_mistake_is_said_once_and_ends_all(self):
        self.write("s.yaml", SWEEP.replace("dgx-h100", "dgx-h10"))
        code, out, errors = self.mpirun(3, "s.yaml", "--out", "r.csv")
        self.assertEqual(code, 2)
        self.assertEqual(out, "")
        self.assertEqual(errors.count("unknown cluster 'dgx-h10'"), 1)

    def test_jobs_are_for_one_process(self):
        code, _, errors = self.mpirun(2, "s.yaml", "--out", "r.csv", "--jobs", "2")
        self.assertEqual(code, 2)
        self.assertIn("mpirun says how many ranks", errors)


if __name__ == "__main__":
    unittest.main()
