// StateTime: this node's value of state-machine time. Pure: clock readings come in as arguments.
//
// It runs on by the node's own monotonic clock from the last value it heard: a leader's heartbeat, a voter's answer. Only a
// leader's stamp is slewed towards wall time, and it never goes back. So a change of leader or an idle hour costs no time
// and asks no wall clock.
//
// A node that has heard nothing since its start has no running value, but an estimate: what it stored last, plus the wall
// clock's difference since. Estimates count only when nobody of a leader's vote quorum has a running value; then the
// smallest does, so that one clock that jumped ahead in the outage expires nothing.
//
// A leader that begins from estimates begins a new count, an epoch, named by its term. A member that was cut off meanwhile
// may have a value of the old count that is seconds away: numbers of two counts say nothing about each other, so each comes
// with its TimeTag. The newest leader's count is the valid one, since keys may have ends by it; who follows that leader takes
// its value over, and a leader elected later leaves other counts aside.
#pragma once

#include <algorithm>
#include <map>
#include <optional>

#include "kv/log_entry.h"
#include "kv/stored_format.h"
#include "runtime/base/ids.h"
#include "runtime/base/time.h"

namespace orrery::kv {

/// What the present value goes back to. 
enum class TimeOrigin : uint8_t {  // told to operators; never renumber
    None = 0,      // nothing is known: a fresh member
    Running = 1,   // of a value that ran on in some member
    Estimate = 2,  // stored before an outage of all, plus a wall clock's difference
    Wall = 3,      // a wall clock alone: the group was being founded, or nobody had stored anything
};
std::string_view time_origin_name(TimeOrigin origin);

/// What a value of state-machine time is worth.
struct TimeTag {
    Term leader;  // of the leader whose word the value goes back to
    Term epoch;   // in which this count began; 0: no value
    auto operator<=>(const TimeTag&) const = default;
};

class StateTime {
 public:
    static constexpr int64_t kSlewPpm = 500;
    /// A heartbeat that was long on its way must not set us back; one that is always behind ours says that our clock is the
    /// faster one. So a leader's lower value takes us back by at most this share of the time since the last one: more than
    /// two clocks of 500 ppm and a slew can differ by.
    static constexpr int64_t kYieldPpm = 2000;
    /// What the first heartbeat after a start says may be as old as a partition. So it counts from the second on: one that came
    /// at least so much later, and told of about as much time as had passed here meanwhile. What is held back arrives at once.
    static constexpr Duration kConfirmAfter = Duration::millis(20);
    static constexpr Duration kConfirmWithin = Duration::millis(100);
    /// The stored pair is written anew after so long, or when the wall clock moved against it by that much. In between it
    /// loses nothing but a clock step smaller than that.
    static constexpr Duration kStoreEvery = Duration::seconds(1);
    static constexpr Duration kStoreStep = Duration::millis(100);

    /// What a log or a state says: a lower bound, not a running value.
    struct Floor {
        LogTime time;
        TimeTag tag;
    };
    /// What a voter says with its answer, at `heard` by our clock.
    struct Offer {
        LogTime value;
        TimeTag tag;
        bool estimate = false;
        Instant heard;
    };

    // ---- what is known
    /// The last stamp that was applied.
    void floor(const Floor& applied) { floor_ = applied; }
    /// The pair stored before this start.
    void restore(const StoredTime& pair) { before_ = pair; }
    /// The leader's running value, as a heartbeat told it just now.
    void follow(LogTime value, TimeTag tag, Instant now);
    /// A voter's, with its answer in `term`; only those of the newest term are kept.
    void offer(NodeId from, Term term, const Offer& offer);
    /// An applied entry moved state-machine time from `from` to `to`.
    void moved(LogTime from, LogTime to, Instant now);
    /// The leader's own value is at least that from now on. Requires: running().
    void advance(LogTime to, Instant now);

    // ---- values
    bool running() const { return running_; }
    /// Requires: running().
    LogTime at(Instant now) const { return {std::max(base_.ns + std::max<int64_t>(0, (now - since_).ns), floor_.time.ns)}; }
    /// nullopt for a node that never stored a pair.
    std::optional<LogTime> estimate(WallTime wall) const;
    TimeOrigin origin() const { return running_ ? origin_ : before_ ? TimeOrigin::Estimate : TimeOrigin::None; }
    LogTime lower_bound() const { return floor_.time; }
    /// Of the running value, or of the estimate.
    TimeTag tag() const { return running_ ? tag_ : before_ ? TimeTag{before_->leader, before_->epoch} : TimeTag{}; }

    // ---- the leader
    /// Elected in `term`: settles the value from what the vote quorum said and from `logged`, the last stamp in the own log.
    void lead(Term term, std::optional<Floor> logged, Instant now, WallTime wall);
    /// What a leader stamps with. Requires: running().
    LogTime stamp(Instant now, WallTime wall);

    // ---- the stored pair
    /// Whether it is worth a write; never without a running value, which alone says what time it is.
    bool store_due(Instant now, WallTime wall) const;
    void stored(StoredTime pair, Instant now) {
        stored_ = pair;
        stored_at_ = now;
    }
    /// The pair of before the start, while it is all that is known.
    const std::optional<StoredTime>& before() const { return before_; }

 private:
    bool confirmed(LogTime value, TimeTag tag, Instant now);
    void run_from(LogTime value, TimeTag tag, Instant now, TimeOrigin origin);

    Floor floor_;
    bool running_ = false;
    TimeOrigin origin_ = TimeOrigin::None;
    TimeTag tag_;
    LogTime base_;
    Instant since_;
    struct Heard {
        LogTime value;
        TimeTag tag;
        Instant at;
    };
    std::optional<Heard> heard_;  // of a leader, not confirmed yet
    std::optional<StoredTime> before_;
    std::optional<StoredTime> stored_;  // in this life
    Instant stored_at_;
    std::map<NodeId, Offer> offers_;
    Term offers_term_;
};

}  // namespace orrery::kv
