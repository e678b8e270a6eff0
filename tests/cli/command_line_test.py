"""The command line itself: help, mistakes, exit codes and a standard output that cannot be written."""

import os
import subprocess
import unittest

REHEARSE = os.environ["REHEARSE"]


def rehearse(*arguments, **options):
    options.setdefault("stdout", subprocess.PIPE)
    return subprocess.run([REHEARSE, *arguments], stderr=subprocess.PIPE, text=True, timeout=60,
                          stdin=subprocess.DEVNULL, check=False, **options)


class CommandLineTest(unittest.TestCase):
    def test_help_goes_to_stdout_and_names_the_commands(self):
        done = rehearse("--help")
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stderr, "")
        for command in ("run", "compare", "price", "list"):
            self.assertRegex(done.stdout, rf"(?m)^ +{command} ")

    def test_version_is_one_line(self):
        done = rehearse("--version")
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"\Arehearse \d+\.\d+\.\d+\n\Z")

    def test_no_command_is_a_mistake_and_shows_the_help(self):
        done = rehearse()
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stdout, "")
        self.assertIn("Usage: rehearse", done.stderr)

    def test_unknown_command_gets_the_nearest_name(self):
        done = rehearse("compar", "x.yaml")
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stdout, "")
        self.assertIn("unknown command 'compar'", done.stderr)
        self.assertIn("did you mean 'compare'?", done.stderr)

    def test_unknown_option_gets_the_nearest_name(self):
        done = rehearse("run", "x.yaml", "--jsn=out.json")
        self.assertEqual(done.returncode, 2)
        self.assertIn("unknown option '--jsn'", done.stderr)
        self.assertIn("did you mean '--json'?", done.stderr)

    def test_unknown_option_before_a_command_is_a_mistake(self):
        done = rehearse("--fast", "run", "x.yaml")
        self.assertEqual(done.returncode, 2)
        self.assertIn("unknown option '--fast'", done.stderr)

    def test_missing_argument_is_a_mistake_that_points_to_the_help(self):
        done = rehearse("run")
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stdout, "")
        self.assertIn("rehearse run --help", done.stderr)

    def test_help_of_every_command(self):
        for command in ("run", "compare", "price", "validate", "list"):
            with self.subTest(command=command):
                done = rehearse(command, "--help")
                self.assertEqual(done.returncode, 0)
                self.assertIn(f"rehearse {command}", done.stdout)


class StandardOutputTest(unittest.TestCase):
    def test_full_disk_is_an_error(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = rehearse("--help", stdout=full)
        self.assertEqual(done.returncode, 2)
        self.assertIn("No space left on device", done.stderr)

    def test_closed_stdout_is_an_error(self):
        done = rehearse("--help", stdout=None, preexec_fn=lambda: os.close(1))
        self.assertEqual(done.returncode, 2)
        self.assertIn("cannot write to standard output", done.stderr)

    def test_a_reader_that_has_seen_enough_is_no_error(self):
        read_end, write_end = os.pipe()
        os.close(read_end)
        try:
            done = rehearse("--help", stdout=write_end)
        finally:
            os.close(write_end)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stderr, "")


if __name__ == "__main__":
    unittest.main()
