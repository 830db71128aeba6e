"""A short run of chaos, and the proofs that it can fail: the switch does what it is told, the shims act, a history that was tampered
with is refused, and a stock redis-server that fails over without WAIT is caught. The long form is tools/chaos."""
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "e2e")]
import faults  # noqa: E402
import runner  # noqa: E402
from chaos import ANSWERED_MIN, Run, check_history, told  # noqa: E402
from cluster import die_with_parent, until  # noqa: E402
from network import OUTSIDE, Network  # noqa: E402

SEED, SECONDS = 296, 34

ECHO = "import socket,sys; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind((sys.argv[1],7))\nwhile True: s.sendto(*s.recvfrom(2000))"
ASK = """import socket,sys,time
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.connect((sys.argv[1],7)); s.settimeout(float(sys.argv[3])); heard=0; slowest=0
for number in range(int(sys.argv[2])):
    begin=time.monotonic(); s.send(b'%d'%number)
    try: heard+=s.recv(99)==b'%d'%number; slowest=max(slowest,time.monotonic()-begin)
    except OSError: pass
print(heard,slowest)"""


def test_the_switch_loses_delays_and_cuts_as_it_is_told(stage):
    network = Network(2, seed=1)
    stage.at_close(network.close)

    def inside(number):
        place = network.place(number)

        def enter():
            place.enter()
            die_with_parent()
        return enter
    echoes = [subprocess.Popen([sys.executable, "-c", ECHO, network.address(number)], preexec_fn=inside(number)) for number in (1, 2)]

    def ask(target, count=50, limit=0.1):
        """From place 1: answers, slowest in seconds."""
        done = subprocess.run([sys.executable, "-c", ASK, network.address(target), str(count), str(limit)], preexec_fn=inside(1), capture_output=True, text=True, check=True)
        return int(done.stdout.split()[0]), float(done.stdout.split()[1])
    try:
        until("the echoes are up", lambda: ask(1, 1)[0] == 1 and ask(2, 1)[0] == 1)
        assert ask(2, limit=2)[0] == 50
        network.set(1, 2, drop=True)
        lost = network.packets()["lost"]
        assert ask(2, 10)[0] == 0 and network.packets()["lost"] == lost + 10, "nothing goes out"
        network.set(1, 2)
        network.set(2, 1, drop=True)
        passed = network.packets()["passed"]
        assert ask(2, 10)[0] == 0 and network.packets()["passed"] == passed + 10, "everything arrives, nothing comes back"
        network.set(2, 1, loss=0.5)
        assert 5 <= ask(2)[0] <= 45
        network.set(2, 1, delay_ms=60)
        heard, slowest = ask(2, 5, 2)
        assert heard == 5 and slowest >= 0.06
        network.heal()
        assert ask(2, limit=2)[0] == 50
        done = subprocess.run(["ip", "-brief", "address"], capture_output=True, text=True, check=True)
        assert network.address(OUTSIDE) in done.stdout and "eth" not in done.stdout, f"no other network is within reach: {done.stdout}"
    finally:
        for echo in echoes:
            echo.kill()
            echo.wait()


SHOW = """import ctypes,os,struct,time
libc=ctypes.CDLL(None); boot,wall,mono=(lambda: time.clock_gettime_ns(7)),(lambda: time.clock_gettime_ns(0)),(lambda: time.clock_gettime_ns(1))
a=(boot(),mono()); time.sleep(0.4); rate=(boot()-a[0])/(mono()-a[1])
fd=libc.timerfd_create(7,0); at=boot()+500000000; begin=mono()
assert libc.timerfd_settime(fd,1,struct.pack('4q',0,0,at//10**9,at%10**9),None)==0; os.read(fd,8)
timer=(mono()-begin)/5e8
f=os.open(os.environ['FILE'],os.O_RDWR|os.O_CREAT); begin=mono()
try: os.fdatasync(f); failed=0
except OSError: failed=1
print(rate,timer,wall(),(mono()-begin)/1e6,failed)"""


