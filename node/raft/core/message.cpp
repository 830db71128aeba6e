// Names, for logs and scripts.
#include "node/raft/core/message.h"

#include <ostream>

namespace orrery::raft {

std::ostream& operator<<(std::ostream& out, const Member& member) {
    return out << member.node << "#" << member.replica;
}

std::string_view entry_kind_name(EntryKind kind) {
    switch (kind) {
        case EntryKind::Noop: return "noop";
        case EntryKind::Data: return "data";
        case EntryKind::Config: return "config";
    }
    return "?";
}

std::string_view message_kind_name(MessageKind kind) {
    switch (kind) {
        case MessageKind::PreVote: return "prevote";
        case MessageKind::PreVoteReply: return "prevote-reply";
        case MessageKind::Vote: return "vote";
        case MessageKind::VoteReply: return "vote-reply";
        case MessageKind::Append: return "append";
        case MessageKind::AppendReply: return "append-reply";
        case MessageKind::Heartbeat: return "heartbeat";
        case MessageKind::HeartbeatReply: return "heartbeat-reply";
        case MessageKind::TimeoutNow: return "timeoutnow";
    }
    return "?";
}

static_assert(std::is_same_v<std::variant_alternative_t<8, Message::Body>, TimeoutNow>);

}  // namespace orrery::raft
