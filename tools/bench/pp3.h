// PP3: three simulated nodes, every ordered pair keeps W 64-byte messages in flight over streams;
// each delivery is echoed.
#pragma once

#include <cstdint>

namespace orrery::bench {

struct Pp3Result {
    uint64_t delivered = 0;  // messages, read whole by the receiving fiber
    double cpu_seconds = 0;  // of the timed part
    double simulated_seconds = 0;
    uint64_t hash = 0;   // of everything that happened; equal for equal arguments
    uint64_t steps = 0;  // hashed
};

/// Link latency 0.5 ms and an exponential part of 0.5 ms on top; schedule policy random, with extra
/// yields, as every seed has.
Pp3Result run_pp3(uint64_t seed, uint64_t window, uint64_t messages);

}  // namespace orrery::bench
