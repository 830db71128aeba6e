// What /metrics of a master shows.
#pragma once

#include <span>
#include <string>

#include "node/admin/metrics.h"

namespace orrery::master {

class MasterNode;

/// Every family that may be there, in the order of the page; for --list-metrics.
std::span<const admin::MetricInfo> master_metrics();
/// The page as it is now: what is not up yet is not on it. Atomic.
std::string master_metrics_page(MasterNode& node);

}  // namespace orrery::master
