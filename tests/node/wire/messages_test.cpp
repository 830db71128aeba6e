// Messages: what is encoded is decoded, and what is not ours is refused without a crash.
#include "node/wire/messages.h"

#include <rapidcheck.h>

#include "node/wire/raft_message.h"
#include <doctest/doctest.h>

namespace orrery::wire {
namespace {

uint64_t num() { return *rc::gen::arbitrary<uint64_t>(); }
bool coin() { return *rc::gen::arbitrary<bool>(); }
Bytes text() { return *rc::gen::container<Bytes>(rc::gen::arbitrary<char>()); }

/// A message with everything set; `held` keeps what its views look at.
RaftMessage any_raft_message(std::vector<Bytes>& held) {
    held.reserve(100);
    const auto keep = [&held](Bytes bytes) -> ByteView { return held.emplace_back(std::move(bytes)); };
    RaftMessage m;
    m.kind = static_cast<RaftKind>(*rc::gen::inRange(1, 14));
    m.verdict = static_cast<RaftVerdict>(*rc::gen::inRange(0, 3));
    m.transfer = coin();
    m.push = coin();
    m.group = GroupId(num());
    m.from_node = NodeId(num());
    m.from_replica = ReplicaId(num());
    m.to_node = NodeId(num());
    m.to_replica = ReplicaId(num());
    m.term = Term(num());
    m.log_index = LogIndex(num());
    m.log_term = Term(num());
    m.commit = LogIndex(num());
    m.lowest_claim = LogIndex(num());
    m.match = LogIndex(num());
    m.received = LogIndex(num());
    m.applied = LogIndex(num());
    m.rejected_index = LogIndex(num());
    m.hint_index = LogIndex(num());
    m.hint_term = Term(num());
    m.round = num();
    m.context = num();
    m.state_time_ns = static_cast<int64_t>(num());
    m.state_time_estimated = coin();
    m.state_time_leader = Term(num());
    m.state_time_epoch = Term(num());
    const int entries = *rc::gen::inRange(0, 12);
    for (int i = 0; i < entries; ++i) {
        RaftEntry entry;
        entry.kind = static_cast<uint8_t>(num());
        entry.term = Term(num());
        entry.index = LogIndex(num());
        entry.body = keep(text());
        entry.has_attachment = coin();
        if (entry.has_attachment) entry.attachment = keep(coin() ? text() : Bytes());
        entry.superseded_by = LogIndex(num());
        m.entries.push_back(entry);
    }
    m.text = keep(text());
    return m;
}

TEST_CASE("wire: a raft message with entries and attachments comes back equal, aligned or not") {
    CHECK(rc::check("raft message", [] {
        std::vector<Bytes> held;
        const RaftMessage sent = any_raft_message(held);
        const Bytes payload = encode_raft_message(sent);
        Result<RaftMessage> got = decode_raft_message(payload);
        RC_ASSERT(got.ok());
        RC_ASSERT(*got == sent);
        const Bytes shifted = "x" + payload;
        Result<RaftMessage> misaligned = decode_raft_message(ByteView(shifted).substr(1));
        RC_ASSERT(misaligned.ok());
        RC_ASSERT(*misaligned == sent);
        RC_ASSERT(encode_raft_message(*got) == payload);
    }));
}

TEST_CASE("wire: damaged or cut payloads are refused or read as something, never a crash") {
    CHECK(rc::check("damage", [] {
        std::vector<Bytes> held;
        Bytes payload;
        switch (*rc::gen::inRange(0, 5)) {
            case 0: payload = encode_raft_message(any_raft_message(held)); break;
            case 1: payload = encode_forwarded_command({.client = 1, .sequence = 2, .argv = {"SET", "k", "v"}}); break;
            case 2:
                payload = encode_founding_record({{{NodeId(1), Incarnation(5), "a:1", "a:2"}, {NodeId(2), Incarnation(6), "b:1", "b:2"}}});
                break;
            case 3: {
                HeartbeatReplyBatch reply{.from_node = NodeId(1), .to_node = NodeId(2), .number = 3, .refused = {}, .progress = {}};
                reply.space = static_cast<SpaceLevel>(*rc::gen::inRange(0, 3));
                reply.progress.resize(*rc::gen::inRange<size_t>(0, 3));
                payload = encode_heartbeats_reply(reply);
                break;
            }
            default: payload = text();
        }
        const int flips = *rc::gen::inRange(0, 6);
        for (int i = 0; i < flips && !payload.empty(); ++i) {
            // Half of the damage goes where the lengths and pointers are.
            const size_t reach = coin() ? std::min<size_t>(payload.size(), 48) : payload.size();
            payload[*rc::gen::inRange<size_t>(0, reach)] = *rc::gen::arbitrary<char>();
        }
        if (coin()) payload.resize(*rc::gen::inRange<size_t>(0, payload.size() + 1));
        const auto refused_as_it_should = [](const auto& result) {
            RC_ASSERT(result.ok() || result.failed_with(Code::Corrupt) || result.failed_with(Code::Invalid));
        };
        refused_as_it_should(decode_raft_message(payload));
        refused_as_it_should(decode_heartbeats(payload));
        refused_as_it_should(decode_heartbeats_reply(payload));
        refused_as_it_should(decode_snapshot_chunk(payload));
        refused_as_it_should(decode_hello(payload));
        refused_as_it_should(decode_status(payload));
        refused_as_it_should(decode_forwarded_command(payload));
        refused_as_it_should(decode_forwarded_reply(payload));
        refused_as_it_should(decode_entry_name(payload));
        refused_as_it_should(decode_founding_record(payload));
        refused_as_it_should(decode_identity_reply(payload));
    }));
}

TEST_CASE("wire: bytes cut off or added behind a message are Corrupt") {
    const Bytes payload = encode_forwarded_command({.client = 1, .sequence = 2, .argv = {"SET", "k", "v"}});
    for (size_t size = 0; size < payload.size(); ++size)
        CHECK(decode_forwarded_command(ByteView(payload).substr(0, size)).failed_with(Code::Corrupt));
    CHECK(decode_forwarded_command(payload + "x").failed_with(Code::Corrupt));
    CHECK(decode_forwarded_command(payload).ok());
}

TEST_CASE("wire: heartbeats of many groups and their answer come back equal") {
    HeartbeatBatch batch{.from_node = NodeId(1), .to_node = NodeId(2), .number = 9, .groups = {}};
    HeartbeatReplyBatch reply{.from_node = NodeId(2), .to_node = NodeId(1), .number = 9, .refused = {}, .progress = {}};
    for (uint64_t i = 1; i <= 1000; ++i) {
        batch.groups.push_back({GroupId(i), ReplicaId(i + 1), ReplicaId(i + 2), Term(i * 3), i * 5, LogIndex(i * 7),
                                LogIndex(i), i % 2 == 0, static_cast<int64_t>(i) * -11, Term(i * 13)});
        reply.refused.push_back({GroupId(i), ReplicaId(i + 2), ReplicaId(i + 1),
                                 static_cast<HeartbeatRefusal>(1 + i % 3), Term(i)});
        reply.progress.push_back({GroupId(i), ReplicaId(i + 2), ReplicaId(i + 1), Term(i), i, LogIndex(i + 1), LogIndex(i + 2), LogIndex(i)});
    }
    reply.space = SpaceLevel::None;
    const Result<HeartbeatBatch> got = decode_heartbeats(encode_heartbeats(batch));
    REQUIRE(got.ok());
    CHECK(*got == batch);
    const Result<HeartbeatReplyBatch> got_reply = decode_heartbeats_reply(encode_heartbeats_reply(reply));
    REQUIRE(got_reply.ok());
    CHECK(*got_reply == reply);
}

TEST_CASE("wire: an answer to heartbeats carries the node's level of space, also when it is all it says") {
    CHECK(rc::check("heartbeat answer", [] {
        HeartbeatReplyBatch reply{.from_node = NodeId(num()), .to_node = NodeId(num()), .number = num(), .refused = {}, .progress = {}};
        reply.space = static_cast<SpaceLevel>(*rc::gen::inRange(0, 3));
        const int groups = *rc::gen::inRange(0, 4);
        for (int i = 0; i < groups; ++i)
            reply.progress.push_back({GroupId(num()), ReplicaId(num()), ReplicaId(num()), Term(num()), num(), LogIndex(num()), LogIndex(num()), LogIndex(num())});
        const Bytes payload = encode_heartbeats_reply(reply);
        const Result<HeartbeatReplyBatch> got = decode_heartbeats_reply(payload);
        RC_ASSERT(got.ok());
        RC_ASSERT(*got == reply);
        RC_ASSERT(encode_heartbeats_reply(*got) == payload);
        reply.space = static_cast<SpaceLevel>(*rc::gen::inRange(3, 256));
        RC_ASSERT(decode_heartbeats_reply(encode_heartbeats_reply(reply)).failed_with(Code::Corrupt));
    }));
}

TEST_CASE("wire: a snapshot chunk comes back equal, and its own crc is compared") {
    SnapshotChunk chunk{.group = GroupId(3), .from_node = NodeId(1), .from_replica = ReplicaId(11), .to_node = NodeId(2),
                        .to_replica = ReplicaId(12), .term = Term(4), .snapshot_id = 77, .generation = Generation(2),
                        .index = LogIndex(100), .index_term = Term(3), .configuration = "config", .sequence = 5,
                        .offset_bytes = 4096, .total_bytes = 9000, .last = true, .bytes = "some bytes of a snapshot"};
    Bytes payload = encode_snapshot_chunk(chunk);
    Result<SnapshotChunk> got = decode_snapshot_chunk(payload);
    REQUIRE(got.ok());
    chunk.crc = got->crc;
    CHECK(*got == chunk);
    payload.back() = 'T';
    CHECK(decode_snapshot_chunk(payload).failed_with(Code::Corrupt));
}

TEST_CASE("wire: hello, status, forwarded messages and identity come back equal") {
    const Hello hello{.version_min = 1, .version_max = 3, .role = Role::Client, .traffic = TrafficClass::Bulk, .cluster = ClusterId(5),
                      .node = NodeId(6), .incarnation = Incarnation(7), .expected_node = NodeId(8), .nonce = 9, .window_requests = 10,
                      .stream_credit_bytes = 11, .max_payload_bytes = 12, .refusal_code = 6, .refusal = "no"};
    CHECK(decode_hello(encode_hello(hello)).value() == hello);
    const Status status{.code = 1, .context = "moved", .leader = NodeId(2), .leader_term = Term(3), .leader_address = "h:1"};
    CHECK(decode_status(encode_status(status)).value() == status);
    const Bytes big(100'000, 'v');
    const ForwardedCommand command{.client = 1, .sequence = 2, .read = true, .hops = 1, .argv = {"SET", "", big}};
    const Bytes payload = encode_forwarded_command(command);
    CHECK(decode_forwarded_command(payload).value() == command);
    const Bytes reply_payload = encode_forwarded_reply({.term = Term(1), .index = LogIndex(2), .reply = "+OK\r\n"});
    CHECK(decode_forwarded_reply(reply_payload).value() == ForwardedReply{Term(1), LogIndex(2), "+OK\r\n"});
    const EntryName name{GroupId(1), LogIndex(2), Term(3)};
    CHECK(decode_entry_name(encode_entry_name(name)).value() == name);
    const IdentityReply identity{{NodeId(1), Incarnation(2), "p:1", "s:1"}, ClusterId(3)};
    CHECK(decode_identity_reply(encode_identity_reply(identity)).value() == identity);
}

TEST_CASE("wire: the founding record does not depend on who collected it in which order") {
    const NodeIdentity a{NodeId(1), Incarnation(10), "a:1", "a:2"}, b{NodeId(2), Incarnation(20), "b:1", "b:2"};
    const FoundingRecord one = FoundingRecord::make({a, b}).value(), other = FoundingRecord::make({b, a}).value();
    CHECK(one == other);
    CHECK(one.cluster() == other.cluster());
    CHECK(decode_founding_record(encode_founding_record(one)).value() == one);
    NodeIdentity reborn = b;
    reborn.incarnation = Incarnation(21);
    CHECK(FoundingRecord::make({a, reborn}).value().cluster() != one.cluster());
    CHECK(FoundingRecord::make({a, a}).failed_with(Code::Invalid));
    CHECK(FoundingRecord::make({}).failed_with(Code::Invalid));
    // A record that make() would refuse is refused from the wire too.
    CHECK(decode_founding_record(encode_founding_record({{a, a}})).failed_with(Code::Invalid));
}

}  // namespace
}  // namespace orrery::wire
