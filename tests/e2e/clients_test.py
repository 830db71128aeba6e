"""kv/client: the helpers that wait for all replicas, through redis-py, ioredis and node-redis, on a stock redis-server (without
WAITALL) and on our own nodes. Each library stands behind a line protocol (clients/driver.*), so that one test drives all."""
import functools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time

import runner
from cluster import die_with_parent, plain_environment, until
from redis_server import RedisServer

HERE = os.path.dirname(os.path.abspath(__file__))
MODULES = ("ioredis@6.0.0", "redis@6.3.1")
CALM = ("--raft-election-timeout-min", "4s", "--raft-election-timeout-max", "6s")  # who leads is to stay so on a slow machine


class Failed(Exception):
    def __init__(self, answer):
        super().__init__(f"{answer['error']}: {answer['text']}")
        self.kind = answer["error"]


class Driver:
    """One client library, connected to one server."""

    def __init__(self, stage, library, port):
        command, environment = library.command(stage)
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**plain_environment(), **environment},
                                        preexec_fn=die_with_parent)
        stage.at_close(self.close)
        self("connect", port)

    def send(self, *words):
        self.process.stdin.write(json.dumps(words).encode() + b"\n")
        self.process.stdin.flush()

    def answer(self, limit=30):
        ready, _, _ = select.select([self.process.stdout], [], [], limit)
        assert ready, f"no answer of the client for {limit} s"
        line = self.process.stdout.readline()
        assert line, "the client has ended"
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(answer)
        return answer["value"]

    def __call__(self, *words):
        self.send(*words)
        return self.answer()

    def fails(self, *words):
        """The name of the error."""
        try:
            value = self(*words)
        except Failed as failed:
            return failed.kind
        raise AssertionError(f"{words} gave {value} and no error")

    def close(self):
        self.process.kill()
        self.process.wait()


class RedisPy:
    name = "redis-py"

    def command(self, stage):
        for python in (sys.executable, "/usr/bin/python3"):  # Debian's package is that of Debian's python
            if shutil.which(python) and subprocess.run([python, "-c", "import redis"], capture_output=True).returncode == 0:
                return [python, "-B", os.path.join(HERE, "clients", "driver.py")], {}
        raise runner.Skip("no python3-redis is installed")


class NodeLibrary:
    def __init__(self, name, package):
        self.name, self.package = name, package

    def command(self, stage):
        node = shutil.which("node")
        if node is None:
            raise runner.Skip("no nodejs is installed")
        return [node, os.path.join(HERE, "clients", "driver.js"), self.package], {"NODE_PATH": os.path.join(npm_modules(stage), "node_modules")}


