#!/usr/bin/env python3
"""Reports sizes and shape: lines per area against the alarms of the design, files that grew too long, missing READMEs.

Usage: sizes.py [ROOT]. A file past LINES_MAX, a folder README past README_MAX or none at all, and a header or lone source that
does not open with a comment are problems; a test says what it is by the names of its cases. Passing an area's alarm only prints: it asks for a look, not for a rewrite.
"""
import os
import sys

from common import files_of, read, report, root_argument

LINES_MAX = 900
LINES_LOOK = 600
README_MAX = 150
AREAS = {"runtime": 6000, "node": 14000, "kv": 8000, "sim": 9000, "tools": 5000, "tests": 42000}
SOURCES = (".h", ".cpp", ".py", ".sh", ".capnp")


def main():
    root = root_argument()
    problems, folders, total = [], set(), 0
    for area, alarm in AREAS.items():
        paths = files_of(root, [area], SOURCES)
        lines = 0
        for path in paths:
            text = read(root, path)
            length = text.count("\n")
            lines += length
            if length > LINES_MAX:
                problems.append(f"{path}: error[sizes]: {length} lines, at most {LINES_MAX}; split it")
            elif length > LINES_LOOK:
                print(f"{path}: note: {length} lines, look twice past {LINES_LOOK}")
            if path.endswith((".h", ".cpp")):
                if area not in ("tests", "tools"):
                    folders.add(os.path.dirname(path))
                lone = path.endswith(".h") or path[:-4] + ".h" not in paths  # x.cpp of an x.h may leave it to the header
                if lone and not path.endswith("_test.cpp") and not text.lstrip().startswith("//"):
                    problems.append(f"{path}: error[sizes]: opens without a comment; say what it is and what it is not")
        total += len(paths)
        note = "" if lines <= alarm else "  <- past its alarm"
        print(f"{area:8} {len(paths):4} files {lines:6} lines (alarm {alarm}){note}")
    if total == 0:
        print(f"sizes: error: no sources under {root}", file=sys.stderr)
        return 2
    for folder in sorted(folders):
        readme = os.path.join(folder, "README.md")
        if not os.path.exists(os.path.join(root, readme)):
            problems.append(f"{folder}: error[sizes]: has no README.md; write its purpose, contract and failures")
        elif read(root, readme).count("\n") > README_MAX:
            problems.append(f"{readme}: error[sizes]: longer than {README_MAX} lines; shorten it")
    return report("sizes", problems, f"{total} files, {len(folders)} folders")


if __name__ == "__main__":
    sys.exit(main())
