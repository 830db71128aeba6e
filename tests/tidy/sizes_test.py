"""sizes.py reports files that grew too long, folders without a README and sources without an opening."""
import support


class Sizes(support.TreeTest):
    def setUp(self):
        super().setUp()
        self.plant("kv/README.md", "# kv\n")

    def test_small_tree_passes_and_is_counted(self):
        self.plant("kv/a.h", "// what\nint a;\n")
        code, output = self.run_tidy("sizes.py")
        self.assertEqual(code, 0, output)
        self.assertRegex(output, r"kv +1 files +2 lines")

    def test_long_file(self):
        self.plant("kv/a.cpp", "// what\n" + "int a;\n" * 900)
        self.assert_reported(self.run_tidy("sizes.py"), "kv/a.cpp: error[sizes]: 901 lines")

    def test_missing_readme(self):
        self.plant("sim/net/a.h", "// what\n")
        self.assert_reported(self.run_tidy("sizes.py"), "sim/net: error[sizes]: has no README.md")

    def test_long_readme(self):
        self.plant("kv/a.h", "// what\n")
        self.plant("kv/README.md", "line\n" * 151)
        self.assert_reported(self.run_tidy("sizes.py"), "kv/README.md: error[sizes]")

    def test_source_without_opening(self):
        self.plant("kv/a.h", "#pragma once\n")
        self.plant("kv/b.h", "// what\n")
        self.plant("kv/b.cpp", '#include "kv/b.h"\n')
        result = self.run_tidy("sizes.py")
        self.assert_reported(result, "kv/a.h: error[sizes]: opens without")
        self.assertNotIn("kv/b.cpp", result[1])


support.main()
