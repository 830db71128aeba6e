// stamp_command: from what the client said to what the log holds. Relative expiries become absolute here, on the leader,
// so that a member that applies the entry a day later computes the same expiry.
#pragma once

#include <utility>
#include <variant>
#include <vector>

#include "kv/command_table.h"
#include "kv/log_entry.h"
#include "kv/transaction.h"

namespace orrery::kv {

/// A command ready for the log, or the error its sender gets (then nothing is proposed).
class Stamped {
 public:
    Stamped(ArgvView as_it_was) : outcome_(as_it_was) {}
    Stamped(Argv changed) : outcome_(std::move(changed)), views_(resp::views_of(std::get<Argv>(outcome_))) {}
    Stamped(Reply refusal) : outcome_(std::move(refusal)) {}
    Stamped(Stamped&&) = default;  // a vector that moves leaves its items where they are: views_ stay right
    Stamped(const Stamped&) = delete;

    /// Null: it is not refused.
    const Reply* refusal() const { return std::get_if<Reply>(&outcome_); }
    /// Requires: not refused. They may look into the words that were stamped.
    ArgvView words() const {
        const ArgvView* same = std::get_if<ArgvView>(&outcome_);
        return same != nullptr ? *same : ArgvView(views_);
    }

 private:
    std::variant<ArgvView, Argv, Reply> outcome_;
    std::vector<ByteView> views_;
};

/// Requires: a Route::Write request that passed check_request(); stamp >= 0.
/// EX/PX/EXAT become PXAT; SETEX and PSETEX become SET .. PXAT; EXPIRE, PEXPIRE and EXPIREAT become PEXPIREAT. Relative
/// times count as absolute_millis() says. Stamping a stamped command changes nothing. Syntax errors of commands with an expiry are found here, in the words of Redis; those of the
/// others by execute(), at apply.
Stamped stamp_command(ArgvView argv, LogTime stamp);

/// The record that is logged. A command that stamp_command() refuses stays as it is and fails by itself at apply. Requires: every
/// command passed check_request() as Route::Read or Route::Write.
Bytes stamp_transaction(const Transaction& transaction, LogTime stamp, uint64_t draw);

}  // namespace orrery::kv
