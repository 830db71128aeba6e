#!/usr/bin/env python3
"""Runs the same random commands against execute() and a stock redis-server; the replies must be equal byte for byte.

Expiries are far away or long past, so that both clocks agree; times left are compared within how far the clocks were apart.
"""
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
    if line[:1] == b"*" and line != b"*-1\r\n":
        return line + b"".join(read_reply(stream) for _ in range(int(line[1:])))
    return line


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
        lambda: [b"nosuch", value(), value()], lambda: [b"CLIENT", draw.choice([b"foo", b"SETNAME", b"a\r\nb"])],
        lambda: [draw.choice([b"GET", b"SET", b"DEL", b"EXPIRE", b"INCRBY"])] + [key()] * draw.choice([0, 1, 5]),
    ])()
    return words


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
    errors = set()
    moved = 0
    apart_ms = 0  # at most, between the clocks that both ran one command by
    for number in range(COMMANDS):
        drawn = draw_command(draw)
        words = away_from_present_expiry(drawn, ask)
        moved += words != drawn
        if words == [b"DBSIZE"]:
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
        same = got == wanted
        if not same and got[:1] == wanted[:1] == b":" and words[0] in (b"PTTL", b"PEXPIRETIME", b"TTL", b"EXPIRETIME"):
            # Apart when the key got its expiry and again now, and a rounding on either side.
            allowed_ms = 2 * apart_ms + 2
            allowed = allowed_ms if words[0][:1] == b"P" else allowed_ms / 1000 + 1
            # -1 and -2 say that there is none: that is never about the same.
            same = min(int(got[1:]), int(wanted[1:])) >= 0 and abs(int(got[1:]) - int(wanted[1:])) <= allowed
        if not same:
            print(f"command {number}: {words}\n  redis:  {wanted}\n  orrery: {got}")
            return 1
    print(f"{COMMANDS} commands ({moved} moved away from an equal expiry), {len(errors)} different errors: "
          f"all replies equal ({version}, clocks within {apart_ms:.1f} ms)")
    return 0


sys.exit(main())
