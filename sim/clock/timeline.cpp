#include "sim/clock/timeline.h"

#include <algorithm>

#include "runtime/base/check.h"

namespace orrery::sim {

void Timeline::schedule(Instant at, EventTarget& target, uint64_t argument) {
    CHECK(at >= now_, at, now_);
    heap_.push_back(Pending{at, sequence_++, &target, argument});
    std::push_heap(heap_.begin(), heap_.end(), [](const Pending& a, const Pending& b) { return a.later_than(b); });
}

void Timeline::fire_next() {
    CHECK(!heap_.empty());
    std::pop_heap(heap_.begin(), heap_.end(), [](const Pending& a, const Pending& b) { return a.later_than(b); });
    const Pending next = heap_.back();
    heap_.pop_back();
    now_ = next.at;
    ++fired_;
    next.target->fire(next.argument);
}

void Timeline::advance_to(Instant to) {
    CHECK(to >= now_ && next_at() >= to, to, now_);
    now_ = to;
}

}  // namespace orrery::sim
