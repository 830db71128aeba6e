"""What the tidy scripts share: which files are ours, and source text without comments and strings."""
import os
import re
import sys

SOURCE_ENDINGS = (".h", ".cpp")
PRODUCT_AREAS = ("runtime", "node", "kv", "sim")

# One pass over everything that can hide or hold a token; raw strings first, because their content may hold quotes.
_HIDDEN = re.compile(
    r'(?P<raw>R"(?P<mark>[^()\\ ]{0,16})\(.*?\)(?P=mark)")|(?P<line>//(?:\\\n|[^\n])*)|(?P<block>/\*.*?\*/)'
    r"|(?P<string>\"(?:\\.|[^\"\\\n])*\")|(?P<char>(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+')", re.S)


def files_of(root, areas, endings=SOURCE_ENDINGS):
    """Paths relative to root of all files of these areas, sorted; build output is never inside an area."""
    found = []
    for area in areas:
        for folder, folders, names in os.walk(os.path.join(root, area)):
            folders[:] = sorted(f for f in folders if f not in ("__pycache__", "build"))
            found += [os.path.relpath(os.path.join(folder, n), root) for n in names if n.endswith(endings)]
    return sorted(found)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def _blank(text):
    return re.sub(r"[^\n]", " ", text)


def code_only(text):
    """The text with comments, strings and characters blanked; lines keep their numbers, #include lines their paths."""
    def blank(match):
        if match.group("string"):
            start = text.rfind("\n", 0, match.start()) + 1
            if re.match(r"\s*#\s*include\s*$", text[start:match.start()]):
                return match.group(0)
        return _blank(match.group(0))
    return _HIDDEN.sub(blank, text)


def comments_only(text):
    """The text with everything but comments blanked; lines keep their numbers."""
    out, last = [], 0
    for match in _HIDDEN.finditer(text):
        out.append(_blank(text[last:match.start()]))
        comment = match.group("line") or match.group("block")
        out.append(comment if comment else _blank(match.group(0)))
        last = match.end()
    out.append(_blank(text[last:]))
    return "".join(out)


def report(rule, problems, looked_at):
    """Prints the problems and one closing line; returns the exit code (1 = violated, 2 = nothing to look at)."""
    for problem in problems:
        print(problem)
    print(f"{rule}: {len(problems)} problems, {looked_at}")
    return 1 if problems else 0


def root_argument():
    """The tree to look at: the first argument, else the one this script is part of."""
    if len(sys.argv) > 1:
        return os.path.abspath(sys.argv[1])
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
