// A node whose replica was retired asks to be taken back: the leader puts its new life in the place of the old one, through
// a learner and one joint step, as an operator's `kv add` of a wiped node would. Whether that is possible the leader says:
// never where no majority of the others is in touch, and never for a node that was removed.
#pragma once

#include "node/raft/node_directory.h"

namespace orrery::raft {

/// Asks until the node has been taken in, with growing pauses. `trouble` is why it was not yet, for people.
/// Requires: the directory was retired. Yields. Errors: Cancelled.
Result<void> return_to_group(Fiber& fiber, Env& env, NodeDirectory& directory, std::string& trouble);

}  // namespace orrery::raft
