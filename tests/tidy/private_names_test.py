"""private_names.py reports private names that two sources share which are compiled together, and nothing else."""
import support


class PrivateNames(support.TreeTest):
    def declare(self, text):
        self.plant("kv/CMakeLists.txt", text)

    def setUp(self):
        super().setUp()
        self.declare("orrery_library(kv TOGETHER  # why\n    SOURCES a.cpp b.cpp c.cpp\n    DEPS base)\n")
        for name in "abc":
            self.plant(f"kv/{name}.cpp", "namespace kv {\nint public_%s(int x) { return x; }\n}\n" % name)

    def private(self, name, text):
        self.plant(f"kv/{name}.cpp", "namespace kv {\nnamespace {\n%s\n}  // namespace\n\nvoid run_%s() { int x = 0; }\n}\n" % (text, name))

    def check(self):
        return self.run_tidy("private_names.py")

    def test_distinct_names_pass_and_are_counted(self):
        self.private("a", "constexpr int kA[] = {1, 2};\nstruct Point { int x; int get() const { return x; } };\nint twice(int x) { return x; }")
        self.private("b", "constexpr int kB = f(1);\nstruct Line { int x; int get() const { return x; } };\nint thrice(int x) { return x; }")
        self.assert_clean(self.check())
        self.assertIn("3 sources of 1 libraries", self.check()[1])

    def test_overloads_that_the_compiler_accepts(self):
        self.private("a", "std::string number(uint64_t value) { return std::to_string(value); }")
        self.private("c", "int before;\n\nstd::string number(int64_t value) { return std::to_string(value); }")
        self.assert_reported(self.check(), "kv/a.cpp:3: error[private_names]: 'number' is in kv/c.cpp too", "kv/c.cpp:5: error")

    def test_constants_types_and_templates(self):
        for text, name in (("constexpr Duration kPause = Duration::millis(5);", "kPause"), ("struct Probe final : Base { int x; };", "Probe"),
                           ("enum class Kind : uint8_t { A };", "Kind"), ("template <typename T>\nT plus(T a, T b) { return a + b; }", "plus"),
                           ("constexpr std::array<int, 2> kTable = [] { return 1; }();", "kTable"), ("[[nodiscard]] int held(int x);", "held")):
            self.private("a", text)
            self.private("b", text)
            self.assert_reported(self.check(), f"'{name}' is in kv/b.cpp too")

    def test_static_functions(self):
        self.plant("kv/a.cpp", "namespace kv {\nstatic int twice(int x) { return x; }\n}\n")
        self.private("b", "long twice(long x) { return x; }")
        self.assert_reported(self.check(), "'twice'")

    def test_sources_of_tests(self):
        for declared in ("orrery_test(kv BUSY TOGETHER\n    SOURCES a.cpp b.cpp\n    DEPS base LABELS kv TIMEOUT 60)",
                         "orrery_test_part(kv TOGETHER SOURCES a.cpp b.cpp)"):
            self.declare(declared + "\n")
            self.private("a", 'int twice(int x) { return x; }\nTEST_CASE("a") { f(); }')
            self.private("b", 'int thrice(int x) { return x; }\nTEST_CASE("b") { f(); }')
            self.assert_clean(self.check())
            self.private("b", "long twice(long x) { return x; }")
            self.assert_reported(self.check(), "kv/a.cpp:3: error[private_names]: 'twice' is in kv/b.cpp too")

    def test_private_name_of_a_free_function_elsewhere(self):
        self.private("a", "int public_b(long x) { return 1; }")
        self.assert_reported(self.check(), "kv/a.cpp:3: error[private_names]: 'public_b' is in kv/b.cpp too")

    def test_comments_strings_and_bodies_are_no_names(self):
        self.private("a", "// int twice(int x) {\nint f() { static int twice = 0; return twice + g(\"}{\"); }")
        self.private("b", "int twice(int x) { return x; }")
        self.assert_clean(self.check())

    def test_sources_alone_and_other_libraries_may_share(self):
        self.private("a", "int twice(int x) { return x; }")
        self.private("b", "int twice(long x) { return x; }")
        self.declare("orrery_library(kv TOGETHER\n    SOURCES a.cpp b.cpp c.cpp\n    ALONE b.cpp\n    DEPS base)\n")
        self.assert_clean(self.check())
        self.declare("orrery_library(one TOGETHER SOURCES a.cpp)\norrery_library(two TOGETHER SOURCES b.cpp c.cpp)\n")
        self.assert_clean(self.check())

    def test_a_tree_without_such_a_library_is_not_held(self):
        self.declare("orrery_library(kv SOURCES a.cpp b.cpp)\n")
        self.assertEqual(self.check()[0], 2)


support.main()
