"""Clients whose every call is written down, in the form that `orrery check` reads: History for --model kv, Transactions for --model
txn. A call without a certain answer is
`unknown`, and the client goes on under a new name. Keys are few at a time, so that calls meet, and change with time, so that
each key's history stays small enough to be checked.
"""
import json
import threading
import time

from ledger import NO_EFFECT as REFUSED, Load
from resp import ReplyError

NO_EFFECT = (*REFUSED, "EXECABORT")
KEYS = 6
KEYS_LIVE_S = 4.0


class History(Load):
    model = "kv"

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

    def begin_operation(self, worker, op, key, value):
        operation = {"client": worker["client"], "op": op, "key": key, "value": value, "output": None, "start_ns": time.monotonic_ns(), "end_ns": None, "status": "unknown"}
        self.operations.append(operation)
        return operation

    def call(self, client, worker, op, key, value, words, output_of):
        """The answer, as it is written down."""
        return self.outcome(worker, self.begin_operation(worker, op, key, value), lambda: output_of(client.call(*words)))

    def outcome(self, worker, operation, ask):
        """What `ask` returns is the operation's output; None of a transaction says that a watched key had changed."""
        try:
            output = ask()
            refused = operation["op"] == "txn" and output is None
            operation.update(output=output, end_ns=time.monotonic_ns(), status="fail" if refused else "ok")
            return output
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
        keys = sorted(self.keys())
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

    def keys(self):
        return {operation["key"] for operation in self.operations}

    def write(self, path):
        with open(path, "w") as file:
            for operation in self.operations:
                file.write(json.dumps(operation) + "\n")

    def summary(self):
        by_status = {status: sum(operation["status"] == status for operation in self.operations) for status in ("ok", "fail", "unknown")}
        return f"{by_status['ok']} answered, {by_status['fail']} refused, {by_status['unknown']} unknown"


class Transactions(History):
    """Lists, counters, and MULTI/EXEC with WATCH over them."""
    model = "txn"

    def step(self, client, worker, draw):
        time.sleep(self.pause)
        age = int((time.monotonic() - self.begin) / KEYS_LIVE_S)
        lists, counter = [f"l{age}:{number}" for number in range(3)], f"c{age}"
        kind = draw.random()
        if kind < 0.2:
            key, text = draw.choice(lists), self.text(worker)
            self.call(client, worker, "append", key, text, ("APPEND", key, text), lambda got: got)
        elif kind < 0.3:
            self.call(client, worker, "incr", counter, 1, ("INCR", counter), lambda got: got)
        elif kind < 0.5:
            key = draw.choice([*lists, counter])
            self.call(client, worker, "get", key, None, ("GET", key), _text)
        else:
            self.transaction(client, worker, draw, lists, counter)

    def text(self, worker):
        worker["sequence"] += 1
        return f"{worker['client']}.{worker['sequence']};"  # never the same twice, none the beginning of another

    def transaction(self, client, worker, draw, lists, counter):
        parts, commands, output = [], [], []
        watched = draw.sample(lists, draw.randrange(3))
        try:
            if watched:
                client.call("WATCH", *watched)
            for key in watched:
                output.append(self.call(client, worker, "get", key, None, ("GET", key), _text))
                parts.append(["watch", key])
        except ReplyError:
            client.call("UNWATCH")  # or the next transaction would compare this one's keys
            raise
        for _ in range(draw.randrange(1, 4)):
            kind, key = draw.random(), draw.choice(lists)
            if kind < 0.5:
                text = self.text(worker)
                parts.append(["append", key, text])
                commands.append(("APPEND", key, text))
            elif kind < 0.6:
                parts.append(["incr", counter, 1])
                commands.append(("INCR", counter))
            else:
                parts.append(["get", key])
                commands.append(("GET", key))

        def ask():
            replies = client.pipeline([("MULTI",), *commands, ("EXEC",)])
            if isinstance(replies[-1], ReplyError):
                raise replies[-1]
            if replies[-1] is None:
                return None
            for reply in replies[-1]:
                if isinstance(reply, ReplyError):
                    raise reply
            return output + [_text(reply) if words[0] == "GET" else reply for words, reply in zip(commands, replies[-1])]
        self.outcome(worker, self.begin_operation(worker, "txn", "", parts), ask)

    def keys(self):
        parts = (part[1] for operation in self.operations if operation["op"] == "txn" for part in operation["value"])
        return ({operation["key"] for operation in self.operations} - {""}) | set(parts)


def _text(got):
    return got if got is None else got.decode()
