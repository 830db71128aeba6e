#!/usr/bin/env python3
"""Part 1 of tools/demo: founds a cluster of three real orrery-kv processes, writes and reads through redis-cli and
redis-benchmark, kills the leader with -9 while a writer is at work, and checks that every acknowledged write is there.

    demo_cluster.py BUILD-DIRECTORY WORK-DIRECTORY

Exit codes: 0 nothing acknowledged is lost, 1 something is, or a step failed. Ends every process it has started. The
harness is that of tests/e2e.
"""
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "e2e"))
from cluster import Stage, until  # noqa: E402
from ledger import Ledger  # noqa: E402


def step(text):
    print(f"-- {text}", flush=True)


def shell(*words):
    """Shows the command and its output as a person would see it."""
    print("   $ " + " ".join(words), flush=True)
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    for line in (done.stdout + done.stderr).split("\n"):
        line = line.split("\r")[-1].rstrip()  # a progress line overwrites itself
        if line and "overall" not in line:
            print("   " + line)
    if done.returncode != 0:
        raise AssertionError(f"{words[0]} ended with {done.returncode}")
    return done.stdout


def tour(stage):
    step("start three nodes and found a cluster of them")
    nodes = [stage.node(number).start() for number in (1, 2, 3)]
    print("   $ " + " ".join([os.path.relpath(word) if os.sep in word and os.path.exists(word) else word for word in nodes[0].command()]) + "   (and two more)")
    shell(os.path.relpath(stage.program("tools/orreryctl/orreryctl")), "kv", "init", "--members", ",".join(f"127.0.0.1:{node.peer}" for node in nodes))
    cluster = stage.group(nodes)
    cluster.wait_ready()
    leader = cluster.leader()
    follower = cluster.followers()[0]
    print(f"   node {leader.number} leads")

    step("ordinary Redis clients, through a node that does not lead")
    port = str(follower.client_port)
    shell("redis-cli", "-p", port, "SET", "greeting", "hello")
    shell("redis-cli", "-p", port, "GET", "greeting")
    print("   WAITALL: how many members hold it on their disks, how many there are, who is missing")
    answer = shell("redis-cli", "-p", port, "WAITALL", "5000")
    assert answer.split() == ["3", "3"], answer
    shell("redis-benchmark", "-p", str(leader.client_port), "-t", "set,get", "-n", "20000", "-c", "50", "-P", "4", "-q")

    step("kill -9 of the leader, five times, while six clients write unique values through all nodes")
    with Ledger(cluster, threads=6) as ledger:
        for _ in range(5):
            written = len(ledger.acked)
            until("writes go on", lambda: len(ledger.acked) > written + 200)
            leader = cluster.leader()
            begin = time.monotonic()
            leader.kill()
            rest = [node for node in nodes if node is not leader]
            written = len(ledger.acked)
            until("writes go on", lambda: len(ledger.acked) > written + 6)
            gap = time.monotonic() - begin
            print(f"   $ kill -9 {'(leader, node ' + str(leader.number) + ')'}: node {cluster.leader(among=rest).number} leads, writes go on after {gap:.1f} s", flush=True)
            leader.start()
            cluster.wait_ready()

    step("everything that was acknowledged, read back; then once more after kill -9 of all three at once")
    print("   " + ledger.check(nodes[0]))
    for node in nodes:
        node.kill()
    for node in nodes:
        node.start()
    cluster.wait_ready()
    ledger.check(nodes[2])
    assert shell("redis-cli", "-p", port, "GET", "greeting") == "hello\n"
    print(f"   all {len(ledger.acked)} acknowledged writes are there")

    step("stop: SIGTERM drains, hands leadership over and ends with 0")
    for node in nodes:
        node.send_signal(signal.SIGTERM)
    for node in nodes:
        code = node.ended()
        assert code == 0, f"node {node.number} ended with {code}: {node.log_tail()}"


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    stage = Stage(os.path.abspath(sys.argv[1]), "demo", directory=sys.argv[2])
    failed = True
    try:
        tour(stage)
        failed = False
    except (AssertionError, OSError, subprocess.SubprocessError) as error:
        print(f"   FAILED: {error}", flush=True)
    finally:
        stage.close(keep=failed)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
