// Planner: which members should be elsewhere, which of them may begin to move now, and why the others wait. Pure.
//
// In order: partitions with the fewest live members, bad disks, decommission, balance. A plan is made of one applied index and of
// what nodes have told; its commands are looked at again when they are applied. No task begins that its group could not finish: a
// majority of members is live before it, with the new voter, and without the old one.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "node/master/placed.h"
#include "runtime/base/time.h"

namespace orrery::master {

struct PlanLimits {
    /// A member on a node that is silent for so long is replaced. Shorter: a restart costs copies; longer: fewer copies for longer. 10 s..1 d
    Duration repair_after = Duration::seconds(600);
    // Tasks that run at once; more are faster and leave less for clients. A disk or node counts as source and as destination.
    uint32_t tasks_max = 64;
    uint32_t tasks_of_node_max = 8;
    uint32_t tasks_of_disk_max = 2;
    uint32_t balance_tasks_max = 8;
    /// A disk that is emptier than the mean by more than this takes members for balance. 5..100; lower: it never comes to rest.
    uint32_t balance_percent = 20;
    /// After the n-th failure of a partition's tasks the next one waits 2^n times this, at most an hour.
    Duration retry_after = Duration::seconds(10);
    /// What a partition is meant to hold, and how full a volume's are on average when it is extended by a tenth.
    uint64_t partition_bytes = 120ull << 30;
    uint32_t full_percent = 80;
};

struct PlanInput {
    Placed placed;
    Reports reports;
    std::map<NodeId, Duration> silent;           // of inactive nodes: for how long, as far as this office knows; else: not at all
    std::map<PartitionId, Instant> last_failed;  // of tasks, as far as this office knows; else: long ago
};

/// A partition one of whose members should be elsewhere, and is not on its way.
struct Waiting {
    PartitionId partition;
    wire::TaskKind kind = wire::TaskKind::Move;
    NodeId node;  // of that member
    std::string why;
};

struct Plan {
    std::vector<wire::MasterCommand> commands;  // StartTask, ExtendVolume: most urgent first
    std::vector<Waiting> waiting;               // most urgent first
    std::vector<std::string> volumes_full;      // "volume 'a' is nearly full, and ...", that cannot be extended
    /// What nodes' records are to say; of those alone that say something else. At most MasterCommand::kMarksMax.
    std::vector<wire::WaitMark> waits;
};

/// Its group has no leader that is heard of, and may never have one again: it takes no room from others.
bool stands_still(const Placed& placed, const Reports& reports, const wire::TaskRecord& task);

/// Deterministic in its arguments.
Plan plan(const PlanInput& input, const PlanLimits& limits, Instant now);

}  // namespace orrery::master
