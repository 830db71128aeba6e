"""Runs the tests of one file: functions test_*(stage), in order, each with a Stage of its own. Prints one line a test and
exits 1 when any failed. A test that the machine does not allow raises Skip, which prints `SKIPPED name reason`.

    python3 -B tests/e2e/some_test.py BUILD-DIRECTORY [name ...]
"""
import os
import sys
import time
import traceback

from cluster import Stage


class Skip(Exception):
    pass


def main(module):
    if len(sys.argv) < 2 or not os.path.isdir(sys.argv[1]):
        sys.exit(__doc__)
    build, wanted = os.path.abspath(sys.argv[1]), sys.argv[2:]
    theme = os.path.basename(sys.argv[0]).removesuffix("_test.py")
    tests = [(name, function) for name, function in vars(module).items() if name.startswith("test_") and (not wanted or name in wanted)]
    if not tests:
        sys.exit(f"no such test; there are: {', '.join(name for name in vars(module) if name.startswith('test_'))}")
    failed = 0
    for name, test in tests:
        begin, outcome = time.monotonic(), "ok"
        title = name.removeprefix("test_").replace("_", " ")
        stage = Stage(build, theme)
        keep = False
        try:
            note = test(stage)
            if note:
                outcome = f"ok [{note}]"
        except Skip as skip:
            outcome = None
            print(f"SKIPPED e2e.{theme}.{name.removeprefix('test_')} {skip}", flush=True)
        except Exception:  # a test may fail in any way; the next one runs all the same
            outcome, keep = "FAILED", True
            traceback.print_exc(file=sys.stdout)
        try:
            stage.close(keep)
        except AssertionError as error:
            outcome = "FAILED"
            print(error)
        failed += outcome == "FAILED"
        if outcome is not None:
            print(f"{theme}: {title}: {outcome} ({time.monotonic() - begin:.1f} s)", flush=True)
    sys.exit(1 if failed else 0)
