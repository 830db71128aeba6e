// What the masters keep, what is written in their log, and what nodes and operators ask of them.
//
// Unlike messages.h these own their bytes: the records live in the Store and in answers longer than any payload. What decode
// refuses is Corrupt. Records and commands are also on disk: fields are added, never taken out or given another meaning.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "node/wire/data_node.h"
#include "node/wire/master_ids.h"
#include "runtime/base/bytes.h"
#include "runtime/base/result.h"
#include "runtime/base/time.h"

namespace orrery::wire {

// ---- records: one each in the Store

struct DiskRecord {
    DiskId disk;
    std::string path;  // on its node, for people
    uint64_t capacity_bytes = 0;
    uint32_t members = 0;  // of partitions, that are placed there; destinations of tasks count
    bool leaving = false;  // an operator asked for its members to go elsewhere
    bool bad = false;      // its node reported it so: nothing new, and its members go elsewhere
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
    bool leaving = false;   // an operator asked for all its members to go elsewhere
    std::string waits_for;  // why the most urgent of its members that should go elsewhere does not; empty: none waits
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
    uint32_t max_partitions = 0;  // it is never extended beyond; 0: as far as the masters' limit
    bool operator==(const VolumeRecord&) const = default;
};

struct PartitionMember {
    NodeId node;
    DiskId disk;
    ReplicaId replica;  // rises with every member that the cluster ever had
    bool created = false;  // its node has reported it: what is missing from now on is lost, and not created anew
    bool operator==(const PartitionMember&) const = default;
};

struct PartitionRecord {
    PartitionId partition;
    VolumeId volume;
    Epoch epoch;  // rises with every change of members
    std::vector<PartitionMember> members;  // by node id
    LogIndex created;
    LogIndex modified;
    // As last reported, for clients to try first; says nothing of who leads now.
    NodeId leader;
    Term leader_term;  // of the partition's own group
    // Of tasks that came to nothing since the last that did.
    uint32_t failures = 0;
    NodeId failed_at;  // destination of the last
    std::string last_error;
    bool operator==(const PartitionRecord&) const = default;
};

enum class TaskKind : uint8_t {  // on disk; never renumber
    Move = 1,          // off a bad disk, or for balance
    Repair = 2,        // of a member that is dead, lost or damaged
    Decommission = 3,  // of a member on a node or disk that is leaving
};
/// "move", "repair", "decommission".
std::string_view task_kind_name(TaskKind kind);

/// Each is over when the partition's own leader, or the destination, has reported so.
enum class TaskStep : uint8_t {  // on disk; never renumber
    Create = 1,        // the destination has an empty replica
    AddLearner = 2,    // the group's configuration names it
    CatchUp = 3,       // it holds what the others hold
    Promote = 4,       // it is a voter, and ready
    RemoveSource = 5,  // the configuration names the source no more
    BackOut = 6,       // the configuration names the destination no more; the task has failed, or is not wanted any more
    Done = 7,          // never stored
};
/// "create", "add-learner", ...
std::string_view task_step_name(TaskStep step);

/// One member of a partition is replaced by one elsewhere. At most one task a partition.
struct TaskRecord {
    TaskId task;
    TaskKind kind = TaskKind::Move;
    PartitionId partition;
    VolumeId volume;
    Epoch epoch;  // of the partition, which stays until the task is done
    PartitionMember source;
    PartitionMember destination;
    TaskStep step = TaskStep::Create;
    uint32_t priority = 0;  // lower goes first
    LogIndex created;
    LogIndex modified;
    std::string waits_for;  // what the step waits for; empty: it goes on
    LogIndex since;         // when step or reason last changed
    uint32_t failures = 0;  // of tasks of this partition before
    std::string last_error; // of the last of those; or why it backs out
    bool operator==(const TaskRecord&) const = default;
};

/// What the cluster as a whole counts.
struct MasterCounters {
    uint64_t next_volume = 1, next_partition = 1, next_replica = 1;
    uint64_t nodes = 0, volumes = 0, partitions = 0;
    LogIndex applied;
    LogIndex forgotten;  // of the clients' sessions that made room for others, the latest use
    uint64_t next_task = 1;
    uint64_t tasks = 0;
    LogIndex placed;  // the last change of a volume, a partition's members, leader or failures, or a task
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
Bytes encode_task_record(const TaskRecord& record);
Result<TaskRecord> decode_task_record(ByteView bytes);
Bytes encode_master_counters(const MasterCounters& counters);
Result<MasterCounters> decode_master_counters(ByteView bytes);
Bytes encode_session_record(const SessionRecord& record);
Result<SessionRecord> decode_session_record(ByteView bytes);

// ---- commands: what an entry of the masters' log says. Also what clients send; `placements` and `unplaced` are the leader's to fill in.

enum class MasterCommandKind : uint8_t {  // on the wire and on disk; never renumber
    RegisterNode = 1,
    CreateVolume = 2,
    DeleteVolume = 3,
    // From here on an L: the leader's own, which it takes from nobody.
    MarkNodes = 4,  // L: who is heard of, and who is not any more
    DecommissionNode = 5,
    DecommissionDisk = 6,
    CancelDecommission = 7,  // of a node, or of one disk of it
    ExtendVolume = 8,
    MarkDisks = 9,       // L: which are bad, and which are well again
    MarkPartitions = 10, // L: who leads, which members have been created
    MarkWaits = 11,      // L: what nodes and tasks wait for
    StartTask = 12,      // L
    AdvanceTask = 13,    // L
    FailTask = 14,       // L: ends it without effect
};
/// "register_node", ...
std::string_view master_command_name(MasterCommandKind kind);
/// Marked L above.
bool is_leaders_own(MasterCommandKind kind);

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

struct DiskMark {
    NodeId node;
    Incarnation incarnation;
    DiskId disk;
    bool bad = false;
    bool operator==(const DiskMark&) const = default;
};

struct PartitionMark {
    PartitionId partition;
    NodeId leader;  // 0: nothing new
    Term term;      // a lower one than is known, or the same, says nothing
    std::vector<ReplicaId> created;
    bool operator==(const PartitionMark&) const = default;
};

/// Of a node, or of a task.
struct WaitMark {
    NodeId node;
    TaskId task;
    std::string waits_for;
    bool operator==(const WaitMark&) const = default;
};

struct MasterCommand {
    static constexpr size_t kPlacementsMax = 100'000;
    static constexpr size_t kMarksMax = 10'000;
    static constexpr size_t kMembersMax = PartitionReport::kMembersMax;

