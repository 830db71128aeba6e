// Between the core's messages and the wire's. Private to node/raft.
#pragma once

#include "node/raft/core/message.h"
#include "node/raft/state_machine.h"
#include "node/wire/raft_message.h"

namespace orrery::raft {

/// The result looks into `message`'s entries, which outlive it.
wire::RaftMessage to_wire(GroupId group, const Message& message, TimeOffer time);
/// Copies what it keeps. Errors: Corrupt (a kind that is no message between replicas).
Result<Message> from_wire(const wire::RaftMessage& message);

wire::Heartbeat to_wire_heartbeat(GroupId group, const Message& message, TimeOffer time);
Message from_wire_heartbeat(const wire::Heartbeat& heartbeat, NodeId from, NodeId to);
wire::HeartbeatReplyBatch::Progress to_wire_heartbeat_reply(GroupId group, const Message& message);
Message from_wire_heartbeat_reply(const wire::HeartbeatReplyBatch::Progress& progress, NodeId from, NodeId to);

}  // namespace orrery::raft
