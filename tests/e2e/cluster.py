"""Real orrery-kv processes for the tests: free ports, a temporary directory, readiness by /readyz, no process and no file
left behind. The logs of a test that failed stay, and their place is printed.

A process that the test did not expect to end is a failure of the test, whatever else it saw.
"""
import ctypes
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from resp import Client

PORTS_PER_TEST = 40
LIBC = ctypes.CDLL(None)


def plain_environment():
    """Ours without what would configure a daemon."""
    return {key: value for key, value in os.environ.items() if not key.startswith("ORRERY_")}


def die_with_parent():
    LIBC.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: also a killed test leaves nothing behind


def until(what, condition, limit=30.0, pause=0.02):
    """Polls until the condition gives something true, and returns that; a failure names what was waited for."""
    end = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise AssertionError(f"waited {limit} s in vain: {what}")
        time.sleep(pause)


class Ports:
    """A block of ports below the ephemeral range. The first is held listening for as long as the test runs, so that tests
    side by side do not share a block."""

    def __init__(self):
        blocks = list(range(20000, 32000, PORTS_PER_TEST))
        random.shuffle(blocks)
        for base in blocks:
            self.guard = socket.socket()
            try:
                self.guard.bind(("127.0.0.1", base))
                self.guard.listen(1)
                self.next, self.end = base + 1, base + PORTS_PER_TEST
                return
            except OSError:
                self.guard.close()
        raise AssertionError("no free block of ports")

    def take(self):
        while self.next < self.end:
            port = self.next
            self.next += 1
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                    return port
                except OSError:
                    continue
        raise AssertionError("the block of ports is used up")


class Place:
    """Where a process runs: its address, and what it does before anything else."""

    def __init__(self, host="127.0.0.1", enter=None):
        self.host, self.enter = host, enter


LOOPBACK = Place()


class Process:
    """A server with a log of its own, through any number of lives. `words` is its command; a kind of server that has to compute
    it overrides command()."""

    def __init__(self, stage, name, client_port=None, words=(), environment=None, place=LOOPBACK):
        self.stage, self.name, self.client_port, self.words, self.place = stage, name, client_port, list(words), place
        self.environment = dict(environment or {})
        self.data_dir = os.path.join(stage.directory, name)
        self.log_path = os.path.join(stage.directory, name + ".log")
        self.process = None
        stage.daemons.append(self)

    def command(self):
        return self.words

    def _prepare(self):
        if self.place.enter is not None:
            self.place.enter()
        die_with_parent()

    def start(self):
        assert self.process is None, f"{self.name} runs already"
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**plain_environment(), **self.environment}, preexec_fn=self._prepare)
        return self

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def send_signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None

    def ended(self, limit=20.0):
        """Waits until the process has ended by itself: its exit code, negative for a signal."""
        code = self.process.wait(limit)
        self.process = None
        return code

    def stop(self, limit=20.0):
        """SIGTERM: exit code and seconds."""
        begin = time.monotonic()
        self.process.terminate()
        return self.ended(limit), time.monotonic() - begin

    def client(self, timeout=10.0, **options):
        return Client(self.client_port, timeout, host=self.place.host, **options)

    def log(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()

    def log_tail(self, lines=15):
        return "\n".join(self.log().splitlines()[-lines:])


class Node(Process):
    """One orrery-kv and its data directory."""

    def __init__(self, stage, number, data_dir=None, flags=(), **options):
        self.peer, client_port, self.admin = (stage.ports.take() for _ in range(3))
        super().__init__(stage, f"node{number}-{self.peer}", client_port, **options)
        self.number, self.flags = number, list(flags)
        self.data_dir = data_dir or self.data_dir

    def command(self):
        host = self.place.host
        return [self.stage.program("kv/orrery-kv"), "--node-id", str(self.number), "--data-dir", self.data_dir,
                "--peer-listen", f"{host}:{self.peer}", "--client-listen", f"{host}:{self.client_port}",
                "--admin-listen", f"{host}:{self.admin}", *self.flags]

    def http(self, path, timeout=5):
        """(status, body), or None when nobody answers."""
        connection = http.client.HTTPConnection(self.place.host, self.admin, timeout=timeout)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return None
        finally:
            connection.close()

    def ready(self):
        assert self.alive(), f"{self.name} has ended: {self.log_tail()}"
        answer = self.http("/readyz")
        return answer is not None and answer[0] == 200

    def status(self, timeout=5):
        answer = self.http("/status", timeout)
        return json.loads(answer[1]) if answer is not None and answer[0] == 200 else None

    def events(self, name):
        """The log lines of one event, parsed."""
        out = []
        for line in self.log().splitlines():
            if f'"event":"{name}"' in line:
                out.append(json.loads(line))
        return out

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/status") as file:
            for line in file:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) << 10
        raise AssertionError("no VmRSS")


