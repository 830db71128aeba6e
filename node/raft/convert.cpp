#include "node/raft/convert.h"

#include "runtime/base/check.h"

namespace orrery::raft {

namespace {

wire::RaftVerdict verdict(bool good) { return good ? wire::RaftVerdict::Accepted : wire::RaftVerdict::Rejected; }

void put_state(wire::RaftMessage& out, const FollowerState& state) {
    out.match = state.match;
    out.received = state.received;
    out.applied = state.applied;
}

FollowerState state_of(const wire::RaftMessage& in) { return {in.match, in.received, in.applied}; }

struct ToWire {
    wire::RaftMessage& out;
    TimeOffer time;

    void put_time() {
        out.state_time_ns = time.ns;
        out.state_time_estimated = time.estimate;
        out.state_time_leader = time.leader;
        out.state_time_epoch = time.epoch;
    }
    void operator()(const PreVote& body) {
        out.kind = wire::RaftKind::PreVote;
        out.log_index = body.last.index;
        out.log_term = body.last.term;
    }
    void operator()(const PreVoteReply& body) {
        out.kind = wire::RaftKind::PreVoteReply;
        out.verdict = verdict(body.granted);
        put_time();
    }
    void operator()(const Vote& body) {
        out.kind = wire::RaftKind::Vote;
        out.log_index = body.last.index;
        out.log_term = body.last.term;
        out.transfer = body.transfer;
    }
    void operator()(const VoteReply& body) {
        out.kind = wire::RaftKind::VoteReply;
        out.verdict = verdict(body.granted);
        put_time();
    }
    void operator()(const Append& body) {
        out.kind = wire::RaftKind::Append;
        out.log_index = body.prev.index;
        out.log_term = body.prev.term;
        out.commit = body.commit;
        out.round = body.round;
        out.entries.reserve(body.entries.size());
        for (const Entry& entry : body.entries) {
            wire::RaftEntry& one = out.entries.emplace_back();
            one.kind = static_cast<uint8_t>(entry.kind);
            one.term = entry.term;
            one.index = entry.index;
            one.body = entry.body_view();
            one.has_attachment = entry.has_attachment;
            if (entry.has_attachment) {
                CHECK(entry.attachment != nullptr, entry.index);
                one.attachment = *entry.attachment;
                one.superseded_by = entry.superseded_by;
            }
        }
    }
    void operator()(const AppendReply& body) {
        out.kind = wire::RaftKind::AppendReply;
        out.verdict = verdict(body.accepted);
        put_state(out, body.state);
        out.rejected_index = body.rejected_prev;
        out.hint_index = body.hint.index;
        out.hint_term = body.hint.term;
        out.round = body.round;
    }
    void operator()(const Heartbeat& body) {
        out.kind = wire::RaftKind::Heartbeat;
        out.round = body.round;
        out.commit = body.commit;
        out.lowest_claim = body.lowest_claim;
        out.push = body.push;
        if (!time.estimate) put_time();  // a leader runs; an estimate is a voter's alone
    }
    void operator()(const HeartbeatReply& body) {
        out.kind = wire::RaftKind::HeartbeatReply;
        out.round = body.round;
        put_state(out, body.state);
    }
    void operator()(const TimeoutNow&) { out.kind = wire::RaftKind::TimeoutNow; }
};

}  // namespace

wire::RaftMessage to_wire(GroupId group, const Message& message, TimeOffer time) {
    wire::RaftMessage out;
    out.group = group;
    out.from_node = message.from.node;
    out.from_replica = message.from.replica;
    out.to_node = message.to.node;
    out.to_replica = message.to.replica;
    out.term = message.term;
    std::visit(ToWire{out, time}, message.body);
    return out;
}

Result<Message> from_wire(const wire::RaftMessage& in) {
    Message out;
    out.from = {in.from_node, in.from_replica};
    out.to = {in.to_node, in.to_replica};
    out.term = in.term;
    const bool good = in.verdict == wire::RaftVerdict::Accepted;
    switch (in.kind) {
        case wire::RaftKind::PreVote: out.body = PreVote{{in.log_index, in.log_term}}; return out;
        case wire::RaftKind::PreVoteReply: out.body = PreVoteReply{good}; return out;
        case wire::RaftKind::Vote: out.body = Vote{{in.log_index, in.log_term}, in.transfer}; return out;
        case wire::RaftKind::VoteReply: out.body = VoteReply{good}; return out;
        case wire::RaftKind::Append: {
            Append body{{in.log_index, in.log_term}, {}, in.commit, in.round};
            body.entries.reserve(in.entries.size());
            for (const wire::RaftEntry& entry : in.entries) {
                if (entry.kind < 1 || entry.kind > 3)
                    return Error(Code::Corrupt, "append with an entry of unknown kind " + std::to_string(entry.kind));
                Entry& one = body.entries.emplace_back();
                one.term = entry.term;
                one.index = entry.index;
                one.kind = static_cast<EntryKind>(entry.kind);
                if (!entry.body.empty()) one.body = std::make_shared<const Bytes>(entry.body);
                one.has_attachment = entry.has_attachment;
                if (entry.has_attachment) one.attachment = std::make_shared<const Bytes>(entry.attachment);
                if (entry.superseded_by && (!entry.has_attachment || entry.superseded_by <= entry.index))
                    return Error(Code::Corrupt, "append with an attachment superseded by an earlier entry");
                one.superseded_by = entry.superseded_by;
            }
            out.body = std::move(body);
            return out;
        }
        case wire::RaftKind::AppendReply:
            out.body = AppendReply{good, state_of(in), in.rejected_index, {in.hint_index, in.hint_term}, in.round};
            return out;
        case wire::RaftKind::Heartbeat:
            out.body = Heartbeat{in.round, in.commit, in.lowest_claim, in.push};
            return out;
        case wire::RaftKind::HeartbeatReply: out.body = HeartbeatReply{in.round, state_of(in)}; return out;
        case wire::RaftKind::TimeoutNow: out.body = TimeoutNow{}; return out;
        case wire::RaftKind::ReadIndex:
        case wire::RaftKind::ReadIndexReply:
        case wire::RaftKind::Refused:
        case wire::RaftKind::Busy: break;
    }
    return Error(Code::Corrupt, "raft message of kind " + std::to_string(static_cast<int>(in.kind)) + " is none between cores");
}

wire::Heartbeat to_wire_heartbeat(GroupId group, const Message& message, TimeOffer time) {
    const auto& body = std::get<Heartbeat>(message.body);
    return {group, message.from.replica, message.to.replica, message.term, body.round, body.commit, body.lowest_claim,
            body.push, time.estimate ? 0 : time.ns, time.epoch};
}

Message from_wire_heartbeat(const wire::Heartbeat& in, NodeId from, NodeId to) {
    return {{from, in.from_replica},
            {to, in.to_replica},
            in.term,
            Heartbeat{in.round, in.commit, in.lowest_claim, in.push}};
}

wire::HeartbeatReplyBatch::Progress to_wire_heartbeat_reply(GroupId group, const Message& message) {
    const auto& body = std::get<HeartbeatReply>(message.body);
    return {group,           message.from.replica, message.to.replica,   message.term,
            body.round,      body.state.match,     body.state.received, body.state.applied};
}

Message from_wire_heartbeat_reply(const wire::HeartbeatReplyBatch::Progress& in, NodeId from, NodeId to) {
    return {{from, in.from_replica},
            {to, in.to_replica},
            in.term,
            HeartbeatReply{in.round, {in.match, in.received, in.applied}}};
}

}  // namespace orrery::raft
