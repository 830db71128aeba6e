// What the masters keep, what is written in their log, and what nodes and operators ask of them.
//
// Unlike messages.h these own their bytes: the records live in the Store and in answers longer than any payload. What decode
// refuses is Corrupt. Records and commands are also on disk: fields are added, never taken out or given another meaning.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/bytes.h"
#include "runtime/base/ids.h"
#include "runtime/base/result.h"
#include "runtime/base/time.h"

namespace orrery {

using VolumeId = StrongId<struct VolumeIdTag>;
using PartitionId = StrongId<struct PartitionIdTag>;  // also the id of its Raft group on the data nodes
using DiskId = StrongId<struct DiskIdTag, uint32_t>;  // of one node, given by it; from 1
using ClientId = StrongId<struct ClientIdTag>;        // random; one life of a client; 0 = asks without deduplication

}  // namespace orrery

namespace orrery::wire {

// ---- records: one each in the Store

struct DiskRecord {
    DiskId disk;
    std::string path;  // on its node, for people
    uint64_t capacity_bytes = 0;
    uint32_t members = 0;  // of partitions, that are placed there
    bool operator==(const DiskRecord&) const = default;
};

enum class NodeState : uint8_t {  // on disk; never renumber
    Active = 1,
    Inactive = 2,  // not heard of for the configured silence: nothing new is placed there
};
/// "active", "inactive".
std::string_view node_state_name(NodeState state);

struct NodeRecord {
    NodeId node;
    Incarnation incarnation;  // of its data directory
    std::string zone;
    std::string peer_address;
    std::string service_address;
    std::vector<DiskRecord> disks;  // by id
    LogIndex registered;  // the entry that first named it
    LogIndex modified;    // the last that changed it
    NodeState state = NodeState::Active;
    bool operator==(const NodeRecord&) const = default;
};

enum class VolumeState : uint8_t {  // on disk; never renumber
    Active = 1,
    Deleting = 2,  // nothing is written any more; its partitions are being taken away
};
/// "active", "deleting".
std::string_view volume_state_name(VolumeState state);

struct VolumeRecord {
    VolumeId volume;
    std::string name;
    VolumeState state = VolumeState::Active;
    uint32_t replicas = 3;        // of each partition
    uint32_t partitions = 0;
    uint64_t capacity_bytes = 0;  // quota; 0: none
    LogIndex created;
    LogIndex modified;  // it, or one of its partitions
    bool operator==(const VolumeRecord&) const = default;
};

struct PartitionMember {
    NodeId node;
    DiskId disk;
    ReplicaId replica;  // rises with every member that the cluster ever had
    bool operator==(const PartitionMember&) const = default;
};

struct PartitionRecord {
    PartitionId partition;
    VolumeId volume;
    Epoch epoch;  // rises with every change of members
    std::vector<PartitionMember> members;  // by node id
    LogIndex created;
    LogIndex modified;
    bool operator==(const PartitionRecord&) const = default;
};

/// What the cluster as a whole counts.
struct MasterCounters {
    uint64_t next_volume = 1, next_partition = 1, next_replica = 1;
    uint64_t nodes = 0, volumes = 0, partitions = 0;
    LogIndex applied;
    LogIndex forgotten;  // of the clients' sessions that made room for others, the latest use
    bool operator==(const MasterCounters&) const = default;
};

/// The last change that a client asked for: asked again, it gets the same answer.
struct SessionRecord {
    ClientId client;
    uint64_t sequence = 0;
    LogIndex used;  // by entry; who was silent longest is forgotten first
    Bytes answer;   // an encoded MasterAnswer
    bool operator==(const SessionRecord&) const = default;
};

Bytes encode_node_record(const NodeRecord& record);
Result<NodeRecord> decode_node_record(ByteView bytes);
Bytes encode_volume_record(const VolumeRecord& record);
Result<VolumeRecord> decode_volume_record(ByteView bytes);
Bytes encode_partition_record(const PartitionRecord& record);
Result<PartitionRecord> decode_partition_record(ByteView bytes);
Bytes encode_master_counters(const MasterCounters& counters);
Result<MasterCounters> decode_master_counters(ByteView bytes);
Bytes encode_session_record(const SessionRecord& record);
Result<SessionRecord> decode_session_record(ByteView bytes);

// ---- commands: what an entry of the masters' log says. Also what clients send; `placements` and `unplaced` are the leader's to fill in.

enum class MasterCommandKind : uint8_t {  // on the wire and on disk; never renumber
    RegisterNode = 1,
    CreateVolume = 2,
    DeleteVolume = 3,
    MarkNodes = 4,  // the leader's own: who is heard of, and who is not any more
    GrowVolume = 32,  // partitions more
};
/// "register_node", ...
std::string_view master_command_name(MasterCommandKind kind);

struct Place {
    NodeId node;
    DiskId disk;
    bool operator==(const Place&) const = default;
};
/// Of one partition: where its members go.
struct Placement {
    std::vector<Place> places;
    bool operator==(const Placement&) const = default;
};

struct NodeMark {
    NodeId node;
    Incarnation incarnation;  // that is, or is not, heard of
    NodeState state = NodeState::Active;
    bool operator==(const NodeMark&) const = default;
};

struct MasterCommand {
    static constexpr size_t kPlacementsMax = 100'000;
    static constexpr size_t kMarksMax = 10'000;