class Master(Node):
    """One orrery-master: the same life around another state. `client_port` is its service port."""

    def command(self):
        host = self.place.host
        return [self.stage.program("node/orrery-master"), "--node-id", str(self.number), "--data-dir", self.data_dir,
                "--peer-listen", f"{host}:{self.peer}", "--service-listen", f"{host}:{self.client_port}",
                "--admin-listen", f"{host}:{self.admin}", *self.flags]

    def address(self):
        return f"{self.place.host}:{self.client_port}"


class Stage:
    """Everything of one test."""

    def __init__(self, build, name, directory=None):
        self.build, self.ports, self.daemons, self.closers = build, Ports(), [], []
        self.keep_data = False  # of a test that failed; its logs stay in any case
        self.directory = directory or tempfile.mkdtemp(prefix=f"orrery-e2e-{name}-")
        os.makedirs(self.directory, exist_ok=True)

    def at_close(self, call):
        """Called once no process is left."""
        self.closers.append(call)

    def program(self, path):
        return os.path.join(self.build, path)

    def node(self, number, **options):
        return Node(self, number, **options)

    def cluster(self, count=3, flags=(), first=1, kind=Node, **options):
        """A founded cluster of `count` nodes with the numbers from `first` on, all ready."""
        cluster = Cluster([kind(self, first + i, flags=flags, **options) for i in range(count)])
        for node in cluster.nodes:
            node.start()
        self.found(cluster.nodes)
        cluster.wait_ready()
        return cluster

    def group(self, nodes):
        """Nodes that were founded by other means."""
        return Cluster(nodes)

    def found(self, nodes):
        done = self.init(nodes)
        assert done.returncode == 0, f"kv init: {done.stderr}\n" + nodes[0].log_tail()
        return done

    def init(self, nodes, timeout=30):
        members = ",".join(f"{node.place.host}:{node.peer}" for node in nodes)
        return subprocess.run([self.program("tools/orreryctl/orreryctl"), "kv", "init", "--timeout", str(timeout), "--members", members],
                              capture_output=True, text=True, timeout=timeout + 30)

    def close(self, keep):
        ended = [(daemon, daemon.process.poll()) for daemon in self.daemons if daemon.process and daemon.process.poll() is not None]
        for daemon in self.daemons:
            if daemon.process is not None:
                daemon.process.kill()  # also ends a stopped one
                daemon.process.wait()
        self.ports.guard.close()
        for call in reversed(self.closers):
            call()
        if keep or ended:
            for daemon in self.daemons:
                if daemon.data_dir.startswith(self.directory) and not self.keep_data:
                    shutil.rmtree(daemon.data_dir, ignore_errors=True)
            print(f"  logs: {self.directory}")
        else:
            shutil.rmtree(self.directory, ignore_errors=True)
        if ended and not keep:
            raise AssertionError("ended without being asked to: " + ", ".join(
                f"{daemon.name} ({code}): {daemon.log_tail(6)}" for daemon, code in ended))


class Cluster:
    def __init__(self, nodes):
        self.nodes = nodes

    def wait_ready(self, nodes=None, limit=30.0):
        for node in nodes or self.nodes:
            until(f"{node.name} ready", node.ready, limit)

    def leader(self, among=None, limit=20.0):
        """The node that says it leads, in the highest term that is said."""
        def find():
            best = None
            for node in among or self.nodes:
                status = node.status() if node.alive() else None
                if status and status.get("group", {}).get("role") == "leader":
                    term = status["group"]["term"]
                    if best is None or term > best[0]:
                        best = (term, node)
            return best and best[1]
        return until("a leader", find, limit)

    def followers(self):
        leader = self.leader()
        return [node for node in self.nodes if node is not leader]