@functools.cache
def npm_failure(folder):
    """Fetches the modules; why that can not be done, or None. Asked once a run: it may take its time to fail."""
    if shutil.which("npm") is None:
        return "no npm is installed"
    os.makedirs(folder, exist_ok=True)
    try:
        done = subprocess.run(["npm", "install", "--prefix", folder, "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries", "1", *MODULES],
                              capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return "npm did not fetch the modules within 120 s"
    if done.returncode != 0:
        return f"npm could not fetch the modules: {(done.stderr.strip().splitlines() or ['no reason given'])[0]}"
    return None


def npm_modules(stage):
    """The folder in the build tree with the modules, fetched once."""
    folder = os.path.join(stage.build, "npm")
    stamp = os.path.join(folder, "complete")
    wanted = " ".join(MODULES)
    if os.path.exists(stamp) and open(stamp).read() == wanted:
        return folder
    failure = npm_failure(folder)
    if failure is not None:
        raise runner.Skip(failure)
    with open(stamp, "w") as file:
        file.write(wanted)
    return folder


LIBRARIES = (RedisPy(), NodeLibrary("ioredis", "ioredis"), NodeLibrary("node-redis", "redis"))


def each_library(stage, test):
    """Runs test(connect) for each library that is there; skips when one is missing, after the others have passed."""
    done, missing = [], []
    for library in LIBRARIES:
        try:
            test(lambda port: Driver(stage, library, port))
            done.append(library.name)
        except runner.Skip as skip:
            missing.append(f"{library.name}: {skip}")
        except AssertionError as error:
            raise AssertionError(f"{library.name}: {error}") from error
        except Failed as error:
            raise AssertionError(f"{library.name}: {error}") from error
    if missing:
        raise runner.Skip("; ".join(missing) + (f" (passed: {', '.join(done)})" if done else ""))
    return ", ".join(done)


def stock_group(stage, replicas=2):
    """A primary, its replicas online."""
    primary = RedisServer(stage, ("--repl-diskless-sync-delay", "0", "--repl-timeout", "60")).start()
    followers = [RedisServer(stage, primary.flags).start() for _ in range(replicas)]
    for follower in followers:
        join(primary, follower)
    return primary, followers


def join(primary, replica):
    replica.follow(primary)
    until(f"{replica.name} is online", lambda: replica.address() in primary.online())


def test_all_replicas_of_a_stock_server_that_are_up_are_all(stage):
    primary, _ = stock_group(stage)

    def check(connect):
        client = connect(primary.client_port)
        client("guard", [])
        for number in range(20):
            client("set", "x", str(number))
            outcome = client("wait_or_raise", 5000)
            assert outcome["all"] and outcome["acked"] == outcome["required"] == 2 and not outcome["exact"] and outcome["missing"] == [], outcome
    return each_library(stage, check)


def test_a_stopped_replica_of_a_stock_server_is_never_all_and_is_named(stage):
    primary, (first, stopped) = stock_group(stage)

    def check(connect):
        client = connect(primary.client_port)
        client("guard", [])
        stopped.send_signal(signal.SIGSTOP)
        try:
            client("set", "x", "1")
            begin = time.monotonic()
            outcome = client("wait", 900)
            took = time.monotonic() - begin
            assert not outcome["all"] and (outcome["acked"], outcome["required"], outcome["missing"]) == (1, 2, [stopped.address()]), outcome
            assert 0.85 < took < 5, f"a limit of 0.9 s was kept as {took:.2f} s"
            assert client.fails("wait_or_raise", 300) == "NotAll"
        finally:
            stopped.send_signal(signal.SIGCONT)
        assert client("wait", 10000)["all"], "it is back"
        # Cut off and gone from the server's list, it is still counted, until somebody says that it is gone for good.
        stopped.follow(None)
        until("the server has dropped it", lambda: primary.online() == {first.address()})
        client("set", "x", "2")
        outcome = client("wait", 700)
        assert not outcome["all"] and outcome["missing"] == [stopped.address()], outcome
        client("forget", stopped.address())
        outcome = client("wait", 5000)
        assert outcome["all"] and outcome["required"] == 1, outcome
        # Nobody but the application knows of it: a new object, made while it is away.
        client("guard", [stopped.address()])
        client("set", "x", "3")
        assert client("wait", 600)["missing"] == [stopped.address()]
        client("guard", [])
        assert client("wait", 5000)["all"], "what nobody knows of is not counted: the README says so"
        join(primary, stopped)
    return each_library(stage, check)


def test_a_replica_that_is_added_while_waiting_is_waited_for(stage):
    primary, (first, second) = stock_group(stage)
    third = RedisServer(stage, primary.flags).start()

    def check(connect):
        client = connect(primary.client_port)
        client("guard", [])
        second.send_signal(signal.SIGSTOP)
        try:
            client("set", "x", "1")
            client.send("wait", 20000)
            until("it waits", lambda: primary.info("clients")["blocked_clients"] == "1")
            join(primary, third)
        finally:
            second.send_signal(signal.SIGCONT)
        outcome = client.answer()
        assert outcome["all"] and outcome["required"] == 3, outcome
        third.follow(None)
        until("it is gone", lambda: primary.online() == {first.address(), second.address()})
    return each_library(stage, check)


def test_a_server_without_known_replicas_never_says_all(stage):
    primary, _ = stock_group(stage, replicas=0)

    def check(connect):
        client = connect(primary.client_port)
        client("guard", [])
        client("set", "x", "1")
        outcome = client("wait", 300)
        assert not outcome["all"] and outcome["required"] == 0 and outcome["reason"] == "no replica is known", outcome
        assert client.fails("wait", 0) in ("ValueError", "RangeError"), "no limit"
    return each_library(stage, check)


def test_a_failover_or_a_lost_connection_while_waiting_is_never_all(stage):
    primary, (first, stopped) = stock_group(stage)

    def check(connect):
        client = connect(primary.client_port)
        # The connection is lost while it waits; every replica is online, so a WAIT on the new one is satisfied at once.
        client("guard", [])
        number = client("id")
        stopped.send_signal(signal.SIGSTOP)
        try:
            client("set", "x", "1")
            client.send("wait", 5000)
            until("it waits", lambda: primary.info("clients")["blocked_clients"] == "1")
            primary.call("CLIENT", "KILL", "ID", number)
            try:
                value = client.answer()
                raise AssertionError(f"the connection of the write is gone, and the answer is {value}")
            except Failed:
                pass
        finally:
            stopped.send_signal(signal.SIGCONT)
        until("the client has connected again", lambda: _connected(client))
        assert client.fails("wait", 3000) == "ConnectionChanged"
        # The primary is demoted.
        client("guard", [])
        stopped.send_signal(signal.SIGSTOP)
        try:
            client("set", "x", "2")
            client.send("wait", 5000)
            until("it waits", lambda: primary.info("clients")["blocked_clients"] == "1")
            first.follow(None)
            primary.follow(first)
            try:
                value = client.answer()
                raise AssertionError(f"the primary was replaced, and the answer is {value}")
            except Failed:
                pass
        finally:
            stopped.send_signal(signal.SIGCONT)
        until("the client has connected again", lambda: _connected(client))
        client("guard", [])
        assert client.fails("wait", 3000) == "NotPrimary"
        primary.follow(None)
        for replica in (first, stopped):
            join(primary, replica)
    return each_library(stage, check)


def _connected(client):
    try:
        return client("id")
    except Failed:
        return None


def test_a_failed_replica_of_a_redis_cluster_stays_counted(stage):
    flags = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0", "--cluster-require-full-coverage", "no")
    primary, first, second = (RedisServer(stage, (*flags, "--cluster-port", str(stage.ports.take()))).start() for _ in range(3))
    primary.call("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
    for replica in (first, second):
        bus = replica.flags[replica.flags.index("--cluster-port") + 1]
        primary.call("CLUSTER", "MEET", replica.place.host, replica.client_port, bus)
    name = primary.call("CLUSTER", "MYID")
    for replica in (first, second):
        until("they have met", lambda: name in replica.call("CLUSTER", "NODES"))
        until("it replicates", lambda: _replicate(replica, name))
    until("both are online", lambda: primary.online() == {first.address(), second.address()})
    until("the cluster takes writes", lambda: b"cluster_state:ok" in primary.call("CLUSTER", "INFO"))

    def check(connect):
        client = connect(primary.client_port)
        client("guard", [])
        client("set", "x", "1")
        assert client("wait", 8000)["required"] == 2
        second.kill()
        until("the server has dropped it", lambda: primary.online() == {first.address()})
        client("guard", [])  # made after its end: the cluster's table knows it all the same
        client("set", "x", "2")
        outcome = client("wait", 600)
        assert not outcome["all"] and (outcome["acked"], outcome["required"], outcome["missing"]) == (1, 2, [second.address()]), outcome
        second.start()
        until("it is back", lambda: primary.online() == {first.address(), second.address()})
        assert client("wait", 8000)["all"]
    return each_library(stage, check)


def _replicate(replica, name):
    try:
        return replica.call("CLUSTER", "REPLICATE", name) == "OK"
    except Exception:  # "Unknown node" until gossip has told it
        return False


def test_our_nodes_answer_by_waitall_through_leader_and_follower(stage):
    cluster = stage.cluster(flags=CALM)

    def check(connect):
        leader, (follower, victim) = cluster.leader(), cluster.followers()
        for node in (leader, follower):
            client = connect(node.client_port)
            client("guard", [])
            client("set", "x", "1")
            outcome = client("wait_or_raise", 8000)
            assert outcome["all"] and outcome["exact"] and outcome["acked"] == outcome["required"] == 3, outcome
            victim.send_signal(signal.SIGSTOP)
            try:
                client("set", "x", "2")
                outcome = client("wait", 600)
                assert not outcome["all"] and (outcome["acked"], outcome["required"], outcome["missing"]) == (2, 3, [str(victim.number)]), outcome
                assert client.fails("wait_or_raise", 200) == "NotAll"
            finally:
                victim.send_signal(signal.SIGCONT)
            assert client("wait", 10000)["all"]
    return each_library(stage, check)


def test_a_client_with_a_pool_of_connections_is_refused(stage):
    server, _ = stock_group(stage, replicas=0)
    driver = Driver(stage, LIBRARIES[0], server.client_port)
    assert driver.fails("pooled", server.client_port) == "ValueError"


if __name__ == "__main__":
    runner.main(sys.modules[__name__])
