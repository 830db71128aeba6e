"""What goes wrong, and when. The whole plan is drawn from the seed before the first fault, so the same seed gives the same plan;
what the processes do meanwhile is theirs, so the same plan need not give the same outcome. "leader" and "follower" in a plan
are resolved when the fault begins.
"""
import json
import os
import random
import signal
import struct
import time

from network import OUTSIDE

CLOCK = struct.Struct("<QqqdqQ")  # skewed_clock.c; the last word is room


class ChaosNode:
    """The files through which faults reach a node; the environment that makes it look at them."""

    def __init__(self, stage, number):
        self.paths = {name: os.path.join(stage.directory, f"node{number}.{name}") for name in ("clock", "slow", "fail")}
        self.shown, self.real, self.rate, self.wall = 0, 0, 1.0, 0
        self.shown = self.real = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        with open(self.paths["clock"], "wb") as file:
            file.write(CLOCK.pack(0, self.real, self.shown, 1.0, 0, 0))
        self.sequence = 0
        shims = (stage.program("tests/chaos/skewed_clock.so"), stage.program("tools/bench/liborrery_slow_sync.so"), stage.program("tests/e2e/failing_sync.so"))
        for shim in shims:
            if not os.path.exists(shim):
                raise AssertionError(f"{shim} was not built")  # ld.so would only warn
        self.environment = {"LD_PRELOAD": ":".join(shims), "SKEWED_CLOCK": self.paths["clock"], "SLOW_US_FILE": self.paths["slow"],
                            "FAIL_SYNC_OF": "/log/segment", "FAIL_SYNC_WHEN": self.paths["fail"]}

    def clock(self, rate=None, wall_ns=None):
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self.shown += int((now - self.real) * self.rate)
        self.real = now
        self.rate = self.rate if rate is None else rate
        self.wall = self.wall if wall_ns is None else wall_ns
        with open(self.paths["clock"], "r+b", buffering=0) as file:  # in place: it is mapped
            file.write(struct.pack("<Q", self.sequence + 1))
            os.pwrite(file.fileno(), CLOCK.pack(self.sequence + 1, self.real, self.shown, self.rate, self.wall, 0)[8:], 8)
            self.sequence += 2
            os.pwrite(file.fileno(), struct.pack("<Q", self.sequence), 0)

    def write(self, name, text):
        with open(self.paths[name], "w") as file:
            file.write(text)

    def remove(self, name):
        if os.path.exists(self.paths[name]):
            os.unlink(self.paths[name])


NETWORK = ("cut", "one-way", "loss", "delay")
PROCESS = ("kill", "kill-two", "kill-all", "stop")
DISK = ("slow-sync", "failing-sync")
CLOCKS = ("clock-rate", "clock-jump", "stale-leader")
KINDS = (*NETWORK, *PROCESS, *DISK, *CLOCKS)
TARGETS = ("leader", "leader", "follower", "any")


def plan(seed, seconds, kinds=KINDS, length=(1.0, 5.0)):
    """A list of {"at", "for", "kind", "target", "pick", "strength"}, times in seconds from the beginning, none past the end, each of a
    length in the given range. Each kind comes once before any comes a second time."""
    draw = random.Random(f"faults {seed}")
    steps, at, bag = [], draw.uniform(1.0, 2.0), []
    while True:
        if not bag:
            bag = list(kinds)
            draw.shuffle(bag)
        step = {"at": round(at, 2), "for": round(draw.uniform(*length), 2), "kind": bag.pop(), "target": draw.choice(TARGETS), "pick": draw.randrange(1 << 16),
                "strength": round(draw.random(), 3)}
        if step["at"] + step["for"] > seconds:
            return steps
        steps.append(step)
        # Often the next one begins before this one has ended.
        at += draw.choice((0.2, 0.5, 1.0)) * step["for"] + draw.uniform(0.3, 1.5)


