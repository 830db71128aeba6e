// Codecs of Raft messages, heartbeat batches and snapshot chunks. Bytes come from outside: every refusal is Corrupt.
#include <capnp/message.h>

#include "messages.capnp.h"
#include "node/wire/codec.h"
#include "node/wire/raft_message.h"
#include "runtime/base/check.h"
#include "runtime/base/crc32c.h"

namespace orrery::wire {

namespace {

uint32_t size32(ByteView bytes) {
    CHECK(bytes.size() < UINT32_MAX, bytes.size());
    return static_cast<uint32_t>(bytes.size());
}

}  // namespace

// ---- one message of one group

Bytes encode_raft_message(const RaftMessage& message) {
    size_t tail_bytes = message.text.size();
    for (const RaftEntry& entry : message.entries) tail_bytes += entry.body.size() + entry.attachment.size();
    Bytes out = encode_payload(
        [&](capnp::MessageBuilder& builder) {
            auto root = builder.initRoot<schema::RaftMessage>();
            root.setKind(static_cast<uint8_t>(message.kind));
            root.setVerdict(static_cast<uint8_t>(message.verdict));
            root.setTransfer(message.transfer);
            root.setPush(message.push);
            root.setGroup(message.group.value);
            root.setFromNode(message.from_node.value);
            root.setFromReplica(message.from_replica.value);
            root.setToNode(message.to_node.value);
            root.setToReplica(message.to_replica.value);
            root.setTerm(message.term.value);
            root.setLogIndex(message.log_index.value);
            root.setLogTerm(message.log_term.value);
            root.setCommit(message.commit.value);
            root.setLowestClaim(message.lowest_claim.value);
            root.setMatch(message.match.value);
            root.setReceived(message.received.value);
            root.setApplied(message.applied.value);
            root.setRejectedIndex(message.rejected_index.value);
            root.setHintIndex(message.hint_index.value);
            root.setHintTerm(message.hint_term.value);
            root.setRound(message.round);
            root.setContext(message.context);
            root.setStateTimeNs(message.state_time_ns);
            root.setStateTimeEstimated(message.state_time_estimated);
            root.setStateTimeLeader(message.state_time_leader.value);
            root.setStateTimeEpoch(message.state_time_epoch.value);
            root.setTextBytes(size32(message.text));
            if (message.entries.empty()) return;
            auto entries = root.initEntries(static_cast<unsigned>(message.entries.size()));
            for (unsigned i = 0; i < entries.size(); ++i) {
                const RaftEntry& entry = message.entries[i];
                auto out_entry = entries[i];
                out_entry.setKind(entry.kind);
                out_entry.setHasAttachment(entry.has_attachment);
                out_entry.setTerm(entry.term.value);
                out_entry.setIndex(entry.index.value);
                out_entry.setSupersededBy(entry.superseded_by.value);
                out_entry.setBodyBytes(size32(entry.body));
                out_entry.setAttachmentBytes(size32(entry.attachment));
            }
        },
        tail_bytes);
    for (const RaftEntry& entry : message.entries) {
        out.append(entry.body);
        out.append(entry.attachment);
    }
    out.append(message.text);
    return out;
}

Result<RaftMessage> decode_raft_message(ByteView payload) {
    RaftMessage message;
    TRY(decode_payload(payload, "raft message", [&](capnp::MessageReader& reader, Tail& tail) -> Result<void> {
        auto root = reader.getRoot<schema::RaftMessage>();
        if (!take_enum(root.getKind(), RaftKind::PreVote, RaftKind::Busy, message.kind) ||
            !take_enum(root.getVerdict(), RaftVerdict::None, RaftVerdict::Rejected, message.verdict))
            return Error(Code::Corrupt, "raft message of unknown kind " + std::to_string(root.getKind()));
        message.transfer = root.getTransfer();
        message.push = root.getPush();
        message.group = GroupId(root.getGroup());
        message.from_node = NodeId(root.getFromNode());
        message.from_replica = ReplicaId(root.getFromReplica());
        message.to_node = NodeId(root.getToNode());
        message.to_replica = ReplicaId(root.getToReplica());
        message.term = Term(root.getTerm());
        message.log_index = LogIndex(root.getLogIndex());
        message.log_term = Term(root.getLogTerm());
        message.commit = LogIndex(root.getCommit());
        message.lowest_claim = LogIndex(root.getLowestClaim());
        message.match = LogIndex(root.getMatch());
        message.received = LogIndex(root.getReceived());
        message.applied = LogIndex(root.getApplied());
        message.rejected_index = LogIndex(root.getRejectedIndex());
        message.hint_index = LogIndex(root.getHintIndex());
        message.hint_term = Term(root.getHintTerm());
        message.round = root.getRound();
        message.context = root.getContext();
        message.state_time_ns = root.getStateTimeNs();
        message.state_time_estimated = root.getStateTimeEstimated();
        message.state_time_leader = Term(root.getStateTimeLeader());
        message.state_time_epoch = Term(root.getStateTimeEpoch());
        auto entries = root.getEntries();
        message.entries.reserve(entries.size());
        for (auto in : entries) {
            RaftEntry entry;
            entry.kind = in.getKind();
            entry.has_attachment = in.getHasAttachment();
            entry.term = Term(in.getTerm());
            entry.index = LogIndex(in.getIndex());
            entry.superseded_by = LogIndex(in.getSupersededBy());
            if (!tail.take(in.getBodyBytes(), entry.body) || !tail.take(in.getAttachmentBytes(), entry.attachment))
                return Error(Code::Corrupt, "raft message: entry bytes are missing");
            if (!entry.has_attachment && !entry.attachment.empty())
                return Error(Code::Corrupt, "raft message: attachment of an entry that has none");
            message.entries.push_back(entry);
        }
        if (!tail.take(root.getTextBytes(), message.text))
            return Error(Code::Corrupt, "raft message: text is missing");
        return {};
    }));
    return message;
}

// ---- heartbeats of all groups

Bytes encode_heartbeats(const HeartbeatBatch& batch) {
    return encode_payload([&](capnp::MessageBuilder& builder) {
        auto root = builder.initRoot<schema::HeartbeatBatch>();
        root.setFromNode(batch.from_node.value);
        root.setToNode(batch.to_node.value);
        root.setNumber(batch.number);
        auto groups = root.initGroups(static_cast<unsigned>(batch.groups.size()));
        for (unsigned i = 0; i < groups.size(); ++i) {
            const Heartbeat& beat = batch.groups[i];
            auto out = groups[i];
            out.setGroup(beat.group.value);
            out.setFromReplica(beat.from_replica.value);
            out.setToReplica(beat.to_replica.value);
            out.setTerm(beat.term.value);
            out.setRound(beat.round);
            out.setCommit(beat.commit.value);
            out.setLowestClaim(beat.lowest_claim.value);
            out.setPush(beat.push);
            out.setStateTimeNs(beat.state_time_ns);
            out.setStateTimeEpoch(beat.state_time_epoch.value);
        }
    });
}

Result<HeartbeatBatch> decode_heartbeats(ByteView payload) {
    HeartbeatBatch batch;
    TRY(decode_payload(payload, "heartbeats", [&](capnp::MessageReader& reader, Tail&) -> Result<void> {
        auto root = reader.getRoot<schema::HeartbeatBatch>();
        batch.from_node = NodeId(root.getFromNode());
        batch.to_node = NodeId(root.getToNode());
        batch.number = root.getNumber();
        auto groups = root.getGroups();
        batch.groups.reserve(groups.size());
        for (auto in : groups) {
            batch.groups.push_back({.group = GroupId(in.getGroup()),
                                    .from_replica = ReplicaId(in.getFromReplica()),
                                    .to_replica = ReplicaId(in.getToReplica()),
                                    .term = Term(in.getTerm()),
                                    .round = in.getRound(),
                                    .commit = LogIndex(in.getCommit()),
                                    .lowest_claim = LogIndex(in.getLowestClaim()),
                                    .push = in.getPush(),
                                    .state_time_ns = in.getStateTimeNs(),
                                    .state_time_epoch = Term(in.getStateTimeEpoch())});
        }
        return {};
    }));
    return batch;
}

std::string_view space_level_name(SpaceLevel level) {
    switch (level) {
        case SpaceLevel::Room: return "room";
        case SpaceLevel::Low: return "low";
        case SpaceLevel::None: return "none";
    }
    return "?";
}

Bytes encode_heartbeats_reply(const HeartbeatReplyBatch& batch) {
    return encode_payload([&](capnp::MessageBuilder& builder) {
        auto root = builder.initRoot<schema::HeartbeatReplyBatch>();
        root.setFromNode(batch.from_node.value);
        root.setToNode(batch.to_node.value);
        root.setNumber(batch.number);
        if (!batch.refused.empty()) {  // as a rule it is, and a list that is not there costs nothing
            auto refused = root.initRefused(static_cast<unsigned>(batch.refused.size()));
            for (unsigned i = 0; i < refused.size(); ++i) {
                refused[i].setGroup(batch.refused[i].group.value);
                refused[i].setFromReplica(batch.refused[i].from_replica.value);
                refused[i].setToReplica(batch.refused[i].to_replica.value);
                refused[i].setWhy(static_cast<uint8_t>(batch.refused[i].why));
                refused[i].setTerm(batch.refused[i].term.value);
            }
        }
        auto progress = root.initProgress(static_cast<unsigned>(batch.progress.size()));
        for (unsigned i = 0; i < progress.size(); ++i) {
            const HeartbeatReplyBatch::Progress& news = batch.progress[i];
            auto out = progress[i];
            out.setGroup(news.group.value);
            out.setFromReplica(news.from_replica.value);
            out.setToReplica(news.to_replica.value);
            out.setTerm(news.term.value);
            out.setRound(news.round);
            out.setMatch(news.match.value);
            out.setReceived(news.received.value);
            out.setApplied(news.applied.value);
        }
        root.setSpace(static_cast<uint8_t>(batch.space));
    });
}

Result<HeartbeatReplyBatch> decode_heartbeats_reply(ByteView payload) {
    HeartbeatReplyBatch batch;
    TRY(decode_payload(payload, "heartbeat answer", [&](capnp::MessageReader& reader, Tail&) -> Result<void> {
        auto root = reader.getRoot<schema::HeartbeatReplyBatch>();
        batch.from_node = NodeId(root.getFromNode());
        batch.to_node = NodeId(root.getToNode());
        batch.number = root.getNumber();
        auto refused = root.getRefused();
        batch.refused.reserve(refused.size());
        for (auto in : refused) {
            HeartbeatReplyBatch::Refused out;
            out.group = GroupId(in.getGroup());
            out.from_replica = ReplicaId(in.getFromReplica());
            out.to_replica = ReplicaId(in.getToReplica());
            out.term = Term(in.getTerm());
            if (!take_enum(in.getWhy(), HeartbeatRefusal::HigherTerm, HeartbeatRefusal::WrongReplica, out.why))
                return Error(Code::Corrupt, "heartbeat answer: unknown refusal");
            batch.refused.push_back(out);
        }
        auto progress = root.getProgress();
        batch.progress.reserve(progress.size());
        for (auto in : progress) {
            batch.progress.push_back({.group = GroupId(in.getGroup()),
                                      .from_replica = ReplicaId(in.getFromReplica()),
                                      .to_replica = ReplicaId(in.getToReplica()),
                                      .term = Term(in.getTerm()),
                                      .round = in.getRound(),
                                      .match = LogIndex(in.getMatch()),
                                      .received = LogIndex(in.getReceived()),
                                      .applied = LogIndex(in.getApplied())});
        }
        if (!take_enum(root.getSpace(), SpaceLevel::Room, SpaceLevel::None, batch.space))
            return Error(Code::Corrupt, "heartbeat answer: unknown level of space");
        return {};
    }));
    return batch;
}

// ---- snapshots

Bytes encode_snapshot_chunk(const SnapshotChunk& chunk) {
    Bytes out = encode_payload(
        [&](capnp::MessageBuilder& builder) {
            auto root = builder.initRoot<schema::SnapshotChunk>();
            root.setGroup(chunk.group.value);
            root.setFromNode(chunk.from_node.value);
            root.setFromReplica(chunk.from_replica.value);
            root.setToNode(chunk.to_node.value);
            root.setToReplica(chunk.to_replica.value);
            root.setTerm(chunk.term.value);
            root.setSnapshotId(chunk.snapshot_id);
            root.setGeneration(chunk.generation.value);
            root.setIndex(chunk.index.value);
            root.setIndexTerm(chunk.index_term.value);
            root.setConfigurationBytes(size32(chunk.configuration));
            root.setSequence(chunk.sequence);
            root.setOffsetBytes(chunk.offset_bytes);
            root.setTotalBytes(chunk.total_bytes);
            root.setCrc(crc32c(chunk.bytes));
            root.setLast(chunk.last);
            root.setBytes(size32(chunk.bytes));
        },
        chunk.configuration.size() + chunk.bytes.size());
    out.append(chunk.configuration);
    out.append(chunk.bytes);
    return out;
}

Result<SnapshotChunk> decode_snapshot_chunk(ByteView payload) {
    SnapshotChunk chunk;
    TRY(decode_payload(payload, "snapshot chunk", [&](capnp::MessageReader& reader, Tail& tail) -> Result<void> {
        auto root = reader.getRoot<schema::SnapshotChunk>();
        chunk.group = GroupId(root.getGroup());
        chunk.from_node = NodeId(root.getFromNode());
        chunk.from_replica = ReplicaId(root.getFromReplica());
        chunk.to_node = NodeId(root.getToNode());
        chunk.to_replica = ReplicaId(root.getToReplica());
        chunk.term = Term(root.getTerm());
        chunk.snapshot_id = root.getSnapshotId();
        chunk.generation = Generation(root.getGeneration());
        chunk.index = LogIndex(root.getIndex());
        chunk.index_term = Term(root.getIndexTerm());
        chunk.sequence = root.getSequence();
        chunk.offset_bytes = root.getOffsetBytes();
        chunk.total_bytes = root.getTotalBytes();
        chunk.crc = root.getCrc();
        chunk.last = root.getLast();
        if (!tail.take(root.getConfigurationBytes(), chunk.configuration) || !tail.take(root.getBytes(), chunk.bytes))
            return Error(Code::Corrupt, "snapshot chunk: bytes are missing");
        if (crc32c(chunk.bytes) != chunk.crc) return Error(Code::Corrupt, "snapshot chunk: crc is wrong");
        return {};
    }));
    return chunk;
}

}  // namespace orrery::wire
