// CLIENT: what a connection says of itself, and what it may do to others of its node.
#pragma once

#include "kv/local_node.h"

namespace orrery::kv {

/// Requires: passed check_request().
Reply client_command(ArgvView argv, ClientState& client, LocalNode& node);

/// CLIENT SETNAME and HELLO SETNAME: OK, or what is wrong with the name.
Reply set_client_name(ClientState& client, ByteView name);

/// What CLIENT INFO says, and a line of CLIENT LIST.
Bytes client_line(const ClientState& client, Instant now);

}  // namespace orrery::kv
