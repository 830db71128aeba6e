"""What chaos is done to: a group of ours, with leases or without, or stock redis-servers that fail over without WAIT."""
import os
import subprocess

from cluster import until
from faults import KINDS, ChaosNode
from redis_server import RedisServer
from resp import ReplyError

QUICK = ("--raft-election-timeout-min", "500ms", "--raft-election-timeout-max", "1s", "--raft-heartbeat", "60ms", "--kv-request-limit", "2s", "--net-peer-silence-max", "5s",
         "--store-memtable-bytes", "1MiB", "--log-format", "json")


class KvGroup:
    kinds = KINDS
    fault_seconds = (1.0, 5.0)
    clock_rates = (0.4, 2.5)  # of a node's monotonic clock
    stale_clock_rate = 0.2    # of a leader that is to believe in itself for long

    def __init__(self, stage, network, count):
        self.chaos = {}
        for number in range(1, count + 1):
            chaos = ChaosNode(stage, number)
            node = stage.node(number, flags=QUICK, place=network.place(number), environment=chaos.environment)
            self.chaos[node] = chaos
        self.nodes = self.nodes_all = list(self.chaos)
        for node in self.nodes:
            node.start()
        stage.found(self.nodes)
        self.cluster = stage.group(self.nodes)
        self.cluster.wait_ready(limit=60)

    def each(self):
        pass

    def leader_now(self):
        """Who says so in the highest term, without patience."""
        best = (-1, None)
        for node in self.nodes:
            status = node.status(timeout=0.3) if node.alive() and not _stopped(node) else None
            if status and status.get("group", {}).get("role") == "leader":
                best = max(best, (status["group"]["term"], node), key=lambda item: item[0])
        return best[1]

    def restart(self, node):
        node.start()

    def settle(self):
        """All faults are over: everybody must come back, and hold everything."""
        self.cluster.wait_ready(limit=90)

        def all_hold():
            try:
                with self.nodes[0].client(timeout=15) as client:
                    client.call("SET", "settled", "yes")
                    return client.call("WAITALL", "10000") == [len(self.nodes), len(self.nodes), []]
            except (OSError, ReplyError):
                return False
        until("every member holds a fresh write", all_hold, limit=90)
        return self.nodes


class LeasedGroup(KvGroup):
    """Reads under leases; no two clocks differ by more than what was stated."""
    clock_rates = (0.82, 1.18)
    stale_clock_rate = 0.82
    drift_ppm = 400_000  # a bit more than 1.18 / 0.82 - 1 asks for, by the slower one's measure

    def __init__(self, stage, network, count):
        super().__init__(stage, network, count)
        done = subprocess.run([stage.program("tools/orreryctl/orreryctl"), "kv", "leases", "on", "--drift-ppm", str(self.drift_ppm), "--at",
                               f"{self.nodes[0].place.host}:{self.nodes[0].peer}"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done


class RedisGroup:
    """A primary with replicas and a watchman who does what Sentinel does: when a majority of the replicas has lost the primary he
    promotes the one that is furthest, and what comes back as a second primary is made a replica. Clients find the primary through
    him; nobody uses WAIT. The files are appended to at each write, so a killed process loses nothing: what is lost is lost by failover.
    """
    kinds = ("cut", "kill", "stop")
    fault_seconds = (5.0, 8.0)  # a link is given up after some three

    def __init__(self, stage, network, count):
        flags = ("--appendonly", "yes", "--appendfsync", "always", "--repl-diskless-sync-delay", "0", "--repl-timeout", "2", "--repl-ping-replica-period", "1")
        self.nodes_all = [RedisServer(stage, flags, place=network.place(number)) for number in range(1, count + 1)]
        for server in self.nodes_all:
            server.start()
        self.primary, self.failovers = self.nodes_all[0], 0
        for server in self.nodes_all[1:]:
            server.follow(self.primary)
        until("the replicas are online", lambda: len(self.primary.online()) == count - 1)

    @property
    def nodes(self):
        return [self.primary]

    def leader_now(self):
        return self.primary

    def _replication(self, server):
        if not server.alive() or _stopped(server):
            return None
        try:
            return server.info()
        except (OSError, ReplyError):
            return None

    def each(self):
        said = {server: self._replication(server) for server in self.nodes_all}
        replicas = [server for server, info in said.items() if server is not self.primary and info and info["role"] == "slave"]
        lost = [server for server in replicas if said[server]["master_link_status"] == "down"]
        if len(lost) * 2 > len(self.nodes_all) - 1:
            best = max(lost, key=lambda server: int(said[server].get("slave_repl_offset", 0)))
            self.primary, self.failovers = best, self.failovers + 1
            best.follow(None)
        for server, info in said.items():
            if server is not self.primary and info and (info["role"] == "master" or info["master_host"] != self.primary.place.host):
                try:
                    server.follow(self.primary)
                except (OSError, ReplyError):
                    pass  # next time

    def restart(self, server):
        server.process or server.start()

    def settle(self):
        def calm():
            self.each()
            try:
                return len(self.primary.online()) == len(self.nodes_all) - 1
            except (OSError, ReplyError):
                return False
        until("the replicas are online", calm, limit=60)
        return [self.primary]


def _stopped(node):
    """By SIGSTOP: it would take every question and answer none."""
    try:
        with open(f"/proc/{node.process.pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "T"
    except (OSError, AttributeError):
        return not os.path.exists("/proc/self/stat")


GROUPS = {"kv": KvGroup, "kv-leases": LeasedGroup, "redis": RedisGroup}
