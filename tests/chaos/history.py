"""Clients whose every call is written down, in the form that `orrery check --model kv` reads. A call without a certain answer is
`unknown`, and the client goes on under a new name. Keys are few at a time, so that calls meet, and change with time, so that
each key's history stays small enough to be checked.
"""
import json
import threading
import time

from ledger import NO_EFFECT, Load
from resp import ReplyError

KEYS = 6
KEYS_LIVE_S = 4.0


class History(Load):
    def __init__(self, cluster, threads=8, seed=1, timeout=4, pause=0.006):
        super().__init__(cluster, threads, seed, timeout, hop=0.05)
        self.pause, self.begin = pause, time.monotonic()
        self.operations, self.next_client, self.lock = [], 0, threading.Lock()

    def worker(self, number):
        return {"client": self.new_client(), "sequence": 0}

    def new_client(self):
        with self.lock:
            self.next_client += 1
            return self.next_client

    def step(self, client, worker, draw):
        time.sleep(self.pause)
        age = int((time.monotonic() - self.begin) / KEYS_LIVE_S)
        key = f"h{age}:{draw.randrange(KEYS)}"
        worker["sequence"] += 1
        value = f"{worker['client']}.{worker['sequence']}"  # never the same twice
        kind = draw.random()
        if kind < 0.1:
            counter = f"n{age}:{draw.randrange(2)}"
            self.call(client, worker, "incr", counter, None, ("INCR", counter), lambda got: got)
        elif kind < 0.45:
            self.call(client, worker, "get", key, None, ("GET", key), _text)
        elif kind < 0.75:
            self.call(client, worker, "set", key, value, ("SET", key, value), lambda got: None)
        elif kind < 0.85:
            self.call(client, worker, "append", key, value, ("APPEND", key, value), lambda got: got)
        elif kind < 0.93:
            self.call(client, worker, "cas", key, [None, value], ("SET", key, value, "NX"), lambda got: got == "OK")
        else:
            self.call(client, worker, "del", key, None, ("DEL", key), lambda got: got)

    def call(self, client, worker, op, key, value, words, output_of):
        operation = {"client": worker["client"], "op": op, "key": key, "value": value, "output": None, "start_ns": time.monotonic_ns(), "end_ns": None, "status": "unknown"}
        self.operations.append(operation)
        try:
            got = client.call(*words)
            operation.update(output=output_of(got), end_ns=time.monotonic_ns(), status="ok")
        except ReplyError as error:
            if str(error).split()[0] in NO_EFFECT:
                operation.update(end_ns=time.monotonic_ns(), status="fail")
            else:
                worker["client"] = self.new_client()
            raise
        except OSError:
            worker["client"] = self.new_client()
            raise

    def read_all(self, nodes, limit=60.0):
        """After the faults: one more answered read of every key, in turn through the given nodes. A read that fails is asked again;
        AssertionError when that goes on for `limit` seconds."""
        end = time.monotonic() + limit
        keys = sorted({operation["key"] for operation in self.operations})
        worker, clients = self.worker(0), {}
        for number, key in enumerate(keys):
            node = nodes[number % len(nodes)]
            while True:
                try:
                    clients[node] = clients.get(node) or node.client(timeout=10)
                    self.call(clients[node], worker, "get", key, None, ("GET", key), _text)
                    break
                except (ReplyError, OSError) as error:
                    if node in clients:
                        clients.pop(node).close()
                    assert time.monotonic() < end, f"{node.name} still answers no read after {limit} s: {error}"
                    time.sleep(0.2)
        for client in clients.values():
            client.close()

    def write(self, path):
        with open(path, "w") as file:
            for operation in self.operations:
                file.write(json.dumps(operation) + "\n")

    def summary(self):
        by_status = {status: sum(operation["status"] == status for operation in self.operations) for status in ("ok", "fail", "unknown")}
        return f"{by_status['ok']} answered, {by_status['fail']} refused, {by_status['unknown']} unknown"


def _text(got):
    return got if got is None else got.decode()
