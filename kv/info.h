// INFO: the figures of a node as text.
#pragma once

#include "kv/command_table.h"
#include "kv/server_facts.h"

namespace orrery::kv {

/// `wanted`: names of sections; none: those that Redis gives by default.
Reply info_command(ArgvView wanted, const ServerFacts& facts);

}  // namespace orrery::kv
