// Placement: where the members of new partitions go. Pure.
//
// Never two members of a partition on one node; in different zones where there are enough of them, else over as many as there
// are. Among what is left the disk with the fewest members for its capacity wins, so that disks fill evenly.
#pragma once

#include <vector>

#include "node/wire/master.h"

namespace orrery::master {

/// Errors: Invalid: fewer active nodes with a disk than `replicas`; says how many there are.
Result<std::vector<wire::Placement>> place(const std::vector<wire::NodeRecord>& nodes, uint32_t replicas, uint32_t partitions);

}  // namespace orrery::master
