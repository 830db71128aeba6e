// Freshness: how old the own applied state is at most, as far as a confirmed leader has said. Pure.
//
// A confirmation says: at our instant `stamp`, or later, nothing was committed beyond `version`. It is about the own state once
// that has applied `version`. All instants are of the own clock: a follower stamps its question before it leaves, and
// never learns a time of anybody else.
#pragma once

#include <algorithm>
#include <deque>
#include <optional>

#include "runtime/base/ids.h"
#include "runtime/base/time.h"

namespace orrery::master {

class Freshness {
 public:
    /// Confirmations that wait for the state to get there; beyond it new ones are dropped, since the oldest is the next to count.
    static constexpr size_t kPendingMax = 64;

    /// A leader answered the question that left at `stamp`. In any order.
    void confirmed(LogIndex version, Instant stamp);
    /// Readers see the state of this index from now on, or a later one.
    void applied(LogIndex index);
    /// The latest instant at which the applied state was known to hold all that was committed; nullopt: never.
    std::optional<Instant> as_of() const { return as_of_; }
    /// The latest instant for which a leader has answered: as_of() will be that once enough is applied. nullopt: none.
    std::optional<Instant> vouched() const { return pending_.empty() ? as_of_ : std::max(as_of_, std::optional(pending_.back().stamp)); }

 private:
    struct Pending {
        LogIndex version;
        Instant stamp;
    };
    LogIndex applied_;
    std::optional<Instant> as_of_;
    std::deque<Pending> pending_;  // versions and stamps rise
};

}  // namespace orrery::master
