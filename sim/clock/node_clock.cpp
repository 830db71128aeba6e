#include "sim/clock/node_clock.h"

#include <algorithm>

#include "runtime/base/check.h"

namespace orrery::sim {

namespace {
constexpr int64_t kBillion = 1'000'000'000;
}

Instant NodeClock::local_at(Instant world) const {
    const int64_t passed = (world - world_base_).ns;
    if (drift_ppb_ == 0) return local_base_ + Duration{passed};
    const auto drifted = static_cast<int64_t>(static_cast<__int128>(passed) * drift_ppb_ / kBillion);
    return local_base_ + Duration{passed + drifted};
}

Instant NodeClock::world_at(Instant local) const {
    if (local == Instant::never()) return local;
    const int64_t wanted = (local - local_base_).ns;
    if (drift_ppb_ == 0) return std::max(world_base_ + Duration{wanted}, timeline_.now());
    Instant at = world_base_ + Duration{static_cast<int64_t>(static_cast<__int128>(wanted) * kBillion / (kBillion + drift_ppb_))};
    // Integer division may land a nanosecond or two early or late.
    while (at > timeline_.now() && local_at(at - Duration{1}) >= local) at = at - Duration{1};
    while (local_at(at) < local) at = at + Duration{1};
    return std::max(at, timeline_.now());
}

WallTime NodeClock::wall() const { return kWorldBegin + Duration{(now() - Instant{}).ns - offset_.ns} + wall_offset_; }

void NodeClock::set_drift_ppb(int64_t ppb) {
    CHECK(ppb >= -100'000'000 && ppb <= 100'000'000, ppb);
    local_base_ = now();
    world_base_ = timeline_.now();
    drift_ppb_ = ppb;
}

}  // namespace orrery::sim
