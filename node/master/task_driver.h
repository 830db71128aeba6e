// TaskDriver: at the leader of the masters, what makes the cluster what the records say: it plans, drives tasks step by step, has replicas
// created and destroyed, and writes down what it learned.
//
// It keeps nothing that matters: a step is an order that may be repeated, and goes on when what data nodes report says that it is
// done. An order names what it is about (partition, replica, configuration), so that one of an earlier office that comes late is refused
// or makes no difference. All that is decided rests on records that are applied up to what was committed when the office began.
#pragma once

#include <map>
#include <set>
#include <string>
#include <tuple>

#include "node/master/node_watch.h"
#include "node/master/planner.h"
#include "node/master/reconcile.h"
#include "node/master/task_steps.h"
#include "node/raft/group_host.h"
#include "node/rpc/peers.h"

namespace orrery::master {

struct TaskDriverOptions {
    PlanLimits plan;
    StepLimits steps;
    /// How often it looks. 100 ms..60 s
    Duration period = Duration::seconds(1);
    /// For one order to a data node, and for one entry. 1 s..60 s
    Duration order_timeout = Duration::seconds(5);
    /// Orders under way at once, of tasks and others. 1..1000; the rest waits for the next look.
    size_t orders_max = 64;
    /// After an order that failed, the next of its kind to that node or of that task; doubles up to the maximum, drawn from [half, whole].
    Duration pause_min = Duration::millis(200);
    Duration pause_max = Duration::seconds(20);
};

class TaskDriver {
 public:
    TaskDriver(Env& env, raft::GroupHost& host, raft::Group& group, const MasterMachine& machine, const NodeWatch& watch, TaskDriverOptions options);

    struct Counters {
        uint64_t started = 0;        // tasks, by this node
        uint64_t done = 0;
        uint64_t failed = 0;         // given up, those not wanted any more too
        uint64_t refused = 0;        // entries of its own that were out of date when they were applied
        uint64_t orders = 0;         // to data nodes
        uint64_t orders_failed = 0;
        uint64_t waiting = 0;        // members that should be elsewhere and are not on their way; of the last plan
    };
    const Counters& counters() const { return counters_; }
    /// Look now: something has changed. Atomic.
    void wake() { wake_.notify_all(); }

 private:
    /// How a step has gone in this office.
    struct Tries {
        wire::TaskStep step = wire::TaskStep::Create;
        Instant since;
        Instant not_before;
        uint32_t failures = 0;
        std::string last_error;
        bool under_way = false;
    };
    struct Pause {
        Instant until;
        uint32_t failures = 0;
    };
    struct Entry {
        wire::MasterCommand command;
        std::unique_ptr<raft::Group::Proposal> proposal;
    };
    using OrderName = std::tuple<Order::What, NodeId, PartitionId, ReplicaId>;

    void run(Fiber& fiber);
    void begin_office(Term term);
    bool in_office() const { return group_.leads() && group_.core().term() == office_; }
    Result<void> look(Fiber& fiber);
    struct Findings {
        wire::MasterCommand marks;
        std::vector<Order> orders;
        Plan plan;
    };
    Result<Findings> find(Fiber& fiber);
    void give_orders(const std::vector<Order>& found);
    Result<void> drive_tasks(Fiber& fiber);
    std::vector<wire::MasterCommand> take_commands(Plan made);
    /// Proposes all, then waits for all. Yields. Errors: of the first that could not be proposed; Cancelled.
    Result<void> enter(Fiber& fiber, std::vector<wire::MasterCommand> commands);
    void entered(const wire::MasterCommand& command, const wire::MasterAnswer& answer);
    void begin_order(const Order& order);
    void begin_step(const wire::TaskRecord& task, const TaskAction& action);
    Result<void> ask(Fiber& fiber, NodeId node, wire::Operation operation, PartitionId partition, ReplicaId replica, Bytes body);
    wire::NodeIdentity identity_of(NodeId node, ReplicaId replica) const;
    std::string waits_for(const wire::TaskRecord& task, const TaskAction& action) const;
    Duration pause_after(uint32_t failures);

    Env& env_;
    raft::GroupHost& host_;
    raft::Group& group_;
    const MasterMachine& machine_;
    const NodeWatch& watch_;
    TaskDriverOptions options_;
    rpc::Identity identity_;
    rpc::Peers peers_;  // data nodes, at their service addresses
    RandomStream draws_;
    Notify wake_;
    Instant next_look_{INT64_MIN / 2};
    Counters counters_;

    // Of this office.
    Term office_;
    Placed placed_;
    bool known_ = false;  // placed_ is of this office
    bool busy_ = false;   // the last look changed something, or more orders may be given: the next one is soon
    bool more_orders_ = false;  // than the last look could give
    std::map<TaskId, Tries> tries_;  // of tasks there are
    std::map<PartitionId, Instant> last_failed_;  // of partitions there are
    std::map<NodeId, Pause> pauses_;
    std::vector<std::string> volumes_full_;  // said already
    std::set<OrderName> under_way_;
    OrderCursor cursor_;
    size_t orders_ = 0;  // under way, of whatever office
};

}  // namespace orrery::master
