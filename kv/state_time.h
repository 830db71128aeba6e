// StateTime: this node's running value of state-machine time. Pure: clock readings come in as arguments.
//
// It runs on by the node's own monotonic clock from the last value it heard: a leader's heartbeat replaces it, a voter's
// answer raises it. Only a leader's stamp is slewed towards wall time, by at most 500 ppm of what passed since the last
// stamp or heartbeat, and it never goes back. So a change of leader or an idle hour costs no time and asks no wall clock.
// A node that has heard nothing since its start has no running value; if such a node leads, the outage is added as its
// own wall clock tells it.
#pragma once

#include <algorithm>

#include "kv/log_entry.h"
#include "runtime/base/time.h"

namespace orrery::kv {

class StateTime {
 public:
    static constexpr int64_t kSlewPpm = 500;

    /// The newest stamp in the own log or state: a lower bound, not a running value.
    void floor(LogTime stamp) { floor_ = std::max(floor_, stamp); }
    /// The leader's running value, just now.
    void follow(LogTime value, Instant now) {
        base_ = std::max(value, floor_);
        since_ = now;
        running_ = true;
    }
    /// A voter's: ours is at least that.
    void raise(LogTime value, Instant now) { follow(running_ ? std::max(value, at(now)) : value, now); }
    bool running() const { return running_; }
    /// Requires: running().
    LogTime at(Instant now) const { return {std::max(base_.ns + std::max<int64_t>(0, (now - since_).ns), floor_.ns)}; }
    /// What a leader stamps with; begins to run if nothing was heard since the start.
    LogTime stamp(Instant now, WallTime wall) {
        if (!running_) follow({std::max<int64_t>(wall.ns, 0)}, now);
        const int64_t passed = std::max<int64_t>(0, (now - since_).ns);
        const int64_t slew_max = passed / (1'000'000 / kSlewPpm);
        const int64_t ahead = wall.ns - (base_.ns + passed);
        const LogTime value{std::max(base_.ns + passed + std::clamp(ahead, -slew_max, slew_max), floor_.ns)};
        floor(value);
        follow(value, now);
        return value;
    }
    LogTime lower_bound() const { return floor_; }

 private:
    LogTime floor_;
    bool running_ = false;
    LogTime base_;
    Instant since_;
};

}  // namespace orrery::kv
