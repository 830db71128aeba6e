// One line of `workload.script`: what one client does next. For generated and shrunk schedules, where a workload's draws would
// hide which command matters.
//
//   c1 5ms get a0          c1 5ms append a0      c1 0ms incr n0 3        lists are a<number>, counters n<number>
//   c2 1ms txn watch:a0 get:n1 append:a1 incr:n0:2                       watched first; each watched key is read before MULTI
//   c1 1ms set 500ms       c1 1ms expire 300ms   c1 1ms persist          the client's own key that expires
//   c2 1ms read c1         c2 1ms ttl c1                                 somebody's
//
// The time is the client's pause before it. Texts that are appended or set are made when the line runs: each occurs once.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/result.h"
#include "sim/check/expiry.h"
#include "sim/check/history.h"

namespace orrery::sim {

struct ScriptStep {
    enum class Kind : uint8_t { Single, Transaction, Expiring };
    size_t client = 0;  // from 0
    Duration pause;
    Kind kind = Kind::Single;
    check::TxnPart single;                     // Single
    std::vector<check::TxnPart> parts;         // Transaction: those that are watched first
    check::ExpiryKind expiry = check::ExpiryKind::Get;  // Expiring
    Duration ttl;                              // Set, Expire
    size_t owner = 0;                          // Get, TimeToLive
};

/// Errors: Invalid: what is wrong with the line.
Result<ScriptStep> parse_step(std::string_view line, uint64_t clients);

}  // namespace orrery::sim