    MasterCommandKind kind = MasterCommandKind::RegisterNode;
    ClientId client;        // 0: no deduplication
    uint64_t sequence = 0;  // rises from command to command of a client
    LogIndex since;         // a version that the client knew before it first sent this: whoever is unknown, and may have been forgotten after
                            // that, is told so, and nothing is done
    // RegisterNode: node, incarnation, zone, addresses, disks; indexes are not looked at.
    NodeRecord node;
    // CreateVolume, DeleteVolume and ExtendVolume.
    std::string name;
    // CreateVolume; ExtendVolume: partitions (to add) and placements.
    uint32_t replicas = 0;
    uint32_t partitions = 0;
    uint64_t capacity_bytes = 0;
    std::vector<Placement> placements;  // one a partition
    std::string unplaced;               // why the leader found no places; then there are no placements
    std::vector<NodeMark> marks;        // MarkNodes
    // DecommissionNode and DecommissionDisk, CancelDecommission: node.node, and of a disk
    DiskId disk;
    // CreateVolume: of the new volume. ExtendVolume: of the planner's, how many partitions it was planned for; 0: any.
    uint32_t max_partitions = 0;
    uint32_t expected_partitions = 0;
    std::vector<DiskMark> disk_marks;            // MarkDisks
    std::vector<PartitionMark> partition_marks;  // MarkPartitions
    std::vector<WaitMark> waits;                 // MarkWaits
    // StartTask: kind, partition, epoch, source, place of the destination, priority. AdvanceTask, FailTask: task, and the step it was in.
    TaskRecord task;
    TaskStep next = TaskStep::Create;  // AdvanceTask
    // AdvanceTask: the committed configuration, as the partition's leader reported it.
    std::vector<ReplicaId> voters, learners;
    std::string reason;  // AdvanceTask to BackOut, FailTask: why, for people; empty: the task is not wanted any more
    bool operator==(const MasterCommand&) const = default;
};
Bytes encode_master_command(const MasterCommand& command);
/// Errors: Corrupt (also an unknown kind, more than kPlacementsMax placements kMarksMax marks of a kind, or kMembersMax members of one thing).
Result<MasterCommand> decode_master_command(ByteView bytes);

/// What came of a command. A refusal is an answer too: it is remembered and given again.
struct MasterAnswer {
    uint8_t code = 0;      // of the Code of a refusal; 0: done
    std::string context;   // of a refusal
    LogIndex index;        // of the entry
    VolumeId volume;       // CreateVolume, DeleteVolume, ExtendVolume
    TaskId task;           // StartTask
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
    Tasks = 7,       // all, in pages by id
    Task = 8,        // the one with id `after`
    Node = 9,        // the one with id `after`, and the first `limit` tasks that take a member from it or bring one to it
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
    std::vector<TaskRecord> tasks;
    bool operator==(const MasterView&) const = default;
};
Bytes encode_master_view(const MasterView& view);
Result<MasterView> decode_master_view(ByteView bytes);

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
