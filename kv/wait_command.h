// The words of WAIT, WAIT ALL, WAITALL and WAITAOF, and the one number a connection carries for them.
#pragma once

#include <optional>
#include <variant>

#include "kv/command_table.h"
#include "kv/wait_tracker.h"

namespace orrery::kv {

/// The first word of a forwarded wait; no client command begins like this.
inline constexpr ByteView kWaitWord = "@wait";

/// What `WAIT 0` means: what Redis means (the present count, at once), or every member.
enum class WaitZero : uint8_t { Redis, All };

struct WaitCommand {
    WaitKind kind = WaitKind::Count;
    uint64_t replicas = 0;            // Count, Durable
    bool local = false;               // Durable: the leader's own sync too
    std::optional<Duration> timeout;  // nullopt: none
};

/// WAIT n ms | WAIT ALL ms | WAITALL ms | WAITAOF 0|1 n ms. Requires: passed check_request(). Otherwise the error reply: not an integer,
/// negative count (Redis takes it, we do not), negative or out of range time.
std::variant<WaitCommand, Reply> parse_wait(ArgvView argv, WaitZero wait_zero);

/// A connection's target: the highest index among its acknowledged writes and of what its reads observed. A write of
/// unknown outcome is not told here. Survives leader changes; RESET makes a new one.
class WaitTarget {
 public:
    void write_acknowledged(LogIndex index) { raise(index); }
    void read_observed(LogIndex applied) { raise(applied); }
    /// `newest` is the highest index any client wrote; it does not belong in the answer (defect wait_target_global).
    LogIndex target(LogIndex newest) const;

 private:
    void raise(LogIndex index) {
        if (index > target_) target_ = index;
    }
    LogIndex target_;
};

}  // namespace orrery::kv
