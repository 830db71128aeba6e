"""For the self-tests of tools/tidy: a temporary tree with planted files, and a script run on it."""
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TIDY = os.path.join(ROOT, "tools", "tidy")


class TreeTest(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.tree = holder.name

    def plant(self, path, text):
        full = os.path.join(self.tree, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)
        return full

    def run_command(self, *command):
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.tree)
        return done.returncode, done.stdout + done.stderr

    def run_tidy(self, script, *arguments):
        return self.run_command(sys.executable, "-B", os.path.join(TIDY, script), *(arguments or (self.tree,)))

    def assert_reported(self, result, *texts):
        code, output = result
        self.assertNotEqual(code, 0, output)
        for text in texts:
            self.assertIn(text, output)

    def assert_clean(self, result):
        code, output = result
        self.assertEqual(code, 0, output)


def main():
    unittest.main(verbosity=0)
