#!/usr/bin/env python3
"""Checks the include arrows between folders and that foreign headers stay in their one home.

Usage: layers.py [ROOT]. The two tables below are the rule itself: changing an arrow is a reviewed act. A folder with
sources that the table does not name is a problem, so that a new folder has to be placed on purpose. tests/ and tools/
may include anything of ours.
"""
import fnmatch
import os
import re
import sys

from common import PRODUCT_AREAS, code_only, files_of, read, report, root_argument

FIBER = ["runtime/fiber"]
ENV = ["runtime/env", "runtime/fiber"]
NODE_BASICS = ["node/rpc", "node/wire"] + ENV
REPLICA = ["node/raft", "node/raft/core", "node/log", "node/admin", "runtime/store"] + NODE_BASICS
SERVICE = ["node/replica", "node/client"] + REPLICA

# folder: what it may include. Everything may include itself and runtime/base.
ARROWS = {
    "runtime/base": [],
    "runtime/fiber": [],
    "runtime/env": FIBER,
    "runtime/real": ENV,
    "runtime/store": ENV,
    "node/raft/core": [],
    "node/wire": [],
    "node/rpc": ["node/wire"] + ENV,
    "node/log": ENV,
    "node/admin": ENV,
    "node/raft": ["node/raft/core", "node/log", "runtime/store"] + NODE_BASICS,
    "node/replica": REPLICA,
    "node/client": NODE_BASICS,
    "node/master": SERVICE,
    "node/data": SERVICE,
    "node/daemon": ["node/replica", "runtime/real"] + REPLICA,  # what the daemons' mains share
    "node": SERVICE,  # the daemons' mains
    "kv/resp": [],
    "kv": ["kv/resp"] + SERVICE,
    # Downward: fault -> core (World and Host own the resources) -> net, disk -> clock (virtual time, queue, hash).
    "sim/clock": ENV,
    "sim/net": ["sim/clock"] + ENV,
    "sim/disk": ["sim/clock"] + ENV,
    "sim/rocksdb": ["runtime/store", "sim/disk", "sim/clock"] + ENV,  # the linker wraps that make RocksDB deterministic
    "sim/core": ["sim/clock", "sim/net", "sim/disk"] + ENV,
    "sim/fault": ["sim/core", "sim/clock", "sim/net", "sim/disk"] + ENV,
    "sim/check": [],
    "sim/report": [],
    "sim/scenario": ["sim/*", "node/*", "node", "kv/*", "kv", "runtime/store"] + ENV,
}
# A main joins the two sides: it may also include these.
MAIN_EXTRA = ["runtime/real", "node/daemon", "node/master", "node/data"]

# include pattern, files that may use it, what to do instead. First match counts; tests/ and tools/ are not looked at.
FOREIGN = [
    (r"(capnp|kj)/|.*\.capnp\.h$", ["node/wire/*.cpp"], "use the plain types of node/wire"),
    (r"rocksdb/", ["runtime/store/*"], "use runtime/store"),
    (r"prometheus/", ["node/admin/*.cpp"], "use node/admin/metrics.h"),
    (r"boost/context/", ["runtime/fiber/*"], "use runtime/fiber"),
    (r"boost/beast/", ["node/admin/*.cpp"], "use node/admin"),
    (r"boost/", [], "Boost is not a general dependency"),
    (r"openssl/", ["kv/password_hash.cpp"], "hash passwords with kv/password_hash.h"),
    (r"CLI/", ["*_main.cpp"], "parse flags in a main"),
    (r"toml\+\+/|toml\.hpp$", ["runtime/real/config*.cpp", "sim/scenario/*_toml.cpp", "sim/scenario/*loader*.cpp"],
     "go through the configuration or the scenario loader"),
    (r"nlohmann/", ["sim/check/history_format.cpp"], "write JSON with the trace event writer; reading it has one home"),
    (r"doctest/|rapidcheck", [], "belongs in tests/"),
]
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.M)


def allowed(folder, target, is_main):
    if target in (folder, "runtime/base"):
        return True
    patterns = ARROWS[folder] + (MAIN_EXTRA if is_main else [])
    return any(fnmatch.fnmatchcase(target, pattern) for pattern in patterns)


def check_file(path, text):
    problems = []
    folder = os.path.dirname(path)
    if folder not in ARROWS:
        return [f"{path}: error[layers]: folder '{folder}' is not in the table of tools/tidy/layers.py; add its arrows there"]
    is_main = path.endswith("_main.cpp")
    for match in INCLUDE.finditer(code_only(text)):
        where = f"{path}:{text.count(chr(10), 0, match.start(2)) + 1}"
        quoted, name = match.group(1) == '"', match.group(2)
        foreign = next((rule for rule in FOREIGN if re.match(rule[0], name)), None)
        if foreign:
            if not any(fnmatch.fnmatchcase(path, pattern) for pattern in foreign[1]):
                homes = ", ".join(foreign[1]) or "nowhere in the product"
                problems.append(f"{where}: error[layers]: <{name}> is included only in {homes}; {foreign[2]}")
            continue
        if not quoted and name.split("/")[0] not in PRODUCT_AREAS + ("tests", "tools"):
            continue
        target = os.path.dirname(name)
        if target.split("/")[0] in ("tests", "tools"):
            problems.append(f"{where}: error[layers]: the product includes '{name}'; move what it needs out of {target}")
        elif "/" not in name or target.split("/")[0] not in PRODUCT_AREAS:
            problems.append(f"{where}: error[layers]: '{name}' is not a path from the root; write it as one")
        elif target not in ARROWS:
            problems.append(f"{where}: error[layers]: '{name}' is in folder '{target}', which the table does not know")
        elif not allowed(folder, target, is_main):
            problems.append(f"{where}: error[layers]: {folder} may not include {target}; "
                            f"allowed: {', '.join(['runtime/base'] + ARROWS[folder])}")
    return problems


def main():
    root = root_argument()
    paths = files_of(root, PRODUCT_AREAS)
    if not paths:
        print(f"layers: error: no sources under {root}", file=sys.stderr)
        return 2
    problems = [problem for path in paths for problem in check_file(path, read(root, path))]
    return report("layers", problems, f"{len(paths)} files in {len({os.path.dirname(p) for p in paths})} folders")


if __name__ == "__main__":
    sys.exit(main())
