"""replay_twice accepts a deterministic command and notices each thing that it varies."""
import os
import sys

import support

SCRIPT = os.path.join(support.TIDY, "replay_twice")
ADDRESS = "#include <cstdio>\n#include <cstdlib>\nint main() { std::printf(\"%p\\n\", std::malloc(10)); }\n"
HEAP = "#include <cstdio>\n#include <cstdlib>\nint main() { auto* p = (volatile char*)std::malloc(4000); std::printf(\"%d\\n\", p[2000]); }\n"


class ReplayTwice(support.TreeTest):
    def twice(self, *command):
        return self.run_command(SCRIPT, *command)

    def python(self, text):
        return self.twice(sys.executable, "-c", text)

    def compiled(self, text):
        cpp = self.plant("toy.cpp", text)
        self.assert_clean(self.run_command(os.environ.get("CXX", "g++"), "-O0", "-w", cpp, "-o", cpp + ".bin"))
        return self.twice(cpp + ".bin")

    def test_deterministic_command_passes(self):
        code, output = self.python("print(sum(range(1000)))")
        self.assertEqual(code, 0, output)
        self.assertIn("equal, 7 bytes", output)

    def test_each_variation_is_noticed(self):
        for name, text in (("environment", "import os; print(len(os.environ))"), ("directory", "import os; print(os.getcwd())"),
                           ("time", "import time; print(time.time_ns())"), ("chance", "import os; print(os.urandom(8))")):
            with self.subTest(name=name):
                code, output = self.python(text)
                self.assertEqual(code, 4, output)
                self.assertIn("standard output differs", output)

    def test_unset_memory_is_noticed(self):
        code, output = self.compiled(HEAP)
        self.assertEqual(code, 4, output)

    def test_addresses_are_noticed(self):
        code, output = self.compiled(ADDRESS)
        self.assertEqual(code, 4, output)

    def test_different_exit_is_noticed(self):
        code, output = self.python("import os, sys; print(1); sys.exit(3 if 'HOME' in os.environ else 0)")
        self.assertEqual(code, 4 if "HOME" in os.environ else 0, output)

    def test_failing_and_silent_commands_are_no_success(self):
        self.assertEqual(self.python("import sys; print(1); sys.exit(3)")[0], 3)
        self.assertEqual(self.python("pass")[0], 2)
        self.assertEqual(self.twice("/no/such/command")[0], 2)


support.main()
