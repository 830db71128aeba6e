"""A stock redis-server as a process of a Stage: what our server and our client code are held against."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from stock_redis import redis_server

from cluster import LOOPBACK, Process, until
from runner import Skip


class RedisServer(Process):
    """Without persistence unless the flags say otherwise. Raises Skip where none is installed."""

    def __init__(self, stage, flags=(), place=LOOPBACK):
        self.program = redis_server(stage.directory)
        if self.program is None:
            raise Skip("no redis-server is installed")
        port = stage.ports.take()
        super().__init__(stage, f"redis-{port}", port, place=place)
        self.flags = list(flags)

    def command(self):
        os.makedirs(self.data_dir, exist_ok=True)
        return [self.program, "--port", str(self.client_port), "--bind", self.place.host, "--save", "", "--appendonly", "no",
                "--protected-mode", "no", "--dir", self.data_dir, *self.flags]

    def address(self):
        return f"{self.place.host}:{self.client_port}"

    def start(self):
        super().start()
        until(f"{self.name} answers", self.ready)
        return self

    def ready(self):
        assert self.alive(), f"{self.name} has ended: {self.log_tail()}"
        try:
            return self.call("PING") == "PONG"
        except OSError:
            return False

    def call(self, *words):
        """On a connection for this command alone."""
        with self.client(timeout=2) as client:
            return client.call(*words)

    def follow(self, primary):
        """A replica of `primary` from now on, with None a primary; does not wait for it."""
        self.call("REPLICAOF", *((primary.place.host, primary.client_port) if primary else ("NO", "ONE")))

    def info(self, section="replication"):
        lines = self.call("INFO", section).decode().split("\r\n")
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def online(self):
        """host:port of the replicas it sees."""
        fields = [dict(part.split("=") for part in text.split(",")) for name, text in self.info().items()
                  if name.startswith("slave") and "state=" in text]
        return {f"{field['ip']}:{field['port']}" for field in fields if field["state"] == "online"}
