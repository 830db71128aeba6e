"""WAIT, WAITALL and pipelines against real processes, through leader and follower: the numbers tell the truth."""
import random
import signal
import sys
import time

import runner
from cluster import until
from resp import ReplyError, encode

QUICK = ("--raft-election-timeout-min", "500ms", "--raft-election-timeout-max", "1s", "--raft-heartbeat", "60ms")


def test_wait_and_waitall_name_the_member_that_is_missing_through_any_node(stage):
    cluster = stage.cluster(flags=QUICK)
    leader, (follower, victim) = cluster.leader(), cluster.followers()
    with leader.client(timeout=30) as at_leader, follower.client(timeout=30) as at_follower:
        both = (at_leader, at_follower)
        for number, client in enumerate(both):
            client.call("SET", f"a{number}", "1")
            assert client.call("WAIT", "2", "5000") == 2
            assert client.call("WAIT", "100", "1000") == 2, "more than there are means all"
            assert client.call("WAITALL", "5000") == [3, 3, []]
            assert client.call("WAIT", "ALL", "5000") == [3, 3, []]
        victim.kill()
        missing = [b"%d" % victim.number]
        for number, client in enumerate(both):  # the same connections
            client.call("SET", f"b{number}", "1")
            begin = time.monotonic()
            assert client.call("WAIT", "1", "5000") == 1
            assert client.call("WAIT", "0", "5000") in (0, 1), "WAIT 0 answers at once with the present count"
            assert time.monotonic() - begin < 2.0
            begin = time.monotonic()
            assert client.call("WAIT", "2", "700") == 1
            assert client.call("WAITALL", "700") == [2, 3, missing]
            assert 1.3 < time.monotonic() - begin < 5.0, "a time-out is kept, neither cut short nor overrun"
        # Waiting without a limit goes on until the member is back, on both connections.
        for client in both:
            client.send(encode("WAITALL", "0") + encode("PING"))
        with leader.client() as other:
            until("one waits at the leader", lambda: "blocked_clients:1" in other.call("INFO", "clients").decode())
            assert other.call("GET", "b1") == b"1", "a wait holds up its own connection only"
        victim.start()
        for client in both:
            assert client.read() == [3, 3, []]
            assert client.read() == "PONG"
    cluster.wait_ready()
    with victim.client() as client:
        assert client.call("GET", "b0") == b"1"


def test_a_wait_goes_on_at_the_next_leader(stage):
    cluster = stage.cluster(flags=(*QUICK, "--log-level", "debug"))
    leader, (follower, third) = cluster.leader(), cluster.followers()
    with follower.client(timeout=30) as client:
        client.call("SET", "x", "1")
        assert client.call("WAIT", "2", "10000") == 2
        third.send_signal(signal.SIGSTOP)
        client.call("SET", "x", "2")
        client.send(encode("WAITALL", "20000"))
        until("it waits", lambda: len(follower.events("kv.wait")) == 2)
        leader.kill()
        third.send_signal(signal.SIGCONT)
        leader.start()
        assert client.read() == [3, 3, []]
        assert client.call("GET", "x") == b"2"
    cluster.wait_ready()


def test_an_isolated_leader_never_says_all(stage):
    cluster = stage.cluster(flags=QUICK)
    leader, others = cluster.leader(), cluster.followers()
    with leader.client(timeout=30) as client:
        client.call("SET", "x", "1")
        assert client.call("WAITALL", "5000") == [3, 3, []]  # all hold it
        for other in others:
            other.send_signal(signal.SIGSTOP)
        try:
            acked, required, missing = client.call("WAITALL", "800")
        finally:
            for other in others:
                other.send_signal(signal.SIGCONT)
        assert required == 3 and acked < 3 and missing, "leadership was not confirmed, and yet: all"
    cluster.wait_ready()


def test_wait_zero_as_configured_waits_for_all(stage):
    cluster = stage.cluster(flags=(*QUICK, "--kv-wait-zero", "all"))
    leader, (follower, victim) = cluster.leader(), cluster.followers()
    with follower.client(timeout=30) as client:
        client.call("SET", "x", "1")
        assert client.call("WAIT", "0", "5000") == 2
        victim.kill()
        client.call("SET", "x", "2")
        begin = time.monotonic()
        assert client.call("WAIT", "0", "600") == 1
        assert time.monotonic() - begin >= 0.59
        victim.start()
        assert client.call("WAIT", "0", "20000") == 2
    cluster.wait_ready()


def test_a_pipeline_is_answered_in_order_and_each_read_sees_the_writes_before_it(stage):
    cluster = stage.cluster(flags=QUICK)
    for node in (cluster.leader(), cluster.followers()[0]):
        draw = random.Random(node.number)
        with node.client(timeout=60) as client:
            client.call("FLUSHALL")
            model, commands, wanted = {}, [], []
            for number in range(1500):
                key, kind = f"p{draw.randrange(20)}", draw.randrange(6)
                if kind <= 1:
                    model[key] = b"%d" % number
                    commands.append(("SET", key, model[key]))
                    wanted.append("OK")
                elif kind == 2:
                    commands.append(("GET", key))
                    wanted.append(model.get(key))
                elif kind == 3:
                    model[key] = b"%d" % (int(model.get(key, 0)) + 1)
                    commands.append(("INCR", key))
                    wanted.append(int(model[key]))
                elif kind == 4:
                    commands.append(("ECHO", f"e{number}"))
                    wanted.append(b"e%d" % number)
                else:
                    commands.append(("NOSUCH",))
                    wanted.append(ReplyError)
            got = client.pipeline(commands)
            for number, (have, want) in enumerate(zip(got, wanted)):
                assert isinstance(have, ReplyError) if want is ReplyError else have == want, f"{number}: {commands[number]}: {have!r} and not {want!r}"


def test_a_wait_that_succeeded_names_members_that_hold_the_write_after_losing_all_others(stage):
    cluster = stage.cluster(flags=QUICK)
    with cluster.leader().client() as client:
        client.call("SET", "kept", "by all")
        assert client.call("WAITALL", "5000") == [3, 3, []]
    for node in cluster.nodes:
        node.kill()
    for alone in cluster.nodes:  # any two without the third
        pair = [node for node in cluster.nodes if node is not alone]
        for node in pair:
            node.start()
        cluster.wait_ready(pair)
        with pair[0].client() as client:
            assert client.call("GET", "kept") == b"by all"
        for node in pair:
            node.kill()


def test_a_client_that_leaves_its_wait_leaves_nothing_behind(stage):
    cluster = stage.cluster(flags=QUICK)
    follower, victim = cluster.followers()
    victim.send_signal(signal.SIGSTOP)
    try:
        for node in (cluster.leader(), follower):
            clients = [node.client() for _ in range(50)]
            for client in clients:
                client.call("SET", "x", "1")
                client.send(encode("WAITALL", "0"))
            for client in clients:
                client.close()
            until("all waits have ended", lambda: node.status()["kv"]["clients"] == 0, limit=10)
    finally:
        victim.send_signal(signal.SIGCONT)
    cluster.wait_ready()


if __name__ == "__main__":
    runner.main(sys.modules[__name__])
