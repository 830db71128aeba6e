// Raft's messages as they travel. Plain structs, mirrors of the wire: node/raft converts from and to its core's types.
//
// All byte fields are views. encode_*() copies each of them once, into the payload; decode_*() leaves them looking into
// the payload it was given, which must outlive the struct. What decode refuses is Corrupt; it never crashes.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/base/bytes.h"
#include "runtime/base/ids.h"
#include "runtime/base/result.h"

namespace orrery::wire {

enum class RaftKind : uint8_t {  // on the wire; never renumber
    PreVote = 1,
    PreVoteReply = 2,
    Vote = 3,
    VoteReply = 4,
    Append = 5,
    AppendReply = 6,
    Heartbeat = 7,       // of one group, outside of the coalesced batch (a ReadIndex round that cannot wait)
    HeartbeatReply = 8,
    TimeoutNow = 9,
    ReadIndex = 10,      // a follower asks its leader for a read index
    ReadIndexReply = 11,
    Refused = 12,        // wrong or destroyed replica id: `text` says how to replace the member
    Busy = 13,           // append refused for this group alone, e.g. an attachment while the partition loads
};

enum class RaftVerdict : uint8_t {  // of the replies; on the wire; never renumber
    None = 0,
    Accepted = 1,
    Rejected = 2,
};

struct RaftEntry {
    uint8_t kind = 0;  // node/raft's own numbering, carried as it is
    Term term;
    LogIndex index;
    ByteView body;
    ByteView attachment;  // follows the body in the same frame
    bool has_attachment = false;         // an empty one differs from none
    LogIndex superseded_by;              // catch-up: the attachment is as this later entry left it; 0 = as proposed
    auto operator<=>(const RaftEntry&) const = default;
};

/// One message of one group. Which fields mean something depends on the kind; others are zero. The names are those of
/// the protocol, so that the driver's conversion is one line a field.
struct RaftMessage {
    RaftKind kind = RaftKind::Append;
    GroupId group;
    NodeId from_node;
    ReplicaId from_replica;
    NodeId to_node;
    ReplicaId to_replica;
    Term term;
    RaftVerdict verdict = RaftVerdict::None;  // replies to votes and appends
    bool transfer = false;      // Vote: campaigns because the leader said TimeoutNow
    bool push = false;          // Heartbeat: answer once more when `commit` is applied
    LogIndex log_index;         // Append: previous; Vote, PreVote: last of the candidate
    Term log_term;              // of log_index
    LogIndex commit;            // Append; Heartbeat: min(commit, match of this follower)
    LogIndex lowest_claim;      // Heartbeat: the log may be cut up to here
    LogIndex match;             // AppendReply, HeartbeatReply: durable, and equal to the leader's log
    LogIndex received;          // likewise: equal, perhaps not durable yet
    LogIndex applied;           // likewise
    LogIndex rejected_index;    // rejected Append: the previous index that did not fit
    LogIndex hint_index;        // rejected Append: where to go on; ReadIndexReply: the read index
    Term hint_term;             // of hint_index
    uint64_t round = 0;         // of heartbeats, echoed by replies
    uint64_t context = 0;       // ReadIndex: the asker's number, echoed
    int64_t state_time_ns = 0;  // state-machine time: heartbeats, replies to votes and pre-votes; 0 = none
    bool state_time_estimated = false;  // replies: not a running value, see node/raft/state_machine.h
    Term state_time_leader;             // likewise
    Term state_time_epoch;
    std::vector<RaftEntry> entries;  // Append
    ByteView text;              // Refused

    bool operator==(const RaftMessage&) const = default;
};

Bytes encode_raft_message(const RaftMessage& message);
/// Errors: Corrupt.
Result<RaftMessage> decode_raft_message(ByteView payload);

/// The heartbeats of all groups from one node to another: one message a period.
struct Heartbeat {
    GroupId group;
    ReplicaId from_replica;
    ReplicaId to_replica;
    Term term;
    uint64_t round = 0;
    LogIndex commit;        // min(commit, match of that follower)
    LogIndex lowest_claim;
    bool push = false;
    int64_t state_time_ns = 0;  // a running value, or 0
    Term state_time_epoch;
    bool operator==(const Heartbeat&) const = default;
};
struct HeartbeatBatch {
    NodeId from_node;
    NodeId to_node;
    uint64_t number = 0;  // of this batch, echoed by its answer; from 1
    std::vector<Heartbeat> groups;
    bool operator==(const HeartbeatBatch&) const = default;
};

enum class HeartbeatRefusal : uint8_t {  // on the wire; never renumber
    HigherTerm = 1,
    Absent = 2,        // no such group here
    WrongReplica = 3,
};
/// What the disk of a node can still take.
enum class SpaceLevel : uint8_t {  // on the wire; never renumber
    Room = 0,
    Low = 1,   // below its reserve: only what frees space may be proposed
    None = 2,  // nothing more can be logged or flushed
};
/// "room", "low", "none".
std::string_view space_level_name(SpaceLevel level);

/// The answer confirms every group of batch `number` but those in `refused`.
struct HeartbeatReplyBatch {
    struct Refused {
        GroupId group;
        ReplicaId from_replica;  // of the one who answers; 0 when absent
        ReplicaId to_replica;
        HeartbeatRefusal why = HeartbeatRefusal::Absent;
        Term term;
        bool operator==(const Refused&) const = default;
    };
    /// What a follower says of itself, of groups where that is news.
    struct Progress {
        GroupId group;
        ReplicaId from_replica;
        ReplicaId to_replica;
        Term term;
        uint64_t round = 0;  // echo; 0: only news
        LogIndex match;
        LogIndex received;
        LogIndex applied;
        bool operator==(const Progress&) const = default;
    };
    NodeId from_node;
    NodeId to_node;
    uint64_t number = 0;  // 0: confirms nothing, only news
    std::vector<Refused> refused;
    std::vector<Progress> progress;
    SpaceLevel space = SpaceLevel::Room;  // of the node that answers
    bool operator==(const HeartbeatReplyBatch&) const = default;
};

Bytes encode_heartbeats(const HeartbeatBatch& batch);
/// Errors: Corrupt.
Result<HeartbeatBatch> decode_heartbeats(ByteView payload);
Bytes encode_heartbeats_reply(const HeartbeatReplyBatch& batch);
/// Errors: Corrupt.
Result<HeartbeatReplyBatch> decode_heartbeats_reply(ByteView payload);

/// One piece of a snapshot transfer; all but the bytes is repeated in each, so that each can be judged alone.
struct SnapshotChunk {
    GroupId group;
    NodeId from_node;
    ReplicaId from_replica;
    NodeId to_node;
    ReplicaId to_replica;
    Term term;                // of the sending leader
    uint64_t snapshot_id = 0;
    Generation generation;    // of the sender's state
    LogIndex index;           // last applied in the snapshot
    Term index_term;
    ByteView configuration;   // as of index; node/raft's encoding
    uint64_t sequence = 0;    // of the chunk, from 0
    uint64_t offset_bytes = 0;
    uint64_t total_bytes = 0; // 0 until known
    uint32_t crc = 0;         // crc32c of `bytes`; filled in by encode, compared by decode
    bool last = false;
    ByteView bytes;
    bool operator==(const SnapshotChunk&) const = default;
};
Bytes encode_snapshot_chunk(const SnapshotChunk& chunk);
/// Errors: Corrupt.
Result<SnapshotChunk> decode_snapshot_chunk(ByteView payload);

}  // namespace orrery::wire
