#!/usr/bin/env python3
"""Turns ctest's JUnit file into the SKIPPED lines and the one line of counts that ends tools/test.

What is one test: a doctest test case (from the summary that each executable prints), or a ctest test that is not a
doctest executable. What makes a failure besides a failed case: an executable that ends badly without a failed case
(crash, timeout, leak report), one that printed no summary, and one that ran no case at all.
A line "SKIPPED name reason" in any output is repeated and counted as skipped; the case that printed it is not counted
as passed too. Several such lines in one case therefore make the number of passed cases smaller than it was, never larger.
"""
import argparse
import re
import sys
import xml.etree.ElementTree as ElementTree

SUMMARY = re.compile(r"^\[doctest\] test cases:\s*(\d+) \|\s*(\d+) passed \|\s*(\d+) failed(?: \|\s*(\d+) skipped)?", re.M)
SKIPPED = re.compile(r"^SKIPPED \S+.*$", re.M)
COLOUR = re.compile(r"(\x1b|\[NON-XML-CHAR-0x1B\])\[[0-9;]*m")  # ctest writes the escape as words


def count_one(name, status, output):
    """(passed, failed, skip lines) of one ctest test; status is ctest's: run, fail, notrun or disabled."""
    output = COLOUR.sub("", output)
    skips = SKIPPED.findall(output)
    if status in ("notrun", "disabled"):
        return 0, 0, skips or [f"SKIPPED {name} ctest reports {status}"]
    summaries = SUMMARY.findall(output)
    if not summaries:
        if status == "fail":
            return 0, 1, skips
        return (0 if skips else 1), 0, skips
    passed = sum(int(s[1]) for s in summaries)
    failed = sum(int(s[2]) for s in summaries)
    left_out = sum(int(s[3] or 0) for s in summaries)
    if left_out:
        skips += [f"SKIPPED {name} doctest left out a case by decorator or filter"] * left_out
    if failed == 0 and (status == "fail" or passed == 0):
        failed = 1
    return max(0, passed - len(SKIPPED.findall(output))), failed, skips


def count(root):
    total = [0, 0, []]
    failures = []
    for case in root.iter("testcase"):
        output = "".join(node.text or "" for node in case.iter("system-out"))
        passed, failed, skips = count_one(case.get("name"), case.get("status"), output)
        total[0] += passed
        total[1] += failed
        total[2] += skips
        if failed:
            failures.append(case.get("name"))
    return total, failures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("junit")
    parser.add_argument("--preset", required=True)
    parser.add_argument("--ctest-status", type=int, default=0, help="exit code of ctest; not 0 is a failure too")
    arguments = parser.parse_args()
    try:
        root = ElementTree.parse(arguments.junit).getroot()
    except (OSError, ElementTree.ParseError) as error:
        print(f"count_tests: error: ctest left no readable result ({error})", file=sys.stderr)
        return 1
    (passed, failed, skips), failures = count(root)
    if arguments.ctest_status != 0 and failed == 0:
        failed, failures = 1, ["ctest itself"]
    for line in skips:
        print(line)
    for name in failures:
        print(f"FAILED {name}")
    print(f"tests: {passed} passed, {failed} failed, {len(skips)} skipped (preset {arguments.preset})")
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
