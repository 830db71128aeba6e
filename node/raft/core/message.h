// What replicas of one group say to each other. Values only; the wire form is the business of whoever carries them.
//
// Every message names the sender's and the receiver's replica id and a term. The term is the sender's, with one
// exception: PreVote, and PreVoteReply that grants, carry the term the candidate would campaign in.
#pragma once

#include <variant>
#include <vector>

#include "node/raft/core/entry.h"

namespace orrery::raft {

/// "Would you vote for me?" Changes nothing at the receiver.
struct PreVote {
    LogPosition last;
};
struct PreVoteReply {
    bool granted = false;
};
struct Vote {
    LogPosition last;
    bool transfer = false;  // the leader asked for it: a live leader is no reason to refuse
};
struct VoteReply {
    bool granted = false;
};
/// Entries that follow `prev`, without a gap. The driver sends the attachment of an entry in the same frame.
struct Append {
    LogPosition prev;
    std::vector<Entry> entries;
    LogIndex commit;     // the leader's; a receiver may use min(commit, prev.index + entries)
    uint64_t round = 0;  // latest round begun when this was sent
};
/// What a follower says of itself. All three indexes hold for the term of the message only.
struct FollowerState {
    LogIndex match;     // durable, and equal to the leader's log
    LogIndex received;  // equal to the leader's log, perhaps not durable yet; >= match
    LogIndex applied;
};
struct AppendReply {
    bool accepted = false;
    FollowerState state;
    LogIndex rejected_prev;  // not accepted: the prev.index that did not fit
    LogPosition hint;        // not accepted: highest own position that may still be common
    uint64_t round = 0;      // echo
};
struct Heartbeat {
    uint64_t round = 0;
    LogIndex commit;        // min(commit, match of this receiver): safe to take as it stands
    LogIndex lowest_claim;  // nobody needs entries up to here
    bool push = false;      // answer once more when `commit` is applied
};
struct HeartbeatReply {
    uint64_t round = 0;  // echo; 0: not an answer to a round, only news of `state`
    FollowerState state;
};
/// Campaign at once: the leader hands over.
struct TimeoutNow {};

struct Message {
    using Body = std::variant<PreVote, PreVoteReply, Vote, VoteReply, Append, AppendReply, Heartbeat,
                              HeartbeatReply, TimeoutNow>;
    Member from;
    Member to;
    Term term;
    Body body;
};

enum class MessageKind : uint8_t {  // on the wire; never renumber. The order of Message::Body.
    PreVote = 0,
    PreVoteReply = 1,
    Vote = 2,
    VoteReply = 3,
    Append = 4,
    AppendReply = 5,
    Heartbeat = 6,
    HeartbeatReply = 7,
    TimeoutNow = 8,
};

inline MessageKind kind_of(const Message& message) {
    return static_cast<MessageKind>(message.body.index());
}
std::string_view message_kind_name(MessageKind kind);

}  // namespace orrery::raft
