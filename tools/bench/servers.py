"""The clusters that tools/bench/kv measures, three processes each, started by the harness of tests/e2e: orrery-kv,
redis-server (appendfsync always), etcd. Each knows its leader, where a load goes, and the load program that speaks to it."""
import json
import os
import shutil
import subprocess
import sys
import urllib.request

from measure import ROOT, WORK, out

sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
from cluster import Process, Stage, until  # noqa: E402,F401
from resp import Client, ReplyError  # noqa: E402

GO_PATH = "/usr/share/gocode"  # where Debian's golang-*-dev packages are


class Missing(Exception):
    """A peer cannot be had here; the text says why and what to do."""


def spared(call):
    """What the call gives, or None while nobody answers."""
    try:
        return call()
    except (OSError, ValueError, ConnectionError):
        return None


class Servers:
    def __init__(self, name, daemons, ports, load):
        self.name, self.daemons, self.ports, self.load_program = name, daemons, ports, load
        self.leads = 0

    def find_leader(self):
        """Index of the member that leads, or None."""
        return 0

    def refresh(self):
        """Clients talk to the leader, as those who look for speed do: looked up again before each load."""
        def known():
            index = spared(self.find_leader)
            return None if index is None else [index]
        self.leads = until(f"a leader of {self.name}", known, limit=60)[0]

    def followers(self):
        return [daemon for i, daemon in enumerate(self.daemons) if i != self.leads]

    def pids(self):
        return [daemon.process.pid for daemon in self.daemons]

    def place(self, leader, followers):
        """Binds all threads of the members to sets of cores."""
        for i, pid in enumerate(self.pids()):
            for thread in os.listdir(f"/proc/{pid}/task"):
                try:
                    os.sched_setaffinity(int(thread), leader if i == self.leads else followers)
                except ProcessLookupError:
                    pass  # has ended meanwhile

    def load(self, seconds, cores=None, **options):
        """One run of the load program: its JSON."""
        command = [self.load_program, "--port", str(self.ports[self.leads]), "--seconds", str(seconds)]
        for pid in self.pids():
            command += ["--pid", str(pid)]
        for name, value in options.items():
            command += ["--" + name.replace("_", "-"), str(value)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60,
                              preexec_fn=(lambda: os.sched_setaffinity(0, cores)) if cores else None)
        if done.returncode != 0:
            raise AssertionError(f"load on {self.name}: {done.stderr.strip()}; {self.daemons[self.leads].log_tail(3)}")
        result = json.loads(done.stdout)
        if result["errors"]:
            print(f"note: {self.name}: {result['errors']} errors, the first: {result.get('first_error')}", flush=True)
        return result


class Orrery(Servers):
    def __init__(self, stage, programs, slow_us=0, slow_members=(0, 1, 2), flags=(), name="orrery"):
        slow = {"LD_PRELOAD": programs["shim"], "SLOW_US": str(slow_us)}
        nodes = [stage.node(1 + i, flags=["--log-level", "warning", *flags], environment=slow if slow_us and i in slow_members else None) for i in range(3)]
        for node in nodes:
            node.start()
        stage.found(nodes)
        self.cluster = stage.group(nodes)
        self.cluster.wait_ready(limit=60)
        super().__init__(name, nodes, [node.client_port for node in nodes], programs["load"])

    def find_leader(self):
        return self.daemons.index(self.cluster.leader())

    def wait_all(self):
        """Until every member has everything."""
        def all_have_it():
            with Client(self.ports[self.leads], timeout=15) as client:
                client.call("SET", "ready", "1")
                acked, required, _ = client.call("WAITALL", "10000")
                return acked == required == 3
        until("every member has everything", lambda: spared(all_have_it), limit=120)


class Redis(Servers):
    def __init__(self, stage, programs, slow_us=0):
        if shutil.which("redis-server") is None:
            raise Missing("no redis-server: tools/setup --bench")
        slow = {"LD_PRELOAD": programs["shim"], "SLOW_US": str(slow_us)} if slow_us else None
        ports = [stage.ports.take() for _ in range(3)]
        daemons = []
        for i, port in enumerate(ports):
            name = f"redis{i + 1}-{port}"
            folder = os.path.join(stage.directory, name)
            os.mkdir(folder)
            words = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--protected-mode", "no",
                     "--repl-diskless-sync-delay", "0", "--appendonly", "yes", "--appendfsync", "always"]
            daemons.append(Process(stage, name, words=words + (["--replicaof", "127.0.0.1", str(ports[0])] if i else []), environment=slow).start())
        super().__init__("redis", daemons, ports, programs["load"])

        def online():
            with Client(ports[0], timeout=5) as client:
                return client.call("INFO", "replication").count(b"state=online") == 2
        until("redis-server", lambda: spared(online), limit=60)


class Etcd(Servers):
    def __init__(self, stage, programs, slow_us=0):
        if shutil.which("etcd") is None:
            raise Missing("no etcd: tools/setup --bench")
        load = build_etcd_load()
        slow = []
        if slow_us:
            if shutil.which("strace") is None:
                raise Missing("no strace, which delays syncs of a Go program: tools/setup --bench")
            # The tracer is a grandchild (-D): the process that is started, measured and ended is etcd itself.
            slow = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-e", "signal=none", "-e", "trace=fsync,fdatasync", "-e",
                    f"inject=fsync,fdatasync:delay_enter={slow_us}", "-o", "/dev/null"]
        clients, peers = ([stage.ports.take() for _ in range(3)] for _ in range(2))
        members = ",".join(f"etcd{i + 1}=http://127.0.0.1:{peers[i]}" for i in range(3))
        daemons = []
        for i in range(3):
            client, peer = (f"http://127.0.0.1:{ports[i]}" for ports in (clients, peers))
            name = f"etcd{i + 1}-{clients[i]}"
            daemons.append(Process(stage, name, words=slow + [
                "etcd", "--name", f"etcd{i + 1}", "--data-dir", os.path.join(stage.directory, name), "--listen-client-urls", client,
                "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", members,
                "--initial-cluster-token", f"bench-{peers[0]}", "--initial-cluster-state", "new", "--logger", "zap", "--log-level", "error",
                "--quota-backend-bytes", str(8 << 30)]).start())
        super().__init__("etcd", daemons, clients, load)
        self.refresh()

    def find_leader(self):
        for i, port in enumerate(self.ports):
            text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
            if "\netcd_server_is_leader 1\n" in text:
                return i
        return None


def build_etcd_load():
    """The Go load, built from Debian's packages without the network."""
    source, program = os.path.join(ROOT, "tools/bench/etcd_load.go"), os.path.join(WORK, "etcd_load")
    if os.path.exists(program) and os.path.getmtime(program) > os.path.getmtime(source):
        return program
    if shutil.which("go") is None or not os.path.isdir(os.path.join(GO_PATH, "src/go.etcd.io/etcd/clientv3")):
        raise Missing("no Go client of etcd: tools/setup --bench")
    print("building the load of etcd", flush=True)
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": GO_PATH, "GOCACHE": os.path.join(WORK, "go-cache"), "GOPROXY": "off"}
    try:
        out("go", "build", "-o", program, source, env=environment)
    except subprocess.CalledProcessError as error:
        raise Missing(f"go build: {error.stderr.strip().splitlines()[-1]}") from error
    return program
