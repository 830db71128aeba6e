"""What Prometheus scrapes from real nodes: well-formed, only what --list-metrics names, and true."""
import re
import subprocess
import sys

import runner
from cluster import until

QUICK = ["--raft-election-timeout-min", "300ms", "--raft-election-timeout-max", "600ms", "--raft-heartbeat", "50ms"]
SAMPLE = re.compile(r'^([a-z_]+)(\{[a-z_]+="[^"\\]*"(?:,[a-z_]+="[^"\\]*")*\})? (\S+)$')


def page(node):
    """{name with labels: value}; every line must be a comment of the format or a sample of a family that was announced."""
    status, text = node.http("/metrics")
    assert status == 200 and text.endswith("\n"), (status, text)
    values, types = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types, f"{name} twice"
            types[name] = kind
            continue
        if line.startswith("# HELP "):
            continue
        match = SAMPLE.match(line)
        assert match, line
        family = match.group(1)
        if family not in types:
            family = re.sub(r"_(bucket|sum|count)$", "", family)
            assert types.get(family) == "histogram", line
        key = match.group(1) + (match.group(2) or "")
        assert key not in values, f"{key} twice"
        values[key] = float(match.group(3))
    return values, types


def listed(stage):
    done = subprocess.run([stage.program("kv/orrery-kv"), "--list-metrics"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0 and done.stderr == "", done
    lines = done.stdout.splitlines()
    assert all(line.startswith("    ") and len(line) > 10 for line in lines[1::2]), done.stdout
    return dict(line.split("  ") for line in lines[::2])


def test_every_listed_metric_is_on_the_leaders_page_with_its_type_and_the_numbers_are_true(stage):
    cluster = stage.cluster(3, flags=QUICK)
    leader = cluster.leader()
    done = subprocess.run([stage.program("tools/orreryctl/orreryctl"), "kv", "leases", "on", "--at", f"127.0.0.1:{leader.peer}"], timeout=30)
    assert done.returncode == 0
    until("the leader has a lease", lambda: page(leader)[0].get("orrery_raft_lease_holds") == 1)
    before = page(leader)[0]
    with leader.client() as client:
        for i in range(20):
            client.call("SET", f"k{i}", "v")
        for i in range(30):
            client.call("GET", f"k{i}")
    values, types = page(leader)
    assert types == listed(stage), {name: (types.get(name), kind) for name, kind in listed(stage).items() if types.get(name) != kind}

    def grew(name):
        return values[name] - before[name]
    assert grew("orrery_kv_writes_total") == 20 and grew("orrery_kv_write_seconds_count") == 20, values
    assert grew("orrery_kv_reads_total") >= 30 and grew("orrery_kv_lease_reads_total") > 0, values
    assert grew("orrery_kv_keyspace_hits_total") == 20 and grew("orrery_kv_keyspace_misses_total") == 10, values
    assert grew("orrery_log_batches_total") > 0 and 0 < grew("orrery_kv_write_seconds_sum") < 20
    assert values['orrery_kv_write_seconds_bucket{le="+Inf"}'] == values["orrery_kv_write_seconds_count"]
    assert values["orrery_raft_leader"] == 1 and values["orrery_kv_keys"] == 20
    lags = {key: value for key, value in values.items() if key.startswith("orrery_raft_member_in_touch")}
    assert len(lags) == 2 and set(lags.values()) == {1.0}, lags


def test_a_follower_and_a_node_without_a_cluster_say_what_they_know(stage):
    cluster = stage.cluster(3, flags=QUICK)
    follower = next(node for node in cluster.nodes if node is not cluster.leader())
    values, types = page(follower)
    assert values["orrery_raft_leader"] == 0 and values["orrery_raft_leader_known"] == 1
    assert "orrery_raft_member_lag_entries" not in types
    lonely = stage.node(9)
    lonely.start()
    until("it answers", lambda: lonely.http("/livez") is not None)
    values, _ = page(lonely)
    assert values["orrery_serving"] == 0 and not any(key.startswith("orrery_raft") for key in values), values
    assert values['orrery_info{version="0.1.0",node="9"}'] == 1


if __name__ == "__main__":
    runner.main(sys.modules[__name__])
