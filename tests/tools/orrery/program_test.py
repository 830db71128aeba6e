"""The program as a user starts it: help, exit codes, messages, run directories, replay, verify, fuzz, check, lint, list.

  program_test.py ORRERY SOURCES
Every message code of tools/orrery/README.md that a user can provoke is provoked here.
"""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import xml.etree.ElementTree as ElementTree

ORRERY = os.path.abspath(sys.argv[1])
SOURCES = os.path.abspath(sys.argv[2])
SWARM = os.path.join(SOURCES, "scenarios/swarm/kv-default.toml")
SHORT = ["--set", "workload.ops=40", "--set", "workload.clients=2"]
DEFECT = "ack_before_sync"
LATER = ["shrink", "diff", "explain", "report", "mutants", "dose", "new", "corpus", "real", "play", "merge", "gdb"]


class Program(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.dir = scratch.name

    def run_orrery(self, *arguments, stdin=""):
        return subprocess.run([ORRERY, *arguments], cwd=self.dir, input=stdin, capture_output=True, text=True, timeout=120)

    def path(self, name, text):
        with open(os.path.join(self.dir, name), "w", encoding="utf-8") as file:
            file.write(text)
        return name

    def refused(self, code, *arguments, exit_code=2):
        result = self.run_orrery(*arguments)
        self.assertEqual(result.returncode, exit_code, result.stderr)
        self.assertEqual(result.stdout, "")
        self.assertIn(f"error[{code}]: ", result.stderr)
        return result.stderr

    def failing_run(self):
        """A run with a seeded defect that is caught; its seed."""
        for seed in range(8, 40):
            # Without holds: whether one comes to its point depends on what the defect does to the run.
            result = self.run_orrery("run", SWARM, "--seed", str(seed), "--defect", DEFECT, "--set", "swarm.exclude=[\"hold\"]")
            if result.returncode == 1:
                return seed, result
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.fail("no seed of 32 catches the defect")

    # ---- help, usage, messages

    def test_help_names_what_there_is_and_nothing_that_comes_later(self):
        texts = [self.run_orrery("--help")]
        commands = ["run", "replay", "verify", "fuzz", "check", "lint", "list"]
        texts += [self.run_orrery(command, "--help") for command in commands]
        for command, result in zip(["", *commands], texts):
            self.assertEqual(result.returncode, 0)
            self.assertEqual(result.stderr, "")
            self.assertIn(f"Usage: orrery{' ' if command else ''}{command}", result.stdout)
            for word in LATER:  # as a command or an option
                self.assertNotRegex(result.stdout, rf"(?m)(^  {word}\b|--{word}\b)")
        for command in commands:
            self.assertIn(f"  {command} ", texts[0].stdout)

    def test_version(self):
        text = self.run_orrery("--version")
        self.assertEqual(text.returncode, 0)
        self.assertRegex(text.stdout, r"^orrery \S+ \(commit \S+, build [0-9a-f]{16,}\)\nrocksdb \d+\.\d+\.\d+, options [0-9a-f]{16}\n$")
        self.assertNotIn("options 0000000000000000", text.stdout)
        self.assertEqual(json.loads(self.run_orrery("--version", "-o", "json").stdout)["rocksdb_version"], text.stdout.split()[-3].rstrip(","))

    def test_usage_errors_are_2_with_a_suggestion(self):
        self.assertIn("see 'orrery --help'", self.refused("E0401"))
        self.assertIn("unknown option '--sede'; did you mean '--seed'?", self.refused("E0401", "run", SWARM, "--sede", "1"))
        self.assertIn("unknown command 'veryfi'; did you mean 'verify'?", self.refused("E0401", "veryfi"))
        self.assertIn("SCENARIO", self.refused("E0401", "run"))
        for wrong in (["fuzz", "--budget", "10"], ["fuzz", "--shard", "2/2"], ["fuzz", "--jobs", "0"], ["verify", SWARM, "--seeds", "0"],
                      ["run", SWARM, "--seed", "x"], ["run", SWARM, "-o", "yaml"], ["run", SWARM, "--wall", "5"], ["list", "nothing"],
                      ["check", "x", "--model", "queue"], ["run", "a", "b"]):
            self.refused("E0401", *wrong)

    def test_files_and_values_that_are_not_there(self):
        self.refused("E0402", "run", "none.toml")
        self.refused("E0402", "run", ".")
        self.refused("E0402", "check", "none.jsonl")
        self.refused("E0402", "fuzz")  # no scenarios/swarm here
        self.refused("E0402", "fuzz", ".")
        self.refused("E0402", "replay", "none")
        self.refused("E0403", "replay", self.path("plan.toml", 'schema = 1\nname = "p"\n'), "--until", "tomorrow")
        self.refused("E0404", "run", SWARM, "--set", "nonsense")
        self.assertIn("did you mean 'ack_before_sync'?", self.refused("E0405", "run", SWARM, "--defect", "ack_before_sink"))
        self.assertIn("--set workload.clints=3: error", self.run_orrery("run", SWARM, "--set", "workload.clints=3").stderr)
        self.refused("E0407", "replay", SWARM)

    def test_lint_names_every_problem_with_its_place(self):
        bad = self.path("bad.toml", 'schema = 1\nname = "bad"\nnonsense = 1\n[workload]\nclints = 3\n')
        result = self.run_orrery("lint", bad)
        self.assertEqual(result.returncode, 2)
        self.assertRegex(result.stdout, r"bad\.toml:3:\d+: error\[E\d{4}\]: .*nonsense")
        self.assertRegex(result.stdout, r"bad\.toml:5:\d+: error\[E\d{4}\]: .*clints")
        self.assertIn("1 file: 2 errors", result.stdout)
        lines = [json.loads(line) for line in self.run_orrery("lint", bad, "-o", "jsonl").stdout.splitlines()]
        self.assertEqual([line.get("severity") for line in lines], ["error", "error", None])
        good = self.run_orrery("lint", SWARM)
        self.assertEqual(good.returncode, 0, good.stdout)

    def test_list(self):
        for topic in ("faults", "points", "probes", "checks", "workloads", "defects"):
            result = self.run_orrery("list", topic)
            self.assertEqual(result.returncode, 0)
            entries = json.loads(self.run_orrery("list", topic, "-o", "json").stdout)[topic]
            self.assertEqual(len(entries), len(result.stdout.splitlines()))
            self.assertGreater(len(entries), 0, topic)
        self.assertIn(DEFECT, self.run_orrery("list", "defects").stdout)

    def test_standard_output_that_can_not_be_written_is_74(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            result = subprocess.run([ORRERY, "list", "defects"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(result.returncode, 74)
        self.assertIn("E0474", result.stderr)

    def test_colour_only_when_asked_for(self):
        self.assertNotIn("\033", self.run_orrery("list", "defects").stdout)
        self.assertIn("\033", self.run_orrery("list", "defects", "--color", "always").stdout)

    # ---- check

    def test_check(self):
        lines = ['{"client":1,"op":"set","key":"a","value":"1","output":null,"start_ns":1,"end_ns":2,"status":"ok"}',
                 '{"client":1,"op":"get","key":"a","value":null,"output":"%s","start_ns":3,"end_ns":4,"status":"ok"}']
        for value, verdict in (("1", 0), ("2", 1)):
            text = "\n".join(lines) % value
            result = self.run_orrery("check", self.path("h.jsonl", text))
            self.assertEqual(result.returncode, verdict, result.stdout)
            self.assertEqual(self.run_orrery("check", "-", stdin=text).returncode, verdict)
            as_json = json.loads(self.run_orrery("check", "h.jsonl", "-o", "json").stdout)
            self.assertEqual(as_json["verdict"], "not" if verdict else "linearizable")
        self.assertIn("E0406", self.run_orrery("check", self.path("broken.jsonl", '{"op":"get"}\n')).stderr)
        self.assertEqual(self.run_orrery("check", "broken.jsonl").returncode, 2)

    # ---- run and replay

    def test_a_passing_run_repeats_and_writes_nothing(self):
        first = self.run_orrery("run", SWARM, "--seed", "7", *SHORT)
        self.assertEqual(first.returncode, 0, first.stdout + first.stderr)
        self.assertIn("PASS", first.stdout)
        self.assertEqual(self.run_orrery("run", SWARM, "--seed", "7", *SHORT).stdout, first.stdout)
        self.assertNotEqual(self.run_orrery("run", SWARM, "--seed", "11", *SHORT).stdout, first.stdout)
        self.assertEqual(os.listdir(self.dir), [])

    def test_a_failing_run_leaves_a_directory_that_replays(self):
        seed, result = self.failing_run()
        place = f"runs/kv-default/{seed}"
        self.assertIn("FAIL", result.stdout)
        self.assertIn(f"seed {seed}", result.stdout)
        self.assertIn(f"orrery replay {place}", result.stdout)
        files = set(os.listdir(os.path.join(self.dir, place)))
        self.assertLessEqual({"meta.json", "verdict.json", "plan.toml", "trace.jsonl", "history.jsonl", "faults.jsonl", "logs"}, files)
        for name in ("trace.jsonl", "faults.jsonl", "history.jsonl", "logs/n1.jsonl"):
            with open(os.path.join(self.dir, place, name), encoding="utf-8") as lines:
                self.assertGreater(len([json.loads(line) for line in lines]), 0, name)
        self.assertEqual(os.path.realpath(os.path.join(self.dir, "runs/latest")), os.path.realpath(os.path.join(self.dir, place)))
        self.assertFalse(os.path.exists(os.path.join(self.dir, "runs/.staging")))

        again = self.run_orrery("replay", place)
        self.assertEqual(again.returncode, 1)
        self.assertIn("the same run", again.stdout)
        self.assertEqual(self.run_orrery("lint", f"{place}/plan.toml").returncode, 0)
        plan = self.run_orrery("replay", f"{place}/plan.toml")
        self.assertEqual(plan.returncode, 1)
        self.assertIn("it still fails", plan.stdout)

        event = self.run_orrery("replay", place, "--until", "event:100")
        self.assertEqual(event.returncode, 0, event.stdout + event.stderr)
        self.assertRegex(event.stdout, r"(?m)^\s+100\s")
        self.assertNotRegex(event.stdout, r"(?m)^\s+101\s")
        moment = self.run_orrery("replay", place, "--until", "1.2s")
        self.assertEqual(moment.returncode, 0, moment.stdout + moment.stderr)
        self.assertIn("stopped at step", moment.stdout)
        self.assertEqual(self.run_orrery("replay", place, "--until", "violation").returncode, 1)
        self.assertEqual(self.run_orrery("replay", place, "--until", "event:99999999").returncode, 1)

    def change(self, place, name, change):
        path = os.path.join(self.dir, place, name)
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
        change(value)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(value, file)

    def test_replay_tells_another_run_another_build_and_a_failure_that_is_gone(self):
        seed, _ = self.failing_run()
        place = f"runs/kv-default/{seed}"

        def other_hash(verdict):
            verdict["hash"] = "0123456789abcdef"
        self.change(place, "verdict.json", other_hash)
        differs = self.run_orrery("replay", place)
        self.assertEqual(differs.returncode, 4)
        self.assertIn("differs from the record", differs.stdout)

        def other_build(meta):
            meta["build"]["build_id"] = "feedface"
        self.change(place, "meta.json", other_build)
        still = self.run_orrery("replay", place)
        self.assertEqual(still.returncode, 1)
        self.assertIn("another build", still.stderr)
        self.assertIn("it still fails", still.stdout)

        plan = os.path.join(self.dir, place, "plan.toml")
        with open(plan, encoding="utf-8") as file:
            text = file.read()
        without = re.sub(r"(?m)^defects = .*\n", "", text)
        self.assertNotEqual(without, text)
        with open(plan, "w", encoding="utf-8") as file:
            file.write(without)
        gone = self.run_orrery("replay", place)
        self.assertEqual(gone.returncode, 0, gone.stdout)
        self.assertIn("the failure is gone", gone.stdout)

        with open(plan, "a", encoding="utf-8") as file:
            file.write('\n[[event]]\nid = "never"\nwhen = "raft.became_leader"\nnth = 100000\ndo = "proc.crash"\nnode = "any(kv)"\n')
        lost = self.run_orrery("replay", place)
        self.assertEqual(lost.returncode, 3, lost.stdout + lost.stderr)
        self.assertIn("no longer applies", lost.stdout)
        self.assertIn("id never", lost.stdout)

    def test_a_damaged_run_directory_is_65(self):
        seed, _ = self.failing_run()
        place = f"runs/kv-default/{seed}"
        with open(os.path.join(self.dir, place, "verdict.json"), "w", encoding="utf-8") as file:
            file.write("{")
        self.refused("E0465", "replay", place, exit_code=65)

    def test_a_run_that_hangs_is_a_finding(self):
        result = self.run_orrery("run", SWARM, "--seed", "7", "--wall", "1ms")
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        self.assertIn("process.wall-limit", result.stdout)
        self.assertTrue(os.path.exists(os.path.join(self.dir, "runs/kv-default/7/verdict.json")))

    def test_a_directory_that_can_not_be_written_is_told(self):
        self.path("taken", "")
        result = self.run_orrery("run", SWARM, "--seed", "7", *SHORT, "--trace", "--out", "taken")
        self.assertEqual(result.returncode, 74)
        self.assertIn("E0474", result.stderr)

    # ---- verify

    def test_verify(self):
        result = self.run_orrery("verify", SWARM, "--seeds", "3", *SHORT)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertIn("3 seeds, each in two processes: 3 equal, 0 different", result.stdout)
        as_json = json.loads(self.run_orrery("verify", SWARM, "--seeds", "2", *SHORT, "-o", "json").stdout)
        self.assertEqual((as_json["equal"], as_json["different"]), (2, 0))

    # ---- fuzz

    def seeds_of(self, *arguments):
        result = self.run_orrery("fuzz", SWARM, *SHORT, "--base", "5", "--budget", "12seeds", "--jsonl", "-", *arguments)
        self.assertIn(result.returncode, (0, 1), result.stdout + result.stderr)  # what the seeds find is not the matter here
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        self.assertEqual((lines[0]["type"], lines[-1]["type"]), ("begin", "summary"))
        return {line["k"]: (line["seed"], line["hash"]) for line in lines if line["type"] == "seed"}

    def test_shards_together_are_the_campaign(self):
        whole = self.seeds_of("--out", "whole")
        self.assertEqual(sorted(whole), list(range(12)))
        parts = {}
        for index in range(3):
            part = self.seeds_of("--out", "parts", "--shard", f"{index}/3", "--jobs", "1")
            self.assertTrue(all(k % 3 == index for k in part))
            parts.update(part)
        self.assertEqual(parts, whole)

    # ---- fuzz --resume

    def log_lines(self, out):
        with open(os.path.join(self.dir, out, "fuzz-0-of-1.jsonl"), encoding="utf-8", errors="replace") as lines:
            return [json.loads(line) for line in lines if line.endswith("}\n") and line.startswith("{")]

    def resume(self, out, *arguments, budget="24seeds", base="5"):
        return self.run_orrery("fuzz", SWARM, *SHORT, "--base", base, "--budget", budget, "--out", out, "--jobs", "2", "--resume", *arguments)

    def summary_of(self, out):
        summary = self.log_lines(out)[-1]
        self.assertEqual(summary["type"], "summary")
        return {key: value for key, value in summary.items() if "per_second" not in key and key not in ("wall_ns", "dropped")}

    def killed_and_gone_on_with(self, stop):
        """A campaign that `stop` ends in its middle, three times, and then goes on to its end, gives what it gives in one go."""
        whole = self.run_orrery("fuzz", SWARM, *SHORT, "--base", "5", "--budget", "24seeds", "--out", "whole", "--jobs", "2")
        began = 0
        for _ in range(3):
            with subprocess.Popen([ORRERY, "fuzz", SWARM, *SHORT, "--base", "5", "--budget", "24seeds", "--out", "parts", "--jobs", "2", "--resume"],
                                  cwd=self.dir, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as campaign:
                log = os.path.join(self.dir, "parts", "fuzz-0-of-1.jsonl")
                end = time.monotonic() + 60
                while campaign.poll() is None and time.monotonic() < end:
                    if os.path.exists(log) and sum(line["type"] == "seed" for line in self.log_lines("parts")) >= began + 4:
                        break
                    time.sleep(0.01)
                campaign.send_signal(stop)
                campaign.communicate(timeout=60)
            began = sum(line["type"] == "seed" for line in self.log_lines("parts"))
            self.assertGreater(began, 0)
        last = self.resume("parts")
        self.assertEqual(last.returncode, whole.returncode, last.stdout + last.stderr)
        self.assertIn("going on with ", last.stderr)
        self.assertEqual(self.summary_of("parts"), self.summary_of("whole"))
        seeds = {}
        for line in self.log_lines("parts"):
            if line["type"] == "seed":
                seeds.setdefault(line["k"], set()).add((line["seed"], line["hash"]))
        self.assertEqual(sorted(seeds), list(range(24)))
        self.assertTrue(all(len(found) == 1 for found in seeds.values()))
        self.assertEqual({k: next(iter(found)) for k, found in seeds.items()},
                         {line["k"]: (line["seed"], line["hash"]) for line in self.log_lines("whole") if line["type"] == "seed"})

    def test_a_killed_campaign_goes_on_and_loses_only_what_was_under_way(self):
        self.killed_and_gone_on_with(signal.SIGKILL)
        # Once more: everything is done, and is said again.
        again = self.resume("parts")
        self.assertIn("going on with 24 seeds", again.stderr)
        self.assertEqual(self.summary_of("parts"), self.summary_of("whole"))
        # A line that was cut: its seed runs again.
        path = os.path.join(self.dir, "parts", "fuzz-0-of-1.jsonl")
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
        at = max(i for i, line in enumerate(lines) if '"type":"seed"' in line)
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(lines[:at]) + "\n" + lines[at][:len(lines[at]) // 2])
        cut = self.resume("parts")
        self.assertIn("1 lines of the log can not be read", cut.stderr)
        self.assertEqual(self.summary_of("parts"), self.summary_of("whole"))

    def test_a_stopped_campaign_goes_on(self):
        self.killed_and_gone_on_with(signal.SIGTERM)

    def test_a_campaign_that_found_something_goes_on_with_what_it_found(self):
        arguments = ["fuzz", SWARM, "--defect", DEFECT, "--base", "1", "--out", "out", "--set", "swarm.exclude=[\"hold\"]"]
        first = self.run_orrery(*arguments, "--budget", "15seeds")
        self.assertEqual(first.returncode, 1, first.stdout + first.stderr)
        found = self.summary_of("out")["failures"]
        went_on = self.run_orrery(*arguments, "--budget", "16seeds", "--resume")
        self.assertEqual(went_on.returncode, 1)
        summary = self.summary_of("out")
        self.assertEqual(summary["seeds"], 16)
        self.assertLessEqual({failure["signature"] for failure in found}, {failure["signature"] for failure in summary["failures"]})
        place = re.search(r"orrery replay (out/kv-default/\d+)", went_on.stdout).group(1)
        self.assertEqual(self.run_orrery("replay", place).returncode, 1)

    def test_another_campaign_is_not_gone_on_with(self):
        self.assertEqual(self.resume("out", budget="2seeds").returncode, 0)
        self.assertIn("its base is 5", self.refused_resume("out", base="6"))
        self.assertIn("its scenarios have the hash", self.refused_resume("out", "--set", "workload.keys=3"))
        self.assertIn("its scenarios have the hash", self.refused_resume("out", "--defect", DEFECT))
        path = os.path.join(self.dir, "out", "fuzz-0-of-1.jsonl")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        with open(path, "w", encoding="utf-8") as file:
            file.write(re.sub(r'"build_id":"[0-9a-f]+"', '"build_id":"feedface"', text))
        without = self.run_orrery("fuzz", SWARM, *SHORT, "--budget", "3seeds", "--out", "out", "--resume")
        self.assertEqual(without.returncode, 2)
        self.assertIn("begun by another build", without.stderr)
        self.assertEqual(self.resume("out", budget="3seeds").returncode, 0)  # with its base: one knows what one does
        self.path("out/fuzz-0-of-1.jsonl", "nothing of a log\n")
        damaged = self.resume("out")
        self.assertEqual(damaged.returncode, 65)
        self.assertIn("E0465", damaged.stderr)

    def refused_resume(self, out, *arguments, **more):
        result = self.resume(out, *arguments, **more)
        self.assertEqual(result.returncode, 2, result.stdout + result.stderr)
        self.assertIn("error[E0408]", result.stderr)
        return result.stderr

    def test_fuzz_finds_a_seeded_defect_once_and_keeps_it(self):
        result = self.run_orrery("fuzz", SWARM, "--defect", DEFECT, "--base", "1", "--budget", "30seeds", "--out", "out", "--junit", "junit.xml")
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        for words in ("seeds/s", "simulated seconds per second", "determinism: ", "faults fired", "failed ("):
            self.assertIn(words, result.stdout)
        replays = re.findall(r"orrery replay (out/kv-default/\d+)", result.stdout)
        self.assertGreater(len(replays), 0)
        self.assertEqual(self.run_orrery("replay", replays[0]).returncode, 1)
        suite = ElementTree.parse(os.path.join(self.dir, "junit.xml")).getroot()
        self.assertGreater(int(suite.get("failures")), 0)
        self.assertEqual(len(suite.findall(".//failure")), int(suite.get("failures")))
        with open(os.path.join(self.dir, "out/fuzz-0-of-1.jsonl"), encoding="utf-8") as lines:
            summary = json.loads(lines.readlines()[-1])
        signatures = [failure["signature"] for failure in summary["failures"]]
        self.assertGreater(len(signatures), 0)
        self.assertEqual(len(signatures), len(set(signatures)))

    def test_a_campaign_that_never_reached_a_required_probe_ends_with_3(self):
        wait = os.path.join(SOURCES, "scenarios/replay/waitall-counts-connected-fixed.toml")
        common = ("--budget", "1seeds", "--out", "out")
        reached = self.run_orrery("fuzz", wait, *common, "--require", "wait.isolated_leader_timed_out", "--require", "wait.spans_joint")
        self.assertEqual(reached.returncode, 3, reached.stdout + reached.stderr)
        self.assertIn("no seed reached the probe wait.spans_joint", reached.stdout)
        idle = self.run_orrery("fuzz", wait, *common, "--set", "workload.odd_waits_p=0.2", "--set", "cluster.knobs.heartbeat=\"120ms\"", "--require", "wait.idle_group")
        self.assertEqual(idle.returncode, 0, idle.stdout + idle.stderr)
        self.refused("E0409", "fuzz", wait, *common, "--require", "wait.nothing_like_it")

    def test_a_stop_signal_ends_a_campaign_in_time_with_its_summary(self):
        with subprocess.Popen([ORRERY, "fuzz", SWARM, *SHORT, "--budget", "10m", "--out", "out", "--junit", "j.xml"], cwd=self.dir,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as campaign:
            time.sleep(3)
            campaign.send_signal(signal.SIGTERM)
            began = time.monotonic()
            output, _ = campaign.communicate(timeout=30)
            self.assertLess(time.monotonic() - began, 5)
        self.assertIn(campaign.returncode, (0, 1), output)
        self.assertIn("seeds/s", output)
        ElementTree.parse(os.path.join(self.dir, "j.xml"))
        with open(os.path.join(self.dir, "out/fuzz-0-of-1.jsonl"), encoding="utf-8") as lines:
            self.assertEqual(json.loads(lines.readlines()[-1])["type"], "summary")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
