// Damage where a test wants it: a bit of one text in the durable log of a simulated node.
#pragma once

#include <cstdio>
#include <string>

#include "sim/core/host.h"

namespace orrery::test {

/// Flips a bit of the first place of that text in the log of a node that is down. False: it is not there.
inline bool spoil_log(sim::Host& host, const std::string& text) {
    for (int number = 1; number < 100; ++number) {
        char path[40];
        std::snprintf(path, sizeof path, "log/segment-%010d", number);
        const std::optional<Bytes> bytes = host.disk().peek(path, sim::SimDisk::View::Durable);
        if (!bytes) return false;
        const size_t at = bytes->find(text);
        if (at != Bytes::npos) return host.disk().flip_bit({path, at, 3}).ok();
    }
    return false;
}

}  // namespace orrery::test
