"""Damaged files. Repair switched off: the node refuses to start with exit code 65, names file and place and what to do, and changes
nothing; the others serve meanwhile. Repair on: a damaged entry is fetched from another member, a damaged Store is set aside and
its state sent anew, a replica whose log lost its promises comes back as another one. What was torn by a crash is no damage."""
import os
import shutil
import struct
import sys
import time

import runner
from cluster import until

BATCH = b"ORRYLOG1"
PAGE = 4096
FLAGS = ("--store-memtable-bytes", "1MiB")
REFUSING = FLAGS + ("--raft-repair", "off")


def path(node, *parts):
    return os.path.join(node.data_dir, *parts)


def batches(node):
    """(file, offset, epoch, number) of every batch header in the log, by epoch and number."""
    found = []
    for name in sorted(os.listdir(path(node, "log"))):
        if not name.startswith("segment-"):
            continue
        with open(path(node, "log", name), "rb") as file:
            data = file.read()
        at = data.find(BATCH)
        while at >= 0:
            if at % PAGE == 0:
                epoch, number = struct.unpack_from("<QQ", data, at + 24)
                found.append((f"log/{name}", at, epoch, number))
            at = data.find(BATCH, at + 8)
    return sorted(found, key=lambda one: one[3])


def flip(node, name, offset, count=1):
    with open(path(node, name), "r+b") as file:
        file.seek(offset)
        data = file.read(count)
        file.seek(offset)
        file.write(bytes(byte ^ 0x55 for byte in data))


def digest(node):
    """What a start that refuses must leave alone: log, identity, founding record. (An undamaged Store may open by then.)"""
    out = []
    for directory, _, files in os.walk(node.data_dir):
        for name in files:
            full = os.path.join(directory, name)
            if name != "LOCK" and not full.startswith(path(node, "store")):
                about = os.stat(full)
                out.append((full, about.st_size, about.st_mtime_ns, about.st_ino))
    return sorted(out)


def reason(node):
    """The last error that the process said, which may have several lines."""
    log = node.log()
    return log[log.rfind("orrery-kv: error["):].strip()


def refuses(node, *parts):
    """The start ends with 65 and says all the parts; a second one does the same, nothing was changed."""
    for _ in range(2):
        before = digest(node)
        node.start()
        code = node.ended()
        assert code == 65, f"ended with {code}: {node.log_tail()}"
        last = reason(node)
        assert last.startswith("orrery-kv: error[E0102]: "), node.log_tail()
        for part in parts:
            assert part in last, f"no word of '{part}': {last}"
        assert digest(node) == before, "a start that refuses has changed files"
    return last


def written_cluster(stage, count=120, flags=REFUSING):
    cluster = stage.cluster(flags=flags)
    with cluster.leader().client(timeout=30) as client:
        for number in range(count):
            client.call("SET", f"d{number}", b"%d" % number * 500)
        assert client.call("WAITALL", "10000") == [3, 3, []]
    victim = cluster.followers()[0]
    return cluster, victim


def others_serve(cluster, victim):
    rest = [node for node in cluster.nodes if node is not victim]
    cluster.wait_ready(rest)
    with rest[0].client() as client:
        assert client.call("GET", "d7") == b"7" * 500
        client.call("SET", "meanwhile", "1")


def copy_back(node, saved):
    shutil.rmtree(node.data_dir)
    shutil.copytree(saved, node.data_dir)


