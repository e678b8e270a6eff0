"""Every notebook runs from top to bottom unanswered, and every solution is accepted."""

import os
import pathlib
import sys
import unittest

ROOT = pathlib.Path(os.environ["REHEARSE_SOURCE_DIR"])
MODULE = pathlib.Path(os.environ["REHEARSE_BUILD_DIR"]) / "python"
os.environ["PYTHONPATH"] = str(MODULE)
os.environ["MPLBACKEND"] = "agg"
sys.path[:0] = [str(MODULE), str(ROOT / "tools")]

import exercises  # noqa: E402


class NotebooksTest(unittest.TestCase):
    def test_every_notebook_runs_and_its_solutions_are_right(self):
        self.assertGreaterEqual(len(exercises.notebooks()), 6)
        for path in exercises.notebooks():
            with self.subTest(path.name):
                executed = exercises.execute(path, lambda q: f'assert rehearse.check("{q}", {q})')
                shown = "".join(o.get("text", "") for c in executed.cells
                                for o in c.get("outputs", []))  # fmt: skip
                self.assertIn("not answered yet", shown)
                self.assertIn(": right", shown)

    def test_a_wrong_answer_is_refused_with_a_hint(self):
        import rehearse

        rehearse.exercises.topic("roofline")
        self.assertIs(rehearse.check("q1", 7), False)
        self.assertIsNone(rehearse.check("q1", ...))

    def test_no_answer_stands_in_a_notebook(self):
        for path in exercises.notebooks():
            self.assertNotIn("solution", path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    unittest.main()
