// Codecs of handshake, status, forwarded commands and identities. Bytes come from outside: every refusal is Corrupt.
#include <capnp/message.h>

#include "messages.capnp.h"
#include "node/wire/codec.h"
#include "node/wire/messages.h"
#include "runtime/base/check.h"

namespace orrery::wire {

namespace {

std::string text_of(capnp::Text::Reader text) { return std::string(text.begin(), text.size()); }
capnp::Text::Reader text_from(const std::string& text) { return capnp::Text::Reader(text.c_str(), text.size()); }

void fill_identity(schema::NodeIdentity::Builder out, const NodeIdentity& identity) {
    out.setNode(identity.node.value);
    out.setIncarnation(identity.incarnation.value);
    out.setPeerAddress(text_from(identity.peer_address));
    out.setServiceAddress(text_from(identity.service_address));
}

NodeIdentity read_identity(schema::NodeIdentity::Reader in) {
    return {.node = NodeId(in.getNode()),
            .incarnation = Incarnation(in.getIncarnation()),
            .peer_address = text_of(in.getPeerAddress()),
            .service_address = text_of(in.getServiceAddress())};
}

}  // namespace

// ---- handshake

Bytes encode_hello(const Hello& hello) {
    return encode_payload([&](capnp::MessageBuilder& builder) {
        auto root = builder.initRoot<schema::Hello>();
        root.setVersionMin(hello.version_min);
        root.setVersionMax(hello.version_max);
        root.setRole(static_cast<uint8_t>(hello.role));
        root.setTraffic(static_cast<uint8_t>(hello.traffic));
        root.setCluster(hello.cluster.value);
        root.setNode(hello.node.value);
        root.setIncarnation(hello.incarnation.value);
        root.setExpectedNode(hello.expected_node.value);
        root.setNonce(hello.nonce);
        root.setWindowRequests(hello.window_requests);
        root.setStreamCreditBytes(hello.stream_credit_bytes);
        root.setMaxPayloadBytes(hello.max_payload_bytes);
        root.setRefusalCode(hello.refusal_code);
        root.setRefusal(text_from(hello.refusal));
    });
}

Result<Hello> decode_hello(ByteView payload) {
    Hello hello;
    TRY(decode_payload(payload, "hello", [&](capnp::MessageReader& reader, Tail&) -> Result<void> {
        auto root = reader.getRoot<schema::Hello>();
        hello.version_min = root.getVersionMin();
        hello.version_max = root.getVersionMax();
        const uint8_t role = root.getRole();
        const uint8_t traffic = root.getTraffic();
        if (role < static_cast<uint8_t>(Role::Node) || role > static_cast<uint8_t>(Role::Operator) ||
            traffic >= kTrafficClasses)
            return Error(Code::Corrupt, "hello: unknown role or traffic class");
        hello.role = static_cast<Role>(role);
        hello.traffic = static_cast<TrafficClass>(traffic);
        hello.cluster = ClusterId(root.getCluster());
        hello.node = NodeId(root.getNode());
        hello.incarnation = Incarnation(root.getIncarnation());
        hello.expected_node = NodeId(root.getExpectedNode());
        hello.nonce = root.getNonce();
        hello.window_requests = root.getWindowRequests();
        hello.stream_credit_bytes = root.getStreamCreditBytes();
        hello.max_payload_bytes = root.getMaxPayloadBytes();
        hello.refusal_code = root.getRefusalCode();
        hello.refusal = text_of(root.getRefusal());
        return {};
    }));
    return hello;
}

// ---- status

Bytes encode_status(const Status& status) {
    return encode_payload([&](capnp::MessageBuilder& builder) {
        auto root = builder.initRoot<schema::Status>();
        root.setCode(status.code);
        root.setContext(text_from(status.context));
        root.setLeader(status.leader.value);
        root.setLeaderTerm(status.leader_term.value);
        root.setLeaderAddress(text_from(status.leader_address));
    });
}

Result<Status> decode_status(ByteView payload) {
    Status status;
    TRY(decode_payload(payload, "status", [&](capnp::MessageReader& reader, Tail&) -> Result<void> {
        auto root = reader.getRoot<schema::Status>();
        status.code = root.getCode();
        status.context = text_of(root.getContext());
        status.leader = NodeId(root.getLeader());
        status.leader_term = Term(root.getLeaderTerm());
        status.leader_address = text_of(root.getLeaderAddress());
        return {};
    }));
    return status;
}

// ---- forwarded commands

Bytes encode_forwarded_command(const ForwardedCommand& command) {
    size_t tail_bytes = 0;
    for (ByteView word : command.argv) tail_bytes += word.size();
    Bytes out = encode_payload(
        [&](capnp::MessageBuilder& builder) {
            auto root = builder.initRoot<schema::ForwardedCommand>();
            root.setClient(command.client);
            root.setSequence(command.sequence);
            root.setRead(command.read);
            root.setHops(command.hops);
            auto lengths = root.initArgBytes(static_cast<unsigned>(command.argv.size()));
            for (unsigned i = 0; i < lengths.size(); ++i) {
                CHECK(command.argv[i].size() < UINT32_MAX, command.argv[i].size());
                lengths.set(i, static_cast<uint32_t>(command.argv[i].size()));
            }
        },
        tail_bytes);
    for (ByteView word : command.argv) out.append(word);
    return out;
}

Result<ForwardedCommand> decode_forwarded_command(ByteView payload) {
    ForwardedCommand command;
    TRY(decode_payload(payload, "forwarded command", [&](capnp::MessageReader& reader, Tail& tail) -> Result<void> {
        auto root = reader.getRoot<schema::ForwardedCommand>();
        command.client = root.getClient();
        command.sequence = root.getSequence();
        command.read = root.getRead();
        command.hops = root.getHops();
        auto lengths = root.getArgBytes();
        command.argv.reserve(lengths.size());
        for (uint32_t length : lengths) {
            ByteView word;
            if (!tail.take(length, word)) return Error(Code::Corrupt, "forwarded command: bytes are missing");
            command.argv.push_back(word);
        }
        return {};
    }));
    return command;
}

Bytes encode_forwarded_reply(const ForwardedReply& reply) {
    CHECK(reply.reply.size() < UINT32_MAX, reply.reply.size());
    Bytes out = encode_payload(
        [&](capnp::MessageBuilder& builder) {
            auto root = builder.initRoot<schema::ForwardedReply>();
            root.setTerm(reply.term.value);
            root.setIndex(reply.index.value);
            root.setBytes(static_cast<uint32_t>(reply.reply.size()));
        },
        reply.reply.size());
    out.append(reply.reply);
    return out;
}

Result<ForwardedReply> decode_forwarded_reply(ByteView payload) {
    ForwardedReply reply;
    TRY(decode_payload(payload, "forwarded reply", [&](capnp::MessageReader& reader, Tail& tail) -> Result<void> {
        auto root = reader.getRoot<schema::ForwardedReply>();
        reply.term = Term(root.getTerm());
        reply.index = LogIndex(root.getIndex());
        if (!tail.take(root.getBytes(), reply.reply))
            return Error(Code::Corrupt, "forwarded reply: bytes are missing");
        return {};
    }));
    return reply;
}

Bytes encode_entry_name(const EntryName& name) {
    return encode_payload([&](capnp::MessageBuilder& builder) {
        auto root = builder.initRoot<schema::EntryName>();
        root.setGroup(name.group.value);
        root.setIndex(name.index.value);
        root.setTerm(name.term.value);
    });
}

Result<EntryName> decode_entry_name(ByteView payload) {
    EntryName name;
    TRY(decode_payload(payload, "entry name", [&](capnp::MessageReader& reader, Tail&) -> Result<void> {
        auto root = reader.getRoot<schema::EntryName>();
        name = {GroupId(root.getGroup()), LogIndex(root.getIndex()), Term(root.getTerm())};
        return {};
    }));
    return name;
}

// ---- identity and founding

Bytes encode_founding_record(const FoundingRecord& record) {
    return encode_payload([&](capnp::MessageBuilder& builder) {
        auto members = builder.initRoot<schema::FoundingRecord>().initMembers(
            static_cast<unsigned>(record.members.size()));
        for (unsigned i = 0; i < members.size(); ++i) fill_identity(members[i], record.members[i]);
    });
}

Result<FoundingRecord> decode_founding_record(ByteView payload) {
    std::vector<NodeIdentity> members;
    TRY(decode_payload(payload, "founding record", [&](capnp::MessageReader& reader, Tail&) -> Result<void> {
        auto list = reader.getRoot<schema::FoundingRecord>().getMembers();
        members.reserve(list.size());
        for (auto in : list) members.push_back(read_identity(in));
        return {};
    }));
    return FoundingRecord::make(std::move(members));
}

Bytes encode_identity_reply(const IdentityReply& reply) {
    return encode_payload([&](capnp::MessageBuilder& builder) {
        auto root = builder.initRoot<schema::IdentityReply>();
        fill_identity(root.initIdentity(), reply.identity);
        root.setCluster(reply.cluster.value);
    });
}

Result<IdentityReply> decode_identity_reply(ByteView payload) {
    IdentityReply reply;
    TRY(decode_payload(payload, "identity", [&](capnp::MessageReader& reader, Tail&) -> Result<void> {
        auto root = reader.getRoot<schema::IdentityReply>();
        reply.identity = read_identity(root.getIdentity());
        reply.cluster = ClusterId(root.getCluster());
        return {};
    }));
    return reply;
}

}  // namespace orrery::wire
