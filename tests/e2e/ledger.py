"""Load with a ledger. Threads write unique values through all nodes and note what was acknowledged, what certainly had no
effect and what nobody knows. Afterwards: every acknowledged value is there, no counter counted twice, nothing that was
refused is there; what is unknown may be there or not. While it runs, some reads of acknowledged keys are checked too.
"""
import random
import threading
import time

from resp import Client, ReplyError

ELSEWHERE = ("READONLY", "LOADING", "MASTERDOWN")  # of a stock server that is no primary: find the one that is
NO_EFFECT = ("CLUSTERDOWN", "BUSY", "OOM", *ELSEWHERE)


class Load:
    """Threads that send through all nodes until they are stopped, each through one node until an error or, with probability `hop`
    after each command, another. Subclasses say step(client, worker, draw), which notes what
    became of its command and lets ReplyError and OSError through; worker is what worker(number) made for the thread."""

    def __init__(self, cluster, threads, seed, timeout=12, hop=0.0):
        self.cluster, self.timeout, self.hop = cluster, timeout, hop
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._work, args=(i, random.Random(seed * 1000 + i)), daemon=True) for i in range(threads)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in self.threads), "a client got no answer for 30 s"

    def _work(self, number, draw):
        client, worker = None, self.worker(number)
        while not self.stopping.is_set():
            try:
                if client is None:
                    client = draw.choice(self.cluster.nodes).client(timeout=self.timeout)
                self.step(client, worker, draw)
                if self.hop and draw.random() < self.hop:
                    client.close()
                    client = None
            except ReplyError as error:
                time.sleep(0.02)
                if str(error).startswith(("CLUSTERDOWN", *ELSEWHERE)):  # perhaps for good there: another node may know more
                    client.close()
                    client = None
            except OSError:
                if client is None:
                    time.sleep(0.02)
                else:
                    client.close()
                    client = None
        if client is not None:
            client.close()


class Ledger(Load):
    def __init__(self, cluster, threads=6, value_bytes=100, seed=1, prefix="k", timeout=12, pause=0.0):
        super().__init__(cluster, threads, seed, timeout)
        self.value_bytes, self.prefix, self.pause = value_bytes, prefix, pause
        self.acked, self.refused, self.unknown = [], [], []
        self.counter_acked, self.counter_unknown = 0, 0
        self.reads, self.wrong, self.refusals = 0, [], {}

    def value(self, key):
        return (key + ":").encode() + b"x" * self.value_bytes

    def worker(self, number):
        return {"number": number, "sequence": 0, "mine": []}

    def step(self, client, worker, draw):
        mine = worker["mine"]
        kind = draw.random()
        key = None
        if self.pause:
            time.sleep(self.pause)
        try:
            if kind < 0.15 and mine:
                key = draw.choice(mine)
                got = client.call("GET", key)
                self.reads += 1
                if got != self.value(key):
                    self.wrong.append((key, got))
                return
            if kind < 0.4:
                client.call("INCR", f"{self.prefix}:counter")
                self.counter_acked += 1  # threads of CPython: the lists and += below are only summed after join()
                return
            worker["sequence"] += 1
            key = f"{self.prefix}:{worker['number']}:{worker['sequence']}"
            client.call("SET", key, self.value(key))
            self.acked.append(key)
            mine.append(key)
        except ReplyError as error:
            word = str(error).split()[0]
            self.refusals[word] = self.refusals.get(word, 0) + 1
            self._failed(key, mine, word in NO_EFFECT)
            raise
        except OSError:
            self._failed(key, mine, False)
            raise

    def _failed(self, key, mine, no_effect):
        if key is None:
            self.counter_unknown += not no_effect
        elif key not in mine:
            (self.refused if no_effect else self.unknown).append(key)

    def check(self, node):
        """Reads everything back through `node`; a summary."""
        with node.client(timeout=30) as client:
            lost = [key for key, got in self._read(client, self.acked) if got != self.value(key)]
            assert not lost, f"{len(lost)} of {len(self.acked)} acknowledged writes are lost or wrong, as {lost[:5]}"
            assert not self.wrong, f"a read did not see an acknowledged write: {self.wrong[:3]}"
            ghosts = [key for key, got in self._read(client, self.refused) if got is not None]
            assert not ghosts, f"refused writes took effect: {ghosts[:5]}"
            odd = [(key, got) for key, got in self._read(client, self.unknown) if got not in (None, self.value(key))]
            assert not odd, f"unknown writes left something else: {odd[:3]}"
            counter = int(client.call("GET", f"{self.prefix}:counter") or 0)
            low, high = self.counter_acked, self.counter_acked + self.counter_unknown
            assert low <= counter <= high, f"the counter is {counter}, acknowledged {low}, with unknown ones {high}"
        return f"{len(self.acked)} acknowledged, {len(self.unknown)} unknown, {len(self.refused)} refused, counter {counter} in {low}..{high}, {self.reads} reads"

    def _read(self, client, keys):
        for begin in range(0, len(keys), 200):
            part = keys[begin:begin + 200]
            replies = client.pipeline([("GET", key) for key in part])
            for key, got in zip(part, replies):
                if isinstance(got, ReplyError):
                    raise got
                yield key, got
