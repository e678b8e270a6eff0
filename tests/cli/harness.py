"""What the tests of the commands share: running `rehearse`, and a folder of files for each test."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest

REHEARSE = os.environ["REHEARSE"]
SOURCE = os.environ["REHEARSE_SOURCE_DIR"]
CONFIGS = os.environ.get("REHEARSE_CONFIGS", os.path.join(SOURCE, "configs"))

TINY = """\
model: {model_type: llama, num_hidden_layers: 8, hidden_size: 64, num_attention_heads: 8,
        num_key_value_heads: 4, intermediate_size: 192, vocab_size: 512}
cluster: {name: h200-4}
training: {sequence_length: 128, micro_batch_size: 1, global_batch_size: 16}
"""


class CommandTest(unittest.TestCase):
    """A folder of its own, in which the command runs."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="rehearse-cli-")
        self.addCleanup(shutil.rmtree, self.folder)

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text)
        return name

    def path(self, name):
        return os.path.join(self.folder, name)

    def rehearse(self, *arguments):
        return subprocess.run([REHEARSE, *arguments], capture_output=True, text=True, timeout=120,
                              stdin=subprocess.DEVNULL, cwd=self.folder, check=False)

    def done(self, *arguments):
        """What a command that works prints."""
        result = self.rehearse(*arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def json(self, *arguments):
        return json.loads(self.done(*arguments, "--json", "-"))

    def refused(self, *arguments):
        """What a mistake says: exit code 2, nothing on stdout, no file that was not there."""
        before = sorted(os.listdir(self.folder))
        result = self.rehearse(*arguments)
        self.assertEqual(result.returncode, 2, result.stdout + result.stderr)
        self.assertEqual(result.stdout, "")
        self.assertNotIn("internal error", result.stderr)
        self.assertEqual(sorted(os.listdir(self.folder)), before)
        return result.stderr
