// Commands that the node answers from its own state: PING ECHO AUTH HELLO SELECT QUIT CLIENT CONFIG INFO COMMAND FUNCTION TIME ACL
// CLUSTER ROLE READONLY READWRITE ASKING. No I/O: what the node knows and does comes through LocalNode, what the connection is lives
// in ClientState.
#pragma once

#include "kv/local_node.h"

namespace orrery::kv {

/// Requires: Route::Local, passed check_request(); not CLUSTER COUNTKEYSINSLOT or GETKEYSINSLOT with the cluster face.
Reply execute_local(ArgvView argv, ClientState& client, LocalNode& node);

/// RESET: as a connection that has just come.
void reset_client(ClientState& client, const Acl& acl);

}  // namespace orrery::kv
