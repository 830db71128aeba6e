"""The network between the namespaces, as a process of its own: reads IP packets from the TUN device of each place and hands them
to the place they are for, or loses, delays, repeats and so reorders them as the rules say. Netem is not in every kernel, and
its dice have no seed.

    switch.py SEED NUMBER=FD ...      NUMBER is the last byte of the place's address
Rules come on standard input, one JSON list a line: [from, to, {"drop": true, "loss": 0.1, "delay_ms": 20, "jitter_ms": 10,
"repeat": 0.01}], or null for a clean link. Ends at the end of its input. Every line is answered by one, with the packets so far.
"""
import heapq
import json
import os
import random
import select
import sys
import time

PACKETS_PER_TURN = 64
DELAYED_MAX = 20000  # more than a full window of every connection; beyond it packets are lost, as in a full queue


def main():
    draw = random.Random(int(sys.argv[1]))
    device = {int(number): int(fd) for number, fd in (word.split("=") for word in sys.argv[2:])}
    number_of = {fd: number for number, fd in device.items()}
    rules, delayed, counts, order = {}, [], {"passed": 0, "lost": 0, "delayed": 0}, 0
    poll = select.epoll()
    for fd in (*number_of, 0):
        poll.register(fd, select.EPOLLIN)
    text = b""

    def put(fd, packet):
        try:
            os.write(fd, packet)
            counts["passed"] += 1
        except OSError:  # its queue is full, or the device is going away
            counts["lost"] += 1

    while True:
        wait = max(0.0, delayed[0][0] - time.monotonic()) if delayed else -1
        for fd, _ in poll.poll(wait):
            if fd == 0:
                data = os.read(0, 65536)
                if not data:
                    return
                *lines, text = (text + data).split(b"\n")
                for line in lines:
                    source, target, rule = json.loads(line)
                    rules[source, target] = rule
                    print(json.dumps(counts), flush=True)
                continue
            source = number_of[fd]
            for _ in range(PACKETS_PER_TURN):
                try:
                    packet = os.read(fd, 65536)
                except BlockingIOError:
                    break
                if packet[0] >> 4 != 4 or packet[19] not in device:
                    continue
                to = device[packet[19]]
                rule = rules.get((source, packet[19]))
                if not rule:
                    put(to, packet)
                    continue
                if rule.get("drop") or draw.random() < rule.get("loss", 0) or len(delayed) >= DELAYED_MAX:
                    counts["lost"] += 1
                    continue
                for _ in range(2 if draw.random() < rule.get("repeat", 0) else 1):
                    order += 1
                    late = rule.get("delay_ms", 0) + draw.random() * rule.get("jitter_ms", 0)
                    heapq.heappush(delayed, (time.monotonic() + late / 1000, order, to, packet))
                    counts["delayed"] += late > 0
        now = time.monotonic()
        while delayed and delayed[0][0] <= now:
            _, _, to, packet = heapq.heappop(delayed)
            put(to, packet)


if __name__ == "__main__":
    main()
