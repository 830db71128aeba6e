// CONFIG GET | SET | RESETSTAT. What can be changed while the node runs is in Settings and, for requirepass, in the Acl; the rest is
// what the daemon was started with.
#pragma once

#include "kv/local_node.h"

namespace orrery::kv {

/// CONFIG SET changes all that it names, or nothing. Requires: passed check_request().
Reply config_command(ArgvView argv, LocalNode& node);

}  // namespace orrery::kv
