"""The peer port: garbage, half frames, nodes of another cluster, strangers. A clear error, and the cluster goes on."""
import errno
import random
import shutil
import socket
import struct
import subprocess
import sys
import time

import runner
from cluster import until


def lives(cluster):
    for node in cluster.nodes:
        assert node.alive(), node.log_tail()
        with node.client() as client:
            client.call("SET", f"alive{node.number}", "yes")
            assert client.call("GET", f"alive{node.number}") == b"yes"


def closed_by(port, data, limit=10.0):
    """Sends, and waits until the other side has closed; what it said."""
    with socket.create_connection(("127.0.0.1", port), timeout=limit) as peer:
        out = b""
        try:
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
            while part := peer.recv(65536):
                out += part
        except ConnectionError:
            pass
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise
        return out


def record_conversation(stage, node):
    """The bytes that orreryctl sends first to a peer port: a valid opening, to be damaged."""
    listener = socket.create_server(("127.0.0.1", stage.ports.take()))
    port = listener.getsockname()[1]
    talker = subprocess.Popen([stage.program("tools/orreryctl/orreryctl"), "kv", "init", "--timeout", "5", "--members", f"127.0.0.1:{port}"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    listener.settimeout(10)
    try:
        ours, _ = listener.accept()
        ours.settimeout(10)
        relay = socket.create_connection(("127.0.0.1", node.peer), timeout=10)
        said = b""
        ours.setblocking(False)
        relay.setblocking(False)
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            moved = False
            for source, target in ((ours, relay), (relay, ours)):
                try:
                    data = source.recv(65536)
                except BlockingIOError:
                    continue
                except ConnectionError:
                    end = 0
                    continue
                if not data:
                    end = 0
                    continue
                moved = True
                if source is ours:
                    said += data
                try:
                    target.sendall(data)
                except ConnectionError:
                    end = 0
            if not moved:
                time.sleep(0.01)
        relay.close()
        ours.close()
        return said
    finally:
        talker.kill()
        talker.wait()
        listener.close()


def test_garbage_and_half_frames_on_the_peer_port_end_only_their_own_connection(stage):
    cluster = stage.cluster(3)
    node = cluster.leader()
    draw = random.Random(3)
    term = node.status()["group"]["term"]
    opening = record_conversation(stage, node)
    assert len(opening) > 40, "no opening was recorded"
    for data in (b"", b"\x00", b"GET / HTTP/1.1\r\n\r\n", b"*1\r\n$4\r\nPING\r\n", b"\xff" * 100000, opening[:10], opening[:-1]):
        closed_by(node.peer, data)
    for size in (1, 16, 64, 1000, 70000):
        for _ in range(20):
            closed_by(node.peer, draw.randbytes(size))
    for _ in range(200):  # a valid opening with a bit turned, a length made large, a part missing or repeated
        data = bytearray(opening)
        kind = draw.randrange(4)
        at = draw.randrange(len(data))
        if kind == 0:
            data[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            data[at:at + 4] = struct.pack("<I", draw.choice((0xffffffff, 0x7fffffff, 0, 64 << 20)))
        elif kind == 2:
            del data[at:at + draw.randrange(1, 40)]
        else:
            data[at:at] = data[:draw.randrange(len(data))]
        closed_by(node.peer, bytes(data))
    # Half a frame and silence: given up in time, and many of them hinder nobody.
    held = [socket.create_connection(("127.0.0.1", node.peer), timeout=30) for _ in range(50)]
    for peer in held:
        peer.sendall(opening[:len(opening) // 2])
    lives(cluster)
    for peer in held[:3]:
        peer.settimeout(40)
        try:
            while peer.recv(4096):
                pass
        except ConnectionError:
            pass
    for peer in held:
        peer.close()
    assert node.status()["group"]["term"] == term, "strangers have cost the leader its place"
    refused = node.events("rpc.refused") + node.events("rpc.closed")
    assert refused, "nothing was said about any of it"
    lives(cluster)


def test_a_node_of_another_cluster_is_refused_and_both_say_so(stage):
    ours = stage.cluster(3)
    theirs = stage.cluster(1, first=9)
    # The founding of a cluster that includes a member of ours and a new node.
    fresh = stage.node(5).start()
    done = stage.init([ours.nodes[0], fresh], timeout=8)
    assert done.returncode == 2 and "cluster" in done.stderr, f"{done.returncode}: {done.stderr}"
    assert not fresh.status()["founded"]
    # Two clusters at once.
    done = stage.init([ours.nodes[0], theirs.nodes[0]], timeout=8)
    assert done.returncode == 2 and "cluster" in done.stderr, f"{done.returncode}: {done.stderr}"
    # Other members than it was founded with.
    done = stage.init(ours.nodes[:2], timeout=8)
    assert done.returncode == 2, f"{done.returncode}: {done.stderr}"
    # The same again is harmless.
    assert stage.init(ours.nodes).returncode == 0
    # A node of another cluster behind the address of ours: the address was given to another machine.
    victim = ours.followers()[0]
    assert victim.stop()[0] == 0
    imposter = theirs.nodes[0]
    assert imposter.stop()[0] == 0
    imposter.peer = victim.peer
    imposter.start()
    rest = [node for node in ours.nodes if node is not victim]
    until("the imposter is refused", lambda: any("cluster" in line for node in rest for line in node.log().splitlines()
                                                 if '"severity":"warning"' in line or '"severity":"error"' in line or "refused" in line))
    ours.wait_ready(rest)
    for node in rest:
        with node.client() as client:
            client.call("SET", "x", "1")
            reply = client.call("WAITALL", "300")
            assert reply[0] == 2 and reply[1] == 3 and reply[2] == [b"%d" % victim.number], reply
    imposter.kill()
    victim.start()
    ours.wait_ready()
    lives(ours)


def test_a_wiped_node_stays_outside(stage):
    cluster = stage.cluster(3)
    victim = cluster.followers()[0]
    with cluster.leader().client() as client:
        client.call("SET", "x", "1")
    victim.kill()
    shutil.rmtree(victim.data_dir)
    victim.start()
    until("it answers", lambda: victim.status())
    rest = [node for node in cluster.nodes if node is not victim]
    with cluster.leader(among=rest).client() as client:
        client.call("SET", "x", "2")
        reply = client.call("WAITALL", "500")
        assert reply == [2, 3, [b"%d" % victim.number]], reply
    assert not victim.ready() and "found" in victim.http("/readyz")[1]
    # Founding again with the same addresses would give the empty disk a vote: refused.
    done = stage.init(cluster.nodes, timeout=5)
    assert done.returncode == 2, f"{done.returncode}: {done.stdout} {done.stderr}"
    assert not victim.status()["founded"]


def test_garbage_on_the_admin_port_is_refused(stage):
    node = stage.cluster(1).nodes[0]
    draw = random.Random(5)
    for data, code in ((b"hello\r\n\r\n", b"400"), (b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", b"404"), (b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", b"405"),
                       (b"GET /livez HTTP/1.1\r\nHost: x\r\nLong: " + b"x" * 8300 + b"\r\n\r\n", b"431")):
        got = closed_by(node.admin, data)
        assert got.startswith(b"HTTP/1.1 " + code), f"{data[:30]!r}: {got[:60]!r}"
    for _ in range(50):
        closed_by(node.admin, draw.randbytes(draw.randrange(1, 3000)))
    assert node.http("/livez")[0] == 200 and node.ready()


if __name__ == "__main__":
    runner.main(sys.modules[__name__])
