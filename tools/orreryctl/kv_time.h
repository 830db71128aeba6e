// orreryctl kv time: what it asks and what it prints.
#pragma once

#include <vector>

#include "kv/time_report.h"

namespace orrery::ctl {

/// One line a node of `peers` (peer addresses); what a node that does not answer said goes to standard error. Yields. Errors: of the
/// last node that did not answer within `patience`; Cancelled.
Result<void> show_times(Fiber& fiber, Env& env, const std::vector<Address>& peers, Duration patience);
/// Through the first node that takes it: any of them knows the way to the leader. Yields. Errors: as kv::set_time().
Result<void> set_time(Fiber& fiber, Env& env, const std::vector<Address>& peers, kv::LogTime to, Duration patience);

}  // namespace orrery::ctl
