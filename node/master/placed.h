// Placed: all that the masters' records say of where things are, as of one applied index; what plans and orders are made of.
#pragma once

#include <map>
#include <vector>

#include "node/master/reports.h"
#include "node/wire/master.h"

namespace orrery::master {

struct Placed {
    wire::MasterCounters counters;
    std::vector<wire::NodeRecord> nodes;            // all, by id
    std::vector<wire::VolumeRecord> volumes;        // by name
    std::vector<wire::PartitionRecord> partitions;  // by id
    std::vector<wire::TaskRecord> tasks;            // by id

    const wire::NodeRecord* node(NodeId id) const;
    const wire::PartitionRecord* partition(PartitionId id) const;
    /// Null: no such node, or no such disk of it.
    const wire::DiskRecord* disk(NodeId node, DiskId disk) const;
};
/// By partition. Pointers into `placed`.
std::map<PartitionId, const wire::TaskRecord*> tasks_by_partition(const Placed& placed);

/// Serves, by what is recorded of its node and what that has reported: it is active, and the replica ready.
bool is_live(const Placed& placed, const Reports& reports, PartitionId partition, const wire::PartitionMember& member);

inline size_t majority(size_t voters) { return voters / 2 + 1; }

}  // namespace orrery::master