class Faults:
    """Carries a plan out. `group` is what the faults are done to: nodes (numbered from 1 in their order), leader_now(). Only the
    thread that made the processes may call run() and heal()."""

    def __init__(self, network, group, steps, log_path):
        self.network, self.group, self.steps = network, group, steps
        self.begin, self.log, self.findings, self.done = time.monotonic(), open(log_path, "w"), [], {}
        self.busy, self.rules = {}, {}
        for step in steps:
            self.say("planned", **step)

    def say(self, what, **fields):
        self.log.write(json.dumps({"t": round(time.monotonic() - self.begin, 3), "what": what, **fields}) + "\n")
        self.log.flush()

    def run(self, seconds, each=lambda: None):
        """`each` is called many times a second."""
        waiting, ends = list(self.steps), []
        while (now := time.monotonic() - self.begin) < seconds:
            for step in [step for step in waiting if step["at"] <= now]:
                waiting.remove(step)
                undo = self._start(step)
                if undo is not None:
                    ends.append((now + step["for"], step, undo))
            for item in [item for item in ends if item[0] <= now]:
                ends.remove(item)
                self._end(*item[1:])
            self.watch()
            each()
            time.sleep(0.05)
        for _, step, undo in ends:
            self._end(step, undo)
        self.network.heal()
        self.say("healed", packets=self.network.packets())
        self.log.close()

    def watch(self):
        """Nobody ends unasked."""
        for node in self.group.nodes_all:
            if node.process is not None and node.process.poll() is not None:
                self.findings.append(f"{node.name} ended unasked with {node.process.returncode}: {node.log_tail(4)}")
                self.say("ended unasked", node=node.name, code=node.process.returncode)
                node.process = None
                node.start()

    def _start(self, step):
        nodes = self.group.nodes_all
        target = "leader" if step["kind"] == "stale-leader" else step["target"]
        leader = self.group.leader_now() if target != "any" else None
        choice = {"leader": [leader], "follower": [node for node in nodes if node is not leader]}.get(target, nodes)
        node = choice[step["pick"] % len(choice)] or nodes[step["pick"] % len(nodes)]
        if step["kind"] in ("kill", "stop", "failing-sync") and node in self.busy:
            node = next((other for other in nodes if other not in self.busy), node)
        try:
            undo = getattr(self, "_" + step["kind"].replace("-", "_"))(step, node)
        except Skipped as skipped:
            self.say("passed over", kind=step["kind"], node=node.name, why=str(skipped))
            return None
        self.done[step["kind"]] = self.done.get(step["kind"], 0) + 1
        self.say("begin", kind=step["kind"], node=node.name, leads=node is leader)
        return undo

    def _end(self, step, undo):
        undo()
        self.say("end", kind=step["kind"])

    # Network. Of overlapping faults of one link the worse holds.

    def _number(self, node):
        return self.group.nodes_all.index(node) + 1

    def _links(self, node, outside):
        others = [self._number(other) for other in self.group.nodes_all if other is not node] + ([OUTSIDE] if outside else [])
        return [(self._number(node), other) for other in others], [(other, self._number(node)) for other in others]

    def _rule(self, links, **rule):
        def change(act):
            for link in links:
                act(self.rules.setdefault(link, []))
                merged = {}
                for each in self.rules[link]:
                    merged.update({name: max(value, merged.get(name, value)) for name, value in each.items()})
                self.network.set(*link, **merged)
        change(lambda active: active.append(rule))
        return lambda: change(lambda active: active.remove(rule))

    def _cut(self, step, node):
        away, back = self._links(node, outside=step["strength"] < 0.3)
        return self._rule(away + back, drop=True)

    def _one_way(self, step, node):
        away, back = self._links(node, outside=False)
        links = away if step["strength"] < 0.5 else back
        return self._rule(links if step["pick"] % 2 else links[:1], drop=True)

    def _loss(self, step, node):
        away, back = self._links(node, outside=True)
        return self._rule(away + back, loss=0.02 + 0.3 * step["strength"], repeat=0.05)

    def _delay(self, step, node):
        away, back = self._links(node, outside=step["pick"] % 2 == 0)
        return self._rule(away + back, delay_ms=5 + 150 * step["strength"], jitter_ms=100 * step["strength"])

    # Processes. A node has one such fault at a time.

    def _take(self, nodes, kind):
        taken = [node.name for node in nodes if node in self.busy]
        if taken:
            raise Skipped(f"{taken[0]} has {self.busy[next(node for node in nodes if node in self.busy)]}")
        self.busy.update({node: kind for node in nodes})

    def _free(self, nodes):
        for node in nodes:
            del self.busy[node]

    def _kill_these(self, nodes):
        self._take(nodes, "kill")
        for node in nodes:
            node.kill()

        def undo():
            for node in nodes:
                self.group.restart(node)
            self._free(nodes)
        return undo

    def _kill(self, step, node):
        return self._kill_these([node])

    def _kill_two(self, step, node):
        others = [other for other in self.group.nodes_all if other is not node]
        return self._kill_these([node, others[step["pick"] % len(others)]])

    def _kill_all(self, step, node):
        return self._kill_these(list(self.group.nodes_all))

    def _stop(self, step, node):
        self._take([node], "stop")
        node.send_signal(signal.SIGSTOP)

        def undo():
            node.send_signal(signal.SIGCONT)
            self._free([node])
        return undo

    # Disks and clocks: of our own nodes only, by the shims.

    def _slow_sync(self, step, node):
        chaos = self.group.chaos[node]
        chaos.write("slow", str(int(2000 + 200000 * step["strength"])))
        return lambda: chaos.remove("slow")

    def _failing_sync(self, step, node):
        if "failing-sync" in self.busy.values():
            raise Skipped("a member has it: a majority without a log would be an outage by design")
        self._take([node], "failing-sync")
        self.group.chaos[node].write("fail", "")

        def undo():  # a node whose sync failed stays stopped until it is started again: exit code 74, or 0 when it had nothing to sync
            self.group.chaos[node].remove("fail")
            code, _ = node.stop(limit=40)
            self.say("stopped", node=node.name, code=code)
            if code not in (0, 74):
                self.findings.append(f"{node.name} ended with {code} after a failed sync: {node.log_tail(4)}")
            node.start()
            self._free([node])
        return undo

    def _clock_rate(self, step, node):
        slowest, fastest = self.group.clock_rates
        return self._clock_at(node, slowest + (fastest - slowest) * step["strength"])

    def _clock_at(self, node, rate):
        self.group.chaos[node].clock(rate=rate)
        return lambda: self.group.chaos[node].clock(rate=1.0)

    def _stale_leader(self, step, node):
        """Cut off from the others but not from the clients, with a clock so slow that it believes for long that it leads."""
        undo_clock = self._clock_at(node, self.group.stale_clock_rate)
        away, back = self._links(node, outside=False)
        undo_cut = self._rule(away + back, drop=True)

        def undo():
            undo_cut()
            undo_clock()
        return undo

    def _clock_jump(self, step, node):
        self.group.chaos[node].clock(wall_ns=int((step["strength"] - 0.5) * 7200e9))
        return lambda: self.group.chaos[node].clock(wall_ns=0)


class Skipped(Exception):
    pass
