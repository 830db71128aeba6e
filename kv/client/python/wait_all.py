"""Waits until every replica holds the writes of a connection, on servers with WAITALL and, as well as that can be done from
outside, on those without. What it can not promise stands in ../README.md; read that before relying on it.

    client = redis.Redis(port=7001, single_connection_client=True)
    waiter = WaitAll(client)                  # before the writes: remembers which connection they go over
    client.set("account", 100)
    waiter.wait_or_raise(timeout_ms=1000)     # or: outcome = waiter.wait(1000); outcome.all, outcome.missing

Not thread-safe, as a single-connection client is not.
"""
import time
from dataclasses import dataclass

import redis


class NotAll(Exception):
    """Of wait_or_raise: time is over and somebody is missing; `outcome` has the numbers. The write stays where it is."""

    def __init__(self, outcome):
        super().__init__(f"{outcome.acked} of {outcome.required} replicas hold the writes, missing: {', '.join(outcome.missing) or 'not known'} ({outcome.reason})")
        self.outcome = outcome


class ConnectionChanged(Exception):
    """The client has reconnected since the WaitAll was made (or talks to another server): the new connection knows nothing of
    the writes before, and would call them held at once. Nothing is known about them."""


class NotPrimary(Exception):
    """The server is a replica."""


@dataclass(frozen=True)
class Outcome:
    all: bool  # every known replica, and at least one is known
    acked: int  # with WAITALL the primary counts, in both numbers; otherwise only replicas do
    required: int
    missing: tuple  # node ids with WAITALL, else "host:port"; may be empty though somebody is missing: the server did not say who
    reason: str  # "held", "timeout", "no replica is known", "topology kept changing"
    exact: bool  # the server's own WAITALL said so


@dataclass(frozen=True)
class _Topology:
    connection: tuple  # run id of the server, number of the connection
    primary: bool
    history: tuple  # replication id and, in a cluster, the epoch: another one after a promotion
    listed: dict  # "host:port" -> acknowledged offset, or None when it is not online
    offset: int

    def same(self, other):
        return (self.connection, self.primary, self.history, set(self.listed)) == (other.connection, other.primary, other.history, set(other.listed))


class WaitAll:
    """Requires: a client with a single connection of its own. `replicas`: "host:port" of those that must be counted though the
    server does not list them, or a callable that returns them (Sentinel's list, say); asked at every look. A replica that this
    object has seen is counted until forget(): a server outside a cluster lists connected ones only."""

    def __init__(self, client, replicas=(), slice_ms=250):
        if getattr(client, "connection", None) is None:
            raise ValueError("WAIT speaks of its own connection: use redis.Redis(..., single_connection_client=True)")
        if slice_ms < 1:
            raise ValueError("slice_ms must be at least 1")
        self._client, self._replicas, self._slice_ms = client, replicas, slice_ms
        self._seen, self._waitall = set(), None
        self._connection = self._look().connection

    def forget(self, replica):
        """The operator has removed it for good."""
        self._seen.discard(replica)

    def wait_or_raise(self, timeout_ms):
        """Errors: NotAll, and those of wait()."""
        outcome = self.wait(timeout_ms)
        if not outcome.all:
            raise NotAll(outcome)
        return outcome

    def wait(self, timeout_ms):
        """Blocks for at most about timeout_ms (> 0) and the round trips of one look. Errors: ConnectionChanged, NotPrimary, what
        the client raises; after any of them nothing is known."""
        if timeout_ms < 1:
            raise ValueError("timeout_ms must be at least 1: a wait without a limit is not offered")
        end = time.monotonic() + timeout_ms / 1000
        if self._waitall is not False:
            outcome = self._ask_server(timeout_ms)
            if outcome is not None:
                return outcome
        return self._ask_and_compare(end)

    def _ask_server(self, timeout_ms):
        try:
            reply = self._client.execute_command("WAITALL", timeout_ms)
        except redis.ResponseError as error:
            if not str(error).lower().removeprefix("err ").startswith("unknown command"):
                raise
            self._waitall = False
            return None
        self._waitall = True
        self._check(self._identify())  # after it: the connection that waited is the one that wrote
        if isinstance(reply, dict):
            reply = {_text(name): value for name, value in reply.items()}
            acked, required, missing = reply["acked"], reply["required"], reply["missing"]
        else:
            acked, required, missing = reply[:3]
        return Outcome(acked == required, acked, required, tuple(_text(name) for name in missing), "held" if acked == required else "timeout", True)

    def _ask_and_compare(self, end):
        before = self._look()
        while True:
            self._check(before.connection)
            if not before.primary:
                raise NotPrimary("the server is a replica")
            required = len(before.listed)
            left_ms = max(1, round((end - time.monotonic()) * 1000))
            # In slices: whoever is removed while we wait is waited for no longer than that.
            acked = self._client.execute_command("WAIT", required, min(left_ms, self._slice_ms)) if required else 0
            after = self._look()
            self._check(after.connection)
            stable = after.same(before)
            if stable and required and acked >= required:
                return Outcome(True, acked, required, (), "held", False)
            if time.monotonic() >= end or not after.listed:
                missing = tuple(sorted(name for name, offset in after.listed.items() if offset is None or offset < before.offset))
                reason = "no replica is known" if not after.listed else "timeout" if stable else "topology kept changing"
                return Outcome(False, min(acked, len(after.listed)), len(after.listed), missing, reason, False)
            before = after

    def _check(self, connection):
        if connection != self._connection:
            raise ConnectionChanged(f"was {self._connection}, is {connection}")

    def _identify(self):
        return self._client.info("server")["run_id"], self._client.execute_command("CLIENT", "ID")

    def _look(self):
        info = self._client.info()
        listed, history = {}, [info["master_replid"]]
        number = 0
        while f"slave{number}" in info:
            replica = info[f"slave{number}"]
            listed[f"{replica['ip']}:{replica['port']}"] = replica["offset"] if replica["state"] == "online" else None
            number += 1
        if info.get("cluster_enabled"):
            names, epoch = _cluster_replicas(_text(self._client.execute_command("CLUSTER", "NODES")))
            history.append(epoch)
        else:  # no table of its own: what was seen, and what the application knows
            self._seen.update(listed)
            names = self._seen | set(self._replicas() if callable(self._replicas) else self._replicas)
        for name in names:
            listed.setdefault(name, None)
        # The number of the connection comes last: if it is ours, all of the above came over it.
        return _Topology((info["run_id"], self._client.execute_command("CLIENT", "ID")), info["role"] == "master", tuple(history), listed, info["master_repl_offset"])


def _text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def _cluster_replicas(table):
    """Replicas of this node in CLUSTER NODES, failed ones too, and this node's epoch."""
    rows = [line.split() for line in table.splitlines() if line.strip()]
    me = next(row for row in rows if "myself" in row[2].split(","))
    return {row[1].split("@")[0].split(",")[0] for row in rows if row[3] == me[0]}, me[6]
