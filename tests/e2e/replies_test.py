"""Replies beside those of a stock redis-server, byte for byte, through a real connection to a follower. tests/kv holds the
long random comparison of the commands themselves; this one is about the whole way of a request."""
import shutil
import socket
import subprocess
import sys

import runner
from cluster import Daemon, until
from resp import Client, encode

SESSIONS = [
    [b"PING\r\n", b"PING hello\r\n", encode("PING", "a b"), b"ECHO 'x y'\r\n", b"\r\n", b"*0\r\n", encode("ping")],
    [encode("SET", "k", "v"), encode("GET", "k"), encode("GET", "none"), encode("SET", "k", "w", "NX"), encode("SET", "k", "w", "XX", "GET"), encode("GET", "k"),
     encode("SET", "k", "x", "NX", "XX"), encode("SET", "k", "x", "EX", "0"), encode("SET", "k", "x", "EX", "abc"), encode("SET", "k"), encode("SET", "new", "1", "GET")],
    [encode("INCR", "n"), encode("INCRBY", "n", "41"), encode("DECR", "n"), encode("DECRBY", "n", "1"), encode("INCRBY", "n", "x"), encode("INCRBYFLOAT", "n", "0.5"),
     encode("INCR", "n"), encode("GET", "n"), encode("SET", "m", "9223372036854775807"), encode("INCR", "m"), encode("DECRBY", "n", "-9223372036854775808")],
    [encode("APPEND", "a", "12"), encode("APPEND", "a", "345"), encode("STRLEN", "a"), encode("STRLEN", "none"), encode("GETSET", "a", "z"), encode("GETDEL", "a"), encode("GETDEL", "a")],
    [encode("SET", "x", "1"), encode("SET", "y", "2"), encode("EXISTS", "x", "y", "x", "none"), encode("DEL", "x", "none", "y"), encode("DEL"), encode("EXISTS"), encode("TYPE", "x"),
     encode("SET", "x", "1"), encode("TYPE", "x"), encode("DBSIZE")],
    [encode("SET", "t", "1", "EX", "100"), encode("TTL", "t"), encode("PERSIST", "t"), encode("TTL", "t"), encode("TTL", "none"), encode("EXPIRE", "t", "50"), encode("TTL", "t"),
     encode("EXPIRE", "t", "-1"), encode("EXISTS", "t"), encode("EXPIRE", "none", "5"), encode("EXPIRE", "t", "x"), encode("SETEX", "t", "0", "v"), encode("SETNX", "t", "1"), encode("SETNX", "t", "2")],
    [encode("SELECT", "0"), encode("SELECT", "x"), encode("NOSUCH"), encode("nosuch", "arg one", "two"), encode("GET"), encode("HELLO", "9"), encode("FLUSHALL"), encode("DBSIZE")],
    [b"SET q \"quoted \\x41\\n\"\r\n", b"GET q\r\n", b"GET   q  \r\n", b"GET \"q\"\r\n", encode("SET", b"bin\x00\xff\r\n", b"\x00\r\n\xff"), encode("GET", b"bin\x00\xff\r\n"), encode("SET", "", ""), encode("GET", "")],
    [encode("WAIT", "0", "0"), encode("WAIT", "a", "0"), encode("WAIT", "1"), encode("WAIT", "0", "-1"), encode("WAIT", "0", "x")],
    [encode("GET", "k"), b"*1\r\n$-1\r\n", encode("PING")],
    [b"GET 'open\r\n", encode("PING")],
    [encode("SET", "k", "1"), encode("QUIT"), encode("PING")],
]


def talk(port, session):
    """All bytes that come back when one request after the other is sent in one go."""
    with Client(port, timeout=20) as client:
        client.send(b"".join(session))
        try:
            client.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the server closed first
        out = b""
        try:
            while part := client.socket.recv(65536):
                out += part
        except ConnectionResetError:
            pass
        return out


def test_replies_are_those_of_a_stock_redis(stage):
    server = shutil.which("redis-server")
    if server is None:
        raise runner.Skip("no redis-server is installed")
    port = stage.ports.take()
    stock = Daemon(stage, "redis", [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", stage.directory]).start()

    def answers():
        try:
            with Client(port, timeout=1) as client:
                return client.call("PING") == "PONG"
        except OSError:
            return False
    until("redis-server", answers)
    cluster = stage.cluster()
    nodes = [cluster.leader(), cluster.followers()[0]]
    for node in nodes:
        with Client(port) as theirs, node.client() as ours:
            theirs.call("FLUSHALL")
            ours.call("FLUSHALL")
        for number, session in enumerate(SESSIONS):
            want, have = talk(port, session), talk(node.client_port, session)
            if session[0] == encode("WAIT", "0", "0"):  # how many replicas there are is not the same
                assert have.startswith(b":") and want.startswith(b":"), (have, want)
                want, have = want.split(b"\r\n", 1)[1], have.split(b"\r\n", 1)[1]
            assert have == want, f"session {number} at node {node.number}:\nours:  {have!r}\nredis: {want!r}"
    return f"{sum(len(session) for session in SESSIONS)} requests at leader and follower"


def test_redis_cli_and_redis_benchmark_need_no_flags(stage):
    for tool in ("redis-cli", "redis-benchmark"):
        if shutil.which(tool) is None:
            raise runner.Skip(f"no {tool} is installed")
    cluster = stage.cluster()
    follower = cluster.followers()[0]
    port = str(follower.client_port)

    def cli(*words):
        return subprocess.run(["redis-cli", "-p", port, *words], capture_output=True, text=True, timeout=20, check=True).stdout
    assert cli("SET", "a", "from the shell") == "OK\n"
    assert cli("GET", "a") == "from the shell\n"
    assert cli("WAITALL", "5000").split() == ["3", "3"]
    assert "redis_version:" in cli("INFO", "server")
    done = subprocess.run(["redis-benchmark", "-p", port, "-t", "ping,set,get,incr", "-n", "2000", "-c", "20", "-q", "--csv"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.count("\n") >= 5 and "rror" not in done.stdout + done.stderr, done.stdout + done.stderr
    with cluster.leader().client() as client:
        assert client.call("GET", "counter:__rand_int__") == b"2000", "redis-benchmark counts to the number of its INCRs"


if __name__ == "__main__":
    runner.main(sys.modules[__name__])
