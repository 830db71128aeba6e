// Founding a cluster: the operator's side. Collects the identities of all nodes and hands every one the same founding
// record, which any repeat or race of the same members also makes.
#pragma once

#include <vector>

#include "node/wire/messages.h"
#include "runtime/env/env.h"

namespace orrery::raft {

/// `peers` are the nodes' peer addresses; they may be still starting. Repeats until all have taken the record or the
/// deadline passes. Yields. Errors: Invalid, Exists (a node belongs to another cluster; context says which), Timeout (who
/// did not answer), Cancelled.
Result<wire::FoundingRecord> found_cluster(Fiber& fiber, Env& env, const std::vector<Address>& peers, Instant deadline);

}  // namespace orrery::raft
