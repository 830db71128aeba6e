// Swarm: from a seed and ranges to explicit faults. Each class of faults is off with p 0.3; what is
// on draws its parameters. Every draw has an address of its own (swarm.<class>, number), so taking
// a class out moves no other draw.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "sim/fault/budget.h"
#include "sim/fault/fault_plan.h"

namespace orrery::sim {

/// Names of classes: partition, clog, reset, port-reuse, net, disk-latency, stall, sync-failure, full, crash,
/// restart-storm, pause, graceful, clock, transfer, wipe, schedule, knobs, load. Class C (bit-rot,
/// read-error, rot), members, replace, waits, leases, streams and installs only by `include`.
struct SwarmSpec {
    std::vector<std::string> include;  // empty: all of the default set
    std::vector<std::string> exclude;
    double off_p = 0.3;    // of each class
    double intensity = 1;  // factor on the number of events of every class
    double long_p = 0.05;  // share of long runs: 6 times the operations and the time
    int64_t drift_ppm = 500;  // most drift of any node's clocks, either way
    bool operator==(const SwarmSpec&) const = default;
};

struct SwarmClass {
    std::string_view name;
    bool by_default;
    std::string_view text;
};
std::span<const SwarmClass> swarm_classes();

/// Which classes are on for that seed.
class SwarmDraw {
 public:
    SwarmDraw(const SwarmSpec& spec, uint64_t seed) : spec_(spec), seed_(seed) {}
    bool on(std::string_view swarm_class) const;
    RandomStream stream(std::string_view swarm_class, uint64_t entity = 0) const;
    bool long_run() const;

 private:
    const SwarmSpec& spec_;
    uint64_t seed_;
};

/// What the members of a cluster are called.
struct MemberNames {
    std::string prefix = "n";  // of hosts: n1, n2
    std::string kind = "kv";   // "leader(kv)"
    NodeName member(uint64_t number) const { return prefix + std::to_string(number); }  // from 1
    NodeName leader() const { return "leader(" + kind + ")"; }
    NodeName follower(uint64_t which) const { return "follower(" + kind + "," + std::to_string(which) + ")"; }  // from 0
};

/// Fault events of `chaos` simulated time for a group of `members` nodes, within the budget,
/// in order of time.
/// `spares`: nodes behind the members that belong to no cluster at first; only the class "members" strikes them.
std::vector<PlannedFault> draw_faults(const SwarmSpec& spec, uint64_t seed, Duration chaos,
                                      uint64_t members, const Budget& budget, uint64_t spares = 0, const MemberNames& names = {});
Schedule draw_schedule(const SwarmSpec& spec, uint64_t seed);

}  // namespace orrery::sim
