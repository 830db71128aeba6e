// What data nodes have, compared with what the records say: what is to be created, destroyed, taken out of a group, and recorded.
// Pure; tasks aside, of which task_steps.h knows.
#pragma once

#include <vector>

#include "node/master/placed.h"

namespace orrery::master {

struct Order {
    enum class What : uint8_t {
        Create,        // `at` lacks a member that was never there
        Destroy,       // `at` has what is no member, and was taken out, or is of no partition
        RemoveMember,  // at the leader `at`: the group names what is no member (a request of an earlier office came late)
    };
    What what = What::Create;
    NodeId at;
    PartitionId partition;
    ReplicaId replica;
    DiskId disk;  // Create
    VolumeId volume;
    std::vector<wire::PartitionMember> founding;  // Create; empty: the group exists
    NodeId node;                                  // RemoveMember: of the replica
    Term term;                                    // Destroy: of the leader that reported the configuration without it; 0: the partition is deleted
    LogIndex removed_by;     // and its index (0: the founding one). RemoveMember: of the configuration that names it
    bool operator==(const Order&) const = default;
};

/// At most `limit`, in order of node and partition, after (node, partition) of `after` and from the beginning again; says nothing of nodes
/// that have not told all, or are inactive.
struct OrderCursor {
    NodeId node;
    PartitionId partition;
    auto operator<=>(const OrderCursor&) const = default;
};
std::vector<Order> orders(const Placed& placed, const Reports& reports, OrderCursor after, size_t limit);

/// What is new of leaders and of members that have been created; at most MasterCommand::kMarksMax.
std::vector<wire::PartitionMark> partition_marks(const Placed& placed, const Reports& reports);

}  // namespace orrery::master