def test_the_shims_act_on_clocks_and_syncs(stage):
    chaos = faults.ChaosNode(stage, 1)
    os.makedirs(os.path.join(stage.directory, "log"))
    environment = {**os.environ, **chaos.environment, "FILE": os.path.join(stage.directory, "log", "segment1")}

    def show():
        done = subprocess.run([sys.executable, "-c", SHOW], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return [float(word) for word in done.stdout.split()]
    plain = show()
    assert abs(plain[0] - 1) < 0.02 and 0.99 < plain[1] and plain[4] == 0, plain
    chaos.clock(rate=2.0, wall_ns=3600 * 10**9)
    chaos.write("slow", "300000")
    chaos.write("fail", "")
    rate, timer, wall, sync_ms, failed = show()
    assert abs(rate - 2) < 0.02 and 0.49 < timer < 0.95, f"a clock twice as fast: {rate}, a timer {timer}"
    assert 3600 <= (wall - plain[2]) / 1e9 < 3660 and sync_ms >= 300 and failed == 1, (wall, sync_ms, failed)
    chaos.clock(rate=1.0, wall_ns=0)
    chaos.remove("slow")
    chaos.remove("fail")
    rate, _, _, _, failed = show()
    assert abs(rate - 1) < 0.02 and failed == 0


def test_the_same_seed_gives_the_same_plan_with_every_kind_of_fault(stage):
    steps = faults.plan(SEED, 600)
    assert steps == faults.plan(SEED, 600) and steps != faults.plan(SEED + 1, 600)
    assert {step["kind"] for step in faults.plan(SEED, SECONDS)} == set(faults.KINDS)
    assert all(step["at"] + step["for"] <= 600 for step in steps)


def test_the_group_keeps_its_promises_and_a_tampered_history_is_found(stage):
    run = Run(stage, SECONDS, SEED)
    again = f"again: tools/chaos {SECONDS}s --seed {SEED}"
    assert not run.findings, f"{told(run.findings)}\n{run.summary}\n{again}"
    assert run.answered >= ANSWERED_MIN and len(run.done) >= 11, f"too little happened: {run.summary}"
    with open(run.history_path) as file:
        history = [json.loads(line) for line in file]
    path = os.path.join(stage.directory, "tampered.jsonl")

    def refused(operations):
        with open(path, "w") as file:
            file.writelines(json.dumps(operation) + "\n" for operation in operations)
        code, text = check_history(stage, path)
        return code == 1 and "not linearizable" in text
    # A lost write: its key has a value at the end, and the last read of it says that there is none.
    last = {operation["key"]: number for number, operation in enumerate(history) if operation["op"] == "get" and operation["status"] == "ok"}
    number = next(number for number in last.values() if history[number]["output"] and history[number]["key"].startswith("h")
                  and not any(other["key"] == history[number]["key"] and other["op"] == "del" and other["status"] == "unknown" for other in history))
    assert refused([{**operation, "output": None} if index == number else operation for index, operation in enumerate(history)]), "a read that lost a write"
    # A counter that counted once what was acknowledged twice.
    counts = [number for number, operation in enumerate(history) if operation["op"] == "incr" and operation["status"] == "ok"]
    first, second = next((one, other) for one in counts for other in counts if one < other and history[one]["key"] == history[other]["key"])
    assert refused([{**operation, "output": history[first]["output"]} if index == second else operation for index, operation in enumerate(history)]), "a doubled count"
    # A value that nobody wrote.
    assert refused([{**operation, "output": "nobody's"} if index == number else operation for index, operation in enumerate(history)]), "an unwritten value"
    # A transaction of which one write is missing in the last read of its list.
    with open(run.transactions_path) as file:
        history = [json.loads(line) for line in file]
    assert sum(operation["op"] == "txn" and operation["status"] == "ok" for operation in history) > 50
    last = {operation["key"]: number for number, operation in enumerate(history) if operation["op"] == "get" and operation["status"] == "ok"}
    texts = [(part[1], part[2]) for operation in history if operation["op"] == "txn" and operation["status"] == "ok" for part in operation["value"] if part[0] == "append"]
    key, text = next((key, text) for key, text in texts if text in (history[last[key]]["output"] or ""))
    with open(path, "w") as file:
        for number, operation in enumerate(history):
            file.write(json.dumps({**operation, "output": operation["output"].replace(text, "")} if number == last[key] else operation) + "\n")
    code, told_text = check_history(stage, path, "txn")
    assert code == 1 and "not strictly serializable" in told_text and text in told_text, told_text
    return run.summary


def test_a_stock_redis_that_fails_over_without_wait_is_caught_losing_acknowledged_writes(stage):
    run = Run(stage, 18, 3, target="redis", kinds=("cut",))
    text = "\n".join(run.findings)
    assert "acknowledged writes are lost" in text, f"the ledger has not seen it: {run.summary}"
    assert "orrery check ended with 1" in text, f"the checker has not seen it: {run.summary}"
    return run.summary


if __name__ == "__main__":
    runner.main(sys.modules[__name__])
