"""What tools/bench/run and tools/bench/kv share: the programs, the machine's line, the table, and whether a moment is quiet.

A moment is noisy when the canary says so (see canary.cpp), or when processes that are not ours used the cores meanwhile.
"""
import json
import os
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WORK = os.path.join(ROOT, "build", "bench")  # on the disk of the tree, not on a tmpfs: what is measured is a sync
PROGRAMS = {"bench": ("orrery_bench", "tools/bench/orrery_bench"), "load": ("orrery_resp_load", "tools/bench/orrery_resp_load"),
            "canary": ("orrery_canary", "tools/bench/orrery_canary"), "shim": ("orrery_slow_sync", "tools/bench/liborrery_slow_sync.so"),
            "kv": ("orrery-kv", "kv/orrery-kv"), "master": ("orrery-master", "node/orrery-master"),
            "master_load": ("orrery_master_load", "tools/bench/orrery_master_load"), "nodes": ("orrery_register_nodes", "tests/e2e/orrery_register_nodes"), "ctl": ("orreryctl", "tools/orreryctl/orreryctl")}
QUIET = {"wake_p99_us": 1000, "spin_wall_over_cpu": 1.10, "foreign_cores": 0.10, "stolen_cores": 0.05}
SYNC_TIMES = 3  # a sync may take so many times the fastest median of the run
TICKS = os.sysconf("SC_CLK_TCK")


def out(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=True, **options).stdout.strip()


def skipped(name, reason):
    print(f"SKIPPED {name} {reason}", flush=True)


def programs(build, names):
    """{name: path}; without a build directory they are built first, preset release."""
    os.makedirs(WORK, exist_ok=True)
    if build is None:
        build = os.path.join(ROOT, "build", "release")
        subprocess.run(["cmake", "--preset", "release"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["cmake", "--build", build, "--target", *(PROGRAMS[name][0] for name in names)], check=True)
    build = os.path.abspath(build)
    found = {name: os.path.join(build, PROGRAMS[name][1]) for name in names}
    missing = [path for path in found.values() if not os.path.exists(path)]
    if missing:
        print(f"{os.path.basename(sys.argv[0])}: error: not built: {', '.join(missing)}", file=sys.stderr)
        sys.exit(2)
    return {"build": build, **found}


def machine():
    """Prints and returns what the figures belong to."""
    facts = {
        "model": next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": next(int(line.split()[1]) // 1024 // 1024 for line in open("/proc/meminfo") if line.startswith("MemTotal")),
        "kernel": os.uname().release, "load": os.getloadavg()[0],
        "commit": out("git", "-C", ROOT, "rev-parse", "--short", "HEAD"),
        "local_changes": bool(out("git", "-C", ROOT, "status", "--porcelain", "--untracked-files=no")),
        "time": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }
    print(f"machine: {facts['model']}, {facts['cores']} cores, {facts['memory_gib']} GiB, Linux {facts['kernel']}, load {facts['load']:.2f}")
    print(f"commit: {facts['commit']}{' with local changes' if facts['local_changes'] else ''}; {facts['time']}", flush=True)
    return facts


def head():
    print(f"{'':<46} {'median':>12} {'min':>11} {'max':>11} {'spread':>7} unit", flush=True)


def row(name, values, unit, goal=""):
    values = sorted(values)
    median = statistics.median(values)
    spread = (values[-1] - values[0]) / median * 100 if median else 0
    print(f"{name:<46} {median:>12.4g} {values[0]:>11.4g} {values[-1]:>11.4g} {spread:>6.1f}% {unit:<10} {goal}", flush=True)
    return median


def verdict(value, low=None, high=None):
    if low is not None:
        return f">= {low:g}  {'met' if value >= low else 'MISSED'}"
    return f"<= {high:g}  {'met' if value <= high else 'MISSED'}"


# ---- is it quiet?


def _processes():
    """{pid: (parent, tracer, ticks, ticks of its children that have ended)} of everything but kernel threads."""
    found = {}
    for pid in os.listdir("/proc"):
        if not pid.isdigit():
            continue
        try:
            fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
            status = open(f"/proc/{pid}/status").read()
        except OSError:
            continue  # has ended meanwhile
        parent = int(fields[1])
        if parent == 2 or pid == "2":
            continue
        tracer = int(status.split("TracerPid:")[1].split()[0])
        found[int(pid)] = (parent, tracer, int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14]))
    return found


def _stolen():
    return int(open("/proc/stat").readline().split()[8])


def _ours(processes):
    """This process, what it started, and the tracers of those."""
    ours, grown = {os.getpid()}, True
    while grown:
        more = {pid for pid, (parent, _, _, _) in processes.items() if parent in ours} | {processes[pid][1] for pid in ours if pid in processes and processes[pid][1]}
        grown = not more <= ours
        ours |= more
    return ours


class Foreign:
    """Processor time of processes that are not ours, from construction on. The time of one that ends goes to the parent that
    reaps it, so a compiler that came and went is seen; of one whose parent does not, the rest still counts."""

    def __init__(self):
        self.begin, self.before, self.stolen = time.monotonic(), self._used(), _stolen()

    @staticmethod
    def _used():
        processes = _processes()
        ours = _ours(processes)
        return {pid: (own, own + reaped) for pid, (_, _, own, reaped) in processes.items() if pid not in ours}

    def cores(self):
        took, after = time.monotonic() - self.begin, self._used()
        in_all = sum(used for _, used in after.values()) - sum(used for _, used in self.before.values())
        alive = sum(own - self.before.get(pid, (0, 0))[0] for pid, (own, _) in after.items())
        return {"foreign_cores": round(max(in_all, alive) / TICKS / took, 3), "stolen_cores": round((_stolen() - self.stolen) / TICKS / took, 3)}


class Quiet:
    """Judges rounds: `begin()` before, `end()` after; the worse of two canaries counts."""

    def __init__(self, program):
        self.program, self.best_sync = program, None

    def _canary(self):
        figures = json.loads(out(self.program, WORK))
        self.best_sync = min(self.best_sync or figures["sync_p50_us"], figures["sync_p50_us"])
        return figures

    def begin(self):
        self.first = self._canary()
        self.foreign = Foreign()

    def end(self):
        """{figures..., "noisy": [what is past its bound]}"""
        cores, last = self.foreign.cores(), self._canary()
        figures = {name: max(self.first[name], last[name]) for name in last} | cores
        noisy = [f"{name} {figures[name]:g} > {bound:g}" for name, bound in QUIET.items() if figures[name] > bound]
        if figures["sync_p50_us"] > SYNC_TIMES * self.best_sync:
            noisy.append(f"sync_p50_us {figures['sync_p50_us']:g} > {SYNC_TIMES} x {self.best_sync:g}")
        return {**figures, "noisy": noisy}
