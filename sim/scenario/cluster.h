// Cluster: a world with the hosts of one group, its clients and an operator, and who is who
// among them.
//
// Hosts: n1..nN run KvNode, or m1..mN run MasterNode, the last of them as spares that no cluster has yet; c1..cK the workload's clients, d1..dM
// what stands in for data nodes, "op" the operator. A node that stops by
// itself, or whose group has stopped on a sealed log, is started again after a second, as a
// supervisor would.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kv/kv_node.h"
#include "node/master/master_node.h"
#include "sim/core/world.h"
#include "sim/fault/injector.h"
#include "sim/scenario/scenario.h"

namespace orrery::sim {

inline constexpr uint16_t kPeerPort = 7000;
inline constexpr uint16_t kClientPort = 6379;

/// A process that does nothing but wait: harness fibers run on its host.
class IdleProcess : public Process {
 public:
    Result<void> run(Fiber& fiber) override { return stopping_.wait(fiber); }
    void request_stop() override { stopping_.set(); }

 private:
    orrery::Event stopping_;
};

class Cluster : public Cast, private TraceObserver {
 public:
    /// Told before a member dies or is wiped.
    class Listener {
     public:
        virtual ~Listener() = default;
        virtual void node_dies(NodeId node, bool wiped) = 0;
    };

    Cluster(World& world, const Scenario& plan);

    /// Starts all hosts.
    void start_all();
    void set_listener(Listener* listener) { listener_ = listener; }

    /// All nodes: founders, then spares.
    size_t size() const { return members_.size(); }
    size_t founders() const { return plan_.cluster.founders(); }
    GroupId group_id() const { return plan_.cluster.of_masters() ? master::kMasterGroup : kv::kKvGroup; }
    /// Operators are at work in this plan: who is a member changes.
    bool changes_members() const { return changes_members_; }
    Host& member(size_t index) { return *members_[index]; }
    Host& client(size_t index) { return *clients_[index]; }
    size_t data_nodes() const { return data_.size(); }
    Host& data_node(size_t index) { return *data_[index]; }
    Host& op() { return *op_; }
    NodeId node_id(const Host& host) const { return NodeId(host.index() + 1); }
    std::vector<Address> peer_addresses() const;
    Address client_address(size_t member) const { return {members_[member]->name(), kClientPort}; }

    /// Null when the host is down or the node is not up yet.
    replica::ReplicaProcess* node(size_t index);
    /// Requires: a cluster of that kind.
    kv::KvNode* kv(size_t index);
    master::MasterNode* master(size_t index);
    raft::Group* group(size_t index);
    /// The member that leads the highest term; nullopt when none does.
    std::optional<size_t> leader();
    /// Every member has applied all that is committed.
    bool all_applied();
    /// Wiped members never come back as who they were; damaged ones refuse to start.
    bool wiped(size_t index) const { return wiped_[index]; }
    /// As the leader's configuration has it. Lost: it names a replica that is gone, or whose node refuses to start.
    enum class Standing : uint8_t { Member, Outside, Lost };
    Standing standing(size_t index);
    /// The leader's configuration does not name that replica of the node any more.
    bool replaced(size_t index, ReplicaId replica) const;
    uint64_t orders_running() const { return orders_running_; }
    /// It was retired for damage, and has not taken the place of its former life yet: it asks for that itself.
    bool returns(size_t index) { return renewed_[index] && standing(index) == Standing::Lost; }
    /// Takes in anew whoever is Lost by a wipe. Requires: the operator's host is up.
    void replace_lost(Duration within);
    bool damaged(size_t index) const { return damaged_[index]; }
    uint64_t restarts_by_supervisor() const { return restarts_; }

    // Cast
    const std::vector<Host*>& members() const override { return members_; }
    const std::vector<Host*>& others() const override { return others_; }
    std::vector<Host*> resolve(const NodeName& name, RandomStream& draws) override;
    void start(Host& host) override;
    bool transfer(Host& to) override;
    void order(MemberOrder order, Host& host, Duration within, std::function<void(const std::string&, bool)> done) override;
    bool may_lose(Host& host) override;
    SimDisk::Spared beyond_detection(Host& host) override;
    void dies(Host& host, bool wiped) override;
    void keeps_down(Host& host, bool down) override;

 private:
    void on_event(Host& host, const TraceEvent& event) override;
    void supervise(Host& host);
    std::unique_ptr<Process> make_node(Env& env, size_t index) const;
    void set_replica_options(replica::ReplicaOptions& options, size_t index) const;

    World& world_;
    const Scenario& plan_;
    std::vector<Host*> members_, clients_, data_, others_;
    Host* op_ = nullptr;
    Listener* listener_ = nullptr;
    std::vector<bool> wiped_, damaged_, kept_down_, renewed_;
    std::vector<uint64_t> retired_;  // replica ids last told of as retired
    bool changes_members_ = false;
    uint64_t orders_running_ = 0;
    uint64_t removals_running_ = 0;
    uint64_t restarts_ = 0;
};

}  // namespace orrery::sim
