"""What tools/bench says about figures: bars met and missed, and the gate between two runs. The figures here are made up."""
import importlib.machinery
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BENCH = os.path.join(ROOT, "tools", "bench")


def script(name):
    sys.path.insert(0, BENCH)
    sys.dont_write_bytecode = True
    loader = importlib.machinery.SourceFileLoader(f"bench_{name}", os.path.join(BENCH, name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    sys.modules[loader.name] = module
    loader.exec_module(module)
    return module


KV = script("kv")


def rounds(ours, redis=20.0, noisy=()):
    return [{"canary": {"noisy": ["said so"] if i in noisy else []},
             "cells": {"orrery": {"200 clients": {"server_cpu_us_per_op": cpu}}, "redis": {"200 clients": {"server_cpu_us_per_op": redis}}}}
            for i, cpu in enumerate(ours)]


class Gate(unittest.TestCase):
    def compare(self, before, after, other_machine=False):
        machine = {"commit": "abc", "model": "m", "cores": 2, "kernel": "6"}
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for name, some in (("before", before), ("after", after)):
                paths.append(os.path.join(folder, name))
                told = {**machine, "cores": 4} if other_machine and name == "after" else machine
                with open(paths[-1], "w") as file:
                    json.dump({"machine": told, "keep_noisy": False, "sections": {"writes": {"rounds": some}}}, file)
            return subprocess.run([os.path.join(BENCH, "compare"), *paths], capture_output=True, text=True).returncode

    def test_a_rise_past_the_spread_is_worse(self):
        self.assertEqual(self.compare(rounds([20, 21, 22]), rounds([24, 25, 26])), 1)

    def test_a_rise_inside_the_spread_is_not(self):
        self.assertEqual(self.compare(rounds([20, 21, 25]), rounds([24, 25, 26])), 0)

    def test_a_small_rise_and_a_fall_are_not(self):
        self.assertEqual(self.compare(rounds([20, 20, 20]), rounds([20.5, 20.6, 20.7])), 0)
        self.assertEqual(self.compare(rounds([24, 25, 26]), rounds([20, 21, 22])), 0)

    def test_noisy_rounds_do_not_count(self):
        self.assertEqual(self.compare(rounds([20, 21, 22]), rounds([20, 21, 22, 90, 90, 90, 90], noisy=(3, 4, 5, 6))), 0)
        self.assertEqual(self.compare(rounds([20, 21, 22]), rounds([20, 21, 22], noisy=(0,))), 2)

    def test_between_machines_the_peer_is_the_measure(self):
        self.assertEqual(self.compare(rounds([20, 21, 22]), rounds([40, 42, 44], redis=40.0), other_machine=True), 0)
        self.assertEqual(self.compare(rounds([20, 21, 22]), rounds([40, 42, 44]), other_machine=True), 1)


class Bars(unittest.TestCase):
    def judged(self, **options):
        figure = "server_cpu_us_per_op"
        bar = KV.Bar("b", ("orrery", "200 clients", figure), (options.pop("peer", "redis"), "200 clients", figure), **options)
        return KV.judge(bar, rounds([10, 30, 18]))

    def test_at_least_and_at_most(self):
        self.assertEqual(self.judged(must=0.9, goal=1.0)["value"], 0.9)
        for low, must, goal, met in ((True, 0.9, 1.0, (True, False)), (True, 1.0, 1.2, (False, False)), (False, 1.0, 0.75, (True, False)), (False, 0.8, 0.7, (False, False)),
                                     (False, 1.0, 0.9, (True, True))):
            result = self.judged(must=must, goal=goal, low=low)
            self.assertEqual((result["must_met"], result["goal_met"]), met, (low, must, goal))

    def test_a_bound_that_is_not_set_is_neither_met_nor_missed(self):
        self.assertIsNone(self.judged(must=None, goal=1.0)["must_met"])

    def test_without_the_peer_it_is_skipped_with_its_name(self):
        self.assertEqual(self.judged(must=1, goal=2, peer="etcd")["skipped"], "no etcd")

    def test_every_bar_speaks_of_cells_that_are_measured(self):
        for make in KV.SECTIONS.values():
            section = make()
            measured = {(cell.system, cell.name) for cell in section.cells}
            self.assertLessEqual({system for system, _ in measured}, set(section.systems))
            for bar in section.bars:
                for figure in (bar.top, bar.bottom):
                    if isinstance(figure, tuple):
                        self.assertIn(figure[:2], measured, bar.name)


if __name__ == "__main__":
    unittest.main()
