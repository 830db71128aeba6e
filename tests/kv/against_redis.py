#!/usr/bin/env python3
"""Runs the same random commands against execute() and a stock redis-server; the replies must be equal byte for byte, transactions
and RESP3 included. Now and then as a user with random rules: what it may run, and on which keys, must be the same.

Expiries are far away or long past, so that both clocks agree; times left are compared within how far the clocks were
apart. The order of KEYS and SCAN is each
server's own: those are compared as sets, SCAN at the end of a whole walk.
"""
import io
import os
import random
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from stock_redis import redis_server

COMMANDS = 20000
MARGIN_MS = 1000 * 1000
MOVED_MS = 50000 * 1000
KEYS = [b"a", b"b", b"c", b"d", b"e", b"", b"k\0\r\n"]


def request(words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


def read_reply(stream):
    line = stream.readline()
    if line[:1] == b"$" and line != b"$-1\r\n":
        return line + stream.read(int(line[1:]) + 2)
    if line[:1] in b"*~" and line != b"*-1\r\n":
        return line + b"".join(read_reply(stream) for _ in range(int(line[1:])))
    if line[:1] == b"%":
        return line + b"".join(read_reply(stream) for _ in range(2 * int(line[1:])))
    if line[:1] == b"=":
        return line + stream.read(int(line[1:]) + 2)
    return line


def items_of(reply):
    """The elements of an array reply, each as bytes."""
    stream = io.BytesIO(reply)
    count = int(stream.readline()[1:])
    return [read_reply(stream) for _ in range(count)]


def draw_command(draw):
    key = lambda: draw.choice(KEYS)
    number = lambda: draw.choice([b"1", b"-1", b"0", b"5", b"100000", b"9223372036854775807", b"-9223372036854775808",
                                  b"9223372036854775", b"9223372036854776", b"01", b"x", b"1.5", b"", b" 1", b"+1"])
    fraction = lambda: draw.choice([b"0.1", b"1.5", b"-3", b"1e3", b"1e-17", b"inf", b"-inf", b"nan", b"0x10", b"1e5000", b"x",
                                    b" 1", b"", b"123456789.123456789", b"-0", b".5", b"5.", b"1e4930", b"1e-4940"])
    value = lambda: draw.choice([number(), number(), fraction(), b"text", b"\0\xff", b"x" * 300])
    # Never a time that ends while the test runs.
    odd = lambda: draw.choice([b"-1", b"0", b"9223372036854775807", b"9223372036854775", b"9223372036854776", b"01", b"x", b""])
    far = lambda: draw.choice([b"100000", b"200000", b"300000", odd()])
    far_at = lambda: draw.choice([b"4102444800", b"4102444801", b"1", b"0", b"-5", odd()])
    far_at_ms = lambda: draw.choice([b"4102444800000", b"4102444800001", b"1000", odd()])
    far_ms = lambda: draw.choice([b"100000000", b"200000000", odd()])
    option = lambda: draw.choice([[b"NX"], [b"xx"], [b"GET"], [b"KEEPTTL"], [b"EX", far()], [b"PX", far_ms()],
                                  [b"EXAT", far_at()], [b"PXAT", far_at_ms()], [b"EX"], [b"foo"], [b"NX"], []])
    condition = lambda: draw.choice([[], [], [b"NX"], [b"XX"], [b"GT"], [b"lt"], [b"foo"], [b"GT", b"XX"]])
    getex_option = lambda: draw.choice([[], [b"PERSIST"], [b"EX", far()], [b"PX", far_ms()], [b"EXAT", far_at()], [b"PXAT", far_at_ms()],
                                        [b"EX"], [b"foo"], [b"NX"]])
    place = lambda: draw.choice([b"0", b"1", b"-1", b"-2", b"5", b"-100", b"100", b"299", b"x", b"9223372036854775807",
                                 b"-9223372036854775808"])
    pattern = lambda: draw.choice([b"*", b"a", b"[a-c]", b"[^a]", b"?", b"k*", b"", b"\\a", b"**", b"[", b"x*y"])
    scan_option = lambda: draw.choice([[], [b"COUNT", b"0"], [b"COUNT", b"x"], [b"COUNT"], [b"MATCH", pattern()], [b"TYPE", b"string"],
                                       [b"TYPE", b"list"], [b"type", b"STRING"], [b"foo", b"1"]])
    words = draw.choice([
        lambda: [b"SET", key(), value()] + option() + (option() if draw.random() < 0.5 else []),
        lambda: [b"SET", key(), value()] + option(),
        lambda: [b"GET", key()], lambda: [b"GET", key()], lambda: [b"STRLEN", key()],
        lambda: [b"APPEND", key(), value()], lambda: [b"INCR", key()], lambda: [b"DECR", key()],
        lambda: [b"INCRBY", key(), number()], lambda: [b"DECRBY", key(), number()],
        lambda: [b"INCRBYFLOAT", key(), fraction()], lambda: [b"GETSET", key(), value()], lambda: [b"GETDEL", key()],
        lambda: [b"SETNX", key(), value()], lambda: [b"SETEX", key(), far(), value()],
        lambda: [b"PSETEX", key(), far_ms(), value()], lambda: [b"DEL", key(), key()], lambda: [b"UNLINK", key()],
        lambda: [b"EXISTS", key(), key()], lambda: [b"TOUCH", key()], lambda: [b"TYPE", key()], lambda: [b"DBSIZE"],
        lambda: [b"EXPIRE", key(), far()] + condition(), lambda: [b"PEXPIRE", key(), far_ms()] + condition(),
        lambda: [b"EXPIREAT", key(), far_at()] + condition(), lambda: [b"PEXPIREAT", key(), far_at_ms()] + condition(),
        lambda: [b"PERSIST", key()], lambda: [b"TTL", key()], lambda: [b"PTTL", key()],
        lambda: [b"EXPIRETIME", key()], lambda: [b"PEXPIRETIME", key()], lambda: [b"ECHO", value()], lambda: [b"PING"],
        lambda: [b"SELECT", draw.choice([b"0", b"x", b"99"])], lambda: [b"FLUSHALL", draw.choice([b"ASYNC", b"foo"])],
        lambda: [b"GETEX", key()] + getex_option() + (getex_option() if draw.random() < 0.3 else []),
        lambda: [draw.choice([b"GETRANGE", b"SUBSTR"]), key(), place(), place()],
        lambda: [b"SETRANGE", key(), draw.choice([b"0", b"1", b"3", b"40", b"-1", b"9223372036854775807", b"x", b"8000000"]), value()],
        lambda: [b"MGET"] + [key() for _ in range(draw.randrange(1, 4))],
        lambda: [draw.choice([b"MSET", b"MSETNX"])] + [draw.choice([key, value])() for _ in range(draw.choice([2, 2, 4, 4, 6, 3, 5]))],
        lambda: [b"MSETNX", key(), value()], lambda: [draw.choice([b"RENAME", b"RENAMENX"]), key(), key()],
        lambda: [draw.choice([b"RENAME", b"RENAMENX"]), key(), key()],
        lambda: [b"COPY", key(), key()] + draw.choice([[], [], [b"REPLACE"], [b"replace"], [b"DB", b"0"], [b"DB", b"99"], [b"DB", b"x"],
                                                       [b"DB", b"99999999999"], [b"DB"], [b"foo"], [b"DB", b"0", b"REPLACE"]]),
        lambda: [b"KEYS", pattern()], lambda: [b"SCAN", draw.choice([b"0", b"x", b" 1", b"99999999999999999999"]), b"COUNT", b"1000"] + scan_option(),
        lambda: [b"SCAN", b"0", b"COUNT", b"1000"] + scan_option(),
        lambda: [b"OBJECT", draw.choice([b"REFCOUNT", b"FREQ", b"foo", b"ENCODING"]), draw.choice([b"missing", b"missing", key()])],
        lambda: [b"OBJECT", b"FREQ", key()],
        lambda: [b"MULTI"], lambda: [b"MULTI"], lambda: [b"EXEC"], lambda: [b"EXEC"], lambda: [b"EXEC"], lambda: [b"DISCARD"],
        lambda: [b"WATCH", key(), key()], lambda: [b"UNWATCH"], lambda: [draw.choice([b"EXEC", b"MULTI", b"WATCH", b"AUTH", b"OBJECT"])] +
        [value()] * draw.choice([0, 1]),
        lambda: [b"HELLO", draw.choice([b"1", b"4", b"x"])], lambda: [b"RESET"] if draw.random() < 0.3 else [b"PING", b"x"],
        lambda: [b"AUTH", value()], lambda: [b"AUTH", draw.choice([b"default", b"other"]), value()],
        lambda: [b"HELLO", b"3", b"AUTH", b"other", b"x"], lambda: [b"HELLO", b"3", b"SETNAME"], lambda: [b"FUNCTION", b"FLUSH"] + draw.choice(
            [[], [b"SYNC"], [b"x"]]),
        lambda: [b"@hello", draw.choice([b"2", b"3"])] if draw.random() < 0.3 else [b"GET", key()],
        lambda: [b"nosuch", value(), value()], lambda: [b"CLIENT", draw.choice([b"foo", b"SETNAME", b"a\r\nb"])],
        lambda: [draw.choice([b"GET", b"SET", b"DEL", b"EXPIRE", b"INCRBY"])] + [key()] * draw.choice([0, 1, 5]),
    ])()
    return words


ACL_RULES = [b"+@all", b"-@all", b"allcommands", b"nocommands", b"allkeys", b"resetkeys", b"~*", b"~a", b"~[b-d]", b"~k*", b"~", b"~x y",
             b"+get", b"-get", b"+set", b"-set", b"+DEL", b"-mset", b"+object", b"-object", b"+object|freq", b"-object|refcount", b"+config",
             b"-config", b"+config|get", b"-config|get", b"+client", b"-client|getname", b"+client|getname", b"+ping", b"-ping",
             b"+nosuch", b"+@nosuch", b"+config|nosuch", b"odd", b"reset", b"on", b"nopass", b">word", b"<word", b"#12"]
ACL_RULES += [sign + b"@" + name for sign in (b"+", b"-") for name in (b"keyspace", b"read", b"write", b"string", b"admin", b"fast", b"slow",
              b"blocking", b"dangerous", b"connection", b"transaction", b"scripting", b"hash", b"pubsub")]
# Whether they are allowed is compared, not what they answer.
ACL_PROBES = [[b"CONFIG", b"GET", b"nosuch"], [b"CONFIG", b"RESETSTAT"], [b"CLIENT", b"GETNAME"], [b"CLIENT", b"ID"], [b"CLIENT", b"LIST"],
              [b"CLIENT", b"UNBLOCK", b"99999"], [b"CLIENT", b"NO-EVICT", b"off"], [b"CLIENT", b"REPLY", b"ON"], [b"COMMAND", b"COUNT"],
              [b"INFO", b"server"], [b"ROLE"], [b"TIME"], [b"ACL", b"WHOAMI"], [b"ACL", b"LIST"], [b"ACL", b"CAT"], [b"CLUSTER", b"KEYSLOT", b"a"],
              [b"CLUSTER", b"INFO"], [b"READONLY"], [b"READWRITE"], [b"ASKING"], [b"COMMAND", b"LIST"], [b"UNWATCH"]]
NOT_AS_USER = (b"MULTI", b"EXEC", b"DISCARD", b"WATCH", b"AUTH", b"HELLO", b"@hello", b"RESET", b"DBSIZE", b"SCAN")


def as_user(draw, both, equal_replies):
    """A user with random rules, some commands in its name, and back: nothing, or the commands and replies that differ."""
    rules = [draw.choice(ACL_RULES) for _ in range(draw.randrange(0, 8))]
    if draw.random() < 0.5:
        rules.insert(0, b"allkeys")
    steps = [[b"ACL", b"SETUSER", b"maya", b"reset"], [b"ACL", b"SETUSER", b"maya"] + rules, [b"ACL", b"SETUSER", b"maya", b"on", b"nopass"],
             [b"AUTH", b"maya", b"x"], [b"ACL", b"DELUSER", b"nobody", b"default"]]
    steps += [draw.choice(ACL_PROBES) if draw.random() < 0.4 else draw_command(draw) for _ in range(12)]
    denied = 0
    for words in [step for step in steps if step[0] not in NOT_AS_USER or step == steps[3]] + [[b"AUTH", b"default", b"x"]]:
        wanted, got = both(words)
        denied += wanted.startswith(b"-NOPERM")
        same = (wanted[:7] == got[:7] == b"-NOPERM" and wanted == got) or (b"-NOPERM" not in (wanted[:7], got[:7]) and
                                                                              (words in ACL_PROBES or equal_replies(words, wanted, got)))
        if not same:
            return f"as a user with {rules}: {words}\n  redis:  {wanted}\n  orrery: {got}", denied
    return None, denied


def int_or_none(word):
    try:
        return int(word)
    except ValueError:
        return None


def away_from_present_expiry(words, ask):
    """A relative expiry under GT or LT that would end about when the key ends already is moved well away from there.

    Which of two equal ones is later depends on the millisecond in which each server ran them. The margin is far above the
    duration of this test and far below what the drawn values differ by, so the commands do not depend on the machine's speed.
    Equal absolute expiries stay: they are equal on both.
    """
    if words[0] not in (b"EXPIRE", b"PEXPIRE") or not {b"GT", b"LT"} & {word.upper() for word in words[3:]}:
        return words
    unit_ms = 1000 if words[0] == b"EXPIRE" else 1
    after = int_or_none(words[2])
    ends_ms = int_or_none(ask([b"PEXPIRETIME", words[1]])[1:])
    if after is None or ends_ms is None or abs(time.time_ns() // 1000000 + after * unit_ms - ends_ms) > MARGIN_MS:
        return words
    return words[:2] + [b"%d" % (after + MOVED_MS // unit_ms)] + words[3:]


def without_comparison(words):
    relative = words[0] in (b"EXPIRE", b"PEXPIRE")
    return [word for word in words if not (relative and word.upper() in (b"GT", b"LT"))]


def main():
    oracle_path = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        server = redis_server(folder)
        if server is None:
            print("SKIPPED kv_against_redis redis-server is not installed")
            return 0
        return run(server, folder, oracle_path)


def run(server, folder, oracle_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    redis = subprocess.Popen([server, "--port", str(port), "--save", "", "--bind", "127.0.0.1", "--dir", folder],
                             stdout=subprocess.DEVNULL)
    oracle = subprocess.Popen([oracle_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        return compare(port, oracle)
    finally:
        oracle.kill()
        redis.kill()
        redis.wait()


def equal(words, wanted, got, apart_ms):
    if got == wanted:
        return True
    name = words[0].upper()
    if name in (b"PTTL", b"TTL", b"PEXPIRETIME", b"EXPIRETIME"):
        # Apart when the key got its expiry and again now, and a rounding on either side. -1 and -2 say that there is none: that is
        # never about the same.
        allowed_ms = 2 * apart_ms + 2
        allowed = allowed_ms if name[:1] == b"P" else allowed_ms / 1000 + 1
        return got[:1] == wanted[:1] == b":" and min(int(got[1:]), int(wanted[1:])) >= 0 and abs(int(got[1:]) - int(wanted[1:])) <= allowed
    if name == b"KEYS":
        return got[:1] == wanted[:1] == b"*" and sorted(items_of(got)) == sorted(items_of(wanted))
    if name == b"SCAN":
        if got[:1] != b"*" or wanted[:1] != b"*":
            return False
        ours, theirs = items_of(got), items_of(wanted)
        return ours[0] == theirs[0] == b"$1\r\n0\r\n" and sorted(items_of(ours[1])) == sorted(items_of(theirs[1]))
    if name == b"HELLO":
        return got[:1] == wanted[:1] and got[:1] in b"*%"
    if name == b"DBSIZE":  # inside a transaction nobody has looked at expired keys before
        return got[:1] == wanted[:1] == b":" and int(got[1:]) <= int(wanted[1:])
    if name == b"OBJECT":  # Redis shares small numbers and remembers that a string was changed in place
        return got[:1] == wanted[:1] and got[:1] in b":$" and b"$-1" not in (got[:3], wanted[:3])
    return False


def compare(port, oracle):
    for _ in range(100):
        try:
            connection = socket.create_connection(("127.0.0.1", port))
            break
        except OSError:
            time.sleep(0.05)
    stream = connection.makefile("rb")

    def ask(words):
        connection.sendall(request(words))
        return read_reply(stream)

    version = next(l for l in ask([b"INFO", b"server"]).split(b"\r\n") if l.startswith(b"redis_version:")).decode()
    if not version.startswith("redis_version:7.0."):
        print("SKIPPED kv_against_redis the words of", version, "differ from 7.0")
        return 0
    draw = random.Random(20260729)
    errors, names = set(), set()
    queued = None  # the commands since MULTI, as far as they were queued
    moved = 0
    apart_ms = 0  # at most, between the clocks that both ran one command by
    denied = 0

    def both(words):
        wanted = ask(words)
        oracle.stdin.write(b"%d %s\n" % (time.time_ns(), b" ".join(w.hex().encode() or b"-" for w in words)))
        oracle.stdin.flush()
        return wanted, bytes.fromhex(oracle.stdout.readline().strip().decode())

    for number in range(COMMANDS):
        if queued is None and number % 40 == 0:
            difference, more = as_user(draw, both, lambda words, wanted, got: equal(words, wanted, got, 1000))
            denied += more
            if difference:
                print(f"command {number}, {difference}")
                return 1
        drawn = draw_command(draw)
        # What is queued can not ask for the present end first: it goes without the comparison.
        words = away_from_present_expiry(drawn, ask) if queued is None else without_comparison(drawn)
        moved += words != drawn
        if words[0] == b"@hello":  # the greeting itself differs: only the version it sets is of interest, outside of transactions
            if queued is not None:
                continue
            words = [b"HELLO", words[1]]
        if words == [b"DBSIZE"] and queued is None:
            # A key that was set into the past counts in Redis until somebody looks at it.
            ask([b"EXISTS"] + KEYS)
        before_ns = time.time_ns()
        wanted = ask(words)
        now_ns = time.time_ns()
        apart_ms = max(apart_ms, (now_ns - before_ns) / 1e6)
        line = b"%d %s\n" % (now_ns, b" ".join(w.hex().encode() or b"-" for w in words))
        oracle.stdin.write(line)
        oracle.stdin.flush()
        got = bytes.fromhex(oracle.stdout.readline().strip().decode())
        if wanted[:1] == b"-":
            errors.add(wanted)
        else:
            names.add(words[0].upper())
        if words[0] == b"EXEC" and queued is not None and wanted[:1] == got[:1] == b"*" and wanted != b"*-1\r\n" and got != b"*-1\r\n":
            pairs = list(zip(queued, items_of(wanted), items_of(got)))
            same = len(queued) == len(items_of(wanted)) == len(items_of(got)) and all(equal(*pair, apart_ms) for pair in pairs)
        else:
            same = equal(words, wanted, got, apart_ms)
        if not same:
            print(f"command {number}: {words} (since MULTI: {queued})\n  redis:  {wanted}\n  orrery: {got}")
            return 1
        if wanted == b"+QUEUED\r\n":
            queued.append(words)
        elif words == [b"MULTI"] and wanted == b"+OK\r\n":
            queued = []
        elif words[0] in (b"EXEC", b"DISCARD", b"RESET") and (len(words) == 1 or words[0] == b"EXEC"):
            queued = None
    print(f"{COMMANDS} commands ({moved} moved away from an equal expiry), {len(errors)} different errors, {len(names)} commands that succeeded, {denied} denied to users: "
          f"all replies equal ({version}, clocks within {apart_ms:.1f} ms)")
    return 0


sys.exit(main())
