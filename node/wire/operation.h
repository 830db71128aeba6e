// The operations that travel between nodes, and from clients and operators to nodes. A frame carries the number; the
// answering side dispatches on it and echoes it, and the session compares the echo.
#pragma once

#include <cstdint>
#include <string_view>

namespace orrery::wire {

enum class Operation : uint32_t {  // on the wire; never renumber
    None = 0,            // frames of the session itself: hello, ping, pong
    RaftMessage = 1,     // one-way: RaftMessage
    RaftHeartbeats = 2,  // one-way: HeartbeatBatch, all groups between two nodes
    RaftHeartbeatsReply = 3,  // one-way: HeartbeatReplyBatch
    InstallSnapshot = 4,      // request with an upload: SnapshotChunk in every data frame
    FetchEntryBody = 5,       // request: the body of (group, index, term), for a hole in a damaged log
    WantSnapshot = 6,         // request: empty body, of a member that lost its state to the leader, answered empty; entity: the leader's replica id
    KvForward = 16,           // request: ForwardedCommand, answered by ForwardedReply
    GroupMembers = 24,        // request: empty body, answered by GroupMembersReply; entity 1: forwarded, not forwarded again
    GroupChange = 25,         // request: GroupChange, answered by GroupChangeReply; entity as above
    GroupTransfer = 26,       // request: GroupChange naming the node to lead, answered by GroupChangeReply; entity as above
    Identity = 32,            // request: empty body, answered by IdentityReply
    Init = 33,                // request: FoundingRecord, answered empty
    Join = 34,                // request: JoinRequest of a leader to a node without a cluster, answered empty
    MasterChange = 64,        // request: MasterCommand, answered by MasterAnswer; entity 1: forwarded, not forwarded again
    MasterQuery = 65,         // request: MasterQuery, answered by MasterView
    MasterHeartbeat = 67,     // request: NodeHeartbeat, answered by HeartbeatAnswer; entity 1: forwarded, not forwarded again
    MasterConfirm = 66,       // request of a master to the leader: empty body, answered by MasterConfirmation
    MasterList = 68,          // request: MasterListRequest, answered by stream data (records) and MasterListAnswer
    PartitionCreate = 80,     // request of the masters' leader to a data node: PartitionCreate, answered empty
    PartitionDestroy = 81,    // the same: PartitionDestroy, answered empty
    Echo = 48,                // request: answered with its own body; for benches and conformance tests
};

/// "unknown" for a number that is not listed (a newer peer's).
std::string_view operation_name(Operation operation);

}  // namespace orrery::wire
