// Deadline: an instant of this node's clock by which something must be over. On the wire it is a budget (what is left
// of it), because instants of two nodes cannot be compared.
#pragma once

#include <algorithm>

#include "runtime/env/clock.h"

namespace orrery::rpc {

struct Deadline {
    Instant at = Instant::never();

    static Deadline never() { return {}; }
    static Deadline after(const Clock& clock, Duration time) { return {clock.now() + time}; }
    bool passed(Instant now) const { return now >= at; }
    /// Never negative; nothing for never().
    Duration remaining(Instant now) const { return passed(now) ? Duration{} : at - now; }
    Deadline sooner_of(Deadline other) const { return {std::min(at, other.at)}; }

    /// Nanoseconds left, at least 1; 0 stands for never().
    uint64_t budget_ns(Instant now) const {
        return at == Instant::never() ? 0 : static_cast<uint64_t>(std::max<int64_t>(1, remaining(now).ns));
    }
    static Deadline from_budget(uint64_t budget_ns, Instant now) {
        if (budget_ns == 0 || budget_ns >= static_cast<uint64_t>(INT64_MAX - now.ns)) return never();
        return {now + Duration::nanos(static_cast<int64_t>(budget_ns))};
    }
};

}  // namespace orrery::rpc
