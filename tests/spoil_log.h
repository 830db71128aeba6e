// Damage where a test wants it: a bit of one text in the durable log of a simulated node.
#pragma once

#include <algorithm>
#include <cstdio>
#include <string>
#include <tuple>
#include <vector>

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

/// Damages the header of a batch that is needed and neither the oldest nor the newest, in the log of a node that is down: what it
/// held nobody can name but by group. False: there is none.
inline bool spoil_batch(sim::Host& host) {
    struct At {
        uint64_t epoch, number, oldest;
        std::string path;
        uint64_t offset;
    };
    std::vector<At> batches;
    for (int number = 1; number < 100; ++number) {
        char path[40];
        std::snprintf(path, sizeof path, "log/segment-%010d", number);
        const std::optional<Bytes> bytes = host.disk().peek(path, sim::SimDisk::View::Durable);
        if (!bytes) break;
        for (uint64_t at = 0; at + 4096 <= bytes->size(); at += 4096)
            if (ByteView(*bytes).substr(at, 8) == "ORRYLOG1")
                batches.push_back({get_le<uint64_t>(bytes->data() + at + 24), get_le<uint64_t>(bytes->data() + at + 32),
                                   get_le<uint64_t>(bytes->data() + at + 40), path, at});
    }
    if (batches.empty()) return false;
    std::sort(batches.begin(), batches.end(), [](const At& a, const At& b) { return std::tie(a.epoch, a.number) < std::tie(b.epoch, b.number); });
    const uint64_t oldest = batches.back().oldest, newest = batches.back().number;
    for (const At& one : batches)
        if (one.number > (oldest + newest) / 2 && one.number < newest) return host.disk().flip_bit({one.path, one.offset + 84, 2}).ok();
    return false;
}

/// Flips a bit in the middle of the largest file of the Store whose name has that, or at `offset` of it. False: there is none.
inline bool spoil_store(sim::Host& host, std::string_view part, std::optional<uint64_t> offset = std::nullopt) {
    sim::SimDisk::Entry largest;
    for (const auto& entry : host.disk().tree(sim::SimDisk::View::Durable))
        if (entry.name.starts_with("store/") && entry.name.find(part) != std::string::npos && entry.size_bytes > largest.size_bytes) largest = entry;
    return largest.size_bytes > 0 && host.disk().flip_bit({largest.name, offset.value_or(largest.size_bytes / 2), 3}).ok();
}

}  // namespace orrery::test
