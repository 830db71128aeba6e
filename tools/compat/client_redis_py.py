"""redis-py against the server at 127.0.0.1:PORT, without any special flag. Run by `clients`; ends with 0 when every answer was right."""
import sys
import time

import redis

client = redis.Redis(port=int(sys.argv[1]), socket_timeout=10)
assert client.ping()
client.flushall()
assert client.set("a", "1") and client.get("a") == b"1" and client.get("none") is None
assert client.mset({"b": "2", "c": "3"}) and client.mget("a", "b", "none") == [b"1", b"2", None]
assert client.msetnx({"c": "9", "d": "9"}) is False and client.exists("a", "b", "d") == 2
assert client.incrby("a", 41) == 42 and float(client.incrbyfloat("a", 0.5)) == 42.5
assert client.setrange("b", 2, "xy") == 4 and client.getrange("b", 1, -1) == b"\0xy"
assert client.rename("b", "e") and client.copy("e", "f") and client.delete("e", "f", "none") == 2

with client.pipeline(transaction=True) as pipe:
    assert pipe.set("t", "1").incr("t").get("t").execute() == [True, 2, b"2"]
with client.pipeline(transaction=False) as pipe:
    for i in range(500):
        pipe.set(f"p:{i}", i)
        pipe.get(f"p:{i}")
    answers = pipe.execute()
    assert answers == [x for i in range(500) for x in (True, str(i).encode())]

with client.pipeline() as pipe:  # WATCH: a change by somebody else fails EXEC, then it succeeds
    pipe.watch("t")
    assert pipe.get("t") == b"2"
    client.set("t", "other")
    pipe.multi()
    pipe.set("t", "mine")
    try:
        pipe.execute()
        raise AssertionError("EXEC took effect though the watched key had changed")
    except redis.WatchError:
        pass
assert client.transaction(lambda pipe: pipe.multi() or pipe.set("t", "mine"), "t") == [True] and client.get("t") == b"mine"

assert sorted(client.scan_iter("p:*", count=37)) == sorted(f"p:{i}".encode() for i in range(500))
assert len(client.keys("p:1?")) == 10 and client.randomkey() is not None and client.dbsize() == 503
assert client.set("x", "v", px=150) and 0 < client.pttl("x") <= 150 and client.ttl("a") == -1
assert client.getex("a", ex=100) == b"42.5" and 0 < client.ttl("a") <= 100 and client.persist("a")
time.sleep(0.3)
assert client.get("x") is None and client.ttl("x") == -2
try:
    client.incr("t")
    raise AssertionError("INCR of a text was taken")
except redis.ResponseError as error:
    assert str(error) == "value is not an integer or out of range", error
assert client.info()["redis_mode"] == "standalone" and client.type("a") == b"string"
print(f"redis-py {redis.__version__}: fine")
