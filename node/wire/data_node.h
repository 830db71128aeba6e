// What data nodes and masters say to each other: signs of life with what a node has, and what a master orders.
//
// These own their bytes, as master.h. What decode refuses is Corrupt.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "node/wire/master_ids.h"
#include "runtime/base/bytes.h"
#include "runtime/base/result.h"

namespace orrery::wire {

enum class ReplicaRole : uint8_t {  // on the wire; never renumber
    Follower = 1,
    Leader = 2,
    Learner = 3,
};

enum class ReplicaState : uint8_t {  // on the wire; never renumber
    Loading = 1,
    Ready = 2,
    Damaged = 3,  // quarantined: it does not serve, and will not by itself
    Gone = 4,     // is not on this node any more
};
/// "loading", "ready", "damaged", "gone".
std::string_view replica_state_name(ReplicaState state);

/// One of a partition's committed configuration, as its leader sees it.
struct ConfiguredMember {
    NodeId node;
    ReplicaId replica;
    bool voter = false;
    bool caught_up = false;  // holds what was committed when it was last heard
    bool operator==(const ConfiguredMember&) const = default;
};

/// A replica on a node's disks.
struct PartitionReport {
    static constexpr size_t kMembersMax = 32;
    PartitionId partition;
    ReplicaId replica;
    DiskId disk;
    ReplicaRole role = ReplicaRole::Follower;
    Term term;
    ReplicaState state = ReplicaState::Loading;
    uint64_t used_bytes = 0;
    // Of a leader, of the term that it leads in: its committed configuration.
    LogIndex configuration;
    std::vector<ConfiguredMember> members;
    bool operator==(const PartitionReport&) const = default;
};

/// A data node's sign of life. The leader of the masters keeps the last of each node in memory, nobody else.
///
/// `reports` are all replicas of the node (full), or those that differ from heartbeat `since`, which is the last that the leader has
/// acknowledged. One that speaks of another than the leader took last (an answer was lost, a leader is new) is answered with a wish
/// for a full one.
struct NodeHeartbeat {
    struct Disk {
        DiskId disk;
        uint64_t used_bytes = 0;
        std::string trouble;  // for people; empty: it is well
        bool operator==(const Disk&) const = default;
    };
    static constexpr size_t kDisksMax = 256;
    static constexpr size_t kReportsMax = 20'000;  // replicas of one node
    NodeId node;
    Incarnation incarnation;
    uint32_t partitions = 0;  // it has on its disks
    uint32_t loaded = 0;      // of those
    std::vector<Disk> disks;
    uint64_t life = 0;    // random: of the process; 0: it reports no replicas (`reports` is not looked at)
    uint64_t number = 0;  // rises from heartbeat to heartbeat of a life
    uint64_t since = 0;   // 0: full
    std::vector<PartitionReport> reports;
    bool operator==(const NodeHeartbeat&) const = default;
};
Bytes encode_node_heartbeat(const NodeHeartbeat& heartbeat);
/// Errors: Corrupt (also more than kDisksMax disks, kReportsMax reports, or kMembersMax members of one).
Result<NodeHeartbeat> decode_node_heartbeat(ByteView bytes);

struct HeartbeatAnswer {
    Term term;          // of the masters' leader that took it
    LogIndex version;   // that it has applied
    uint64_t number = 0;     // of the heartbeat that it has taken, and that the next may speak of as `since`
    bool want_full = false;  // that one was not enough: the next is to be full
    bool operator==(const HeartbeatAnswer&) const = default;
};
Bytes encode_heartbeat_answer(const HeartbeatAnswer& answer);
Result<HeartbeatAnswer> decode_heartbeat_answer(ByteView bytes);

// ---- orders of the masters' leader. Each may come twice, late, or of a leader that is none any more.

/// A member as the others of its group reach it.
struct PartitionPeer {
    NodeId node;
    ReplicaId replica;
    std::string peer_address;  // HOST:PORT
    bool operator==(const PartitionPeer&) const = default;
};

/// Have this replica. Done already: good. A replica with this id, or a higher one of the partition, that was destroyed here: refused,
/// Stale. With members it founds the group together with them, and is one of them; without it waits, passive, until the group takes it in.
struct PartitionCreate {
    static constexpr size_t kMembersMax = 7;
    PartitionId partition;
    ReplicaId replica;
    VolumeId volume;
    DiskId disk;
    std::vector<PartitionPeer> members;
    bool operator==(const PartitionCreate&) const = default;
};
Bytes encode_partition_create(const PartitionCreate& order);
/// Errors: Corrupt (also more than kMembersMax members).
Result<PartitionCreate> decode_partition_create(ByteView bytes);

/// Destroy this replica: durably a tombstone of (partition, replica), then the data. Not there: the tombstone is made all the same.
/// `removed_by`: the committed configuration, of a leader of `term`, that does not name it; a replica that knows a later one which
/// names it refuses, Stale. Term 0: the partition is deleted.
struct PartitionDestroy {
    PartitionId partition;
    ReplicaId replica;
    Term term;
    LogIndex removed_by;
    bool operator==(const PartitionDestroy&) const = default;
};
Bytes encode_partition_destroy(const PartitionDestroy& order);
Result<PartitionDestroy> decode_partition_destroy(ByteView bytes);

}  // namespace orrery::wire
