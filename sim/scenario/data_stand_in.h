// DataStandIn: what masters see of data nodes: hosts that register, send signs of life, fall silent, gain disks, and now and
// then claim what is not theirs. They keep no data.
#pragma once

#include "sim/check/verdict.h"
#include "sim/scenario/cluster.h"

namespace orrery::sim {

class DataStandIn {
 public:
    /// All outlive it, and it outlives the hosts' fibers.
    DataStandIn(World& world, Cluster& cluster, check::Violations& violations) : world_(world), cluster_(cluster), violations_(violations) {}

    /// Spawns one fiber a host. Requires: all masters serve.
    void start();
    /// They go on with signs of life and are silent no more.
    void calm() { calm_ = true; }
    /// Hosts that are registered.
    size_t registered() const { return registered_; }
    /// Signs of life that a leader took.
    uint64_t heard() const { return heard_; }

 private:
    void run(Fiber& fiber, Env& env, size_t index);

    World& world_;
    Cluster& cluster_;
    check::Violations& violations_;
    ClusterId cluster_id_;
    size_t registered_ = 0;
    uint64_t heard_ = 0;
    bool calm_ = false;
};

}  // namespace orrery::sim
