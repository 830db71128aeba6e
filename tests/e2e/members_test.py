"""Members of a real cluster, changed with orreryctl under load: grown, the leader removed, a wiped node replaced; nothing
acknowledged is lost, and what is refused says why."""
import json
import os
import shutil
import subprocess
import sys
import time

import runner
from cluster import Cluster, until
from ledger import Ledger
from resp import ReplyError

QUICK = ("--raft-election-timeout-min", "300ms", "--raft-election-timeout-max", "600ms", "--raft-heartbeat", "60ms")


def ctl(stage, *words, timeout=60):
    return subprocess.run([stage.program("tools/orreryctl/orreryctl"), "kv", *words], capture_output=True, text=True, timeout=timeout)


def at(*nodes):
    return ("--at", ",".join(f"127.0.0.1:{node.peer}" for node in nodes))


def members(stage, *nodes):
    done = ctl(stage, "members", "--json", *at(*nodes))
    assert done.returncode == 0, done.stderr
    return {line["node"]: line for line in json.loads(done.stdout)["members"]}


def add(stage, new, *nodes):
    done = ctl(stage, "add", f"127.0.0.1:{new.peer}", "--timeout", "40", *at(*nodes))
    assert done.returncode == 0, done.stderr + new.log_tail()
    assert "is a voter" in done.stdout, done.stdout
    return done


def test_a_node_grows_to_three_loses_its_leader_and_gets_a_wiped_node_back_under_load(stage):
    cluster = stage.cluster(1, flags=QUICK)
    first = cluster.nodes[0]
    ledger_cluster = Cluster([first])
    with Ledger(ledger_cluster, threads=4) as ledger:
        benchmark = shutil.which("redis-benchmark")
        load = benchmark and subprocess.Popen([benchmark, "-p", str(first.client_port), "-t", "set", "-n", "200000", "-q", "-r", "1000", "-d", "64"],
                                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for number in (2, 3):
            new = stage.node(number, flags=QUICK).start()
            until("it waits for a cluster", lambda: new.http("/livez"))
            add(stage, new, first)
            cluster.nodes.append(new)
            ledger_cluster.nodes.append(new)
        cluster.wait_ready()
        assert {node: line["role"] for node, line in members(stage, first).items()} == {1: "voter", 2: "voter", 3: "voter"}
        if load:
            load.kill()
            load.wait()

        leader = cluster.leader()
        others = [node for node in cluster.nodes if node is not leader]
        ledger_cluster.nodes.remove(leader)
        done = ctl(stage, "remove", str(leader.number), *at(*others))
        assert done.returncode == 0, done.stderr
        assert set(members(stage, *others)) == {node.number for node in others}
        until("it knows", lambda: (leader.status() or {}).get("group", {}).get("removed"))
        with leader.client() as client:
            try:
                client.call("GET", "k:counter")
                raise AssertionError("a removed node answers")
            except ReplyError as error:
                assert str(error).startswith("CLUSTERDOWN this node was removed"), error
        written = len(ledger.acked)
        until("writes go on", lambda: len(ledger.acked) > written + 50)

        # Both nodes that are left are needed: neither may go while the other is away.
        done = ctl(stage, "add", f"127.0.0.1:{leader.peer}", *at(*others))
        assert done.returncode == 2 and "wipe its data directory" in done.stderr, done
        leader.kill()
        shutil.rmtree(leader.data_dir)
        leader.start()
        add(stage, leader, *others)
        cluster.wait_ready()
        ledger_cluster.nodes.append(leader)

        # A disk is lost: the node comes back empty under its own id.
        victim = others[0]
        ledger_cluster.nodes.remove(victim)
        victim.kill()
        shutil.rmtree(victim.data_dir)
        rest = [node for node in cluster.nodes if node is not victim]
        refused = until("it is noticed", lambda: (lambda done: done if done.returncode == 2 else None)(
            ctl(stage, "remove", str(rest[0].number), "--timeout", "5", *at(*rest))))
        assert "would leave no majority in touch" in refused.stderr, refused
        victim.start()
        add(stage, victim, *rest)
        cluster.wait_ready()
        ledger_cluster.nodes.append(victim)
        with rest[0].client() as client:
            client.call("SET", "all", "of them")
            assert client.call("WAITALL", "10000") == [3, 3, []]
        written = len(ledger.acked)
        until("writes go on", lambda: len(ledger.acked) > written + 50)
    return ledger.check(victim)


def test_leadership_goes_where_it_is_told_and_the_table_shows_it(stage):
    cluster = stage.cluster(3, flags=QUICK)
    leader = cluster.leader()
    to = next(node for node in cluster.nodes if node is not leader)
    done = ctl(stage, "transfer", str(to.number), *at(leader))
    assert done.returncode == 0 and f"node {to.number} leads" in done.stdout, done
    done = ctl(stage, "members", *at(*cluster.nodes))
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("*"))
    assert line.split()[1] == str(to.number), done.stdout
    assert done.stdout.count("voter") == 3, done.stdout
    assert ctl(stage, "transfer", "9", *at(leader)).returncode == 2
    assert ctl(stage, "members", "--timeout", "1", "--at", "127.0.0.1:1").returncode == 69


def test_reads_under_leases_are_switched_on_and_off_for_all_members(stage):
    cluster = stage.cluster(3, flags=QUICK)
    leader = cluster.leader()
    done = ctl(stage, "leases", "on", *at(leader))
    assert done.returncode == 0 and done.stdout == "reads under leases: on\n", done
    assert ctl(stage, "leases", "on", *at(leader)).stdout == "reads under leases: on already\n"

    def holds():
        return json.loads(ctl(stage, "members", "--json", *at(leader)).stdout).get("lease_holds")
    until("the leader has a lease", holds)
    with leader.client() as client:
        assert client.call("SET", "k", "v") == "OK"
        assert client.call("GET", "k") == b"v"
    table = ctl(stage, "members", *at(leader)).stdout
    assert "reads under leases: promised for " in table and "the leader's holds" in table, table
    assert ctl(stage, "leases", "off", *at(leader)).stdout == "reads under leases: off\n"
    assert "lease" not in ctl(stage, "members", *at(leader)).stdout
    refused = ctl(stage, "leases", "on", "--drift-ppm", "500000", *at(leader))
    assert refused.returncode == 2 and "--drift-ppm" in refused.stderr, refused


if __name__ == "__main__":
    runner.main(sys.modules[__name__])
