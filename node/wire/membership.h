// Messages about who is in a group: how a node is taken in, what operators ask and change.
// Same rule as messages.h: views look into the payload; what decode refuses is Corrupt.
#pragma once

#include <optional>

#include "node/wire/messages.h"
#include "runtime/base/time.h"

namespace orrery::wire {

/// A leader's word to a node without a cluster, which the committed configuration at `since` names.
struct JoinRequest {
    FoundingRecord founding;  // of the cluster; its hash is the cluster id
    GroupId group;
    NodeId node;
    ReplicaId replica;
    LogIndex since;
    ByteView configuration;  // encoded
    bool operator==(const JoinRequest&) const = default;
};
Bytes encode_join_request(const JoinRequest& request);
/// Errors: Corrupt; Invalid (a founding record that make() would refuse).
Result<JoinRequest> decode_join_request(ByteView payload);

enum class MemberRole : uint8_t {  // on the wire; never renumber
    Voter = 1,
    Learner = 2,
    Promoting = 3,  // a learner that becomes a voter as soon as it has caught up
    Incoming = 4,   // of a joint configuration: in the new half only
    Outgoing = 5,   // of a joint configuration: in the old half only
    Replaced = 6,   // a voter whose node returned as another replica, which takes its place
};
/// "voter", "learner", "promoting", "incoming", "outgoing", "replaced".
std::string_view member_role_name(MemberRole role);

struct GroupMember {
    NodeId node;
    ReplicaId replica;
    std::string peer_address;  // empty: not known
    std::string service_address;
    MemberRole role = MemberRole::Voter;
    bool leader = false;
    // Of the leader's answer only.
    bool in_touch = false;
    LogIndex match;
    LogIndex applied;
    std::string note;  // what keeps it from getting on, for people
    bool operator==(const GroupMember&) const = default;
};

struct GroupMembersReply {
    bool from_leader = false;  // false: as the asked node believes, who could not ask a leader
    bool removed = false;      // the asked node itself is out
    bool committed = false;    // the configuration
    bool joint = false;
    Term term;
    LogIndex commit;
    LogIndex last;
    LogIndex configuration_index;
    NodeId leader;  // 0: not known
    Duration lease_promise;  // zero: no leases
    uint32_t lease_drift_ppm = 0;
    bool lease_holds = false;  // of the leader's answer only
    std::vector<GroupMember> members;
    bool operator==(const GroupMembersReply&) const = default;
};
Bytes encode_group_members_reply(const GroupMembersReply& reply);
/// Errors: Corrupt.
Result<GroupMembersReply> decode_group_members_reply(ByteView payload);

enum class ChangeAction : uint8_t {  // on the wire; never renumber
    AddVoter = 1,
    AddLearner = 2,
    Remove = 3,
    Transfer = 4,
    Replace = 5,  // asked by a node itself, whose earlier life may not go on
    LeasesOn = 6,  // promised for the leader's least election timeout
    LeasesOff = 7,
};

struct GroupChange {
    ChangeAction action = ChangeAction::AddVoter;
    NodeIdentity identity;  // to remove or to lead: the node id is enough; of leases: none
    // Replace only.
    ClusterId cluster{};                // that the node was in
    std::vector<ReplicaId> replaces{};  // its ended lives, at most kReplacesMax; only they are replaced
    uint32_t lease_drift_ppm = 0;       // LeasesOn only
    // Of groups whose members the masters choose, AddVoter, AddLearner and Remove only: a request may come late.
    ReplicaId replica{};       // added under this id; removed only if it is this one. 0: the incarnation is it
    std::optional<LogIndex> configuration{};  // refused, Stale, unless the newest configuration is of this entry (0: the founding one)
    static constexpr size_t kReplacesMax = 64;
    bool operator==(const GroupChange&) const = default;
};
Bytes encode_group_change(const GroupChange& change);
/// Errors: Corrupt (also more than kReplacesMax lives).
Result<GroupChange> decode_group_change(ByteView payload);

struct GroupChangeReply {
    bool changed = false;  // false: it was so already
    LogIndex index;        // of the committed configuration in which it is so; of a transfer: 0
    bool operator==(const GroupChangeReply&) const = default;
};
Bytes encode_group_change_reply(const GroupChangeReply& reply);
/// Errors: Corrupt.
Result<GroupChangeReply> decode_group_change_reply(ByteView payload);

}  // namespace orrery::wire
