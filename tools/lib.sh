# Shared by the scripts of tools/ and .ci/: sourced, never run.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# die MESSAGE [EXIT-CODE]: says what is wrong and ends the script (2 = usage or set-up, as everywhere in the project).
die() {
    echo "$(basename "$0"): error: $1" >&2
    exit "${2:-2}"
}

say() { echo "== $*"; }

# jobs: how many compiler or test processes at once; ORRERY_JOBS overrides it.
jobs() { echo "${ORRERY_JOBS:-$(nproc)}"; }

# build_preset PRESET [TARGET...]: configures (when needed) and builds into build/PRESET.
build_preset() {
    local preset=$1
    shift
    (cd "$root" && cmake --preset "$preset" >"$root/build/$preset.configure.log" 2>&1) ||
        { cat "$root/build/$preset.configure.log" >&2; die "cmake --preset $preset failed" 1; }
    cmake --build "$root/build/$preset" -j "$(jobs)" ${*:+--target "$@"} || die "the build of preset $preset failed" 1
}
