// Ids of what the masters keep.
#pragma once

#include "runtime/base/ids.h"

namespace orrery {

using VolumeId = StrongId<struct VolumeIdTag>;
using PartitionId = StrongId<struct PartitionIdTag>;  // also the id of its Raft group on the data nodes
using DiskId = StrongId<struct DiskIdTag, uint32_t>;  // of one node, given by it; from 1
using TaskId = StrongId<struct TaskIdTag>;            // never given twice
using ClientId = StrongId<struct ClientIdTag>;        // random; one life of a client; 0 = asks without deduplication

}  // namespace orrery
