// Two checks of a whole group: equal state at equal applied index, and an end of every operation
// after heal.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "runtime/base/ids.h"
#include "sim/check/verdict.h"

namespace orrery::check {

struct ReplicaState {
    NodeId node;
    LogIndex applied;
    uint64_t digest = 0;  // of the logical view of the state
};

struct ReplicaEqualityOptions {
    size_t max_indexes = 4'096;  // remembered per group, the highest ones
    size_t max_violations = 64;
};

/// Replicas that have applied the same entries hold the same state.
class ReplicaEquality {
 public:
    explicit ReplicaEquality(ReplicaEqualityOptions options = {})
        : options_(options), violations_(options.max_violations) {}

    /// At any time. replica.digest-differs: another node, or another life of this one, had another
    /// digest at this index.
    void digest(const Stamp& stamp, GroupId group, const ReplicaState& state);
    /// After heal, with no client left: replica.not-converged when applied indexes differ,
    /// replica.digest-differs. Requires: every replica that must have converged is in the list.
    void at_rest(const Stamp& stamp, GroupId group, const std::vector<ReplicaState>& states);

    const std::vector<Violation>& violations() const { return violations_.list(); }
    /// Pass, Violated, or Inconclusive when no two digests were compared.
    Verdict verdict() const;

 private:
    ReplicaEqualityOptions options_;
    Violations violations_;
    std::map<GroupId, std::map<LogIndex, ReplicaState>> seen_;
    uint64_t compared_ = 0;
};

struct LivenessOptions {
    Duration bound = Duration::seconds(30);  // after heal, for operations called before or after it
    size_t max_open = 65'536;                // one more makes the verdict inconclusive
    size_t max_violations = 64;
};

/// After heal every client operation ends within the bound.
class Liveness {
 public:
    explicit Liveness(LivenessOptions options = {})
        : options_(options), violations_(options.max_violations) {}

    /// `id` is unique in the run (History::OpId); `what` is for the sentence.
    void started(uint64_t id, std::string what, const Stamp& stamp);
    /// liveness.pending-operation too when it ended, but later than the bound.
    void finished(uint64_t id, const Stamp& stamp);
    /// All faults have ended and a quorum of every group can talk. A new fault takes it back:
    /// faulted().
    void healed(Instant at) { healed_ = at; }
    void faulted() { healed_ = Instant::never(); }
    /// liveness.pending-operation for what is open beyond the bound; each operation is reported
    /// once.
    void check(const Stamp& now);

    size_t open_count() const { return open_.size(); }
    const std::vector<Violation>& violations() const { return violations_.list(); }
    /// Pass, Violated, or Inconclusive: check() never ran at least the bound after a heal, or
    /// operations went unseen.
    Verdict verdict() const;

 private:
    struct Open {
        std::string what;
        Instant started;
        bool reported = false;
    };
    Instant due(const Open& open) const;

    LivenessOptions options_;
    Violations violations_;
    std::map<uint64_t, Open> open_;
    Instant healed_ = Instant::never();
    bool judged_ = false;
    uint64_t refused_ = 0;
};

}  // namespace orrery::check
