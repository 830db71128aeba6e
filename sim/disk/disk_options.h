// What a simulated disk may do: how long operations take, and which faults it shows. Everything
// here is quiet by default except what every power loss does anyway (torn sectors, lost unsynced
// changes).
//
// Rates are drawn per operation at addresses (stream, disk, operation number), so that switching
// one fault off moves no other draw. Faults at a chosen place or moment are methods of SimDisk.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/random.h"
#include "runtime/base/time.h"

namespace orrery::sim {

/// Latencies are uniform in [low, high]; with `slow_chance` an operation takes up to `slow_max`
/// instead.
struct DiskLatency {
    struct Range {
        Duration low;
        Duration high;
    };
    Range read{Duration::micros(20),
               Duration::micros(200)};  // pread, and everything that only looks
    Range write{Duration::micros(20), Duration::micros(200)};  // pwrite, truncate, changes of names
    Range sync{Duration::micros(100), Duration::millis(5)};    // sync, sync_dir
    double slow_chance = 0;                                    // of each operation
    Duration slow_max = Duration::seconds(1);  // log-uniform over its last six halvings

    /// Parameters of one run in the ranges of the fault table: reads and writes 20 us - 5 ms, syncs
    /// 0.1 - 15 ms, and in half of the runs a slow tail of 1 % up to 1 s.
    static DiskLatency drawn(RandomStream& stream);
    /// Every operation takes exactly this long: for tests that place crashes.
    static DiskLatency fixed(Duration read, Duration write, Duration sync);
};

/// What a power loss does to changes that no sync has covered. Chances of one file (or, for names,
/// of the directory tree): all kept, all lost, a prefix in the order of execution with the last
/// write torn; otherwise any subset, sector by sector. Chances that sum to less than 1 leave the
/// rest to the subset.
struct PowerLoss {
    double keep_all = 0.1;
    double lose_all = 0.15;
    double prefix = 0.35;
    /// Of each 512-byte sector that an unsynced write touches: neither old nor new. The whole sector, with what a sync had
    /// covered beside the write: a drive writes sectors, not bytes.
    double garbage = 0.04;
    /// Except in files whose path begins with one of these, where garbage stays inside the bytes that were being changed.
    /// For files that are appended to without padding by code that owes nothing for such a sector.
    std::vector<std::string> garbage_spares_synced;
};

struct DiskOptions {
    DiskLatency latency;
    PowerLoss power_loss;
    uint64_t capacity_bytes = 64ull << 30;  // space(); NoSpace when allocated pages would exceed it
    /// The domain of a file (changing calls of one domain are laid end to end) is its parent
    /// directory, except below this directory, where each file is a domain of its own. Empty: no
    /// such directory.
    std::string per_file_domain_dir;
};

/// Rates of faults that strike by themselves. `zone` limits them to paths with this prefix.
struct DiskFaults {
    struct Rate {
        double chance = 0;
        std::string zone;
    };
    Rate read_error;     // per 4 KiB read: the page becomes unreadable, until rewritten. Class C
    Rate bit_rot;        // per 4 KiB read: one bit of it is flipped for good. Class C
    Rate sync_failure;   // per sync: Io, and the dirty pages are dropped. Class A (the node must
                         // exit)
    Rate write_failure;  // per write: Io, nothing written. Class A
    Rate misdirect;      // per write of whole aligned sectors: it lands elsewhere in the same file.
                         // Class C
    Rate lying_sync;     // per sync or sync_dir: ok, nothing made durable. Class N
};

}  // namespace orrery::sim
