"""A full disk (a small tmpfs): writes are refused in clear words, reads are served, nothing acknowledged is lost, and all
goes on when there is space again."""
import errno
import os
import subprocess
import sys
import time

import runner
from cluster import Cluster, until
from ledger import Ledger
from resp import ReplyError

# Four segments of the log (192 MiB), the reserve (two memtables and 4 MiB), and a little for the Store's tables.
DISK_MIB = 280
FLAGS = ("--store-memtable-bytes", "8MiB", "--raft-retain-bytes", "1MiB")


class SmallDisk:
    def __init__(self, stage, name):
        self.path = os.path.join(stage.directory, name)
        os.mkdir(self.path)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "orrery-e2e", self.path], capture_output=True, text=True)
        if done.returncode != 0:
            raise runner.Skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
        stage.at_close(lambda: subprocess.run(["umount", "-l", self.path], check=True))

    def data_dir(self, node):
        return os.path.join(self.path, str(node))

    def fill(self, leave=0):
        """Takes all the space but `leave` bytes."""
        with open(os.path.join(self.path, "filler"), "ab") as file:
            for part in (1 << 20, 4096):
                while True:
                    space = os.statvfs(self.path)
                    if space.f_bavail * space.f_frsize - part < leave:
                        break
                    try:
                        os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), part)
                    except OSError as error:  # the daemon was quicker
                        if error.errno != errno.ENOSPC:
                            raise
                        break

    def free(self):
        os.unlink(os.path.join(self.path, "filler"))


def write_until_refused(client, limit=60.0):
    """Acknowledged keys, keys of unknown outcome (under way when the disk was full), and the refusal."""
    acked, unknown, end = [], [], time.monotonic() + limit
    while time.monotonic() < end:
        key = f"fill:{len(acked) + len(unknown)}"
        try:
            client.call("SET", key, value(key))
            acked.append(key)
        except ReplyError as error:
            if not str(error).startswith("UNKNOWN "):
                return acked, unknown, str(error)
            unknown.append(key)
    raise AssertionError(f"{len(acked)} writes, {len(unknown)} unknown, and no refusal")


def value(key):
    return (key + ":").encode() * 2000


def test_a_node_alone_on_a_full_disk_refuses_writes_serves_reads_and_goes_on_when_there_is_space(stage):
    disk = SmallDisk(stage, "disk")
    node = stage.node(1, data_dir=disk.data_dir(1), flags=FLAGS).start()
    stage.found([node])
    until("ready", node.ready)
    for round_number, leave in enumerate((22 << 20, 256 << 10)):  # towards the reserve by writing, and beyond it at once
        with node.client(timeout=30) as client:
            client.call("SET", f"before{round_number}", "1")
            disk.fill(leave=leave)
            acked, unknown, refusal = write_until_refused(client)
            assert refusal.startswith("OOM ") and refusal.endswith("; the command had no effect"), refusal
            for _ in range(20):
                try:
                    client.call("SET", "refused", "1")
                    raise AssertionError("taken on a full disk")
                except ReplyError as error:
                    assert str(error).startswith("OOM "), error
            assert client.call("GET", "refused") is None
            assert len(unknown) <= 2, unknown
            kept = [(key, value(key)) for key in acked]
            for key, wanted in kept:
                assert client.call("GET", key) == wanted
            assert client.call("GET", f"before{round_number}") == b"1"
            assert not node.ready() and "disk_writable" in node.http("/readyz")[1], node.http("/readyz")
            disk.free()

            def taken():
                try:
                    return client.call("SET", "after", "1") == "OK"
                except ReplyError:
                    return False
            until("writes are taken again", taken, limit=20)
            until("ready again", node.ready, limit=20)
            assert client.call("GET", "refused") is None
            for key in unknown:
                assert client.call("GET", key) in (None, value(key))
        if round_number == 0:
            node.kill()
            node.start()
            until("ready after kill -9", node.ready)
    with node.client() as client:
        for key, wanted in kept:
            assert client.call("GET", key) == wanted, key
    return f"{len(kept)} writes of {len(value('fill:100'))} bytes kept"


def test_a_start_on_a_full_disk_serves_reads_or_says_why_not_and_loses_nothing(stage):
    disk = SmallDisk(stage, "disk")
    node = stage.node(1, data_dir=disk.data_dir(1), flags=FLAGS).start()
    stage.found([node])
    until("ready", node.ready)
    with node.client(timeout=30) as client:
        disk.fill(leave=64 << 10)
        acked, _, _ = write_until_refused(client)
    disk.fill()
    node.kill()
    node.start()
    until("it serves, or has ended", lambda: not node.alive() or (node.status() or {}).get("serving"))
    if node.alive():
        with node.client(timeout=30) as client:
            for key in acked:
                assert client.call("GET", key) == value(key)
        outcome = "served reads"
    else:
        code = node.ended()
        assert code == 74 and "space" in node.log_tail(1).lower(), f"{code}: {node.log_tail()}"
        outcome = "refused to start (74)"
    disk.free()
    if node.process is None:
        node.start()
    until("ready with space", node.ready)
    with node.client(timeout=30) as client:
        client.call("SET", "after", "1")
        for key in acked:
            assert client.call("GET", key) == value(key)
    return f"{outcome}, {len(acked)} writes kept"


def test_the_cluster_goes_on_while_the_disk_of_one_member_is_full(stage):
    disk = SmallDisk(stage, "disk")
    nodes = [stage.node(i, flags=FLAGS) for i in (1, 2)] + [stage.node(3, flags=FLAGS, data_dir=disk.data_dir(3))]
    for node in nodes:
        node.start()
    stage.found(nodes)
    cluster = Cluster(nodes)
    cluster.wait_ready()
    small = nodes[2]
    with Ledger(cluster, threads=4, value_bytes=20000) as ledger:
        until("load", lambda: len(ledger.acked) > 50)
        disk.fill(leave=256 << 10)
        until("its disk is full and it says so", lambda: not small.ready(), limit=60)

        def others_lead_or_refuse():  # a leader without space refuses; whoever has space goes on
            written = len(ledger.acked)
            end = time.monotonic() + 3
            while time.monotonic() < end:
                if len(ledger.acked) > written + 20:
                    return True
                time.sleep(0.05)
            if cluster.leader() is small:
                small.stop()  # what an operator does, and what hands leadership over
                small.start()
            return False
        until("writes go on", others_lead_or_refuse, limit=40)
        assert small.alive()
        disk.free()
        cluster.wait_ready()
        until("it has caught up", lambda: waitall(nodes[0]) == [3, 3, []], limit=30)
    return ledger.check(small)


def waitall(node):
    with node.client() as client:
        try:
            client.call("SET", "w", "1")
            return client.call("WAITALL", "2000")
        except ReplyError:
            return None


if __name__ == "__main__":
    runner.main(sys.modules[__name__])
