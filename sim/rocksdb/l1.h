// L1: Debian's unmodified static librocksdb, made deterministic by the linker (--wrap), one thread and no waiting.
//
// A program that links orrery_rocksdb_l1 has the process-wide generators, thread starts and condition waits of RocksDB
// (and of everything else in the program) led through wrap.cpp. Until reset_rocksdb_process_state() they pass through to
// the originals, so that a test program may hold both arms; from then on every thread start and every wait is a failed
// CHECK, except RocksDB's own timer thread, which is parked and never runs.
#pragma once

#include <cstdint>

#include "runtime/base/result.h"

namespace orrery::sim {

/// Called at the start of a world, before its first Store opens: the traps are armed, and what RocksDB keeps for the
/// process begins again as a function of `seed`.
void reset_rocksdb_process_state(uint64_t seed);
/// Lets threads and waits pass again. For programs that run a daemon's arm after a simulated one.
void release_rocksdb_process_state();

/// What the traps have counted since the last reset.
struct RocksdbTraps {
    uint64_t timer_threads_parked = 0;
    uint64_t random_draw_calls = 0;
    uint64_t ids_pinned = 0;
    uint64_t processor_questions = 0;  // how many processors, and which one
    uint64_t waits_served = 0;         // by running queued jobs
};
RocksdbTraps rocksdb_traps();

/// Runs one small database twice, about 10 ms in all, and compares every file operation and byte. Leaves the process
/// state reset with `seed`. Errors: Unsupported: another librocksdb than the one the wrap list was made for, a wrap that is
/// not in force, a second thread, or a difference between the two runs; context says which. The program must not go on.
Result<void> check_rocksdb_is_deterministic(uint64_t seed);

}  // namespace orrery::sim