    MasterCommandKind kind = MasterCommandKind::RegisterNode;
    ClientId client;        // 0: no deduplication
    uint64_t sequence = 0;  // rises from command to command of a client
    LogIndex since;         // a version that the client knew before it first sent this: whoever is unknown, and may have been forgotten after
                            // that, is told so, and nothing is done
    // RegisterNode: node, incarnation, zone, addresses, disks; indexes are not looked at.
    NodeRecord node;
    // CreateVolume, DeleteVolume and GrowVolume.
    std::string name;
    // CreateVolume; GrowVolume: partitions (to add) and placements.
    uint32_t replicas = 0;
    uint32_t partitions = 0;
    uint64_t capacity_bytes = 0;
    std::vector<Placement> placements;  // one a partition
    std::string unplaced;               // why the leader found no places; then there are no placements
    std::vector<NodeMark> marks;        // MarkNodes
    bool operator==(const MasterCommand&) const = default;
};
Bytes encode_master_command(const MasterCommand& command);
/// Errors: Corrupt (also an unknown kind, more than kPlacementsMax placements or kMarksMax marks).
Result<MasterCommand> decode_master_command(ByteView bytes);

/// What came of a command. A refusal is an answer too: it is remembered and given again.
struct MasterAnswer {
    uint8_t code = 0;      // of the Code of a refusal; 0: done
    std::string context;   // of a refusal
    LogIndex index;        // of the entry
    VolumeId volume;       // CreateVolume, DeleteVolume, GrowVolume
    bool operator==(const MasterAnswer&) const = default;
};
Bytes encode_master_answer(const MasterAnswer& answer);
Result<MasterAnswer> decode_master_answer(ByteView bytes);

// ---- questions

enum class MasterTopic : uint8_t {  // on the wire; never renumber
    Nodes = 1,       // all, in pages by id
    Volumes = 2,     // all, in pages by name
    Volume = 3,      // the one called `name`
    Partitions = 4,  // of the volume called `name`, in pages by id
    Partition = 5,   // the one with id `after`
    Counters = 6,
};

struct MasterQuery {
    MasterTopic topic = MasterTopic::Counters;
    std::string name;    // of a volume; Volumes: those behind it
    uint64_t after = 0;  // those with a greater id
    uint32_t limit = 1000;
    Duration max_age;    // how old the answer may be; 0: it has all that was committed when the question came
    LogIndex at_least;   // and no older than this version
    bool operator==(const MasterQuery&) const = default;
};
Bytes encode_master_query(const MasterQuery& query);
Result<MasterQuery> decode_master_query(ByteView bytes);

/// As of one applied index of the master that was asked, which a confirmed leader has vouched for.
struct MasterView {
    NodeId server;  // who answers
    NodeId leader;  // as it believes; 0: not known
    Term term;
    LogIndex version;  // never falls at one master
    Duration age;      // at most, when it left
    bool more = false;  // there are more behind the last of these
    MasterCounters counters;
    std::vector<NodeRecord> nodes;
    std::vector<VolumeRecord> volumes;
    std::vector<PartitionRecord> partitions;
    bool operator==(const MasterView&) const = default;
};
Bytes encode_master_view(const MasterView& view);
Result<MasterView> decode_master_view(ByteView bytes);

/// A data node's sign of life. Nothing of it is kept for longer than the next one.
struct NodeHeartbeat {
    struct Disk {
        DiskId disk;
        uint64_t used_bytes = 0;
        std::string trouble;  // for people; empty: it is well
        bool operator==(const Disk&) const = default;
    };
    static constexpr size_t kDisksMax = 256;
    NodeId node;
    Incarnation incarnation;
    uint32_t partitions = 0;  // it has on its disks
    uint32_t loaded = 0;      // of those
    std::vector<Disk> disks;
    bool operator==(const NodeHeartbeat&) const = default;
};
Bytes encode_node_heartbeat(const NodeHeartbeat& heartbeat);
/// Errors: Corrupt (also more than kDisksMax disks).
Result<NodeHeartbeat> decode_node_heartbeat(ByteView bytes);

/// A leader's word to a follower: what was committed when it was asked, its leadership confirmed after that.
struct MasterConfirmation {
    Term term;
    LogIndex version;
    std::string service_address;  // HOST:PORT of the leader's clients; empty: not said
    bool operator==(const MasterConfirmation&) const = default;
};
Bytes encode_master_confirmation(const MasterConfirmation& confirmation);
Result<MasterConfirmation> decode_master_confirmation(ByteView bytes);

}  // namespace orrery::wire
