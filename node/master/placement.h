// Placement: where the members of new partitions go. Pure.
//
// Never two members of a partition on one node; in different zones where there are enough of them, else over as many as there
// are; nothing on what is inactive, leaving or bad. Among what is left the disk with the fewest members for its capacity wins, so that disks fill evenly.
#pragma once

#include <optional>
#include <vector>

#include "node/wire/master.h"
#include "runtime/base/function.h"

namespace orrery::master {

/// Whether anything new goes there.
bool takes_members(const wire::DiskRecord& disk);
bool takes_members(const wire::NodeRecord& node);

/// Where a member goes whose partition has others on the nodes `surviving`: on none of them. `allowed` may forbid more. nullopt: nowhere.
std::optional<wire::Place> place_one(const std::vector<wire::NodeRecord>& nodes, const std::vector<NodeId>& surviving,
                                     FunctionRef<bool(const wire::NodeRecord&, const wire::DiskRecord&)> allowed);
/// New partitions.
/// Errors: Invalid: fewer active nodes with a disk than `replicas`; says how many there are.
Result<std::vector<wire::Placement>> place(const std::vector<wire::NodeRecord>& nodes, uint32_t replicas, uint32_t partitions);

}  // namespace orrery::master
