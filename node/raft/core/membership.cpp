#include "node/raft/core/membership.h"

#include <algorithm>

namespace orrery::raft {

namespace {

void drop_node(std::vector<Member>& list, NodeId node) {
    std::erase_if(list, [&](const Member& member) { return member.node == node; });
}

bool is_among(const std::vector<Member>& list, Member member) {
    return std::find(list.begin(), list.end(), member) != list.end();
}

Result<std::optional<Configuration>> made(Configuration::Parts parts) {
    TRY(Configuration next, Configuration::make(std::move(parts)));
    return std::optional(std::move(next));
}

Error under_way(const Configuration& now) {
    return Error(Code::NotReady, "a change of members is under way: " + now.text());
}

}  // namespace

Result<std::optional<Configuration>> with_member(const Configuration& now, Member member, AddAs as, ByteView contact) {
    if (now.empty()) return Error(Code::NotReady, "no configuration is known yet");
    if (now.joint()) return under_way(now);
    Configuration::Parts next = now.parts();
    if (as == AddAs::Learner && std::any_of(next.voters.begin(), next.voters.end(), [&](const Member& voter) { return voter.node == member.node; }))
        return Error(Code::Invalid, "node " + std::to_string(member.node.value) + " is a voter and cannot become a learner; remove it first");
    if (!is_among(next.voters, member) && !is_among(next.learners, member)) {
        drop_node(next.learners, member.node);  // an earlier life of it
        drop_node(next.promoting, member.node);
        next.learners.push_back(member);
    }
    if (as == AddAs::Voter && is_among(next.learners, member) && !is_among(next.promoting, member)) next.promoting.push_back(member);
    next.contacts[member] = Bytes(contact);
    TRY(std::optional<Configuration> changed, made(std::move(next)));
    if (*changed == now) return std::optional<Configuration>();
    return changed;
}

Result<std::optional<Configuration>> without_node(const Configuration& now, NodeId node) {
    if (now.joint()) return under_way(now);
    if (!now.find(node)) return std::optional<Configuration>();
    Configuration::Parts next = now.parts();
    drop_node(next.voters, node);
    drop_node(next.learners, node);
    drop_node(next.promoting, node);
    if (next.voters.empty()) return Error(Code::Invalid, "node " + std::to_string(node.value) + " is the last voter; without it nothing would be left");
    if (next.voters.size() != now.voters().size()) next.outgoing = now.voters();
    return made(std::move(next));
}

Result<std::optional<Configuration>> with_lease(const Configuration& now, const Lease& lease) {
    if (now.empty()) return Error(Code::NotReady, "no configuration is known yet");
    if (now.joint()) return under_way(now);
    if (now.lease() == lease) return std::optional<Configuration>();
    Configuration::Parts next = now.parts();
    next.lease = lease;
    return made(std::move(next));
}

std::optional<Configuration> next_step(const Configuration& now, FunctionRef<bool(Member)> caught_up) {
    Configuration::Parts next = now.parts();
    if (now.joint()) {
        next.outgoing.clear();
    } else {
        for (const Member& member : now.promoting()) {
            if (!caught_up(member)) continue;
            std::erase(next.learners, member);
            std::erase(next.promoting, member);
            drop_node(next.voters, member.node);
            next.voters.push_back(member);
        }
        if (next.promoting.size() == now.promoting().size()) return std::nullopt;
        next.outgoing = now.voters();
    }
    return Configuration::make(std::move(next)).value();  // made of a valid one's members
}

}  // namespace orrery::raft
