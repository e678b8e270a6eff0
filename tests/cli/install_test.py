"""An installed tree runs, also after it was moved, and finds its own configs."""

import os
import shutil
import subprocess
import tempfile
import unittest

BUILD = os.environ["REHEARSE_BUILD_DIR"]


class InstallTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="rehearse-install-")
        self.addCleanup(shutil.rmtree, self.folder)
        first = os.path.join(self.folder, "first")
        subprocess.run(["cmake", "--install", BUILD, "--prefix", first], check=True,
                       stdout=subprocess.DEVNULL, timeout=120)
        self.moved = os.path.join(self.folder, "a moved tree")
        os.rename(first, self.moved)

    def run_installed(self, *arguments):
        environment = {k: v for k, v in os.environ.items() if k != "REHEARSE_CONFIGS"}
        return subprocess.run([os.path.join(self.moved, "bin", "rehearse"), *arguments],
                              cwd="/", env=environment, capture_output=True, text=True,
                              timeout=120, check=False)

    def test_moved_tree_uses_the_configs_that_it_holds(self):
        models = os.path.join(self.moved, "share", "rehearse", "configs", "models")
        source = next(f for f in sorted(os.listdir(models)) if f.startswith("llama3-8b."))
        # A name that only the moved tree has: the source tree's configs would not do.
        shutil.copy(os.path.join(models, source),
                    os.path.join(models, source.replace("llama3-8b", "moved-model")))
        done = self.run_installed("list", "models")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("moved-model", done.stdout)

    def test_moved_tree_runs_a_scenario(self):
        scenario = os.path.join(self.moved, "share", "rehearse", "configs", "scenarios",
                                "llama3-8b-4xh200.yaml")
        done = self.run_installed("compare", scenario)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotEqual(done.stdout, "")


if __name__ == "__main__":
    unittest.main()
