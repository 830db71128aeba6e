#include "sim/core/priorities.h"

#include <algorithm>

#include "runtime/base/hash.h"

namespace orrery::sim {

uint64_t Priorities::of(uint64_t host, uint64_t fiber) const {
    const auto lowered = lowered_.find({host, fiber});
    if (lowered != lowered_.end()) return lowered->second;
    return combine64(combine64(seed_, host), fiber) | uint64_t{1} << 63;
}

bool Priorities::lower(uint64_t host, uint64_t fiber) {
    if (slice_ == 0) {
        lowered_.clear();
        change_at_.clear();
        for (uint64_t i = 1; i < depth_; ++i) change_at_.push_back(changes_.below(window_));
        std::sort(change_at_.begin(), change_at_.end(), std::greater<>());
    }
    const bool now = !change_at_.empty() && change_at_.back() == slice_;
    if (now) {
        // The later change points are the lower ones.
        while (!change_at_.empty() && change_at_.back() == slice_) change_at_.pop_back();
        lowered_[{host, fiber}] = change_at_.size() + 1;
    }
    slice_ = (slice_ + 1) % window_;
    return now;
}

}  // namespace orrery::sim
