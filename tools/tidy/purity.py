#!/usr/bin/env python3
"""Proves that node, kv and simulator code reaches no clock, random source, thread, socket, file or environment.

Usage: purity.py BUILD_DIR [--allow-missing]. Looks at `nm -u` of every archive that orrery_library() registered for a folder of
node, kv or sim (BUILD_DIR/orrery_archives.txt), plus any other archive found below those folders of the build tree, and at the
disassembly for instructions that read time, chance or the kernel without a symbol. Nor may these archives hold mutable state of
the process: what outlives a world makes the second run in a process differ from the first. An archive that is not built is a problem
unless --allow-missing. Mains and test executables are no archives and so are not looked at.
Not seen here: virtual calls, order that depends on addresses, and what foreign libraries do inside.
"""
import argparse
import os
import re
import subprocess
import sys

from common import report

AREAS = ("node", "kv", "sim")

DENY_NAMES = {
    "clock": """clock_gettime clock_getres clock_settime clock_nanosleep gettimeofday time times clock ftime timespec_get nanosleep
        usleep sleep alarm setitimer getitimer timer_create timer_settime timerfd_create timerfd_settime localtime localtime_r
        gmtime gmtime_r mktime tzset strftime""",
    "network": """socket socketpair bind listen accept accept4 connect send sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg
        shutdown getsockopt setsockopt getsockname getpeername getaddrinfo gethostbyname getnameinfo epoll_create epoll_create1
        epoll_ctl epoll_wait epoll_pwait epoll_pwait2 poll ppoll select pselect eventfd eventfd_read eventfd_write signalfd
        io_uring_setup io_uring_enter pipe pipe2""",
    "file": """open open64 openat openat64 creat creat64 close read write readv writev pread pread64 pwrite pwrite64 preadv pwritev
        preadv64 pwritev64 lseek lseek64 fsync fdatasync sync syncfs sync_file_range fallocate fallocate64 posix_fallocate ftruncate
        ftruncate64 truncate truncate64 rename renameat renameat2 unlink unlinkat remove mkdir mkdirat rmdir link linkat symlink
        stat stat64 lstat lstat64 fstat fstat64 fstatat fstatat64 statx statfs fstatfs statvfs fstatvfs statvfs64 access faccessat
        opendir fdopendir readdir readdir64 closedir chdir getcwd flock fcntl fcntl64 ioctl dup dup2 dup3 mmap mmap64 munmap msync
        mprotect fopen fopen64 fdopen freopen fclose fread fwrite fgets getline getc fgetc ungetc fputs fputc putc fflush fseek ftell
        tmpfile mkstemp mkdtemp realpath readlink sendfile copy_file_range splice""",
    "process": """fork vfork clone posix_spawn execve execv execvp execl execlp system popen kill raise getpid getppid gettid getuid
        geteuid uname gethostname sysconf get_nprocs sched_yield sched_getcpu sched_setaffinity sched_getaffinity prctl
        getrusage getrlimit setrlimit sysinfo signal sigaction sigprocmask syscall dlopen dlsym backtrace getauxval exit _exit atexit""",
    "thread": """thrd_create sem_init sem_wait sem_post sem_timedwait __cxa_thread_atexit __tls_get_addr""",
    "random": "rand srand rand_r random srandom random_r drand48 lrand48 mrand48 srand48 arc4random arc4random_uniform arc4random_buf "
              "getrandom getentropy",
    "environment": "getenv secure_getenv setenv putenv unsetenv environ __environ setlocale newlocale",
    "console": """printf fprintf vprintf vfprintf dprintf puts putchar perror stdout stderr stdin __printf_chk __fprintf_chk
        __vfprintf_chk __vprintf_chk""",
}
DENY_PATTERNS = [
    ("thread", r"pthread_"),
    ("clock", r"_ZNSt6chrono3_V2\d+\w*clock3nowEv"),
    ("random", r".*St13random_device"),
    ("thread", r".*(St6thread|St7jthread|St11this_thread|St18condition_variable|22condition_variable_any|St13__future_base|"
               r"St28__atomic_futex_unsigned)"),
    ("file", r".*(13basic_filebuf|14basic_ifstream|14basic_ofstream|13basic_fstream|St10filesystem)"),
    ("console", r"_ZSt\dw?(cout|cerr|clog|cin)$|_ZN3fmt2v\d+v?print"),
]
# Loads of the CPU that have no symbol.
INSTRUCTIONS = re.compile(r"\t(rdtscp?|rdrand|rdseed|rdpid|cpuid|rdpmc|syscall|sysenter|int\s+\$0x80)\b")

# (folder, object, exact symbol, why it can not change what a run does)
_CHECK_FAILED = "check_failed() says on standard error why the process ends, and ends it"
ALLOW = [("sim/core", "check_world.cpp.o", symbol, _CHECK_FAILED)
         for symbol in ("stderr", "fprintf", "fputs", "fwrite", "fputc", "fflush")]
_WRAPPED = "wrap.cpp stands in for it: the original is reached only by threads that run no world"
ALLOW += [("sim/rocksdb", "wrap.cpp.o", symbol, _WRAPPED)
          for symbol in ("__real__ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE",
                         "__real__ZNSt6thread15_M_start_threadESt10unique_ptrINS_6_StateESt14default_deleteIS1_EEPFvvE",
                         "__real__ZNSt6thread20hardware_concurrencyEv", "__real__ZNSt6thread4joinEv", "__real_pthread_cond_clockwait",
                         "__real_pthread_cond_timedwait", "__real_pthread_cond_wait", "__real_pthread_create",
                         "__real_sched_getcpu", "pthread_mutex_lock", "pthread_mutex_unlock")]
