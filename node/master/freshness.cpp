#include "node/master/freshness.h"

#include <algorithm>

namespace orrery::master {

void Freshness::confirmed(LogIndex version, Instant stamp) {
    if (version <= applied_) {
        as_of_ = as_of_ ? std::max(*as_of_, stamp) : stamp;
        return;
    }
    // What is said of a later instant and needs no more to be applied makes the others worthless.
    std::erase_if(pending_, [&](const Pending& one) { return one.stamp <= stamp && one.version >= version; });
    const auto at = std::ranges::upper_bound(pending_, version, {}, &Pending::version);
    if (at != pending_.begin() && std::prev(at)->stamp >= stamp) return;
    if (pending_.size() < kPendingMax) pending_.insert(at, {version, stamp});
}

void Freshness::applied(LogIndex index) {
    applied_ = std::max(applied_, index);
    for (; !pending_.empty() && pending_.front().version <= applied_; pending_.pop_front())
        as_of_ = as_of_ ? std::max(*as_of_, pending_.front().stamp) : pending_.front().stamp;
}

}  // namespace orrery::master
