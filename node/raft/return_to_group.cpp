#include "node/raft/return_to_group.h"

#include <algorithm>

#include "node/raft/core/configuration.h"
#include "node/raft/member_contact.h"
#include "node/raft/operate_members.h"

namespace orrery::raft {

namespace {

constexpr Duration kReturnPauseMin = Duration::millis(500);
constexpr Duration kReturnPauseMax = Duration::seconds(5);
constexpr Duration kAttempt = Duration::seconds(6);

/// Where others were: as the old life knew last, and as the cluster was founded.
std::vector<Address> others(const NodeDirectory& directory) {
    std::vector<Address> out;
    auto take = [&](const std::string& text) {
        Result<Address> address = Address::parse(text);
        if (address.ok() && std::find(out.begin(), out.end(), *address) == out.end()) out.push_back(*address);
    };
    const NodeDirectory::Retired& ended = *directory.retired();
    const NodeId self = directory.identity().node;
    if (Result<Configuration> then = Configuration::decode(ended.configuration); then.ok()) {
        for (const Member& member : then->members()) {
            Result<MemberContact> contact = decode_contact(then->contact(member));
            if (member.node != self && contact.ok()) take(contact->peer_address);
        }
    }
    for (const wire::NodeIdentity& founder : ended.founding.members)
        if (founder.node != self) take(founder.peer_address);
    return out;
}

}  // namespace

Result<void> return_to_group(Fiber& fiber, Env& env, NodeDirectory& directory, std::string& trouble) {
    CHECK(directory.retired().has_value());
    wire::GroupChange change;
    change.action = wire::ChangeAction::Replace;
    change.identity = directory.node_identity();
    change.cluster = directory.retired()->founding.cluster();
    const std::vector<Incarnation>& ended = directory.tombstones();
    for (size_t i = ended.size() - std::min(ended.size(), wire::GroupChange::kReplacesMax); i < ended.size(); ++i)
        change.replaces.push_back(ReplicaId(ended[i].value));
    const OperatedGroup group{others(directory), directory.retired()->group};
    if (group.at.empty()) {
        trouble = "no other member is known";
        return {};
    }
    Duration pause = kReturnPauseMin;
    while (!directory.founding()) {
        Result<wire::GroupChangeReply> done = change_members(fiber, env, group, change, env.now() + kAttempt);
        if (done.failed_with(Code::Cancelled)) return done.error();
        if (directory.founding()) break;
        const std::string said = done.ok() ? "named by the group; waits for its leader's word" : done.error().text();
        if (said != trouble) {
            env.tracer.event(done.ok() ? Severity::Info : Severity::Warning, done.ok() ? "replica.return_agreed" : "replica.not_back_yet",
                             {{"group", group.group}, {"replica", change.identity.incarnation}, {"why", said}});
        }
        trouble = said;
        // The leader invites by itself; it is asked again in case it was another cluster's word, or one that was lost.
        TRY(env.sleep(fiber, pause));
        pause = std::min(pause * 2, kReturnPauseMax);
    }
    trouble.clear();
    return {};
}

}  // namespace orrery::raft
