"""Runs the digest program in different surroundings: one seed must do the same to its disk in all of them."""
import os
import subprocess
import sys
import tempfile

program = os.path.abspath(sys.argv[1])


def run(seed, prefix=(), env=None, cwd=None):
    done = subprocess.run([*prefix, program, str(seed)], env=env, cwd=cwd, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{prefix} {env}: exit {done.returncode}: {done.stderr}")
    return done.stdout


plain = run(1)
big = dict(os.environ, ORRERY_PADDING="x" * 60000)
surroundings = {
    "the same again": {},
    "addresses not randomised": {"prefix": ("setarch", "-R")},
    "an empty environment": {"env": {}},
    "a large environment": {"env": big},
    "filled memory": {"env": dict(os.environ, MALLOC_PERTURB_="165")},
    "no thread cache": {"env": dict(os.environ, GLIBC_TUNABLES="glibc.malloc.tcache_count=0")},
    "one processor": {"prefix": ("taskset", "-c", "0")},
    "another directory": {"cwd": tempfile.gettempdir()},
}
for name, how in surroundings.items():
    other = run(1, **how)
    if other != plain:
        sys.exit(f"with {name}: {other.strip()} instead of {plain.strip()}")
if run(2) == plain:
    sys.exit("another seed does the same: the digest looks at nothing")
print(f"{len(surroundings)} surroundings: {plain.strip()}")
