// See the header. Both checks compare what they are told; how a digest is made is the state
// machine's matter.
#include "sim/check/convergence.h"

#include <algorithm>

namespace orrery::check {
namespace {

Verdict verdict_of(const Violations& violations, std::string reason) {
    if (!violations.empty())
        return {.outcome = Outcome::Violated, .violations = violations.list(), .reason = {}};
    return {.outcome = reason.empty() ? Outcome::Pass : Outcome::Inconclusive,
            .violations = {},
            .reason = std::move(reason)};
}

std::string describe(const ReplicaState& state) {
    return "node " + std::to_string(state.node.value) + " at index " +
           std::to_string(state.applied.value) + " digest " + std::to_string(state.digest);
}

}  // namespace

void ReplicaEquality::digest(const Stamp& stamp, GroupId group, const ReplicaState& state) {
    auto& seen = seen_[group];
    auto [known, is_first] = seen.try_emplace(state.applied, state);
    if (!is_first) {
        ++compared_;
        if (known->second.digest != state.digest)
            violations_.add("replica.digest-differs", "digest", stamp,
                            "group " + std::to_string(group.value) + ": " + describe(state) +
                                ", but " + describe(known->second));
    }
    if (seen.size() > options_.max_indexes) seen.erase(seen.begin());
}

void ReplicaEquality::at_rest(const Stamp& stamp, GroupId group,
                              const std::vector<ReplicaState>& states) {
    for (const ReplicaState& state : states) {
        if (state.applied != states.front().applied)
            violations_.add("replica.not-converged", "rest", stamp,
                            "group " + std::to_string(group.value) + " at rest: " +
                                describe(state) + ", but " + describe(states.front()));
        digest(stamp, group, state);
    }
}

Verdict ReplicaEquality::verdict() const {
    return verdict_of(violations_,
                      compared_ ? "" : "no two digests at one applied index were compared");
}

void Liveness::started(uint64_t id, std::string what, const Stamp& stamp) {
    if (open_.size() >= options_.max_open) {
        ++refused_;
        return;
    }
    open_[id] = {.what = std::move(what), .started = stamp.at};
}

Instant Liveness::due(const Open& open) const {
    return std::max(healed_, open.started) + options_.bound;
}

void Liveness::finished(uint64_t id, const Stamp& stamp) {
    auto it = open_.find(id);
    if (it == open_.end()) return;
    const Open& open = it->second;
    if (stamp.at > due(open) && !open.reported)
        violations_.add("liveness.pending-operation", "finish", stamp,
                        open.what + " ended " + std::to_string((stamp.at - due(open)).as_millis()) +
                            " ms after it had to, " + std::to_string(options_.bound.as_millis()) +
                            " ms after heal");
    open_.erase(it);
}

void Liveness::check(const Stamp& now) {
    if (now.at >= healed_ + options_.bound) judged_ = true;
    for (auto& [id, open] : open_) {
        if (open.reported || now.at <= due(open)) continue;
        open.reported = true;
        violations_.add("liveness.pending-operation", "pending", now,
                        open.what + ", called at " + std::to_string(open.started.ns) +
                            " ns, is pending " +
                            std::to_string((now.at - std::max(healed_, open.started)).as_millis()) +
                            " ms after heal and call; the bound is " +
                            std::to_string(options_.bound.as_millis()) + " ms");
    }
}

Verdict Liveness::verdict() const {
    std::string reason;
    if (refused_)
        reason = std::to_string(refused_) + " operations were beyond the bound";
    else if (!judged_)
        reason = "the run ended before the bound after a heal had passed";
    return verdict_of(violations_, reason);
}

}  // namespace orrery::check
