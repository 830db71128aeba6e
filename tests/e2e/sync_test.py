"""A sync that fails (LD_PRELOAD shim): the node stops serving that log and says so, the others go on, and what was
acknowledged is there. After a failed sync nobody knows what is on the disk, so it is never tried a second time."""
import os
import sys

import runner
from cluster import until
from ledger import Ledger

QUICK = ("--raft-election-timeout-min", "400ms", "--raft-election-timeout-max", "800ms", "--raft-heartbeat", "60ms", "--store-memtable-bytes", "1MiB")


def failing(stage, part):
    """(environment, switch): syncs of paths with `part` fail while the file `switch` exists."""
    switch = os.path.join(stage.directory, "fail")
    return {"LD_PRELOAD": stage.program("tests/e2e/failing_sync.so"), "FAIL_SYNC_OF": part, "FAIL_SYNC_WHEN": switch}, switch


def arm(stage, node, part):
    environment, switch = failing(stage, part)
    assert node.stop()[0] == 0
    node.environment = environment
    node.start()
    return switch


def touch(path):
    with open(path, "w"):
        pass


def test_a_failed_sync_of_the_log_stops_that_node_and_no_other(stage):
    cluster = stage.cluster(flags=QUICK)
    for role in ("leader", "follower"):
        node = cluster.leader() if role == "leader" else cluster.followers()[0]
        seals = len(node.events("log.sealed"))  # of an earlier life of the same node
        switch = arm(stage, node, "/log/segment")
        cluster.wait_ready()
        rest = [other for other in cluster.nodes if other is not node]
        with Ledger(cluster, threads=4, prefix=role) as ledger:
            if role == "leader":  # it led before its restart: it is to lead again when the sync fails
                def lead():
                    for other in rest:
                        if (other.status() or {}).get("group", {}).get("role") == "leader":
                            other.stop()
                            other.start()
                            cluster.wait_ready()
                    return node.status()["group"]["role"] == "leader"
                until("it leads", lead, limit=40)
            until("load", lambda: len(ledger.acked) > 50)
            touch(switch)
            until("the log is sealed", lambda: len(node.events("log.sealed")) > seals)
            until("the group has stopped", lambda: node.status()["group"].get("stopped"))
            leader = cluster.leader(among=rest)
            assert leader is not node
            written = len(ledger.acked)
            until("the others go on", lambda: len(ledger.acked) > written + 50)
            assert not node.ready() and "group_running" in node.http("/readyz")[1], node.http("/readyz")
            assert node.http("/livez")[0] == 200
            with leader.client() as client:
                client.call("SET", "x", "1")
                assert client.call("WAITALL", "300") == [2, 3, [b"%d" % node.number]], "a sealed log holds nothing"
            os.unlink(switch)  # the disk is well again, the node does not know: it stays stopped until it is restarted
            written = len(ledger.acked)
            until("the others go on", lambda: len(ledger.acked) > written + 50)
            assert node.status()["group"].get("stopped"), "a second sync after a failed one proves nothing"
        sealed = node.events("log.sealed")[seals:]
        assert len(sealed) == 1 and sealed[0]["severity"] == "error" and "log/segment" in sealed[0]["error"], sealed
        code, _ = node.stop()
        assert code == 74, f"a node whose log failed ended with {code}: {node.log_tail()}"
        node.environment = {}
        node.start()
        cluster.wait_ready()
        said = ledger.check(node)
        with node.client() as client:
            client.call("SET", "x", "2")
            assert client.call("WAITALL", "10000") == [3, 3, []]
    return said


def test_a_failed_sync_of_the_store_stops_no_acknowledged_write_and_the_node_says_so(stage):
    cluster = stage.cluster(flags=QUICK)
    node = cluster.followers()[0]
    switch = arm(stage, node, "/store/")
    cluster.wait_ready()
    with Ledger(cluster, threads=4, value_bytes=4000) as ledger:
        until("load", lambda: len(ledger.acked) > 100)
        touch(switch)
        until("the flush has failed and is said", lambda: not node.ready(), limit=60)
        written = len(ledger.acked)
        until("the others go on", lambda: len(ledger.acked) > written + 100)
        status = node.status()
        assert status["store"]["health"] != "writable" or status["group"].get("stopped"), status
    os.unlink(switch)
    node.stop()
    node.environment = {}
    node.start()
    cluster.wait_ready()
    return ledger.check(node)


def test_a_start_whose_sync_fails_ends_with_the_file_and_the_error(stage):
    node = stage.cluster(1).nodes[0]
    switch = arm(stage, node, "/log/segment")
    until("ready", node.ready)
    with node.client() as client:
        client.call("SET", "x", "kept")
    node.kill()
    touch(switch)
    node.start()
    code = node.ended()
    assert code == 74, f"{code}: {node.log_tail()}"
    last = node.log_tail(1)
    assert "error[E0104]" in last and "log/segment" in last, last
    os.unlink(switch)
    node.start()
    until("ready", node.ready)
    with node.client() as client:
        assert client.call("GET", "x") == b"kept"


if __name__ == "__main__":
    runner.main(sys.modules[__name__])
