// What /metrics of a KV node shows.
#pragma once

#include <span>
#include <string>

#include "node/admin/metrics.h"

namespace orrery::kv {

class KvNode;

/// Every family that may be there, in the order of the page; for --list-metrics.
std::span<const admin::MetricInfo> kv_metrics();
/// The page as it is now: what is not up yet is not on it. Atomic.
std::string kv_metrics_page(KvNode& node);

}  // namespace orrery::kv
