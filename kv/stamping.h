// stamp_command: from what the client said to what the log holds. Relative expiries become absolute here, on the leader,
// so that a member that applies the entry a day later computes the same expiry.
#pragma once

#include <variant>

#include "kv/command_table.h"
#include "kv/log_entry.h"
#include "kv/transaction.h"

namespace orrery::kv {

/// A command ready for the log, or the error its sender gets (then nothing is proposed).
using Stamped = std::variant<Argv, Reply>;

/// Requires: a Route::Write request that passed check_request(); stamp >= 0.
/// EX/PX/EXAT become PXAT; SETEX and PSETEX become SET .. PXAT; EXPIRE, PEXPIRE and EXPIREAT become PEXPIREAT. Relative
/// times count as absolute_millis() says. Stamping a stamped command changes nothing. Syntax errors of commands with an expiry are found here, in the words of Redis; those of the
/// others by execute(), at apply.
Stamped stamp_command(ArgvView argv, LogTime stamp);

/// The record that is logged. A command that stamp_command() refuses stays as it is and fails by itself at apply. Requires: every
/// command passed check_request() as Route::Read or Route::Write.
Bytes stamp_transaction(const Transaction& transaction, LogTime stamp, uint64_t draw);

}  // namespace orrery::kv
