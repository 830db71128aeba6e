#!/usr/bin/env python3
"""Finds private names (of unnamed namespaces, or static) that two sources of a library or test share which are compiled together.

Usage: private_names.py [ROOT]. They are those with TOGETHER in an orrery_library(), orrery_test() or orrery_test_part() of a
CMakeLists.txt. The compiler refuses two definitions of one name, but not two functions with different parameters: a call in one
source could then silently choose the function of another. A private name that another source gives to a free function of the
library counts too.
"""
import os
import re
import sys

from common import code_only, files_of, read, report, root_argument

AREAS = ("runtime", "node", "kv", "sim", "tools", "tests")
LIBRARY = re.compile(r"orrery_(?:library|test|test_part)\(\s*(\w+)(?:\s+BUSY)?\s+TOGETHER\s+([^)]*)\)")
NAMESPACE = re.compile(r"(?:inline\s+)?namespace(?:\s+([\w:]+))?\s*$")
TYPE = re.compile(r"(?:template\s*<.*>\s*)?(?:struct|class|union|enum(?:\s+class)?)\s+(\w+)")
NAME = re.compile(r"(?<![\w:~])(?<!:: )(\w+)\s*$")


def statements(code):
    """(private, line, text up to its body, semicolon or initialiser) of all that stands directly in a namespace."""
    code = re.sub(r"^[ \t]*#(?:\\\n|[^\n])*", lambda match: re.sub(r"[^\n]", " ", match.group(0)), code, flags=re.M)
    stack, start = [], 0
    for found in re.finditer(r"[{};]", code):
        at, head = found.start(), code[start:found.start()]
        in_namespace = all(kind != "body" for kind in stack)
        line = code.count("\n", 0, start + len(head) - len(head.lstrip())) + 1
        if found.group() == "{":
            namespace = NAMESPACE.search(head) if in_namespace else None
            if in_namespace and not namespace and head.strip():
                yield "unnamed" in stack or head.lstrip().startswith("static "), line, head.strip()
            stack.append("body" if not namespace else "named" if namespace.group(1) else "unnamed")
            start = at + 1 if namespace else start
        elif found.group() == ";":
            if in_namespace:
                if head.strip():
                    yield "unnamed" in stack or head.lstrip().startswith("static "), line, head.strip()
                start = at + 1
        elif stack:
            stack.pop()
            if all(kind != "body" for kind in stack):
                start = at + 1


def name_of(head):
    """The name that a statement of a namespace defines, and whether it is a function; no name for what can not clash."""
    head = re.sub(r"\s+", " ", head)
    if re.match(r"(using|static_assert|friend|extern|TEST_CASE)\b", head) or "operator" in head:
        return None, False
    if (match := TYPE.match(head)) and "(" not in head:
        return match.group(1), False
    head = re.sub(r"^template ?<.*?> (?=\w)", "", head)
    declared = re.split(r"[=(]|\[(?!\[)", re.sub(r"^(\[\[\w+\]\] ?)+", "", head))[0]
    match = NAME.search(declared)
    return (match.group(1), "(" in head and "=" not in head.split("(")[0]) if match else (None, False)


def shared_names(root, folder, library, sources):
    """Problems of one library."""
    private, public = {}, {}
    for source in sources:
        path = os.path.join(folder, source)
        for is_private, line, head in statements(code_only(read(root, path))):
            name, is_function = name_of(head)
            if name and is_private:
                private.setdefault(name, {}).setdefault(path, line)
            elif name and is_function:
                public.setdefault(name, {}).setdefault(path, line)
    for name in sorted(private):
        places = {**public.get(name, {}), **private[name]}
        for path, line in sorted(private[name].items()):
            others = sorted(other for other in places if other != path)
            if others:
                yield (f"{path}:{line}: error[private_names]: '{name}' is in {', '.join(others)} too, compiled together in {library}; "
                       "rename it, share it, or list the source as ALONE")


def main():
    root = root_argument()
    problems, libraries, names = [], 0, 0
    for path in files_of(root, AREAS, ("CMakeLists.txt",)):
        for library, text in LIBRARY.findall(re.sub(r"#[^\n]*", "", read(root, path))):
            parts = re.split(r"\b(SOURCES|ALONE|DEPS|PRIVATE_DEPS|LABELS|TIMEOUT)\b", text)
            lists = dict(zip(parts[1::2], parts[2::2]))
            alone = lists.get("ALONE", "").split()
            sources = [source for source in lists.get("SOURCES", "").split() if source not in alone]
            libraries, names = libraries + 1, names + len(sources)
            problems += shared_names(root, os.path.dirname(path), library, sources)
    if libraries == 0:
        print("private_names: no library is compiled TOGETHER")
        return 2
    return report("private_names", problems, f"{names} sources of {libraries} libraries and tests")


if __name__ == "__main__":
    sys.exit(main())
