"""Load with a ledger. Threads write unique values through all nodes and note what was acknowledged, what certainly had no
effect and what nobody knows. Afterwards: every acknowledged value is there, no counter counted twice, nothing that was
refused is there; what is unknown may be there or not. While it runs, some reads of acknowledged keys are checked too.
"""
import random
import threading
import time

from resp import Client, ReplyError

NO_EFFECT = ("CLUSTERDOWN", "BUSY", "OOM")


class Ledger:
    def __init__(self, cluster, threads=6, value_bytes=100, seed=1, prefix="k"):
        self.cluster, self.value_bytes, self.prefix = cluster, value_bytes, prefix
        self.acked, self.refused, self.unknown = [], [], []
        self.counter_acked, self.counter_unknown = 0, 0
        self.reads, self.wrong, self.refusals = 0, [], {}
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

    def value(self, key):
        return (key + ":").encode() + b"x" * self.value_bytes

    def _work(self, number, draw):
        client, sequence, mine = None, 0, []
        while not self.stopping.is_set():
            if client is None:
                node = draw.choice(self.cluster.nodes)
                try:
                    client = Client(node.client_port, timeout=12)
                except OSError:
                    time.sleep(0.02)
                    continue
            kind = draw.random()
            key = None
            try:
                if kind < 0.15 and mine:
                    key = draw.choice(mine)
                    got = client.call("GET", key)
                    self.reads += 1
                    if got != self.value(key):
                        self.wrong.append((key, got))
                    continue
                if kind < 0.4:
                    client.call("INCR", f"{self.prefix}:counter")
                    self.counter_acked += 1  # threads of CPython: the lists and += below are only summed after join()
                    continue
                sequence += 1
                key = f"{self.prefix}:{number}:{sequence}"
                client.call("SET", key, self.value(key))
                self.acked.append(key)
                mine.append(key)
            except ReplyError as error:
                word = str(error).split()[0]
                self.refusals[word] = self.refusals.get(word, 0) + 1
                self._failed(kind, key, mine, word in NO_EFFECT)
                if word == "CLUSTERDOWN":  # perhaps for good there: another node may know more
                    client.close()
                    client = None
                time.sleep(0.02)
            except OSError:
                self._failed(kind, key, mine, False)
                client.close()
                client = None
        if client is not None:
            client.close()

    def _failed(self, kind, key, mine, no_effect):
        if key is None:
            self.counter_unknown += not no_effect
        elif key not in mine:
            (self.refused if no_effect else self.unknown).append(key)

    def check(self, node):
        """Reads everything back through `node`; a summary."""
        assert not self.wrong, f"a read did not see an acknowledged write: {self.wrong[:3]}"
        with node.client(timeout=30) as client:
            lost = [key for key, got in self._read(client, self.acked) if got != self.value(key)]
            assert not lost, f"{len(lost)} of {len(self.acked)} acknowledged writes are lost or wrong, as {lost[:5]}"
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
