"""The program as an operator starts it, without a cluster: help, usage, messages, exit codes, interrupts.

  program_test.py ORRERYCTL
"""
import os
import re
import signal
import socket
import subprocess
import sys
import time
import unittest

ORRERYCTL = os.path.abspath(sys.argv[1])
MEMBER_COMMANDS = ["init", "members", "add", "remove", "transfer"]
VIEWS = [["status"], ["node", "list"], ["volume", "list"], ["volume", "info", "photos"], ["partition", "list", "photos"], ["partition", "info", "7"],
         ["node", "info", "7"], ["task", "list"], ["task", "info", "7"]]
CHANGES = [["volume", "create", "photos", "--capacity", "100GiB"], ["volume", "extend", "photos", "--partitions", "5"], ["volume", "delete", "photos", "--yes"],
           ["node", "decommission", "7"], ["node", "decommission", "7", "--disk", "2"], ["node", "decommission-cancel", "7"]]
GROUPS = {"master": MEMBER_COMMANDS, "kv": MEMBER_COMMANDS + ["leases", "time"], "node": ["list", "info", "decommission", "decommission-cancel"],
          "volume": ["create", "list", "info", "extend", "delete"], "partition": ["list", "info"], "task": ["list", "info"]}


def run(*arguments):
    return subprocess.run([ORRERYCTL, *arguments], capture_output=True, text=True, timeout=60)


def start(*arguments):
    return subprocess.Popen([ORRERYCTL, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def directory_of(talker):
    """The one that it has open, once it has."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        for number in os.listdir(f"/proc/{talker.pid}/fd"):
            try:
                opened = os.readlink(f"/proc/{talker.pid}/fd/{number}")
            except FileNotFoundError:
                continue
            if opened.startswith("/tmp/orreryctl-"):
                return "/".join(opened.split("/")[:3])
        time.sleep(0.02)
    raise AssertionError("it has none")


class Program(unittest.TestCase):
    def setUp(self):
        # Bound and not listening: whoever connects is refused, and nobody else gets the port meanwhile.
        self.nobody = socket.socket()
        self.addCleanup(self.nobody.close)
        self.nobody.bind(("127.0.0.1", 0))
        self.at = f"127.0.0.1:{self.nobody.getsockname()[1]}"

    def refused(self, *arguments, message):
        done = run(*arguments)
        self.assertEqual(done.returncode, 2, done)
        self.assertEqual(done.stdout, "")
        self.assertIn(message, done.stderr)

    # ---- help

    def test_every_command_has_a_help_that_begins_with_what_it_does(self):
        words = [[], ["status"]] + [[group] for group in GROUPS] + [[group, command] for group in GROUPS for command in GROUPS[group]]
        for command in words:
            done = run(*command, "--help")
            self.assertEqual((done.returncode, done.stderr), (0, ""), command)
            what, usage = done.stdout.splitlines()[:2]
            self.assertGreater(len(what), 10, command)
            self.assertTrue(usage.startswith(" ".join(["Usage: orreryctl", *command]) + " "), usage)

    def test_the_commands_of_masters_and_of_kv_say_each_their_own_word(self):
        self.assertIn("found a cluster of masters", run("master", "init", "--help").stdout)
        self.assertIn("found a cluster of nodes", run("kv", "init", "--help").stdout)
        for command in MEMBER_COMMANDS:
            self.assertIsNone(re.search(r"\bkv\b", run("master", command, "--help").stdout, re.I))
            self.assertNotIn("master", run("kv", command, "--help").stdout)

    def test_what_masters_do_not_have_is_not_offered(self):
        for command in ("leases", "time"):
            self.refused("master", command, message=f"orreryctl master: error[E0311]: there is no command '{command}'")

    # ---- usage

    def test_an_unknown_command_is_named_with_what_may_have_been_meant(self):
        self.refused("nodes", message="orreryctl: error[E0311]: there is no command 'nodes'; did you mean 'node'?")
        self.refused("node", "lisst", "--at", self.at, message="orreryctl node: error[E0311]: there is no command 'lisst'; did you mean 'list'?")
        self.refused("frobnicate", message="there is no command 'frobnicate'; see 'orreryctl --help'")
        self.refused(message="A subcommand is required")
        self.refused("volume", message="A subcommand is required")

    def test_every_question_and_change_needs_an_address(self):
        for command in VIEWS + CHANGES + [["master", "members"]]:
            self.refused(*command, message="--at is required")
            self.refused(*command, "--at", "here", message="--at: error[E0303]: ")

    def test_what_can_not_be_is_refused_before_anybody_is_asked(self):
        at = ("--at", self.at)
        self.refused("node", "list", *at, "-o", "yaml", message="yaml not in {table,json}")
        self.refused("partition", "info", "0", *at, message="'0' is no number from 1 on")
        self.refused("partition", "info", "seven", *at, message="'seven' is no number from 1 on")
        self.refused("volume", "create", "photos", *at, "--partitions", "0", message="'0' is no number from 1 on")
        self.refused("volume", "extend", "photos", *at, message="--partitions is required")
        self.refused("node", "decommission", "7", "--disk", "0", *at, message="'0' is no number from 1 on")
        self.refused("volume", "create", "photos", *at, "--capacity", "3GB/s", message="--capacity: error[E0309]: '3GB/s' is not a size")
        self.refused("status", *at, "--timeout", "0", message="--timeout")
        self.refused("master", "members", *at, "--json", "-o", "table", message="excludes")

    def test_a_volume_is_deleted_only_with_yes(self):
        self.refused("volume", "delete", "photos", "--at", self.at, message="orreryctl: error[E0310]: volume 'photos' would be deleted with all that is "
                     "in it, for good; if that is meant, say so with --yes")

    # ---- nobody answers

    def test_nobody_answers(self):
        members = [["master", "members"], ["kv", "members"], ["master", "remove", "1"], ["master", "transfer", "1"]]
        asked = [(command, start(*command, "--at", self.at, "--timeout", "1")) for command in VIEWS + CHANGES + members]
        for command, talker in asked:
            said, why = talker.communicate(timeout=60)
            self.assertEqual((talker.returncode, said), (69, ""), command)
            self.assertRegex(why, r"^orreryctl: error\[E0302\]: Timeout: .*" + re.escape(self.at) + ".*Connection refused\n$")

    def test_a_watch_of_what_never_answered_does_not_go_on(self):
        self.assertEqual(run("node", "list", "--watch", "--at", self.at, "--timeout", "1").returncode, 69)

    def test_an_interrupt_leaves_no_directory_behind(self):
        for sent in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            talker = start("status", "--at", self.at)
            directory = directory_of(talker)
            self.assertTrue(os.path.isdir(directory))
            talker.send_signal(sent)
            talker.communicate(timeout=20)
            self.assertEqual(talker.returncode, -sent)
            self.assertFalse(os.path.exists(directory))

    def test_an_ignored_interrupt_stays_ignored(self):
        talker = subprocess.Popen([ORRERYCTL, "status", "--at", self.at, "--timeout", "1"], stderr=subprocess.DEVNULL,
                                  preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        directory_of(talker)
        talker.send_signal(signal.SIGHUP)
        self.assertEqual(talker.wait(20), 69)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