# (folder, state of the process that is meant, why)
ALLOW_STATE = [
    ("sim/core", r"orrery::\(anonymous namespace\)::on", "the testbed's writable set of defects, set before its world starts"),
    ("sim/core", r"orrery::sim::\(anonymous namespace\)::the_world", "check_failed() has no argument to find its world by"),
    ("sim/rocksdb", r".*", "RocksDB's own process state is counted and reset here, at the start of each world"),
    ("node/admin", r"boost::(system::detail::\w+_cat_holder<void>::instance|beast::http::.*::(cat|is_token|tab))",
     "Boost's error categories and constant tables: the same whenever they are filled"),
]
# Writable sections: .data.rel.ro is written by the loader only.
STATE = re.compile(r"^[0-9a-f]+ (?:.{6}O (\.bss|\.data(?!\.rel\.ro))|.{7} (\.t(?:bss|data)))([^\t]*)\t[0-9a-f]+\s+(?:\.hidden )?([^.].*)$")
# g++ puts a constexpr table of string_views among the writable relocated data; a table is known by its constant's name.
CONSTANT_TABLE = re.compile(r"(.*::)?k[A-Z]\w*$")
VERSION = re.compile(r"@.*$")


def denied(symbol):
    """The group of the deny list that the symbol is in, or None. A wrapper's way out of --wrap counts as the symbol."""
    symbol = VERSION.sub("", symbol)
    symbol = symbol[len("__real_"):] if symbol.startswith("__real_") else symbol
    for group, names in _NAMES.items():
        if symbol in names:
            return group
    return next((group for group, pattern in DENY_PATTERNS if re.match(pattern, symbol)), None)


_NAMES = {group: frozenset(names.split()) for group, names in DENY_NAMES.items()}


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def check_archive(folder, path):
    hits = {}
    for line in run("nm", "-A", "-u", path).splitlines():
        member = line.partition(": ")[0].rstrip(":").rsplit(":", 1)[-1]
        symbol = VERSION.sub("", line.split()[-1])
        group = denied(symbol)
        if group and not any(allowed[:3] == (folder, member, symbol) for allowed in ALLOW):
            hits[(member, symbol)] = group
    names = sorted({symbol for _, symbol in hits})
    readable = dict(zip(names, run("c++filt", *names).splitlines())) if names else {}
    problems = [f"{folder}: error[purity]: {member} needs '{readable[symbol]}' ({group}); reach it through Env"
                for (member, symbol), group in sorted(hits.items())]
    member = "?"
    for line in run("objdump", "-t", "-C", path).splitlines():
        if line.endswith("file format elf64-x86-64"):
            member = line.partition(":")[0]
        elif (found := STATE.match(line)) is not None:
            section, name = (found.group(1) or found.group(2)) + found.group(3), found.group(4)
            if section.startswith(".data.rel.") and CONSTANT_TABLE.match(name):
                continue
            if name.startswith(("guard variable for", "DW.ref.")) or any(
                    f == folder and re.fullmatch(pattern, name) for f, pattern, _ in ALLOW_STATE):
                continue
            problems.append(f"{folder}: error[purity]: {member} holds '{name}', state of the process; make it constexpr, or a member")
    function = "?"
    process = subprocess.Popen(["objdump", "-d", "--no-show-raw-insn", "-C", path], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.endswith(">:\n"):
            function = line[line.find("<") + 1:-3]
        elif (found := INSTRUCTIONS.search(line)) is not None:
            problems.append(f"{folder}: error[purity]: {function} uses the instruction '{found.group(1)}'; reach it through Env")
    if process.wait() != 0:
        problems.append(f"{folder}: error[purity]: objdump can not read {path}")
    return problems


def archives(build):
    """{path: folder} of all archives to look at."""
    found = {}
    with open(os.path.join(build, "orrery_archives.txt"), encoding="utf-8") as file:
        for line in file.read().split("\n"):
            folder, _, path = line.partition("\t")
            if path and folder.split("/")[0] in AREAS:
                found[path] = folder
    for area in AREAS:
        for folder, _, names in os.walk(os.path.join(build, area)):
            for name in names:
                if name.endswith(".a"):
                    found.setdefault(os.path.join(folder, name), os.path.relpath(folder, build))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--allow-missing", action="store_true", help="look only at what is built (a partial build)")
    arguments = parser.parse_args()
    try:
        found = archives(os.path.abspath(arguments.build))
    except OSError as error:
        print(f"purity: error: {error}; configure with CMake first", file=sys.stderr)
        return 2
    problems, seen = [], 0
    for path, folder in sorted(found.items()):
        if os.path.exists(path):
            seen += 1
            problems += check_archive(folder, path)
        elif not arguments.allow_missing:
            problems.append(f"{folder}: error[purity]: {path} is not built; build everything first")
    if seen == 0:
        problems.append("purity: error: saw no archive of node, kv or sim")
    return report("purity", problems, f"{seen} of {len(found)} archives")


if __name__ == "__main__":
    sys.exit(main())
