#include "kv/state_time.h"

#include <cstdlib>

#include "runtime/base/check.h"
#include "runtime/base/defect.h"

namespace orrery::kv {

std::string_view time_origin_name(TimeOrigin origin) {
    switch (origin) {
        case TimeOrigin::None: return "none";
        case TimeOrigin::Running: return "running";
        case TimeOrigin::Estimate: return "estimate";
        case TimeOrigin::Wall: return "wall";
    }
    UNREACHABLE(static_cast<int>(origin));
}

void StateTime::run_from(LogTime value, Instant now, TimeOrigin origin) {
    base_ = std::max(value, floor_);
    since_ = now;
    running_ = true;
    origin_ = origin;
    offers_.clear();
    heard_.reset();
}

void StateTime::follow(LogTime value, Instant now) {
    if (running_) {
        const int64_t passed = std::max<int64_t>(0, (now - since_).ns);
        value = std::max(value, LogTime{at(now).ns - passed / (1'000'000 / kYieldPpm)});
    } else if (!confirmed(value, now)) {
        return;
    }
    run_from(value, now, TimeOrigin::Running);
}

bool StateTime::confirmed(LogTime value, Instant now) {
    if (!heard_) {
        heard_ = {value, now};
        return false;
    }
    const int64_t passed = (now - heard_->second).ns, told = value.ns - heard_->first.ns;
    if (passed >= kConfirmAfter.ns && std::abs(told - passed) <= kConfirmWithin.ns) return true;
    if (told > passed || passed > kConfirmAfter.ns) heard_ = {value, now};  // a fresher one, or another leader's
    return false;
}

void StateTime::raise(LogTime value, Instant now) {
    if (running_ && at(now) >= value) return;
    run_from(value, now, TimeOrigin::Running);
}

void StateTime::offer(NodeId from, Term term, LogTime value, Instant now) {
    if (term < offers_term_) return;
    // A leader's own voters answered in its own term, so the newest term is the right one. An earlier answer is a smaller
    // estimate, but of an earlier instant: it would take the elections since from the clients' keys.
    if (term > offers_term_) offers_.clear();
    offers_term_ = term;
    offers_[from] = {value, now};
}

void StateTime::moved(LogTime from, LogTime to, Instant now) {
    if (running_) {
        raise(to, now);
    } else if (before_) {
        // Stored before the step: an estimate from it has to take the step too.
        before_->time.ns += to.ns - from.ns;
    }
    floor(to);
}

std::optional<LogTime> StateTime::estimate(WallTime wall) const {
    if (!before_) return std::nullopt;
    return std::max(LogTime{before_->time.ns + std::max<int64_t>(0, (wall - before_->wall).ns)}, floor_);
}

void StateTime::lead(Instant now, WallTime wall) {
    if (running_) return;
    std::optional<LogTime> smallest = estimate(wall);
    for (const auto& [node, offer] : offers_) {
        const LogTime value{offer.value.ns + std::max<int64_t>(0, (now - offer.heard).ns)};
        smallest = smallest ? std::min(*smallest, value) : value;
    }
    const TimeOrigin origin = smallest ? TimeOrigin::Estimate : TimeOrigin::Wall;
    if (ORRERY_DEFECT(outage_time_by_leader_clock)) smallest.reset();
    run_from(smallest.value_or(LogTime{std::max<int64_t>(wall.ns, 0)}), now, origin);
}

LogTime StateTime::stamp(Instant now, WallTime wall) {
    CHECK(running_);
    const int64_t passed = std::max<int64_t>(0, (now - since_).ns);
    const int64_t slew_max = passed / (1'000'000 / kSlewPpm);
    const int64_t ahead = wall.ns - (base_.ns + passed);
    floor({base_.ns + passed + std::clamp(ahead, -slew_max, slew_max)});
    base_ = floor_;
    since_ = now;
    return floor_;
}

bool StateTime::store_due(Instant now, WallTime wall) const {
    if (!running_) return false;
    if (!stored_ || now - stored_at_ >= kStoreEvery) return true;
    const int64_t moved = (wall - stored_->wall).ns - (at(now).ns - stored_->time.ns);
    return moved > kStoreStep.ns || moved < -kStoreStep.ns;
}

}  // namespace orrery::kv
