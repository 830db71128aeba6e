#include "sim/disk/disk_options.h"

namespace orrery::sim {

DiskLatency DiskLatency::drawn(RandomStream& stream) {
    auto range = [&](Duration low, Duration high) {
        const Duration a = stream.between(low, high);
        const Duration b = stream.between(low, high);
        return a <= b ? Range{a, b} : Range{b, a};
    };
    DiskLatency out;
    out.read = range(Duration::micros(20), Duration::millis(5));
    out.write = range(Duration::micros(20), Duration::millis(5));
    out.sync = range(Duration::micros(100), Duration::millis(15));
    out.slow_chance = stream.chance(0.5) ? 0.01 : 0;
    return out;
}

DiskLatency DiskLatency::fixed(Duration read, Duration write, Duration sync) {
    return {.read = {read, read}, .write = {write, write}, .sync = {sync, sync}};
}

}  // namespace orrery::sim
