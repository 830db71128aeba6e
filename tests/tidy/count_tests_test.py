"""count_tests.py counts what ctest really writes, without making anything look better than it was."""
import os
import sys

import support

DOCTEST = "[doctest] test cases: {0} | {1} passed | {2} failed | {3} skipped\n"
# name: what the test prints, its exit code
TESTS = {
    "cases": (DOCTEST.format("  7", "  7", "0", "0"), 0),
    "half": ("SKIPPED tmpfs mount is refused\n" + DOCTEST.format(3, 3, 0, 2), 0),
    "red": (DOCTEST.format(4, 2, 2, 0), 1),
    "leak": (DOCTEST.format(5, 5, 0, 0), 1),
    "empty": (DOCTEST.format(0, 0, 0, 9), 0),
    "crash": ("Segmentation fault\n", 1),
    "script": ("fine\n", 0),
    "refused": ("SKIPPED namespaces unshare is refused\n", 0),
    "coloured": ("\x1b[0;36m[doctest] \x1b[0mtest cases: 2 | \x1b[0;32m2 passed\x1b[0m | 0 failed\x1b[0m | 0 skipped\n", 0),
}


class CountTests(support.TreeTest):
    def count(self, names, *, pad=0):
        self.plant("CTestTestfile.cmake", "".join(
            f'add_test({name} "{sys.executable}" "{self.plant(name + ".py", self.body(name, pad))}")\n' for name in names))
        results = os.path.join(self.tree, "results.xml")
        code, _ = self.run_command("ctest", "--no-tests=error", "--output-junit", results, "--test-output-size-passed", "67108864",
                                   "--test-output-size-failed", "67108864")
        return self.run_tidy("count_tests.py", results, "--preset", "release", "--ctest-status", str(code))

    def body(self, name, pad):
        text, code = TESTS[name]
        return f"import sys\nprint('filler ' * {pad})\nsys.stdout.write({text!r})\nsys.exit({code})\n"

    def assert_counts(self, names, code, line, **keys):
        result = self.count(names, **keys)
        self.assertEqual((result[0], result[1].splitlines()[-1]), (code, f"tests: {line} (preset release)"), result[1])
        return result[1]

    def test_cases_are_summed_and_scripts_are_one(self):
        self.assert_counts(["cases", "coloured", "script"], 0, "10 passed, 0 failed, 0 skipped")

    def test_summary_is_found_in_long_output(self):
        self.assert_counts(["cases"], 0, "7 passed, 0 failed, 0 skipped", pad=100000)

    def test_skips_are_repeated_and_not_passed_too(self):
        output = self.assert_counts(["half", "refused"], 0, "2 passed, 0 failed, 4 skipped")
        self.assertIn("SKIPPED tmpfs mount is refused\n", output)
        self.assertIn("SKIPPED namespaces unshare is refused\n", output)

    def test_failures(self):
        output = self.assert_counts(["cases", "red"], 1, "9 passed, 2 failed, 0 skipped")
        self.assertIn("FAILED red\n", output)

    def test_bad_end_without_a_failed_case_is_a_failure(self):
        self.assert_counts(["leak", "crash"], 1, "5 passed, 2 failed, 0 skipped")

    def test_executable_that_ran_nothing_is_a_failure(self):
        self.assertEqual(self.count(["empty", "script"])[0], 1)

    def test_no_tests_and_no_file_are_failures(self):
        self.assertEqual(self.count([])[0], 1)
        self.assertEqual(self.run_tidy("count_tests.py", "absent.xml", "--preset", "release")[0], 1)


support.main()
