// What the KV proposes to its Raft group: a command, a transaction, a tick or a purge, with the leader's stamp. Applying one reads no
// clock and makes no choice; everything that could differ between members was decided before it became an entry.
#pragma once

#include <cstdint>
#include <vector>

#include "kv/resp/request_parser.h"
#include "runtime/base/bytes.h"
#include "runtime/base/ids.h"
#include "runtime/base/result.h"

namespace orrery::kv {

/// State-machine time: nanoseconds since 1970-01-01 UTC as the group counts them. It never goes back, and it is not the
/// wall clock of any node: only a leader's stamp moves it.
struct LogTime {
    int64_t ns = 0;
    constexpr auto operator<=>(const LogTime&) const = default;
    /// Rounded down. Requires: ns >= 0.
    constexpr int64_t millis() const { return ns / 1'000'000; }
};

/// What a leader stamps its entries with. `epoch` is the term in which the count began that `time` is of (kv/state_time.h); never 0.
struct Stamp {
    LogTime time;
    Term epoch;
    auto operator<=>(const Stamp&) const = default;
};

/// Identifies one write of one client, so that a repeat has no second effect. Zero client: none.
struct ClientSlot {
    uint64_t client = 0;
    uint64_t sequence = 0;  // rises in the order in which the client's writes are proposed
    bool present() const { return client != 0; }
    auto operator<=>(const ClientSlot&) const = default;
};

enum class EntryKind : uint8_t {  // stored; never renumber
    Command = 1,  // argv
    Tick = 2,     // nothing: moves state-machine time to its stamp
    Purge = 3,    // argv are keys: those expired at the stamp are removed, others stay
    SetTime = 4,  // an operator's: moves state-machine time forward to its stamp; argv: the time it was moved from
    Transaction = 5,  // argv is one word: a transaction record
};

/// A decoded entry; argv looks into the bytes given to decode_entry().
struct LogEntry {
    EntryKind kind = EntryKind::Command;
    Stamp stamp;
    ClientSlot slot;
    std::vector<ByteView> argv;
};

inline constexpr uint8_t kEntryFormat = 2;

/// Requires: stamp.time >= 0, stamp.epoch > 0; kind Tick has no argv and no slot, kind Purge no slot; kind Transaction exactly one word; the others at
/// least one. SetTime has its own function.
Bytes encode_entry(EntryKind kind, Stamp stamp, ClientSlot slot, resp::ArgvView argv);
Bytes encode_tick(Stamp stamp);
/// Requires: 0 <= from < to.time.
Bytes encode_set_time(LogTime from, Stamp to);
/// Requires: a decoded entry of kind SetTime.
LogTime set_time_from(const LogEntry& entry);

/// Errors: Corrupt for anything encode_entry() does not write (truncated, trailing bytes, unknown version or kind).
Result<LogEntry> decode_entry(ByteView bytes);

}  // namespace orrery::kv
