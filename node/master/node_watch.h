// NodeWatch: what the leader of the masters hears of data nodes, and the entries it makes of that: who is silent, which disks are bad.
//
// All of it belongs to one office (a term in which this node leads) and is forgotten with it: whoever is there has the whole time again.
#pragma once

#include <map>

#include "node/master/master_machine.h"
#include "node/raft/group.h"

namespace orrery::master {

struct NodeWatchOptions {
    /// A data node that is silent for so long is marked inactive. After an election everybody has that long again.
    Duration silence = Duration::seconds(30);
    /// How often the leader looks.
    Duration check = Duration::seconds(1);
    Duration propose_timeout = Duration::seconds(10);
};

class NodeWatch {
 public:
    NodeWatch(Env& env, raft::Group& group, const MasterMachine& machine, NodeWatchOptions options);

    /// Yields. Errors: NotFound (not registered), Exists (its id is another directory's), NotLeader (with no hint), Cancelled.
    Result<wire::HeartbeatAnswer> take(Fiber& fiber, wire::NodeHeartbeat heartbeat, Instant deadline);
    /// A registration is a sign of life. Atomic.
    void registered(NodeId node, Incarnation incarnation);

    // All atomic; of the present office, nothing if this node has none.

    Term office() const { return office_; }
    const Reports& reports() const { return reports_; }
    /// For how long, at least, this node has said nothing.
    Duration silent(const wire::NodeRecord& node) const;
    /// All active nodes have told what they have, or are about to be marked.
    bool settled(const std::vector<wire::NodeRecord>& nodes) const;
    /// Without the disks of which their nodes have just said that they are bad.
    std::vector<wire::NodeRecord> without_bad_disks(std::vector<wire::NodeRecord> nodes) const;

 private:
    void run(Fiber& fiber);
    Result<void> mark(Fiber& fiber);
    bool in_office() const { return group_.leads() && group_.core().term() == office_; }

    struct Heard {
        Instant at;
        Incarnation incarnation;
        std::vector<wire::NodeHeartbeat::Disk> disks;
    };
    const Heard* heard(const wire::NodeRecord& node) const;

    Env& env_;
    raft::Group& group_;
    const MasterMachine& machine_;
    NodeWatchOptions options_;
    Term office_;
    Instant since_{};
    std::map<NodeId, Heard> heard_;  // registered nodes only
    Reports reports_;
};

}  // namespace orrery::master
