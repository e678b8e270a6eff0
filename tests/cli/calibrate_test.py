"""`rehearse calibrate`: refitting stored results, and going on after an interruption."""

import filecmp
import json
import os
import stat
import subprocess
import unittest

from harness import CONFIGS, REHEARSE, SOURCE, CommandTest

RESULTS = "calibration/results/h200-sxm"

# A program of calibration/: it notes that it ran and writes its results file.
FAKE = """\
import os, shutil, sys
name = os.path.basename(__file__).split(".")[0]
out = os.path.join(sys.argv[1], "machine.json" if name == "machine" else name + ".csv")
with open(os.environ["NOTES"], "a") as notes:
    notes.write(name + "\\n")
if os.environ.get("FAILS") == name:
    sys.exit(1)
if os.environ.get("INTERRUPTED") == name:
    with open(out, "w") as file:
        file.write("half")
    sys.exit(130)
stored = os.path.join(os.environ["STORED"], os.path.basename(out))
if os.path.exists(stored):
    shutil.copy(stored, out)
else:
    open(out, "w").close()
"""


class RefitTest(CommandTest):
    def test_stored_results_reproduce_the_gpu_file(self):
        out = self.path("h200-sxm.yaml")
        result = subprocess.run([REHEARSE, "calibrate", "--from", RESULTS, "--out", out], cwd=SOURCE,
                                capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        gpus = os.path.join(SOURCE, "configs/gpus")
        with open(out, encoding="utf-8") as a, open(gpus + "/h200-sxm.yaml", encoding="utf-8") as b:
            self.assertEqual(a.read(), b.read())
        tables = os.listdir(gpus + "/h200-sxm")
        same, _, _ = filecmp.cmpfiles(gpus + "/h200-sxm", self.path("h200-sxm"), tables, shallow=False)
        self.assertEqual(sorted(same), sorted(tables))
        self.assertRegex(result.stdout, r"matrix products, bf16 +[\d.]+ TFLOP/s +989.4 TFLOP/s +[\d.]+ %")
        self.assertRegex(result.stdout, r"memory, copy +[\d.]+ GB/s +4800 GB/s")

    def test_another_gpu_takes_what_was_measured_instead_of_a_transfer(self):
        out = self.path("h100-sxm.yaml")
        self.done("calibrate", "--from", os.path.join(SOURCE, RESULTS), "--gpu", "h100-sxm", "--out", out)
        text = self.done("price", "attention", "gpu=" + out, "batch=1", "heads=16", "length=2048",
                         "head_size=128", "direction=backward")
        self.assertIn("attention.csv", text)
        self.assertNotIn("transferred", text)

    def test_mistakes(self):
        self.assertIn("no folder of results", self.refused("calibrate", "--from", "none"))
        os.mkdir(self.path("empty"))
        self.assertIn("--gpu NAME", self.refused("calibrate", "--from", "empty"))
        with open(self.path("empty/machine.json"), "w", encoding="utf-8") as file:
            json.dump({"gpus": [{"name": "Imaginary 1"}]}, file)
        self.assertIn("'Imaginary 1' is no GPU", self.refused("calibrate", "--from", "empty"))


class MeasureTest(CommandTest):
    def setUp(self):
        super().setUp()
        for script in ("machine", "gemm", "attention", "kernels", "experts", "in_context", "decode", "host",
                       "collectives", "overlap", "overlap_kernels"):
            self.program(f"programs/pytorch/{script}.py", FAKE)
        for script in ("fit_kernels", "fit_shapes", "fit_beside", "fit_decode"):
            self.program(f"programs/{script}.py", "#!/usr/bin/python3\n")
        self.program("bin/nvidia-smi", "#!/bin/sh\necho 'GPU 0: NVIDIA H200'\n")
        # "Compiles" the fake program: the output is a script that runs it.
        self.program("bin/nvcc", "#!/bin/sh\n[ $# = 1 ] && exit 0\n"
                                 "printf '#!/bin/sh\\necho %s >> \"$NOTES\"\\necho what > \"$1/%s.csv\"\\n' "
                                 "$(basename $6) $(basename $6) > $6\nchmod +x $6\n")
        # PyTorch's interpreter: without `-c`, Python itself.
        self.program("bin/python", "#!/bin/sh\n[ \"$1\" = -c ] && exit 0\nexec /usr/bin/python3 \"$@\"\n")

    def program(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        self.write(name, text)
        os.chmod(self.path(name), os.stat(self.path(name)).st_mode | stat.S_IXUSR)

    def calibrate(self, **more):
        environment = dict(os.environ, REHEARSE_CALIBRATION=self.path("programs"), REHEARSE_CONFIGS=CONFIGS,
                           PATH=self.path("bin") + ":" + os.environ["PATH"], PYTHON=self.path("bin/python"),
                           NOTES=self.path("notes"), STORED=os.path.join(SOURCE, RESULTS), **more)
        with open(self.path("notes"), "w", encoding="utf-8"):
            pass
        result = subprocess.run([REHEARSE, "calibrate", "--results", "out", "--budget", "30"],
                                cwd=self.folder, env=environment, capture_output=True, text=True,
                                timeout=120, check=False)
        with open(self.path("notes"), encoding="utf-8") as file:
            return result, file.read().split()

    def test_an_interrupted_run_on_one_gpu_goes_on_where_it_stopped(self):
        result, ran = self.calibrate(INTERRUPTED="attention")
        self.assertEqual(result.returncode, 1)
        self.assertIn("the same command goes on from here", result.stderr)
        self.assertEqual(ran, ["machine", "gemm", "attention"])
        result, ran = self.calibrate()
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(ran, ["attention", "kernels", "experts", "in_context", "decode", "bandwidth", "launch", "clocks", "host"])
        self.assertIn("written to out/h200-sxm.yaml", result.stdout)

    def test_a_part_that_fails_is_named_and_tried_again(self):
        result, _ = self.calibrate(FAILS="host")
        self.assertEqual(result.returncode, 1)
        self.assertIn("host (see out/logs/host.log) failed", result.stderr)
        _, ran = self.calibrate()
        self.assertEqual(ran, ["host"])

    def test_a_machine_without_a_gpu_says_what_to_do(self):
        self.program("bin/nvidia-smi", "#!/bin/sh\nexit 1\n")
        result, ran = self.calibrate()
        self.assertEqual(result.returncode, 2)
        self.assertIn("no GPU", result.stderr)
        self.assertIn("--from DIR", result.stderr)
        self.assertEqual(ran, [])
        self.assertFalse(os.path.exists(self.path("out")))


if __name__ == "__main__":
    unittest.main()
