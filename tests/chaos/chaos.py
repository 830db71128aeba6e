"""Real processes in network namespaces of their own, a seeded plan of faults, clients outside, and a judgement at the end: the
clients' history must be linearizable (`orrery check`), every acknowledged write must be there, everybody must come back.

    chaos.py BUILD-DIRECTORY SECONDS [--seed N] [--target kv|kv-leases|redis] [--faults cut,kill,...] [--nodes N] [--keep DIRECTORY]

tools/chaos is the command to type. Exit codes: 0 nothing found, 1 something found, 2 usage, 3 nothing checked (namespaces
refused, or too little was answered).
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "e2e")]
import faults  # noqa: E402
from cluster import Stage, until  # noqa: E402
from groups import GROUPS  # noqa: E402
from history import History, Transactions  # noqa: E402
from ledger import Ledger  # noqa: E402
from network import Network  # noqa: E402
from resp import ReplyError  # noqa: E402
from runner import Skip  # noqa: E402

ANSWERED_MIN = 200  # below it nothing was tested
LINES_TOLD = 20


def check_history(stage, path, model="kv"):
    """Exit code and text of `orrery check`."""
    done = subprocess.run([stage.program("tools/orrery/orrery"), "check", path, "--model", model], capture_output=True, text=True, timeout=600)
    return done.returncode, (done.stdout + done.stderr).strip()


def patient_check(ledger, node):
    """None when a read was not answered: on a busy machine the leader may change once more."""
    try:
        return ledger.check(node)
    except (ReplyError, OSError):
        return None


class Run:
    """One run in a Stage. `findings`: one text each; empty is good. `history_path` stays for as long as the stage's directory does."""

    def __init__(self, stage, seconds, seed, target="kv", kinds=None, nodes=3):
        self.findings = []
        self.history_path = os.path.join(stage.directory, "history.jsonl")
        self.transactions_path = os.path.join(stage.directory, "transactions.jsonl")
        network = Network(nodes, seed)
        stage.at_close(network.close)
        stage.keep_data = True
        group = GROUPS[target](stage, network, nodes)
        kinds = kinds or group.kinds
        # Both kinds of history while the same faults strike; fewer clients each.
        histories = [History(group, threads=6, seed=seed), Transactions(group, threads=4, seed=seed + 1)]
        paths = [self.history_path, self.transactions_path]
        ledger = Ledger(group, threads=3, seed=seed, timeout=4, pause=0.004, prefix="ledger")
        worker = faults.Faults(network, group, faults.plan(seed, seconds, kinds, group.fault_seconds), os.path.join(stage.directory, "faults.jsonl"))
        begin = time.monotonic()
        with histories[0], histories[1], ledger:
            worker.run(seconds, group.each)
        for history, path in zip(histories, paths):
            history.write(path)  # also when nobody comes back
        self.findings += worker.findings
        try:
            settled = group.settle()
            for history in histories:
                history.read_all(settled)
        except (AssertionError, OSError) as error:
            settled = []
            self.findings.append(f"after all faults had ended: {error}")
        for history, path in zip(histories, paths):
            history.write(path)
        ledgers = set()
        for node in settled:
            try:
                ledgers.add(until(f"{node.name} answers all reads of the ledger", lambda: patient_check(ledger, node), limit=60, pause=0.5))
            except AssertionError as error:
                self.findings.append(f"ledger through {node.name}: {error}")
        for history, path in zip(histories, paths):
            code, text = check_history(stage, path, history.model)
            if code != 0:
                self.findings.append(f"orrery check ended with {code}: {text}")
        with open(os.path.join(stage.directory, "findings.txt"), "w") as file:
            file.write("\n\n".join(self.findings) + "\n")
        self.answered = sum(operation["status"] == "ok" for history in histories for operation in history.operations)
        packets = network.packets()
        self.done = worker.done
        self.summary = (f"{', '.join(f'{count} {kind}' for kind, count in sorted(worker.done.items()))}; history: {histories[0].summary()}; transactions: {histories[1].summary()}; ledger: {'; '.join(sorted(ledgers)) or 'failed'}; "
                        f"packets: {packets['passed']} passed, {packets['lost']} lost, {packets['delayed']} delayed; {time.monotonic() - begin:.0f} s")
        if hasattr(group, "failovers"):
            self.summary += f"; {group.failovers} failovers"


def told(findings):
    """With the first lines of each."""
    parts = []
    for finding in findings:
        lines = finding.splitlines()
        parts.append("FOUND: " + "\n".join(lines[:LINES_TOLD]) + (f"\n  ... {len(lines) - LINES_TOLD} more lines in findings.txt" if len(lines) > LINES_TOLD else ""))
    return "\n".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("seconds", type=float)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--target", choices=sorted(GROUPS), default="kv")
    parser.add_argument("--faults", default=None)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--keep", default=None)
    arguments = parser.parse_args()
    kinds = arguments.faults.split(",") if arguments.faults else None
    unknown = set(kinds or ()) - set(GROUPS[arguments.target].kinds)
    if unknown:
        parser.error(f"no such faults for {arguments.target}: {', '.join(sorted(unknown))}; there are {', '.join(GROUPS[arguments.target].kinds)}")
    seed = arguments.seed if arguments.seed is not None else int.from_bytes(os.urandom(4), "little")
    again = f"tools/chaos {arguments.seconds:g}s --seed {seed} --target {arguments.target} --nodes {arguments.nodes}" + (f" --faults {arguments.faults}" if arguments.faults else "")
    print(f"chaos: {again}", flush=True)
    if arguments.keep:
        os.makedirs(arguments.keep, exist_ok=True)
    stage = Stage(os.path.abspath(arguments.build), "chaos", tempfile.mkdtemp(prefix=f"{arguments.target}-{seed}-", dir=arguments.keep))
    run, failed = None, True
    try:
        run = Run(stage, arguments.seconds, seed, arguments.target, kinds, arguments.nodes)
        failed = bool(run.findings)
    except Skip as skip:
        print(f"SKIPPED chaos {skip}")
        failed = False
        return 3
    finally:
        stage.close(keep=failed)
    print(run.summary)
    if run.findings:
        print(told(run.findings))
        print(f"again: {again}")
        return 1
    if run.answered < ANSWERED_MIN:
        print(f"inconclusive: only {run.answered} operations were answered")
        return 3
    print("chaos: nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
