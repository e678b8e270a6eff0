"""tools/rehearse in front of a built program: what it adds, where it works, when it builds again.

A copy of the wrapper stands before a stand-in program, in a folder of its own, so that nothing is
built here and the checkout stays as it is.
"""

import os
import shutil
import subprocess
import tempfile
import time
import unittest

SOURCE = os.environ["REHEARSE_SOURCE_DIR"]


def write_program(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write("#!/bin/bash\n" + text)
    os.chmod(path, 0o755)


class WrapperTest(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="rehearse wrapper ")
        self.addCleanup(shutil.rmtree, self.root)
        for folder in ("build/release/bin", "sim/base", "tools/cli", "elsewhere"):
            os.makedirs(os.path.join(self.root, folder))
        self.wrapper = self.path("tools/rehearse")
        shutil.copy(os.path.join(SOURCE, "tools/rehearse"), self.wrapper)
        self.program = self.path("build/release/bin/rehearse")
        write_program(self.program, 'printf "%s|" "$PWD" "$@"; exit 7')
        write_program(self.path("tools/setup"), 'echo "setup $*" >&2; exit "${SETUP_EXIT:-0}"')
        self.write("sim/base/a.cpp")
        self.write("build/release/rehearse.stamp")
        self.age("sim/base/a.cpp", "sim/base", "sim", "tools/cli", seconds=100)

    def path(self, name):
        return os.path.join(self.root, name)

    def write(self, name):
        with open(self.path(name), "w", encoding="utf-8"):
            pass

    def age(self, *names, seconds):
        then = time.time() - seconds
        for name in names:
            os.utime(self.path(name), (then, then))

    def run_wrapper(self, *arguments, program=None, cwd=None, **environment):
        return subprocess.run([program or self.wrapper, *arguments], cwd=cwd or self.root,
                              env={**os.environ, **environment}, capture_output=True, text=True,
                              timeout=60, check=False)

    def test_passes_arguments_exit_code_and_working_directory_on(self):
        elsewhere = self.path("elsewhere")
        done = self.run_wrapper("run", "a b.yaml", "", cwd=elsewhere)
        self.assertEqual(done.stdout, f"{elsewhere}|run|a b.yaml||")
        self.assertEqual(done.returncode, 7)
        self.assertEqual(done.stderr, "")

    def test_works_through_a_symbolic_link(self):
        link = self.path("elsewhere/r")
        os.symlink("../tools/rehearse", link)
        done = self.run_wrapper("list", program=link, cwd="/")
        self.assertEqual(done.stdout, "/|list|")

    def test_works_by_a_relative_path(self):
        done = self.run_wrapper("list", program="../tools/rehearse", cwd=self.path("elsewhere"))
        self.assertEqual(done.returncode, 7)
        self.assertEqual(done.stderr, "")

    def test_builds_after_a_source_was_edited_and_only_once(self):
        self.age("build/release/rehearse.stamp", seconds=50)
        self.write("sim/base/a.cpp")
        self.age("sim/base/a.cpp", seconds=10)
        self.assertIn("setup release rehearse", self.run_wrapper().stderr)
        self.assertEqual(self.run_wrapper().stderr, "")

    def test_builds_after_a_source_was_removed(self):
        self.age("build/release/rehearse.stamp", seconds=50)
        os.remove(self.path("sim/base/a.cpp"))
        self.assertIn("setup release rehearse", self.run_wrapper().stderr)

    def test_a_changed_readme_builds_nothing(self):
        self.write("sim/README.md")
        self.age("sim", seconds=100)
        self.age("build/release/rehearse.stamp", seconds=50)
        self.assertEqual(self.run_wrapper().stderr, "")

    def test_builds_when_there_is_no_program(self):
        os.remove(self.program)
        done = self.run_wrapper(SETUP_EXIT="2")
        self.assertIn("setup release rehearse", done.stderr)
        self.assertEqual(done.returncode, 2)

    def test_a_failed_build_runs_nothing_and_is_tried_again(self):
        os.remove(self.path("build/release/rehearse.stamp"))
        for _ in range(2):
            done = self.run_wrapper(SETUP_EXIT="70")
            self.assertEqual((done.returncode, done.stdout), (70, ""))
            self.assertIn("setup release rehearse", done.stderr)


if __name__ == "__main__":
    unittest.main()
