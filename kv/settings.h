// Settings: what CONFIG SET changes while the node runs. It begins as the daemon's configuration says and is gone with the process.
#pragma once

#include <cstdint>

#include "kv/wait_command.h"
#include "runtime/base/time.h"

namespace orrery::kv {

struct OutputLimits {
    uint64_t hard_bytes = 0;  // replies held for a client above which it is disconnected at once; 0: no limit
    uint64_t soft_bytes = 0;  // the same, after it has been above for `soft_time`; 0: no limit
    Duration soft_time;
    bool operator==(const OutputLimits&) const = default;
};

struct Settings {
    uint32_t clients_max = 10'000;
    Duration idle_limit;  // a client that sends nothing for so long is disconnected, unless it is blocked; 0: never
    uint64_t bulk_bytes_max = 8 << 20;
    WaitZero wait_zero = WaitZero::Redis;
    OutputLimits output;
    Duration slow_client_limit = Duration::seconds(60);  // a client that takes none of its replies for so long is disconnected
    Duration request_limit = Duration::seconds(5);       // of one command, forwarding included
    bool operator==(const Settings&) const = default;
};

}  // namespace orrery::kv
