#include "kv/state_time.h"

#include <cstdlib>
#include <vector>

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

void StateTime::run_from(LogTime value, TimeTag tag, Instant now, TimeOrigin origin) {
    base_ = std::max(value, floor_.time);
    since_ = now;
    running_ = true;
    tag_ = tag;
    origin_ = origin;
    heard_.reset();
}

void StateTime::follow(LogTime value, TimeTag tag, Instant now) {
    if (running_ && tag.leader < tag_.leader) return;
    if (running_ && tag == tag_) {
        const int64_t passed = std::max<int64_t>(0, (now - since_).ns);
        value = std::max(value, LogTime{at(now).ns - passed / (1'000'000 / kYieldPpm)});
    } else if (!confirmed(value, tag, now)) {
        return;
    }
    run_from(value, tag, now, TimeOrigin::Running);
}

bool StateTime::confirmed(LogTime value, TimeTag tag, Instant now) {
    if (!heard_ || heard_->tag != tag) {
        heard_ = {value, tag, now};
        return false;
    }
    const int64_t passed = (now - heard_->at).ns, told = value.ns - heard_->value.ns;
    if (passed >= kConfirmAfter.ns && std::abs(told - passed) <= kConfirmWithin.ns) return true;
    if (told > passed || passed > kConfirmAfter.ns) heard_ = {value, tag, now};  // a fresher one
    return false;
}

void StateTime::offer(NodeId from, Term term, const Offer& offer) {
    if (term < offers_term_) return;
    // A leader's own voters answered in its own term, so the newest term is the right one. An earlier answer is a smaller
    // estimate, but of an earlier instant: it would take the elections since from the clients' keys.
    if (term > offers_term_) offers_.clear();
    offers_term_ = term;
    offers_[from] = offer;
}

void StateTime::moved(LogTime from, LogTime to, Instant now) {
    if (running_) {
        advance(to, now);
    } else if (before_) {
        // Stored before the step: an estimate from it has to take the step too.
        before_->time.ns += to.ns - from.ns;
    }
}

void StateTime::advance(LogTime to, Instant now) {
    CHECK(running_);
    if (at(now) < to) run_from(to, tag_, now, origin_);
}

std::optional<LogTime> StateTime::estimate(WallTime wall) const {
    if (!before_) return std::nullopt;
    return std::max(LogTime{before_->time.ns + std::max<int64_t>(0, (wall - before_->wall).ns)}, floor_.time);
}

void StateTime::lead(Term term, std::optional<Floor> logged, Instant now, WallTime wall) {
    if (offers_term_ != term) offers_.clear();  // of a candidacy that came to nothing
    std::vector<Offer> said;
    if (running_) said.push_back({at(now), tag_, false, now});
    if (const std::optional<LogTime> own = estimate(wall); own && !running_) said.push_back({*own, tag(), true, now});
    for (const auto& [node, offer] : offers_) said.push_back({{offer.value.ns + std::max<int64_t>(0, (now - offer.heard).ns)}, offer.tag, offer.estimate, now});
    offers_.clear();

    // The valid count is the newest leader's. That it is of our quorum or in our log, if any key has an end by it, follows
    // from its entry being committed.
    TimeTag newest = std::max(floor_.tag, logged ? logged->tag : TimeTag{});
    for (const Offer& word : said) newest = std::max(newest, word.tag);
    std::optional<LogTime> running, estimated, other;
    for (const Offer& word : said) {
        if (word.tag.epoch == newest.epoch && !word.estimate) {
            running = std::max(running.value_or(LogTime{}), word.value);
        } else {
            std::optional<LogTime>& smallest = word.tag.epoch == newest.epoch ? estimated : other;
            smallest = smallest ? std::min(*smallest, word.value) : word.value;
        }
    }
    const LogTime least = logged ? logged->time : LogTime{};
    if (running) return run_from(std::max(*running, least), {term, newest.epoch}, now, TimeOrigin::Running);

    // Nobody can go on with the valid count. One whose count is another one errs by the seconds between the two, still far
    // less than a calendar may.
    std::optional<LogTime> from = estimated ? estimated : other;
    if (ORRERY_DEFECT(outage_time_by_leader_clock)) from.reset();
    const LogTime calendar{std::max<int64_t>(wall.ns, 0)};
    run_from(std::max(from.value_or(calendar), least), {term, term}, now, from ? TimeOrigin::Estimate : TimeOrigin::Wall);
}

LogTime StateTime::stamp(Instant now, WallTime wall) {
    CHECK(running_);
    const int64_t passed = std::max<int64_t>(0, (now - since_).ns);
    const int64_t slew_max = passed / (1'000'000 / kSlewPpm);
    const int64_t ahead = wall.ns - (base_.ns + passed);
    base_ = std::max(LogTime{base_.ns + passed + std::clamp(ahead, -slew_max, slew_max)}, floor_.time);
    since_ = now;
    return base_;
}

bool StateTime::store_due(Instant now, WallTime wall) const {
    if (!running_) return false;
    if (!stored_ || stored_->epoch != tag_.epoch || now - stored_at_ >= kStoreEvery) return true;
    const int64_t moved = (wall - stored_->wall).ns - (at(now).ns - stored_->time.ns);
    return moved > kStoreStep.ns || moved < -kStoreStep.ns;
}

}  // namespace orrery::kv
