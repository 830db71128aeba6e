// Who listens on a TCP port of this machine: for the message of a start that found it taken.
#pragma once

#include <cstdint>
#include <string>

namespace orrery::real {

/// "process 1234 (redis-server)", or "" when the kernel does not tell (another user's process, another container).
/// Blocks: reads /proc.
std::string describe_port_holder(uint16_t port);
/// "process 1234 (orrery-kv)" or "process 1234".
std::string describe_process(int64_t pid);

}  // namespace orrery::real
