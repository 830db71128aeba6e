"""What clients may send, or fail to read: a clear answer, and the daemon lives. Every test ends with a proof of life."""
import os
import random
import socket
import sys
import time

import runner
from cluster import until
from resp import Client, ReplyError, encode

MIB = 1 << 20


def lives(node):
    """Another client is served, and nothing has ended."""
    with node.client() as client:
        client.call("SET", "alive", "yes")
        assert client.call("GET", "alive") == b"yes"
    assert node.alive()


def answer_to(node, data, close_our_side=False):
    """All that comes back until the server closes, or None when it does not close within 5 s."""
    with node.client(timeout=5) as client:
        try:
            client.send(data)
            if close_our_side:
                client.socket.shutdown(socket.SHUT_WR)
        except ConnectionError:
            pass  # it may close before all is sent
        out = b""
        try:
            while part := client.socket.recv(65536):
                out += part
        except ConnectionResetError:
            pass
        except TimeoutError:
            return None
        return out


def test_malformed_requests_are_answered_as_redis_does_and_the_connection_is_closed(stage):
    node = stage.cluster(1).nodes[0]
    for data, text in (
        (b"*x\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
        (b"*99999999\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
        (b"*2\r\n$3\r\nGET\r\n:5\r\n", b"-ERR Protocol error: expected '$', got ':'\r\n"),
        (b"*1\r\n$x\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
        (b"*1\r\n$-5\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
        (b'SET a "unbalanced\r\n', b"-ERR Protocol error: unbalanced quotes in request\r\n"),
        (b"x" * 70000, b"-ERR Protocol error: too big inline request\r\n"),
        (b"*" + b"1" * 70000, b"-ERR Protocol error: too big mbulk count string\r\n"),
    ):
        got = answer_to(node, data)
        assert got == text, f"{data[:30]!r}: {got!r}"
    # What stood before the damage is executed and answered, what stands behind it is not.
    got = answer_to(node, encode("SET", "before", "1") + b"*q\r\n" + encode("SET", "behind", "1"))
    assert got == b"+OK\r\n-ERR Protocol error: invalid multibulk length\r\n", got
    with node.client() as client:
        assert client.call("GET", "before") == b"1" and client.call("GET", "behind") is None
    lives(node)


def test_unknown_commands_and_wrong_arity_are_errors_and_the_connection_goes_on(stage):
    node = stage.cluster(1).nodes[0]
    with node.client() as client:
        for words, text in (
            (("NOSUCH", "a", "b"), "ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' "),
            (("GET",), "ERR wrong number of arguments for 'get' command"),
            (("SET", "a"), "ERR wrong number of arguments for 'set' command"),
            (("SET", "a", "b", "WHAT"), "ERR syntax error"),
            (("SET", "a", "b", "EX", "0"), "ERR invalid expire time in 'set' command"),
            (("WAIT", "1"), "ERR wrong number of arguments for 'wait' command"),
        ):
            try:
                client.call(*words)
                raise AssertionError(f"{words} was taken")
            except ReplyError as error:
                assert str(error) == text, f"{words}: {error}"
        client.call("SET", "word", "abc")
        for words in (("INCR", "word"), ("WAIT", "-1", "0"), ("WAIT", "x", "0"), ("WAITALL", "-1"), (b"\x00\xff\r\n", "x"), ("",)):
            try:
                client.call(*words)
                raise AssertionError(f"{words} was taken")
            except ReplyError:
                pass
        assert client.call("GET", "word") == b"abc"
    lives(node)


def test_a_value_above_the_limit_is_refused_before_a_byte_is_logged(stage):
    cluster = stage.cluster(3)
    leader, follower = cluster.leader(), cluster.followers()[0]
    for node in (leader, follower):
        with node.client(timeout=30) as client:
            client.call("SET", "limit", b"v" * (8 * MIB))  # the limit itself is fine
            assert client.call("GET", "limit") == b"v" * (8 * MIB)
    before = leader.status()["group"]["last"]
    for node in (leader, follower):
        # The header alone is enough to be refused: nobody has to take 8 MiB for it.
        got = answer_to(node, b"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$%d\r\n" % (8 * MIB + 1))
        assert got == b"-ERR Protocol error: invalid bulk length\r\n", got
    assert leader.status()["group"]["last"] == before, "something was logged"
    with leader.client(timeout=30) as client:
        assert client.call("EXISTS", "big") == 0
        # A value that grows past the limit step by step is refused by the command that would do it.
        try:
            client.call("APPEND", "limit", "x")
            raise AssertionError("APPEND grew a value past the limit")
        except ReplyError as error:
            assert "exceeds maximum allowed size" in str(error), error
        assert client.call("STRLEN", "limit") == 8 * MIB
    lives(follower)


def test_random_bytes_on_the_client_port_end_at_most_their_own_connection(stage):
    node = stage.cluster(1).nodes[0]
    draw = random.Random(11)
    valid = encode("SET", "fuzz", "value") + encode("GET", "fuzz") + encode("INCR", "n") + b"PING\r\n"
    for round_number in range(300):
        if round_number % 3 == 0:
            data = draw.randbytes(draw.randrange(1, 3000))
        else:  # nearly valid: a byte changed, a part cut out
            data = bytearray(valid * draw.randrange(1, 4))
            for _ in range(draw.randrange(1, 4)):
                data[draw.randrange(len(data))] = draw.randrange(256)
            cut = draw.randrange(len(data))
            data = bytes(data[:cut] + data[cut + draw.randrange(8):])
        with node.client(timeout=10) as client:
            try:
                client.send(data)
                client.socket.shutdown(socket.SHUT_WR)
                while client.socket.recv(65536):
                    pass
            except ConnectionError:
                pass
    lives(node)


def test_requests_cut_anywhere_are_the_same_requests(stage):
    node = stage.cluster(1).nodes[0]
    data = encode("SET", "cut", "some\r\nvalue") + b"GET cut\r\n" + encode("STRLEN", "cut") + b'SET "in line" "a b"\r\n' + encode("GET", "in line")
    wanted = b"+OK\r\n$11\r\nsome\r\nvalue\r\n:11\r\n+OK\r\n$3\r\na b\r\n"
    for at in range(1, len(data), 3):
        with node.client() as client:
            client.send(data[:at])
            time.sleep(0.002)  # only to make two packets likely; the outcome must not depend on it
            client.send(data[at:])
            client.socket.shutdown(socket.SHUT_WR)
            got = b""
            while part := client.socket.recv(4096):
                got += part
        assert got == wanted, f"cut at {at}: {got!r}"


def slow_readers(stage, request):
    """Eight clients ask for 64 replies of 4 MiB and more, and read none: how much larger the daemon got."""
    node = stage.cluster(1, flags=("--client-slow-limit", "3s")).nodes[0]
    with node.client(timeout=30) as client:
        client.call("SET", "large", os.urandom(4 * MIB))
        client.call("GET", "large")
    before = node.resident_bytes()
    slow = [node.client(receive_buffer=4096) for _ in range(8)]
    highest, begin = 0, time.monotonic()
    for client in slow:
        client.send(request * 64)
        client.socket.setblocking(False)
    while time.monotonic() - begin < 2.0:
        for client in slow:
            try:
                client.socket.send(request * 4096)
            except (BlockingIOError, ConnectionError):
                pass  # held back, as it should
        highest = max(highest, node.resident_bytes())
        lives(node)  # the others are served meanwhile
    until("all slow clients are disconnected", lambda: len(node.events("kv.client_too_slow")) >= len(slow))
    highest = max(highest, node.resident_bytes())
    # 8 clients x 64 replies of 4 MiB are 2 GiB. A client holds about a megabyte and the last few replies.
    assert highest - before < 400 * MIB, f"{(highest - before) >> 20} MiB more for slow clients"
    for client in slow:
        client.close()
    until("they are gone", lambda: node.status()["kv"]["clients"] == 0)
    lives(node)
    return f"{(highest - before) >> 20} MiB more at most"


def test_clients_that_read_no_reply_of_reads_are_held_back_and_then_disconnected(stage):
    return slow_readers(stage, encode("GET", "large"))


def test_clients_that_read_no_reply_of_writes_are_held_back_and_then_disconnected(stage):
    return slow_readers(stage, encode("SET", "large", "x", "NX", "GET"))


def test_a_client_that_sends_without_end_is_held_back(stage):
    node = stage.cluster(1, flags=("--client-slow-limit", "3s")).nodes[0]
    with node.client(timeout=30) as warm:
        warm.pipeline([("PING",)] * 1000)
    before = node.resident_bytes()
    with node.client(receive_buffer=4096) as client:
        client.socket.setblocking(False)
        ping, sent = b"PING\r\n" * 20000, 0
        begin = time.monotonic()
        while time.monotonic() - begin < 2.0:
            try:
                sent += client.socket.send(ping)
            except BlockingIOError:
                time.sleep(0.02)
            except ConnectionError:
                break
        grown = node.resident_bytes() - before
        assert grown < 32 * MIB, f"{grown >> 20} MiB more after {sent >> 20} MiB of unread PINGs"
    lives(node)


def test_more_clients_than_allowed_are_told_so_and_the_others_stay(stage):
    node = stage.cluster(1, flags=("--client-connections-max", "20")).nodes[0]
    clients = [node.client() for _ in range(20)]
    for client in clients:
        assert client.call("PING") == "PONG"
    refused = [answer_to(node, b"") for _ in range(5)]
    assert refused == [b"-ERR max number of clients reached\r\n"] * 5, refused
    for client in clients:
        assert client.call("PING") == "PONG"
    clients.pop().close()
    until("a place is free", lambda: node.status()["kv"]["clients"] < 20)
    clients.append(node.client())
    assert clients[-1].call("PING") == "PONG"
    for client in clients:
        client.close()


def test_no_more_descriptors_means_waiting_not_ending(stage):
    import resource
    node = stage.cluster(1).nodes[0]
    _, hard = resource.prlimit(node.process.pid, resource.RLIMIT_NOFILE)
    used = len(os.listdir(f"/proc/{node.process.pid}/fd"))
    resource.prlimit(node.process.pid, resource.RLIMIT_NOFILE, (used + 10, hard))
    clients = [node.client(timeout=20) for _ in range(40)]  # the kernel takes them, the process can not
    answered = 0
    for client in clients[:8]:
        assert client.call("PING") == "PONG"
        answered += 1
    cpu = sum(int(x) for x in open(f"/proc/{node.process.pid}/stat").read().split()[13:15])
    time.sleep(1.0)  # a second of wall clock to measure how busy it is while it can not accept
    cpu = sum(int(x) for x in open(f"/proc/{node.process.pid}/stat").read().split()[13:15]) - cpu
    assert cpu < 60, f"{cpu} ticks of 100 burnt while no descriptor is free"
    for client in clients[:8]:
        client.close()
    for client in clients[8:12]:
        assert client.call("PING") == "PONG", "a waiting client is served once a descriptor is free"
    resource.prlimit(node.process.pid, resource.RLIMIT_NOFILE, (hard, hard))
    for client in clients[12:]:
        assert client.call("PING") == "PONG"
        client.close()
    lives(node)


if __name__ == "__main__":
    runner.main(sys.modules[__name__])
