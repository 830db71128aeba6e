// The log of one replica as the core sees it: a floor, and every entry above it, in memory.
//
// Also the history of configurations: one takes effect with its entry and goes with it when a conflicting entry
// replaces it. It knows nothing of disks; what is durable is the core's account.
#pragma once

#include <deque>

#include "node/raft/core/configuration.h"

namespace orrery::raft {

/// Everything up to `index` is in the state machine and no longer in the log.
struct Floor {
    LogIndex index;
    Term term;
    Configuration configuration;  // in force at `index`
    LogPosition position() const { return {index, term}; }
};

class LogView {
 public:
    explicit LogView(Floor floor) : floor_(std::move(floor)) {}

    const Floor& floor() const { return floor_; }
    LogPosition last() const {
        return entries_.empty() ? floor_.position() : entries_.back().position();
    }
    /// Of the floor's index too; nothing below it and above last().
    std::optional<Term> term_at(LogIndex index) const;
    /// Null at or below the floor and above last().
    const Entry* at(LogIndex index) const;
    /// Entries from `from` to `up_to` or the last, whichever is first, until `max_bytes` or `max_count` is passed; at least one
    /// if there is one. Requires: from > floor().index.
    std::vector<Entry> slice(LogIndex from, LogIndex up_to, uint64_t max_bytes, size_t max_count) const;
    /// The highest index <= `index` whose term is <= `term`; where that lies below the floor, the floor.
    /// What is above last() counts as absent.
    LogPosition last_not_above(LogIndex index, Term term) const;

    /// Requires: it follows last() without a gap, its term not lower. Errors: Corrupt (a Config entry whose body is
    /// none); nothing has changed then.
    Result<void> append(Entry entry);
    /// The lost body of a hole. Requires: at(index) is a hole. Errors: Corrupt (a Config entry whose body is none); nothing
    /// has changed then.
    Result<void> fill(LogIndex index, std::shared_ptr<const Bytes> body);
    /// Drops every entry >= from. Requires: from > floor().index.
    void truncate(LogIndex from);
    /// Moves the floor up. Requires: floor().index <= index <= last().index.
    void compact(LogIndex index);
    /// Makes `floor` the floor; keeps the entries above it if the log holds exactly that position, else none.
    void restore(Floor floor);

    /// The newest one in the log, committed or not. One whose entry is a hole is not seen.
    const Configuration& configuration() const;
    /// Index of the entry it came with; the floor's index if there is none above.
    LogIndex configuration_index() const;
    /// The newest one at or below `index`; the floor's where that is the newest. Requires: floor().index <= index.
    const Configuration& configuration_at(LogIndex index) const;
    /// A Config entry in (low, high]?
    bool has_configuration_in(LogIndex low, LogIndex high) const;
    /// Payload of entries in (low, high]. Costs nothing: sums are kept.
    uint64_t bytes_in(LogIndex low, LogIndex high) const;

 private:
    struct History {
        LogIndex index;
        Configuration configuration;
    };
    /// Payload of everything ever taken in up to `index`. Requires: from the floor to last().
    uint64_t bytes_up_to(LogIndex index) const { return index == floor_.index ? floor_bytes_ : ends_[index - floor_.index - 1]; }

    Floor floor_;
    std::deque<Entry> entries_;     // entries_[0] is floor_.index + 1
    std::deque<uint64_t> ends_;     // of each entry: payload up to and with it
    uint64_t floor_bytes_ = 0;      // the same of the floor
    std::vector<History> history_;  // of the Config entries in entries_, rising
};

}  // namespace orrery::raft
