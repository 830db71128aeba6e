"""State-machine time on real processes: what `orreryctl kv time` shows, moves and refuses, and that a restart of all goes on."""
import datetime
import re
import subprocess
import sys
import time

import runner
from cluster import until

QUICK = ("--raft-election-timeout-min", "500ms", "--raft-election-timeout-max", "1s", "--raft-heartbeat", "60ms")


def kv_time(stage, nodes, *arguments):
    members = ",".join(f"127.0.0.1:{node.peer}" for node in nodes)
    return subprocess.run([stage.program("tools/orreryctl/orreryctl"), "kv", "time", "--members", members, *arguments], capture_output=True,
                          text=True, timeout=60)


def rows(done):
    """{node: (ahead of its wall clock in ms, source, leads)} of what was shown."""
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.findall(r"^\S+ +(\d+) +20\S+Z +(-?\d+) ms +(\w+) *(leader)?$", done.stdout, re.M)
    return {int(node): (int(ahead), source, bool(leads)) for node, ahead, source, leads in found}


def told_by_all(stage, nodes):
    """rows() once every node has heard the leader twice, before which it does not say what time it is."""
    return until("every node says the time", lambda: (shown := rows(kv_time(stage, nodes))).keys() == {node.number for node in nodes} and shown)


def in_utc(seconds):
    return datetime.datetime.fromtimestamp(time.time() + seconds, datetime.timezone.utc).isoformat(timespec="milliseconds")


def test_time_is_shown_for_each_node_moved_through_any_and_never_back(stage):
    cluster = stage.cluster(flags=QUICK)
    shown = told_by_all(stage, cluster.nodes)
    assert sum(leads for _, _, leads in shown.values()) == 1, shown
    assert all(abs(ahead) < 1000 for ahead, _, _ in shown.values()), shown
    assert {source for _, source, leads in shown.values() if leads} == {"wall"}, shown

    follower = cluster.followers()[0]
    with follower.client() as client:
        client.call("SET", "short", "1", "PX", "100000")
        client.call("SET", "long", "1", "PX", "1000000")
        moved = kv_time(stage, [follower], "--set", in_utc(200))
        assert moved.returncode == 0 and "keys expire earlier by" in moved.stdout, moved.stdout + moved.stderr
        assert client.call("GET", "short") is None
        assert client.call("GET", "long") == b"1"
        assert 700_000 < client.call("PTTL", "long") < 810_000
    back = kv_time(stage, [follower], "--set", "now")
    assert back.returncode == 2 and "never goes back" in back.stderr and "wait" in back.stderr, back.stderr
    assert kv_time(stage, [follower], "--set", "yesterday").returncode == 2

    # All members at once: nobody has a running value, and what was stored knows of the move.
    for node in cluster.nodes:
        node.kill()
    for node in cluster.nodes:
        node.start()
    cluster.wait_ready()
    until("time goes on", lambda: all(180_000 < ahead < 201_000 for ahead, _, _ in rows(kv_time(stage, cluster.nodes)).values()))
    shown = rows(kv_time(stage, cluster.nodes))
    assert {source for _, source, leads in shown.values() if leads} == {"estimate"}, shown
    told = until("the difference is an error event", lambda: [event for node in cluster.nodes for event in node.events("kv.time_off")])
    assert "never goes back" in str(told[0]), told[0]
    leader = cluster.leader()
    assert 180_000 < leader.status()["state_time"]["ahead_ms"] < 201_000
    with leader.client() as client:
        info = client.call("INFO", "server").decode()
        assert "state_time_source:estimate" in info and re.search(r"state_time_ahead_ms:1\d{5}|state_time_ahead_ms:200", info), info
        assert client.call("GET", "long") == b"1"


def test_a_node_that_does_not_answer_is_named_and_the_others_are_shown(stage):
    cluster = stage.cluster(flags=QUICK)
    victim = cluster.followers()[0]
    told_by_all(stage, cluster.nodes)
    victim.kill()
    done = kv_time(stage, cluster.nodes, "--timeout", "2")
    assert done.returncode != 0 and f"127.0.0.1:{victim.peer}: warning[W0305]" in done.stderr, done.stderr
    assert len(re.findall(r"^127\.0\.0\.1:\d+ +\d+ +20", done.stdout, re.M)) == 2, done.stdout
    moved = kv_time(stage, [victim, *cluster.followers()], "--timeout", "2", "--set", in_utc(30))
    assert moved.returncode == 0, moved.stderr


if __name__ == "__main__":
    runner.main(sys.modules[__name__])