def test_a_damaged_log_is_refused_with_file_and_offset(stage):
    cluster, victim = written_cluster(stage)
    victim.kill()  # not stopped: a stop flushes the Store, and entries at or below it are not missed
    saved = victim.data_dir + ".saved"
    shutil.copytree(victim.data_dir, saved)
    rows = batches(victim)
    assert len(rows) > 20, rows
    said = []
    name, at, _, _ = rows[len(rows) // 2]
    for offset, named in ((at + 40, at), (at + 128 + 20, at + 128)):  # batch header, record header
        flip(victim, name, offset)
        said.append(refuses(victim, f"{name} at {named} ", "Nothing was changed", "replica"))
        others_serve(cluster, victim)
        copy_back(victim, saved)
    first = os.path.join("log", sorted(entry for entry in os.listdir(path(victim, "log")) if entry.startswith("segment-"))[0])
    os.truncate(path(victim, first), 8192)
    refuses(victim, first)
    copy_back(victim, saved)
    os.unlink(path(victim, first))
    refuses(victim, "log")
    copy_back(victim, saved)
    flip(victim, "log/identity", 8, 200)
    flip(victim, "log/identity", 520, 200)
    refuses(victim, "log/identity")
    copy_back(victim, saved)
    # And what was not damaged starts, and has it all.
    victim.start()
    cluster.wait_ready()
    with victim.client() as client:
        assert client.call("GET", "d119") == b"119" * 500 and client.call("GET", "meanwhile") == b"1"
    return said[0].splitlines()[1][:150]


def holds_everything(cluster, victim):
    cluster.wait_ready(limit=60)
    with victim.client(timeout=30) as client:
        client.call("SET", "after", "1")
        assert client.call("WAITALL", "20000") == [3, 3, []]
        for number in range(120):
            assert client.call("GET", f"d{number}") == b"%d" % number * 500


def test_a_replica_whose_log_lost_a_batch_comes_back_as_another_one(stage):
    cluster, victim = written_cluster(stage, flags=FLAGS)
    victim.kill()
    rows = batches(victim)
    name, at, _, _ = rows[len(rows) // 2]
    flip(victim, name, at + 40)  # the batch's header
    victim.start()
    holds_everything(cluster, victim)
    told = victim.events("replica.retired")
    assert len(told) == 1, victim.log_tail()
    status = victim.status()
    assert status["incarnation"] == told[0]["successor"] != told[0]["replica"], (status, told)
    # And it stays who it is now.
    assert victim.stop()[0] == 0
    victim.start()
    holds_everything(cluster, victim)
    until("what was kept of the old replica is gone", lambda: not os.path.exists(path(victim, "retired")))
    return f"replica {told[0]['replica']} became {told[0]['successor']}"


def test_a_damaged_store_is_set_aside_and_made_again(stage):
    cluster, victim = written_cluster(stage, flags=FLAGS)
    for damage in ("table", "manifest"):
        assert victim.stop()[0] == 0  # flushes
        names = sorted(name for name in os.listdir(path(victim, "store")) if name.endswith(".sst") or name.startswith("MANIFEST"))
        name = names[-1] if damage == "manifest" else names[0]
        flip(victim, f"store/{name}", 3, 8)
        victim.start()
        holds_everything(cluster, victim)
        assert os.path.isdir(path(victim, "store.aside"))
    assert len(victim.events("store.set_aside")) == 2, victim.log_tail()
    assert not victim.events("replica.retired")


def test_a_damaged_entry_is_fetched_from_another_member(stage):
    cluster, victim = written_cluster(stage)
    before = len(batches(victim))
    time.sleep(2)  # what the Store flushes soon after its start is not missed: only later entries can be holes
    with cluster.leader().client(timeout=30) as client:
        for number in range(40):
            client.call("SET", f"d{number}", b"%d" % number * 500)
        assert client.call("WAITALL", "10000") == [3, 3, []]
    victim.kill()
    rows = batches(victim)[before + 3:-8]
    assert len(rows) > 20, rows
    for name, at, _, _ in rows:
        flip(victim, name, at + 128 + 60)  # in the body of its first record
    victim.start()
    cluster.wait_ready()
    until("the log is whole", lambda: victim.events("raft.log_whole"))
    filled = len(victim.events("raft.hole_filled"))
    assert filled > 3, victim.log_tail()
    assert "holes" not in victim.status()["group"], victim.status()
    with victim.client() as client:
        assert client.call("WAITALL", "10000") == [3, 3, []]
        for number in range(120):
            assert client.call("GET", f"d{number}") == b"%d" % number * 500
    # It is on the disk again: the next start finds nothing.
    victim.kill()
    victim.start()
    cluster.wait_ready()
    assert len(victim.events("raft.holes")) == 1, victim.log_tail()
    return f"{filled} entries fetched"


def test_a_group_of_one_refuses_a_damaged_entry(stage):
    node = stage.cluster(count=1, flags=FLAGS).nodes[0]
    with node.client() as client:
        for number in range(60):
            client.call("SET", f"d{number}", b"%d" % number * 500)
    node.kill()
    saved = node.data_dir + ".saved"
    shutil.copytree(node.data_dir, saved)
    rows = batches(node)
    name, at, _, _ = rows[len(rows) // 2]
    flip(node, name, at + 128 + 60)
    refuses(node, f"{name} at {at + 128} ", "Nothing was changed", "backup")
    copy_back(node, saved)
    node.start()
    until("it serves", node.ready)
    with node.client() as client:
        assert client.call("GET", "d59") == b"59" * 500


def test_a_damaged_store_is_refused_with_the_file(stage):
    cluster, victim = written_cluster(stage)
    assert victim.stop()[0] == 0  # flushes
    saved = victim.data_dir + ".saved"
    shutil.copytree(victim.data_dir, saved)
    tables = [name for name in os.listdir(path(victim, "store")) if name.endswith(".sst")]
    manifest = [name for name in os.listdir(path(victim, "store")) if name.startswith("MANIFEST")][0]
    assert tables
    for name, damage in ((tables[0], "missing"), (tables[0], "cut"), (manifest, "missing"), (manifest, "flipped"), ("CURRENT", "missing"), ("CURRENT", "flipped")):
        full = path(victim, "store", name)
        if damage == "missing":
            os.unlink(full)
        elif damage == "cut":
            os.truncate(full, os.path.getsize(full) // 2)
        else:
            flip(victim, f"store/{name}", 3, 8)
        node_says = refuses_with_store(victim, name, damage)
        assert "store" in node_says, node_says
        others_serve(cluster, victim)
        copy_back(victim, saved)
    victim.start()
    cluster.wait_ready()
    with victim.client() as client:
        assert client.call("GET", "d119") == b"119" * 500


def refuses_with_store(node, name, damage):
    node.start()
    code = node.ended()
    last = reason(node)
    assert code == 65, f"{name} {damage}: ended with {code}: {node.log_tail()}"
    assert name in last or damage != "missing" or name == "CURRENT", f"{name} {damage}: {last}"
    return last


def test_damaged_identity_and_founding_files_are_refused_by_name(stage):
    cluster, victim = written_cluster(stage, count=10)
    assert victim.stop()[0] == 0
    for name in ("identity", "founding"):
        saved = open(path(victim, name), "rb").read()
        for damage in (lambda data: data[:10], lambda data: data[:-1], lambda data: data[:-3] + bytes([data[-3] ^ 1]) + data[-2:], lambda data: b""):
            with open(path(victim, name), "wb") as file:
                file.write(damage(saved))
            refuses(victim, name)
        with open(path(victim, name), "wb") as file:
            file.write(saved)
    # A founding record without its log, or a log without its founding record, is no fresh node.
    os.rename(path(victim, "log"), path(victim, "log.away"))
    victim.start()
    code = victim.ended()
    assert code == 65, f"{code}: {victim.log_tail()}"
    shutil.rmtree(path(victim, "log"), ignore_errors=True)
    os.rename(path(victim, "log.away"), path(victim, "log"))
    victim.start()
    cluster.wait_ready()


def test_a_torn_newest_batch_is_no_damage_and_costs_nothing_acknowledged(stage):
    cluster, victim = written_cluster(stage)
    until("the log is at rest and sealed", lambda: at_rest(victim))
    victim.kill()
    with cluster.leader(among=[node for node in cluster.nodes if node is not victim]).client() as client:
        client.call("SET", "later", "1")
    name, at, _, _ = batches(victim)[-1]
    with open(path(victim, name), "r+b") as file:  # half of one more batch, as power loss leaves it
        file.seek(at)
        header = bytearray(file.read(PAGE))
        file.seek(at + PAGE)
        header[32:40] = struct.pack("<Q", struct.unpack_from("<Q", header, 32)[0] + 1)
        file.write(header[:700])
    victim.start()
    cluster.wait_ready()
    with victim.client() as client:
        assert client.call("GET", "d119") == b"119" * 500 and client.call("GET", "later") == b"1"


def at_rest(node):
    first = node.status()["log"]["batches"]
    return first == node.status()["log"]["batches"]


if __name__ == "__main__":
    runner.main(sys.modules[__name__])
