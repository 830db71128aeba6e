// Codecs of handshake, status, forwarded commands, identities, and members of a group. Bytes come from outside: every refusal is Corrupt.
#include <capnp/message.h>

#include "messages.capnp.h"
#include "node/wire/codec.h"
#include "node/wire/membership.h"
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

// ---- members of a group

std::string_view member_role_name(MemberRole role) {
    switch (role) {
        case MemberRole::Voter: return "voter";
        case MemberRole::Learner: return "learner";
        case MemberRole::Promoting: return "promoting";
        case MemberRole::Incoming: return "incoming";
        case MemberRole::Outgoing: return "outgoing";
        case MemberRole::Replaced: return "replaced";
    }
    return "?";
}

Bytes encode_join_request(const JoinRequest& request) {
    CHECK(request.configuration.size() < UINT32_MAX, request.configuration.size());
    Bytes out = encode_payload(
        [&](capnp::MessageBuilder& builder) {
            auto root = builder.initRoot<schema::JoinRequest>();
            auto members = root.initFounding().initMembers(static_cast<unsigned>(request.founding.members.size()));
            for (unsigned i = 0; i < members.size(); ++i) fill_identity(members[i], request.founding.members[i]);
            root.setGroup(request.group.value);
            root.setNode(request.node.value);
            root.setReplica(request.replica.value);
            root.setSince(request.since.value);
            root.setConfigurationBytes(static_cast<uint32_t>(request.configuration.size()));
        },
        request.configuration.size());
    out.append(request.configuration);
    return out;
}

Result<JoinRequest> decode_join_request(ByteView payload) {
    JoinRequest request;
    std::vector<NodeIdentity> members;
    TRY(decode_payload(payload, "join", [&](capnp::MessageReader& reader, Tail& tail) -> Result<void> {
        auto root = reader.getRoot<schema::JoinRequest>();
        for (auto in : root.getFounding().getMembers()) members.push_back(read_identity(in));
        request.group = GroupId(root.getGroup());
        request.node = NodeId(root.getNode());
        request.replica = ReplicaId(root.getReplica());
        request.since = LogIndex(root.getSince());
        if (!tail.take(root.getConfigurationBytes(), request.configuration)) return Error(Code::Corrupt, "join: bytes are missing");
        return {};
    }));
    TRY(request.founding, FoundingRecord::make(std::move(members)));
    return request;
}

Bytes encode_group_members_reply(const GroupMembersReply& reply) {
    return encode_payload([&](capnp::MessageBuilder& builder) {
        auto root = builder.initRoot<schema::GroupMembersReply>();
        root.setFromLeader(reply.from_leader);
        root.setRemoved(reply.removed);
        root.setCommitted(reply.committed);
        root.setJoint(reply.joint);
        root.setTerm(reply.term.value);
        root.setCommit(reply.commit.value);
        root.setLast(reply.last.value);
        root.setConfigurationIndex(reply.configuration_index.value);
        root.setLeader(reply.leader.value);
        root.setLeasePromiseNs(static_cast<uint64_t>(reply.lease_promise.ns));
        root.setLeaseDriftPpm(reply.lease_drift_ppm);
        root.setLeaseHolds(reply.lease_holds);
        auto members = root.initMembers(static_cast<unsigned>(reply.members.size()));
        for (unsigned i = 0; i < members.size(); ++i) {
            const GroupMember& member = reply.members[i];
            members[i].setNode(member.node.value);
            members[i].setReplica(member.replica.value);
            members[i].setPeerAddress(text_from(member.peer_address));
            members[i].setServiceAddress(text_from(member.service_address));
            members[i].setRole(static_cast<uint8_t>(member.role));
            members[i].setLeader(member.leader);
            members[i].setInTouch(member.in_touch);
            members[i].setMatch(member.match.value);
            members[i].setApplied(member.applied.value);
            members[i].setNote(text_from(member.note));
        }
    });
}

