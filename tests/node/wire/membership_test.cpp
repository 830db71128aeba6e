// Messages about members: they come back equal, and bytes from outside are refused, never believed.
#include "node/wire/membership.h"

#include "runtime/base/random.h"

#include <doctest/doctest.h>

using namespace orrery;
using namespace orrery::wire;

namespace {

NodeIdentity identity(uint64_t node) {
    return {NodeId(node), Incarnation(node * 1000), "host" + std::to_string(node) + ":7100", "host" + std::to_string(node) + ":7000"};
}

std::vector<Bytes> membership_samples() {
    JoinRequest join{.founding = FoundingRecord::make({identity(1), identity(2)}).value(), .group = GroupId(1), .node = NodeId(3),
                     .replica = ReplicaId(3000), .since = LogIndex(17), .configuration = "a configuration"};
    GroupMembersReply members{.from_leader = true, .removed = false, .committed = true, .joint = true, .term = Term(4), .commit = LogIndex(20),
                              .last = LogIndex(21), .configuration_index = LogIndex(19), .leader = NodeId(2), .lease_promise = Duration::millis(300),
                              .lease_drift_ppm = 50'000, .lease_holds = true, .members = {}};
    for (uint64_t node = 1; node <= 6; ++node)
        members.members.push_back({NodeId(node), ReplicaId(node * 1000), "p:" + std::to_string(node), "", static_cast<MemberRole>(node), node == 2,
                                   node % 2 == 0, LogIndex(node), LogIndex(node - 1), node == 6 ? "gone" : ""});
    return {encode_join_request(join), encode_group_members_reply(members), encode_group_change({ChangeAction::Replace, identity(4), ClusterId(17), {ReplicaId(5), ReplicaId(6)}, 7, ReplicaId(8), LogIndex(9)}),
            encode_group_change_reply({true, LogIndex(23)})};
}

/// The form is the only one of what was decoded.
bool decodes_membership(size_t kind, ByteView payload, bool& refused_well) {
    auto judge = [&](const auto& result) {
        refused_well = result.ok() || result.failed_with(Code::Corrupt) || result.failed_with(Code::Invalid);
        return result.ok();
    };
    switch (kind) {
        case 0: return judge(decode_join_request(payload));
        case 1: return judge(decode_group_members_reply(payload));
        case 2: return judge(decode_group_change(payload));
        default: return judge(decode_group_change_reply(payload));
    }
}

}  // namespace

TEST_CASE("wire: messages about members come back equal") {
    const std::vector<Bytes> all = membership_samples();
    CHECK(encode_join_request(decode_join_request(all[0]).value()) == all[0]);
    CHECK(decode_join_request(all[0])->configuration == "a configuration");
    const GroupMembersReply members = decode_group_members_reply(all[1]).value();
    CHECK(encode_group_members_reply(members) == all[1]);
    CHECK(members.members[5].role == MemberRole::Replaced);
    CHECK(members.members[5].note == "gone");
    CHECK(members.lease_promise == Duration::millis(300));
    CHECK(members.lease_drift_ppm == 50'000);
    CHECK(members.lease_holds);
    CHECK(decode_group_change(all[2]).value() == GroupChange{ChangeAction::Replace, identity(4), ClusterId(17), {ReplicaId(5), ReplicaId(6)}, 7, ReplicaId(8), LogIndex(9)});
    CHECK(decode_group_change_reply(all[3]).value() == GroupChangeReply{true, LogIndex(23)});
}

TEST_CASE("wire: messages about members that were cut or damaged are refused or make sense (30,000 damages)") {
    const std::vector<Bytes> all = membership_samples();
    RandomStream draws(1, "wire.members", 0);
    for (size_t kind = 0; kind < all.size(); ++kind) {
        bool refused_well = true;
        for (size_t size = 0; size < all[kind].size(); ++size) {
            CHECK_FALSE(decodes_membership(kind, ByteView(all[kind]).substr(0, size), refused_well));
            REQUIRE(refused_well);
        }
        for (int i = 0; i < 7500; ++i) {
            Bytes bent = all[kind];
            for (uint64_t flips = 1 + draws.below(5); flips > 0; --flips) bent[draws.below(bent.size())] = static_cast<char>(draws.below(256));
            (void)decodes_membership(kind, bent, refused_well);
            REQUIRE(refused_well);
        }
    }
    CHECK(decode_group_change(encode_group_change({static_cast<ChangeAction>(9), identity(1)})).failed_with(Code::Corrupt));
}
