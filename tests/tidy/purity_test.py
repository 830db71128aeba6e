"""purity.py reports planted symbols and instructions in real archives, and passes clean ones."""
import os
import subprocess

import support

CLEAN = """#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>
#include <array>
#include <string_view>
struct Info { std::string_view name; int arity; };
namespace { constexpr std::array kInfos = {Info{"get", 1}, Info{"set", 2}}; }
const Info* info(int i) { return &kInfos[i & 1]; }
std::string text(const std::map<int, std::vector<int>>& m) {
    const auto shared = std::make_shared<std::string>("x");
    static constexpr const char* names[] = {"a", "b"};
    std::ostringstream out;
    for (auto& [k, v] : m) out << k << v.size() << *shared << names[k & 1];
    return out.str();
}
"""
PLANTED = {
    "clock_gettime": '#include <ctime>\ntimespec t; int f() { return clock_gettime(CLOCK_REALTIME, &t); }',
    "time": '#include <ctime>\nlong f() { return time(nullptr); }',
    "steady_clock::now": '#include <chrono>\nlong f() { return std::chrono::steady_clock::now().time_since_epoch().count(); }',
    "random_device": '#include <random>\nunsigned f() { return std::random_device{}(); }',
    "std::thread": '#include <thread>\nvoid f() { std::thread([] {}).join(); }',
    "std::condition_variable": '#include <condition_variable>\nvoid f(std::condition_variable& c) { c.notify_all(); }',
    "pthread_mutex_lock": '#include <mutex>\nstd::mutex m; void f() { m.lock(); }',
    "socket": '#include <sys/socket.h>\nint f() { return socket(1, 1, 0); }',
    "basic_ifstream": '#include <fstream>\nbool f() { return std::ifstream("x").good(); }',
    "std::filesystem": '#include <filesystem>\nbool f() { return std::filesystem::exists("x"); }',
    "fsync": '#include <unistd.h>\nint f() { return fsync(1); }',
    "getenv": '#include <cstdlib>\nchar* f() { return std::getenv("x"); }',
    "rand": '#include <cstdlib>\nint f() { return rand(); }',
    "getrandom": '#include <sys/random.h>\nchar b[8]; long f() { return getrandom(b, 8, 0); }',
    "sysconf": '#include <unistd.h>\nlong f() { return sysconf(_SC_NPROCESSORS_ONLN); }',
    "printf": '#include <cstdio>\nvoid f(int x) { printf("%d", x); }',
    "std::cout": '#include <iostream>\nvoid f(int x) { std::cout << x; }',
    "instruction 'rdtsc'": '#include <x86intrin.h>\nunsigned long long f() { return __rdtsc(); }',
    "instruction 'syscall'": 'void f() { asm volatile("syscall"); }',
}


class Purity(support.TreeTest):
    def archive(self, folder, source, unit="unit.cpp"):
        """Compiles the source to an archive below the temporary build tree; returns its path."""
        cpp = self.plant(f"{folder}/{unit}", source)
        where = os.path.dirname(cpp)
        path = os.path.join(where, "libunit.a")
        subprocess.run([os.environ.get("CXX", "g++"), "-std=c++20", "-O1", "-c", cpp, "-o", cpp + ".o"], check=True, cwd=where)
        if os.path.exists(path):
            os.remove(path)
        subprocess.run(["ar", "rcs", path, cpp + ".o"], check=True)
        return path

    def list_archives(self, *lines):
        self.plant("orrery_archives.txt", "".join(f"{folder}\t{path}\n" for folder, path in lines))

    def test_clean_archive_passes(self):
        self.list_archives(("node/raft", self.archive("node/raft", CLEAN)))
        code, output = self.run_tidy("purity.py")
        self.assertEqual(code, 0, output)
        self.assertIn("1 of 1 archives", output)

    def test_every_planted_symbol_is_reported(self):
        for symbol, source in PLANTED.items():
            with self.subTest(symbol=symbol):
                self.list_archives(("node/raft", self.archive("node/raft", source)))
                self.assert_reported(self.run_tidy("purity.py"), "node/raft: error[purity]", symbol)

    def test_state_of_the_process_is_reported(self):
        for name, source in (("counter", "int counter; int f() { return ++counter; }"),
                             ("f()::calls", "int f() { static int calls = 7; return ++calls; }"),
                             ("cache", "#include <map>\nstatic std::map<int, int> cache; int f(int x) { return cache[x]; }"),
                             ("kTable", "#include <map>\nstatic const std::map<int, int> kTable = {{1, 2}}; int f(int x) { return kTable.at(x); }"),
                             ("own", "thread_local int own; int f() { return ++own; }"),
                             ("names", 'const char* names[] = {"a"}; const char* f() { return names[0]; }')):
            with self.subTest(name=name):
                self.list_archives(("node/raft", self.archive("node/raft", source)))
                self.assert_reported(self.run_tidy("purity.py"), f"unit.cpp.o holds '{name}', state of the process")

    def test_unregistered_archive_is_looked_at_too(self):
        self.list_archives()
        self.archive("sim/net", PLANTED["rand"])
        self.assert_reported(self.run_tidy("purity.py"), "sim/net: error[purity]", "'rand'")

    def test_allowance_holds_for_its_object_only(self):
        source = '#include <cstdio>\nvoid f(int x) { std::fprintf(stderr, "%d", x); }'
        self.list_archives(("sim/core", self.archive("sim/core", source, "check_world.cpp")))
        self.assert_clean(self.run_tidy("purity.py"))
        for folder, unit in (("sim/core", "world.cpp"), ("sim/disk", "check_world.cpp")):
            with self.subTest(folder=folder, unit=unit):
                self.archive(folder, source, unit)
                self.assert_reported(self.run_tidy("purity.py"), f"{folder}: error[purity]: {unit}.o needs 'fprintf'")

    def test_missing_archive_and_empty_list(self):
        self.list_archives(("kv", os.path.join(self.tree, "kv", "libkv.a")))
        self.assert_reported(self.run_tidy("purity.py"), "is not built")
        self.assert_reported(self.run_tidy("purity.py", self.tree, "--allow-missing"), "saw no archive")


support.main()
