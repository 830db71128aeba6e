// What a node tells an operator of state-machine time, and how an operator asks: `orreryctl kv time`. The question travels
// as a forwarded command with a word that no client can send, so that the way to the leader is the commands' own.
#pragma once

#include "kv/kv_machine.h"
#include "runtime/env/net.h"

namespace orrery::kv {

/// Alone it asks a node for its report. With a time (decimal nanoseconds since 1970) behind it, it moves state-machine
/// time there, from whichever node it comes to; the reply is [moved from, moved to].
inline constexpr ByteView kTimeWord = "@time";

struct TimeReport {
    NodeId node;
    NodeId leader;  // 0: none known
    KvMachine::TimeView view;
};
Reply time_report_reply(const TimeReport& report);
/// Errors: Corrupt.
Result<TimeReport> time_report_of(const Reply& reply);

/// Asks the node whose peer address that is. Yields. Errors: Timeout, NotReady (its KV is not up), those of the connection.
Result<TimeReport> ask_time(Fiber& fiber, Env& env, const Address& peer, Instant deadline);
/// Moves state-machine time, through that node; the time it was moved from. Yields. Errors: Invalid (it would go back),
/// NotLeader (none is known there), Unknown (it may yet take effect; asking again is harmless), those of the connection.
Result<LogTime> set_time(Fiber& fiber, Env& env, const Address& peer, LogTime to, Instant deadline);

}  // namespace orrery::kv