Result<GroupMembersReply> decode_group_members_reply(ByteView payload) {
    GroupMembersReply reply;
    TRY(decode_payload(payload, "members", [&](capnp::MessageReader& reader, Tail&) -> Result<void> {
        auto root = reader.getRoot<schema::GroupMembersReply>();
        reply.from_leader = root.getFromLeader();
        reply.removed = root.getRemoved();
        reply.committed = root.getCommitted();
        reply.joint = root.getJoint();
        reply.term = Term(root.getTerm());
        reply.commit = LogIndex(root.getCommit());
        reply.last = LogIndex(root.getLast());
        reply.configuration_index = LogIndex(root.getConfigurationIndex());
        reply.leader = NodeId(root.getLeader());
        if (root.getLeasePromiseNs() > static_cast<uint64_t>(INT64_MAX)) return Error(Code::Corrupt, "members: a promise without end");
        reply.lease_promise = {static_cast<int64_t>(root.getLeasePromiseNs())};
        reply.lease_drift_ppm = root.getLeaseDriftPpm();
        reply.lease_holds = root.getLeaseHolds();
        for (auto in : root.getMembers()) {
            const uint8_t role = in.getRole();
            if (role < static_cast<uint8_t>(MemberRole::Voter) || role > static_cast<uint8_t>(MemberRole::Replaced))
                return Error(Code::Corrupt, "members: unknown role");
            reply.members.push_back({.node = NodeId(in.getNode()),
                                     .replica = ReplicaId(in.getReplica()),
                                     .peer_address = text_of(in.getPeerAddress()),
                                     .service_address = text_of(in.getServiceAddress()),
                                     .role = static_cast<MemberRole>(role),
                                     .leader = in.getLeader(),
                                     .in_touch = in.getInTouch(),
                                     .match = LogIndex(in.getMatch()),
                                     .applied = LogIndex(in.getApplied()),
                                     .note = text_of(in.getNote())});
        }
        return {};
    }));
    return reply;
}

Bytes encode_group_change(const GroupChange& change) {
    return encode_payload([&](capnp::MessageBuilder& builder) {
        auto root = builder.initRoot<schema::GroupChange>();
        root.setAction(static_cast<uint8_t>(change.action));
        fill_identity(root.initIdentity(), change.identity);
        root.setLeaseDriftPpm(change.lease_drift_ppm);
        root.setReplica(change.replica.value);
        root.setConfiguration(change.configuration ? change.configuration->value + 1 : 0);
        root.setCluster(change.cluster.value);
        auto replaces = root.initReplaces(static_cast<unsigned>(change.replaces.size()));
        for (unsigned i = 0; i < replaces.size(); ++i) replaces.set(i, change.replaces[i].value);
    });
}

Result<GroupChange> decode_group_change(ByteView payload) {
    GroupChange change;
    TRY(decode_payload(payload, "change of members", [&](capnp::MessageReader& reader, Tail&) -> Result<void> {
        auto root = reader.getRoot<schema::GroupChange>();
        const uint8_t action = root.getAction();
        if (action < static_cast<uint8_t>(ChangeAction::AddVoter) || action > static_cast<uint8_t>(ChangeAction::LeasesOff))
            return Error(Code::Corrupt, "change of members: unknown action");
        change.action = static_cast<ChangeAction>(action);
        change.identity = read_identity(root.getIdentity());
        change.cluster = ClusterId(root.getCluster());
        auto replaces = root.getReplaces();
        if (replaces.size() > GroupChange::kReplacesMax) return Error(Code::Corrupt, "change of members: too many ended lives");
        for (uint64_t replica : replaces) change.replaces.push_back(ReplicaId(replica));
        change.lease_drift_ppm = root.getLeaseDriftPpm();
        change.replica = ReplicaId(root.getReplica());
        if (root.getConfiguration() != 0) change.configuration = LogIndex(root.getConfiguration() - 1);
        return {};
    }));
    return change;
}

Bytes encode_group_change_reply(const GroupChangeReply& reply) {
    return encode_payload([&](capnp::MessageBuilder& builder) {
        auto root = builder.initRoot<schema::GroupChangeReply>();
        root.setChanged(reply.changed);
        root.setIndex(reply.index.value);
    });
}

Result<GroupChangeReply> decode_group_change_reply(ByteView payload) {
    GroupChangeReply reply;
    TRY(decode_payload(payload, "answer to a change of members", [&](capnp::MessageReader& reader, Tail&) -> Result<void> {
        auto root = reader.getRoot<schema::GroupChangeReply>();
        reply.changed = root.getChanged();
        reply.index = LogIndex(root.getIndex());
        return {};
    }));
    return reply;
}

}  // namespace orrery::wire
