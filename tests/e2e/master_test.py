"""Masters: what operators create, list and delete at any of three, refusals, and kill -9 while volumes are made."""
import json
import random
import subprocess
import sys
import time

import runner
from cluster import Master, until

QUICK = ("--raft-election-timeout-min", "300ms", "--raft-election-timeout-max", "600ms", "--raft-heartbeat", "60ms")


def masters(stage, nodes=5, **options):
    # Nobody is there to be heard of: who is registered counts as active for the length of a test.
    cluster = stage.cluster(kind=Master, flags=[*QUICK, "--master-node-silence", "1h"], **options)
    if nodes:
        assert register(stage, cluster, 1, nodes) == [(node, 0, "") for node in range(1, nodes + 1)]
    return cluster


def at(cluster):
    return ",".join(master.address() for master in cluster.nodes)


def register(stage, cluster, first, count, zones=3, incarnation=1000):
    done = subprocess.run([stage.program("tests/e2e/orrery_register_nodes"), at(cluster), str(first), str(count), str(zones), str(incarnation)],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = [line.split(" ", 2) for line in done.stdout.splitlines()]
    return [(int(node), int(code), text) for node, code, text in lines]


def ctl(stage, where, *words, timeout=30):
    return subprocess.run([stage.program("tools/orreryctl/orreryctl"), *words, "--at", where, "--timeout", str(timeout)],
                          capture_output=True, text=True, timeout=timeout + 30)


def asked(stage, where, *words):
    done = ctl(stage, where, *words, "-o", "json")
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return json.loads(done.stdout)


def names(stage, where):
    return {volume["name"] for volume in asked(stage, where, "volume", "list")["volumes"]}


def test_volumes_are_made_shown_and_deleted_at_any_master(stage):
    cluster = masters(stage)
    for number, master in enumerate(cluster.nodes):
        one = master.address()
        done = ctl(stage, one, "volume", "create", f"logs-{number}", "--replicas", "3", "--partitions", "12", "--capacity", "5GiB")
        assert done.returncode == 0, done.stderr
    for master in cluster.nodes:
        one = master.address()
        assert names(stage, one) == {"logs-0", "logs-1", "logs-2"}
        info = asked(stage, one, "volume", "info", "logs-1")
        assert info["volume"]["capacity_bytes"] == 5 << 30 and len(info["partitions"]) == 12
        for partition in info["partitions"]:
            on = [member["node"] for member in partition["members"]]
            assert len(set(on)) == 3 and len({node % 3 for node in on}) == 3, f"not over three zones: {on}"
        first = info["partitions"][0]
        assert asked(stage, one, "partition", "info", str(first["partition"]))["partition"] == first
        nodes = asked(stage, one, "node", "list")["nodes"]
        assert [node["node"] for node in nodes] == [1, 2, 3, 4, 5]
        assert sum(disk["members"] for node in nodes for disk in node["disks"]) == 3 * 36
    done = ctl(stage, at(cluster), "volume", "extend", "logs-1", "--partitions", "3")
    assert done.returncode == 0 and "3 partitions more" in done.stdout, (done.stdout, done.stderr)
    assert len(asked(stage, at(cluster), "partition", "list", "logs-1")["partitions"]) == 15
    # The stand-in keeps no members: every partition lacks all of them, and operators are told.
    health = ctl(stage, at(cluster), "health")
    assert health.returncode == 1 and health.stdout.startswith("unavailable: 5 nodes, 3 volumes, 39 partitions"), (health.returncode, health.stdout, health.stderr)
    check = ctl(stage, at(cluster), "check", "-o", "json")
    found = json.loads(check.stdout)
    assert check.returncode == 1 and found["health"] == "unavailable" and len(found["found"]) == 39, found["anomalies"]
    done = ctl(stage, at(cluster), "volume", "delete", "logs-0", "--yes")
    assert done.returncode == 0, done.stderr
    status = asked(stage, at(cluster), "status")
    assert (status["nodes"], status["volumes"], status["partitions"]) == (5, 2, 27), status
    for master in cluster.nodes:
        until("every master has it", lambda: (master.status() or {}).get("master", {}).get("volumes") == 2)


def test_what_cannot_be_is_refused_and_changes_nothing(stage):
    cluster = masters(stage, nodes=3)
    where = at(cluster)
    assert ctl(stage, where, "volume", "create", "v", "--replicas", "3", "--partitions", "4").returncode == 0
    before = asked(stage, where, "volume", "info", "v"), asked(stage, where, "node", "list")["nodes"]

    def refused(words, text):
        done = ctl(stage, where, *words)
        assert done.returncode == 2 and text in done.stderr, f"{words}: {done.returncode} {done.stderr}"

    refused(("volume", "create", "wide", "--replicas", "5", "--partitions", "1"), "and there are 3")
    refused(("volume", "create", "v", "--replicas", "1", "--partitions", "1"), "there is a volume 'v'")
    refused(("volume", "create", "a/b", "--replicas", "1", "--partitions", "1"), "letters, digits")
    refused(("volume", "info", "nothing"), "there is no volume 'nothing'")
    refused(("volume", "delete", "nothing", "--yes"), "there is no volume 'nothing'")
    refused(("partition", "info", "999"), "there is no partition 999")
    taken = register(stage, cluster, 2, 1, incarnation=5)
    assert taken[0][1] != 0 and "taken by another data directory" in taken[0][2], taken
    after = asked(stage, where, "volume", "info", "v"), asked(stage, where, "node", "list")["nodes"]
    assert before[0]["partitions"] == after[0]["partitions"] and before[1] == after[1]


def test_a_node_is_decommissioned_and_stays_after_all_and_a_volume_is_extended(stage):
    cluster = masters(stage, nodes=4)
    where = at(cluster)

    def done(*words):
        ran = ctl(stage, where, *words)
        assert ran.returncode == 0, f"{words}: {ran.returncode} {ran.stderr}"
        return ran.stdout

    def refused(words, text):
        ran = ctl(stage, where, *words)
        assert ran.returncode == 2 and text in ran.stderr, f"{words}: {ran.returncode} {ran.stderr}"

    done("volume", "create", "v", "--replicas", "3", "--partitions", "4", "--max-partitions", "6")
    done("volume", "extend", "v", "--partitions", "2")
    assert len(asked(stage, where, "volume", "info", "v")["partitions"]) == 6
    refused(("volume", "extend", "v", "--partitions", "1"), "volume 'v' has 6 partitions, and may have 6")
    assert "node 2 is leaving" in done("node", "decommission", "2")
    done("node", "decommission", "2")  # it is so already
    refused(("node", "decommission", "3"), "volume 'v' needs 3 nodes, and 2 would be left")
    refused(("node", "decommission", "9"), "node 9 is not registered")
    refused(("node", "decommission", "3", "--disk", "9"), "node 3 has no disk 9")
    for master in cluster.nodes:
        info = asked(stage, master.address(), "node", "info", "2")
        assert info["node"]["leaving"] and info["tasks"] == [], info
        assert "active, leaving" in ctl(stage, master.address(), "node", "info", "2").stdout
    refused(("volume", "create", "wide", "--replicas", "4", "--partitions", "1"), "and there are 3")
    assert "node 2 stays" in done("node", "decommission-cancel", "2")
    assert not asked(stage, where, "node", "info", "2")["node"]["leaving"]
    assert asked(stage, where, "task", "list")["tasks"] == []
    refused(("task", "info", "1"), "there is no task 1, or it is over")


def test_no_acknowledged_volume_is_lost_while_leaders_are_killed(stage):
    cluster = masters(stage)
    where = at(cluster)
    draw = random.Random(11)
    made, unknown, kills, begin = [], 0, 0, time.monotonic()
    while time.monotonic() - begin < 25:
        victims = [cluster.leader()] if draw.random() < 0.8 else draw.sample(cluster.nodes, 3)
        name = f"v{len(made) + unknown}"
        creating = subprocess.Popen([stage.program("tools/orreryctl/orreryctl"), "volume", "create", name, "--replicas", "3", "--partitions", "3",
                                     "--at", where, "--timeout", "30"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        time.sleep(draw.random() * 0.06)
        for master in victims:
            master.kill()
            kills += 1
        for master in victims:
            master.start()
        said = creating.communicate(timeout=60)[1]
        if creating.returncode == 0:
            made.append(name)
        else:
            assert creating.returncode in (69, 75), f"{creating.returncode}: {said}"
            unknown += 1
        cluster.wait_ready()
    for master in cluster.nodes:  # and all of it survives all of them at once
        master.kill()
    for master in cluster.nodes:
        master.start()
    cluster.wait_ready()
    for master in cluster.nodes:
        missing = set(made) - names(stage, master.address())
        assert not missing, f"lost: {missing}"
    partitions = [partition["partition"] for name in made for partition in asked(stage, where, "volume", "info", name)["partitions"]]
    assert len(partitions) == len(set(partitions)) == 3 * len(made)
    assert len(made) >= 8 and kills >= 8, f"{len(made)} volumes, {kills} kills"
    return f"{len(made)} volumes, {unknown} of unknown outcome, {kills} kills"


def test_a_node_that_is_silent_is_inactive_and_gets_nothing_new(stage):
    cluster = stage.cluster(kind=Master, flags=[*QUICK, "--master-node-silence", "2s"])
    where = at(cluster)

    def states():
        return {node["node"]: node["state"] for node in asked(stage, where, "node", "list")["nodes"]}

    def heard(first, count):
        return subprocess.Popen([stage.program("tests/e2e/orrery_register_nodes"), where, str(first), str(count), "3", "1000", "600"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    three, fourth = heard(1, 3), heard(4, 1)
    try:
        until("four active nodes", lambda: list(states().values()) == ["active"] * 4)
        fourth.kill()
        until("one of them is inactive", lambda: states() == {1: "active", 2: "active", 3: "active", 4: "inactive"})
        done = ctl(stage, where, "volume", "create", "wide", "--replicas", "4", "--partitions", "1")
        assert done.returncode == 2 and "4 replicas need as many active nodes with a disk, and there are 3" in done.stderr, done.stderr
        cluster.leader().kill()  # the next one hears of the three in time, and of the fourth not
        time.sleep(4)
        assert states() == {1: "active", 2: "active", 3: "active", 4: "inactive"}
        again = heard(4, 1)
        try:
            until("all are active again", lambda: list(states().values()) == ["active"] * 4)
        finally:
            again.kill()
        assert ctl(stage, where, "volume", "create", "wide", "--replicas", "4", "--partitions", "1").returncode == 0
    finally:
        three.kill()
        fourth.kill()


def test_who_is_in_no_cluster_is_said(stage):
    lonely = Master(stage, 9, flags=QUICK).start()
    until("it answers", lambda: lonely.http("/readyz"))
    code, body = lonely.http("/readyz")
    assert code == 503 and "orreryctl master init" in body, body
    done = ctl(stage, lonely.address(), "status", timeout=1)
    assert done.returncode == 69, f"{done.returncode} {done.stderr}"


if __name__ == "__main__":
    runner.main(sys.modules[__name__])
