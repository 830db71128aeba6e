"""kill -9 in a loop under load, a stopped leader, stops and restarts: no acknowledged write is ever lost."""
import random
import signal
import sys
import time

import runner
from cluster import until
from ledger import Ledger

# Short elections: a kill costs little time, so that many fit the test.
QUICK = ("--raft-election-timeout-min", "300ms", "--raft-election-timeout-max", "600ms", "--raft-heartbeat", "60ms")


def test_no_acknowledged_write_is_lost_in_thirty_kills_under_load(stage):
    cluster = stage.cluster(flags=QUICK)
    draw = random.Random(7)
    kills, leaders, begin = 0, 0, time.monotonic()
    with Ledger(cluster) as ledger:
        while kills < 30 and time.monotonic() - begin < 45:
            leader = cluster.leader()
            written = len(ledger.acked)
            until("writes go on", lambda: len(ledger.acked) > written + 20)
            victims = [leader if draw.random() < 0.6 else draw.choice(cluster.nodes)]
            if draw.random() < 0.2:  # now and then a majority, or all at once: nothing that was synced may be lost by that
                victims = draw.sample(cluster.nodes, draw.choice((2, 3)))
            for node in victims:
                node.kill()
                kills += 1
                leaders += node is leader
            time.sleep(draw.random() * 0.3)  # the length of the outage is part of the draw
            for node in victims:
                node.start()
            cluster.wait_ready(victims)
        cluster.wait_ready()
        written = len(ledger.acked)
        until("writes go on after the last kill", lambda: len(ledger.acked) > written + 20)
    assert kills >= 20, f"only {kills} kills in time"
    assert len(ledger.acked) > 500, f"only {len(ledger.acked)} writes"
    said = ledger.check(cluster.nodes[0])
    for node in cluster.nodes:  # and all of it survives all of them at once
        node.kill()
    for node in cluster.nodes:
        node.start()
    cluster.wait_ready()
    ledger.check(cluster.nodes[1])
    return f"{kills} kills, {leaders} of leaders; {said}"


def test_a_stopped_leader_is_replaced_and_steps_down_when_it_goes_on(stage):
    cluster = stage.cluster(flags=QUICK)
    with Ledger(cluster, threads=4) as ledger:
        for _ in range(4):
            written = len(ledger.acked)
            until("writes go on", lambda: len(ledger.acked) > written + 50)
            old = cluster.leader()
            term = old.status()["group"]["term"]
            old.send_signal(signal.SIGSTOP)
            others = [node for node in cluster.nodes if node is not old]
            new = cluster.leader(among=others)
            assert new.status()["group"]["term"] > term
            with new.client() as client:
                client.call("SET", "during", "the stop")
            with old.client(timeout=15) as client:  # the kernel takes the connection; the process reads when it goes on
                client.socket.sendall(b"*2\r\n$3\r\nGET\r\n$6\r\nduring\r\n")
                old.send_signal(signal.SIGCONT)
                assert client.read() == b"the stop", "a read at the old leader missed what the new one had committed"
            until("the old leader follows", lambda: (old.status() or {}).get("group", {}).get("role") == "follower")
            cluster.wait_ready()
    return ledger.check(old)


def test_sigterm_drains_quickly_and_a_restart_keeps_everything(stage):
    cluster = stage.cluster(flags=QUICK)
    slowest = 0.0
    with Ledger(cluster, threads=4) as ledger:
        for round_number in range(6):
            written = len(ledger.acked)
            until("writes go on", lambda: len(ledger.acked) > written + 50)
            node = cluster.leader() if round_number % 2 == 0 else cluster.followers()[0]
            code, seconds = node.stop()
            assert code == 0, f"{node.name} ended with {code}: {node.log_tail()}"
            slowest = max(slowest, seconds)
            node.start()
            cluster.wait_ready()
    assert slowest < 4.0, f"a stop took {slowest:.1f} s"
    said = ledger.check(cluster.nodes[2])
    for node in cluster.nodes:
        node.send_signal(signal.SIGTERM)
    for node in cluster.nodes:
        assert node.ended() == 0, node.log_tail()
    for node in cluster.nodes:
        node.start()
    cluster.wait_ready()
    ledger.check(cluster.nodes[0])
    return f"slowest stop {slowest:.2f} s; {said}"


def test_what_is_under_way_at_sigterm_is_answered(stage):
    cluster = stage.cluster(flags=QUICK)
    for node in (cluster.leader(), cluster.followers()[0]):
        with node.client() as client, node.client() as waiting, node.client() as idle:
            assert client.call("PING") == "PONG" and idle.call("PING") == "PONG"
            lost = [other for other in cluster.nodes if other is not node][0]
            if lost is cluster.leader():
                lost = [other for other in cluster.nodes if other not in (node, lost)][0]
            lost.send_signal(signal.SIGSTOP)
            try:
                waiting.call("SET", "w", "1")
                waiting.send(b"*2\r\n$7\r\nWAITALL\r\n$1\r\n0\r\n")  # can not be satisfied while one is stopped
                until("the wait has arrived", lambda: "blocked_clients:1" in client.call("INFO", "clients").decode())
                code, seconds = node.stop()
            finally:
                lost.send_signal(signal.SIGCONT)
            assert code == 0 and seconds < 6, f"ended with {code} after {seconds:.1f} s: {node.log_tail()}"
            assert idle.at_end() and client.at_end(), "connections of a stopped node are closed"
        node.start()
        cluster.wait_ready()


def test_a_second_sigterm_ends_at_once(stage):
    cluster = stage.cluster(flags=QUICK)
    node = cluster.followers()[0]
    others = [other for other in cluster.nodes if other is not node]
    with node.client(timeout=20) as client:
        for other in others:
            other.send_signal(signal.SIGSTOP)
        try:
            client.send(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n")  # has nobody to commit it: the drain waits for it
            begin = time.monotonic()
            node.send_signal(signal.SIGTERM)
            until("draining", lambda: node.events("node.draining"))
            node.send_signal(signal.SIGTERM)
            code = node.ended()
            assert time.monotonic() - begin < 4.0, "the second signal did not hurry"
        finally:
            for other in others:
                other.send_signal(signal.SIGCONT)
    assert code in (0, 69), f"ended with {code}: {node.log_tail()}"


if __name__ == "__main__":
    runner.main(sys.modules[__name__])
