// DataStandIn: what masters see of data nodes. Hosts d1.. register, tell what they have, and obey orders over groups in memory
// (data_plane.h): replicas are created and destroyed, members join, catch up and leave. They fall silent and are down for a while, gain disks that
// may go bad, are asked to be emptied, and now and then claim an id that is taken. They keep no data.
//
// A host's server speaks the masters' protocol; some orders take effect late, some answers get lost.
#pragma once

#include "node/client/master_client.h"
#include "node/rpc/server.h"
#include "sim/check/verdict.h"
#include "sim/scenario/cluster.h"
#include "sim/scenario/data_plane.h"

namespace orrery::sim {

class DataStandIn {
 public:
    /// All outlive it, and it outlives the hosts' fibers.
    DataStandIn(World& world, Cluster& cluster, check::Violations& violations);
    ~DataStandIn();

    /// Spawns a server and a fiber on each host. Requires: all masters serve.
    void start();
    /// Nobody is silent any more, no disk goes bad, nobody is to be emptied.
    void calm() { calm_ = true; }
    /// Hosts that are registered.
    size_t registered() const { return registered_; }
    /// Members that came, went or became voters by the masters' orders.
    uint64_t effects() const { return plane_.effects; }

 private:
    struct Node;
    void serve(Node& node);
    void run(Fiber& fiber, Node& node);
    Result<void> register_node(Fiber& fiber, Node& node);
    Result<void> tell(Fiber& fiber, Node& node);
    Result<void> act(Fiber& fiber, Node& node, double what);
    wire::MasterCommand registration(const Node& node, uint64_t incarnation) const;
    void add(std::string_view name, std::string_view site, std::string text) { violations_.add(name, site, {world_.now(), 0}, std::move(text)); }
    /// What broke a rule of a group that no order may break.
    void look();

    World& world_;
    Cluster& cluster_;
    check::Violations& violations_;
    DataPlane plane_;
    std::vector<std::unique_ptr<Node>> nodes_;
    ClusterId cluster_id_;
    size_t registered_ = 0, wrong_told_ = 0;
    bool calm_ = false;
};

}  // namespace orrery::sim
