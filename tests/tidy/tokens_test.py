"""tokens.py reports every banned token, with its line, and nothing in comments, strings or exempt files."""
import support

BANNED = {
    "unordered": "std::unordered_map<int, int> m;", "clock": "auto t = std::chrono::steady_clock::now();",
    "thread": "std::thread t;", "lock": "std::mutex m;", "thread-local": "thread_local int x;", "random": "int x = rand();",
    "environment": 'auto x = getenv("A");', "assert": "assert(x);", "catch-all": "try { f(); } catch (...) { }",
    "throw": "throw 1;", "pointer-key": "std::map<const Node*, int> m;", "pointer-hash": "std::hash<int> h;",
    "console": 'std::cout << "x";', "file": "std::ifstream f;", "todo": "// TODO: later",
}


class Tokens(support.TreeTest):
    def test_every_rule_reports_its_token(self):
        for rule, line in BANNED.items():
            with self.subTest(rule=rule):
                self.plant("node/raft/a.cpp", f"// opening\nint a;\n{line}\n")
                self.assert_reported(self.run_tidy("tokens.py"), f"node/raft/a.cpp:3: error[tokens/{rule}]")

    def test_every_area_is_looked_at(self):
        for path in ("runtime/base/a.h", "node/log/a.h", "kv/a.cpp", "sim/disk/a.cpp"):
            with self.subTest(path=path):
                self.plant(path, "int x = rand();\n")
                self.assert_reported(self.run_tidy("tokens.py"), f"{path}:1")

    def test_headers_say_orrery_check_and_sources_check(self):
        self.plant("node/raft/a.h", "int a;\ninline void f(int x) { CHECK(x == 1, x); }\n")
        self.assert_reported(self.run_tidy("tokens.py"), "node/raft/a.h:2: error[tokens/check-name]")
        self.plant("node/raft/a.h", "inline void f(int x) { ORRERY_CHECK(x == 1, x); check(x); }  // a CHECK(x)\n")
        self.plant("node/raft/a.cpp", "void g(int x) { CHECK(x == 1); }\n")
        self.assert_clean(self.run_tidy("tokens.py"))

    def test_words_that_only_look_alike_pass(self):
        self.plant("node/a.cpp", "static_assert(true);\nint operand(int);\nstd::map<NodeId, Peer*> m;\nint x = 1'000; // a 'b\n"
                                 "catch (const kj::Exception& e);\n// TODO(when the fleet has IPv6): resolve AAAA\n")
        self.assert_clean(self.run_tidy("tokens.py"))

    def test_comments_and_strings_are_not_code(self):
        self.plant("node/a.cpp", '// std::thread t; rand()\n/* steady_clock\nassert(x) */ auto s = "std::thread rand() \\" throw";\n'
                                 'auto r = R"x(catch (...) ")x";\n')
        self.assert_clean(self.run_tidy("tokens.py"))

    def test_code_after_a_string_is_still_code(self):
        self.plant("node/a.cpp", 'f("//"); std::thread t;\n')
        self.assert_reported(self.run_tidy("tokens.py"), "node/a.cpp:1: error[tokens/thread]")

    def test_exemption_holds_only_where_it_says(self):
        self.plant("runtime/real/pool.cpp", "std::thread t;\n")
        self.assert_clean(self.run_tidy("tokens.py"))
        self.plant("runtime/real/pool.cpp", "int x = rand();\n")
        self.assert_reported(self.run_tidy("tokens.py"), "error[tokens/random]")


support.main()
