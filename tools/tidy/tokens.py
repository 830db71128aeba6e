#!/usr/bin/env python3
"""Finds words that must not stand in node, kv, sim and runtime, and names what to use instead.

Usage: tokens.py [ROOT]. Comments and strings are not code: only the TODO rule looks at comments. EXEMPT is data: a file
pattern, the rule it is free of, and why.
"""
import fnmatch
import re
import sys

from common import PRODUCT_AREAS, code_only, comments_only, files_of, read, report, root_argument

# name, pattern, what to use instead
RULES = [
    ("unordered", r"std::unordered_\w+|#\s*include\s*<unordered_", "FlatMap or std::map: iteration order is behaviour"),
    ("clock", r"\b(steady_clock|system_clock|high_resolution_clock)\b|#\s*include\s*<chrono>", "env.clock() and Duration, Instant, WallTime"),
    ("thread", r"std::(jthread|thread|async|this_thread)\b|#\s*include\s*<thread>", "a fiber, env.blocking() or env.background()"),
    ("lock", r"std::(recursive_|shared_|timed_)?mutex\b|std::condition_variable|#\s*include\s*<(mutex|shared_mutex|condition_variable)>",
     "Mutex, Event or Guarded of runtime/fiber"),
    ("thread-local", r"\bthread_local\b", "a member handed down by constructor"),
    ("random", r"\bs?rand\s*\(|std::(random_device|mt19937(_64)?|default_random_engine|shuffle)\b|#\s*include\s*<random>",
     "an addressed draw of runtime/base/random.h"),
    ("environment", r"\b(secure_)?getenv\b|\bsetenv\b", "an option handed down from the main"),
    ("assert", r"\bassert\s*\(|#\s*include\s*<(cassert|assert\.h)>", "CHECK, which is always on and prints its operands"),
    ("check-name", r"\bCHECK\s*\(", "ORRERY_CHECK in a header: in a test CHECK is doctest's"),
    ("catch-all", r"\bcatch\s*\(\s*\.\.\.\s*\)", "catch the foreign exception by its type; a fiber's unwinding must pass"),
    ("throw", r"\bthrow\b", "a Result, or CHECK for our own bugs"),
    ("pointer-key", r"\b(map|set|multimap|multiset|FlatMap|FlatSet)\s*<\s*(const\s+)?[\w:]+\s*(const\s*)?\*\s*(const\s*)?[,>]",
     "a key that does not depend on addresses: a strong id"),
    ("pointer-hash", r"std::hash\s*<", "runtime/base/hash.h, the same on every build"),
    ("console", r"std::(cout|cerr|clog|cin)\b|#\s*include\s*<iostream>", "a trace event"),
    ("file", r"std::(i|o)?fstream\b|std::filesystem\b|#\s*include\s*<(fstream|filesystem)>", "env.disk()"),
]
TODO = re.compile(r"\b(TODO|FIXME|XXX)\b(?!\s*\((when|once|until|if)\s+[^)]+\))")

EXEMPT = [
    ("runtime/real/*", "clock", "the real clock is made here"),
    ("runtime/real/*", "thread", "the disk pool and background threads are made here"),
    ("runtime/real/*", "lock", "the hand-over between loop and pool"),
    ("runtime/real/*", "environment", "the daemon skeleton reads the environment once, at start"),
    ("runtime/real/*", "console", "the log sinks write to standard error"),
    ("runtime/real/*", "file", "configuration files and run-time files of the daemon"),
    ("runtime/real/loop.cpp", "thread-local", "which thread is a loop's is known to the thread only"),
    ("runtime/real/system_clock.cpp", "thread-local", "whose turn this thread is in"),
    ("runtime/store/*", "thread", "RocksDB's Env interface has threads in its signatures"),
    ("runtime/store/*", "lock", "RocksDB's own threads call the adapter"),
    ("runtime/store/*", "clock", "RocksDB's SystemClock interface"),
    ("sim/rocksdb/wrap*.cpp", "thread", "what RocksDB calls is caught here by its own name"),
    ("sim/rocksdb/wrap*.cpp", "lock", "what RocksDB calls is caught here by its own name"),
    ("sim/rocksdb/wrap.cpp", "thread-local", "the traps are armed for the world's thread only"),
    ("sim/rocksdb/sized_new.cpp", "throw", "operator new has to, by the language"),
    ("*.cpp", "check-name", "a source has the one CHECK or the other"),
    ("runtime/base/check.h", "check-name", "CHECK is made here"),
    ("*_main.cpp", "console", "a main reports a start failure before there is a tracer"),
    ("*_main.cpp", "environment", "configuration enters the program here"),
]


def check_file(path, text):
    problems = []
    code = code_only(text)
    for name, pattern, instead in RULES:
        if any(rule == name and fnmatch.fnmatchcase(path, files) for files, rule, _ in EXEMPT):
            continue
        for match in re.finditer(pattern, code):
            line = text.count("\n", 0, match.start()) + 1
            problems.append((line, f"{path}:{line}: error[tokens/{name}]: '{match.group(0).strip()}'; use {instead}"))
    for match in TODO.finditer(comments_only(text)):
        line = text.count("\n", 0, match.start()) + 1
        problems.append((line, f"{path}:{line}: error[tokens/todo]: '{match.group(0)}'; name the condition that makes it due, "
                               "as in TODO(when ...), or do it, or drop it"))
    return [text for _, text in sorted(problems)]


def main():
    root = root_argument()
    paths = files_of(root, PRODUCT_AREAS)
    if not paths:
        print(f"tokens: error: no sources under {root}", file=sys.stderr)
        return 2
    problems = [problem for path in paths for problem in check_file(path, read(root, path))]
    return report("tokens", problems, f"{len(paths)} files, {len(RULES) + 1} rules, {len(EXEMPT)} exemptions")


if __name__ == "__main__":
    sys.exit(main())
