// Codecs of joins and of what operators ask of a group. Bytes come from outside: every refusal is Corrupt.
#include <capnp/message.h>

#include "messages.capnp.h"
#include "node/wire/codec.h"
#include "node/wire/membership.h"
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
    });
}

Result<GroupChange> decode_group_change(ByteView payload) {
    GroupChange change;
    TRY(decode_payload(payload, "change of members", [&](capnp::MessageReader& reader, Tail&) -> Result<void> {
        auto root = reader.getRoot<schema::GroupChange>();
        const uint8_t action = root.getAction();
        if (action < static_cast<uint8_t>(ChangeAction::AddVoter) || action > static_cast<uint8_t>(ChangeAction::Transfer))
            return Error(Code::Corrupt, "change of members: unknown action");
        change.action = static_cast<ChangeAction>(action);
        change.identity = read_identity(root.getIdentity());
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
