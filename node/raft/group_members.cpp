// Members of a group: what the leader does by itself (invite, promote, end joint configurations), what operators ask (leases too), and
// what every replica does when the configuration in force changes.
//
// Changes go one at a time: an operator's waits until none is under way. Everything between is next_step() of the
// configuration in force, so a leader that dies in the middle is no matter: the next one goes on.
#include <algorithm>

#include "node/raft/group.h"
#include "node/raft/group_host.h"
#include "node/raft/member_contact.h"

namespace orrery::raft {

namespace {
constexpr Duration kInvitePause = Duration::millis(250);
}

// ---- the configuration in force ---------------------------------------------------------------------------------

void Group::follow_configuration() {
    const LogView& log = core_->log();
    const LogIndex index = log.configuration_index();
    if (core_->leader()) leader_known_at_ = env_.now(), said_removed_.clear();
    const bool same = configuration_told_ && configuration_told_->first == index && configuration_told_->second == log.configuration();
    // Whoever may still have a part in what goes on is reached: the members, those that a change not known to be committed
    // takes out, those that are to hear of it, and the leader, who commits its own removal as one that is out.
    std::vector<Member> also = core_->departing();
    const Configuration& committed = log.configuration_at(core_->commit());
    if (!same || hint_moved_ || core_->leader() != reached_leader_ || also != reached_departing_ || !(committed == reached_committed_)) {
        reached_departing_ = also;
        reached_leader_ = core_->leader();
        reached_committed_ = committed;
        hint_moved_ = false;
        if (reached_leader_) also.push_back(reached_leader_);
        // A log that lags speaks of members, and of lives of them, of long ago: what a leader told us of later goes before it.
        if (hint_.first > index) {
            host_.follow_members(id_, {&committed, &log.configuration(), &hint_.second}, also);
        } else {
            host_.follow_members(id_, {&committed, &log.configuration()}, also);
        }
    }
    if (!same) {
        const bool moved = !configuration_told_ || !(configuration_told_->second == log.configuration());
        configuration_told_ = {index, log.configuration()};
        if (moved) {
            auto list = [](const std::vector<Member>& members) {
                std::string text;
                for (const Member& member : members) text += (text.empty() ? "" : ",") + std::to_string(member.node.value) + ":" + std::to_string(member.replica.value);
                return text;
            };
            env_.tracer.info("raft.configuration", {{"group", id_},
                                                    {"index", index},
                                                    {"members", log.configuration().text()},
                                                    {"voters", list(log.configuration().voters())},
                                                    {"outgoing", list(log.configuration().outgoing())},
                                                    {"learners", list(log.configuration().learners())}});
        }
        // At once: whoever goes by the members must not answer by those of before until the next turn.
        if (observer_ != nullptr) observer_->progressed();
    }
    if (core_->removed() != removed_told_) {
        removed_told_ = core_->removed();
        if (removed_told_)
            env_.tracer.warning("raft.removed", {{"group", id_}, {"index", index}, {"text", exclusion()}});
        // Nobody tells us again: what is applied of it is made durable, so that a restart knows.
        if (removed_told_) env_.spawn("raft.remember_removal", [this, index](Fiber& fiber) {
            while (applied_.applied.index < index && !stopped_)
                if (!env_.sleep(fiber, Duration::millis(20)).ok()) return;
            if (Result<void> flushed = host_.store().flush(fiber); !flushed.ok() && flushed.code() != Code::Cancelled)
                env_.tracer.warning("raft.removal_not_flushed", {{"group", id_}, {"error", flushed.error().text()}});
        });
        if (observer_ != nullptr) observer_->role_changed({core_->role(), core_->term(), core_->leader()});
    }
}

std::string Group::exclusion() const {
    if (!core_) return "";
    if (core_->removed())
        return "this node was removed from the cluster (configuration " + std::to_string(core_->log().configuration_index().value) +
               "); to take it in again, wipe its data directory and `add` it with orreryctl";
    return said_removed_;
}

wire::GroupMembersReply Group::members() const {
    const raft::Status now = status();
    wire::GroupMembersReply out;
    out.from_leader = leads();
    out.removed = now.removed;
    out.committed = now.configuration_index <= now.commit;
    out.joint = now.configuration.joint();
    out.term = now.hard_state.term;
    out.commit = now.commit;
    out.last = now.last.index;
    out.configuration_index = now.configuration_index;
    out.leader = leader().node;
    out.lease_promise = now.configuration.lease().promise;
    out.lease_drift_ppm = now.configuration.lease().drift_ppm;
    out.lease_holds = now.lease_holds;
    auto among = [](const std::vector<Member>& list, Member member) { return std::find(list.begin(), list.end(), member) != list.end(); };
    for (const MemberStatus& line : now.members) {
        wire::GroupMember member;
        member.node = line.member.node;
        member.replica = line.member.replica;
        if (Result<MemberContact> contact = decode_contact(now.configuration.contact(line.member)); contact.ok()) {
            member.peer_address = contact->peer_address;
            member.service_address = contact->service_address;
        }
        const bool in = among(now.configuration.voters(), line.member), outgoing = among(now.configuration.outgoing(), line.member);
        if (line.learner) {
            member.role = line.promoting ? wire::MemberRole::Promoting : wire::MemberRole::Learner;
        } else if (!now.configuration.is_member(line.member)) {
            member.role = wire::MemberRole::Replaced;
        } else if (out.joint && in != outgoing) {
            member.role = in ? wire::MemberRole::Incoming : wire::MemberRole::Outgoing;
        }
        member.leader = line.member == now.leader;
        if (out.from_leader) {
            member.in_touch = line.active;
            member.match = line.match;
            member.applied = line.applied;
            if (auto trouble = invite_trouble_.find(line.member); trouble != invite_trouble_.end() && !line.active) member.note = trouble->second;
            if (member.role == wire::MemberRole::Replaced) member.note = "its data directory is gone; the node's new replica takes its place";
        }
        out.members.push_back(std::move(member));
    }
    return out;
}

// ---- what the leader does by itself -----------------------------------------------------------------------------

/// Rounds as in the Raft thesis, 4.2.1: the log as it was when a round began was received and applied within an election
/// timeout. A member that cannot keep up with the load never gets there, and would only slow the group down as a voter.
bool Group::caught_up(Member member) {
    const raft::Status now = status();
    auto line = std::find_if(now.members.begin(), now.members.end(), [&](const MemberStatus& one) { return one.member == member; });
    if (line == now.members.end() || !line->active) {
        catching_up_.erase(member);
        return false;
    }
    auto [round, fresh] = catching_up_.try_emplace(member, CatchUp{now.last.index, env_.now()});
    if (fresh || line->match < round->second.target || line->applied < std::min(round->second.target, now.commit)) return false;
    if (env_.now() - round->second.began <= options_.core.election_timeout_min) return true;
    round->second = {now.last.index, env_.now()};
    return false;
}

void Group::advance_members() {
    if (stopped_ || !leads()) {
        catching_up_.clear();
        return;
    }
    const Configuration& now = core_->log().configuration();
    if ((!now.joint() && now.promoting().empty()) || !core_->may_change_members()) return;
    const std::optional<Configuration> next = next_step(now, [this](Member member) { return caught_up(member); });
    if (!next) return;
    // Into a joint configuration only when it can be left again; the way out is always open.
    if (next->joint() && !reachable(*next, "promoting", Instant{INT64_MIN}).ok()) return;
    if (next->joint()) catching_up_.clear();
    trace_progress();
    if (core_->propose_configuration(env_.now(), *next).ok()) {
        follow_configuration();
        wake();
    }
}

void Group::invite_loop(Fiber& fiber) {
    for (;;) {
        if (!env_.sleep(fiber, kInvitePause).ok() || stopped_) return;
        if (!leads()) {
            invite_trouble_.clear();
            if (!core_->removed() && !core_->leader() && env_.now() - leader_known_at_ > options_.core.election_timeout_max * 5) {
                ask_whether_member(fiber);
                leader_known_at_ = env_.now();
            }
            continue;
        }
        if (core_->log().configuration_index() > core_->commit()) continue;
        const raft::Status now = status();
        for (const MemberStatus& line : now.members) {
            if (line.active || line.member == self() || !now.configuration.is_member(line.member)) continue;
            invite(fiber, line.member);
            if (stopped_ || !leads()) break;
        }
        if (fiber.cancelled()) return;
    }
}

/// A member that does not answer may be a node that belongs to no cluster yet: it is told of ours. Or one that was away while
/// we came, and does not know where to answer: it is told that too.
void Group::invite(Fiber& fiber, Member member) {
    const Bytes configuration = core_->log().configuration().encode();
    wire::JoinRequest request;
    request.founding = *host_.directory().founding();
    request.group = id_;
    request.node = member.node;
    request.replica = member.replica;
    request.since = core_->log().configuration_index();
    request.configuration = configuration;
    const rpc::Target target{wire::Operation::Join, id_, 0, wire::TrafficClass::Control, rpc::Deadline::after(env_.clock, Duration::seconds(2))};
    Result<Bytes> answer = host_.peers().call(fiber, member.node, target, wire::encode_join_request(request));
    if (answer.failed_with(Code::Cancelled)) return;
    std::string& trouble = invite_trouble_[member];
    const std::string text = answer.ok() ? std::string() : "cannot be invited: " + answer.error().text();
    if (trouble != text && !text.empty() && !core_->log().configuration().is_voter(member))
        env_.tracer.warning("raft.invite_failed", {{"group", id_}, {"node", member.node}, {"replica", member.replica}, {"why", text}});
    if (answer.ok() && !trouble.empty()) env_.tracer.info("raft.invited", {{"group", id_}, {"node", member.node}});
    trouble = text;
}

void Group::hear_configuration(LogIndex index, const Configuration& configuration) {
    if (index <= hint_.first || !configuration.names(self())) return;
    hint_ = {index, configuration};
    hint_moved_ = true;
    wake();
}

/// No leader for long: perhaps we were removed while we were away, and nobody talks to us any more. Others may tell; it is
/// hearsay, so it is shown and nothing else.
void Group::ask_whether_member(Fiber& fiber) {
    Configuration configuration = core_->log().configuration();
    LogIndex known = core_->log().configuration_index();
    if (const auto& joined = host_.directory().joined(); configuration.empty() && joined) {
        // Named and told, but then nothing came any more.
        if (Result<Configuration> then = Configuration::decode(joined->configuration); then.ok()) configuration = std::move(*then);
        known = joined->since;
    }
    for (const Member& member : configuration.members()) {
        if (member.node == self().node || !configuration.is_member(member)) continue;
        const rpc::Target target{wire::Operation::GroupMembers, id_, 1, wire::TrafficClass::Control, rpc::Deadline::after(env_.clock, Duration::seconds(1))};
        Result<Bytes> answer = host_.peers().call(fiber, member.node, target, {});
        if (!answer.ok()) {
            if (answer.code() == Code::Cancelled) return;
            continue;
        }
        Result<wire::GroupMembersReply> reply = wire::decode_group_members_reply(*answer);
        if (!reply.ok() || !reply->committed || reply->configuration_index <= known) continue;
        const bool named = std::any_of(reply->members.begin(), reply->members.end(), [&](const wire::GroupMember& one) {
            return one.node == self().node && one.replica == self().replica;
        });
        if (named || core_->leader()) return;
        said_removed_ = "node " + std::to_string(member.node.value) + " says that this node was removed from the cluster (configuration " +
                        std::to_string(reply->configuration_index.value) + "); to take it in again, wipe its data directory and `add` it with orreryctl";
        env_.tracer.warning("raft.said_removed", {{"group", id_}, {"text", said_removed_}});
        return;
    }
}

// ---- what operators ask -----------------------------------------------------------------------------------------

/// A majority of `next` was heard from since then, and lately.
Result<void> Group::reachable(const Configuration& next, std::string_view what, Instant since) const {
    const raft::Status now = status();
    auto in_touch = [&](Member member) -> uint64_t {
        auto line = std::find_if(now.members.begin(), now.members.end(), [&](const MemberStatus& one) { return one.member == member; });
        return line != now.members.end() && line->active && (line->member == self() || line->last_contact >= since);
    };
    if (next.quorum_value(in_touch) > 0) return {};
    std::string silent;
    for (const Member& member : next.members())
        if (next.is_voter(member) && !in_touch(member)) silent += (silent.empty() ? "" : ", ") + std::to_string(member.node.value);
    return Error(Code::Invalid, std::string(what) + " would leave no majority in touch: no answer from node " + silent +
                                    "; bring it back, or remove or replace it first");
}

Result<std::optional<LogIndex>> Group::propose_members(Fiber& fiber, NextConfiguration next, std::string_view what, Instant deadline) {
    TRY(fiber.maybe_yield());
    // A fresh leader has not heard of everybody yet, and a change before this one may be about to end.
    // Who is in touch must have been heard from since the operator asked: who has just died still looks alive.
    const Instant asked = env_.now();
    const Instant patience = std::min(deadline, env_.now() + options_.core.election_timeout_max * 2);
    for (;;) {
        if (stopped_) return Error(Code::NotReady, "the group has stopped on this node: " + stopped_->context);
        if (!leads()) return not_leader();
        Error refused(Code::NotReady, "another change of members, or a hand-over, is under way: " + core_->log().configuration().text());
        if (core_->may_change_members()) {
            Result<std::optional<Configuration>> made = next(core_->log().configuration());
            if (made.ok() && !*made) return std::optional<LogIndex>();
            Result<void> can = made.ok() ? reachable(**made, what, asked) : Result<void>(made.error());
            if (can.ok()) {
                trace_progress();
                TRY(LogIndex index, core_->propose_configuration(env_.now(), **made));
                follow_configuration();
                wake();
                return std::optional(index);
            }
            refused = can.error();
        }
        const Instant until = refused.code == Code::NotReady ? deadline : patience;
        if (env_.now() >= until) return refused;
        Result<void> waited = members_moved_.wait(fiber, std::min(until, env_.now() + Duration::millis(50)));
        if (waited.failed_with(Code::Cancelled)) return waited.error();
    }
}

Result<LogIndex> Group::await_members(Fiber& fiber, LogIndex index, Term term, FunctionRef<bool(const Configuration&)> done, Instant deadline) {
    for (;;) {
        if (stopped_) return Error(Code::Unknown, "the group stopped on this node");
        const LogView& log = core_->log();
        if (core_->commit() >= index) {
            const std::optional<Term> there = log.term_at(index);
            if (there && *there != term) return Error(Code::Stale, "another entry took its place; the change had no effect");
            if (done(log.configuration_at(core_->commit()))) return core_->commit() >= log.configuration_index() ? log.configuration_index() : index;
        }
        // Without leadership nothing is learnt here in time: who leads knows.
        if (!leads() && env_.now() - leader_known_at_ > options_.core.election_timeout_max * 2)
            return Error(Code::Unknown, "leadership was lost; the change may still take effect");
        if (env_.now() >= deadline) return Error(Code::Unknown, "not committed before the deadline; the change may still take effect");
        Result<void> waited = members_moved_.wait(fiber, std::min(deadline, env_.now() + Duration::millis(200)));
        if (waited.failed_with(Code::Cancelled)) return waited.error();
    }
}

/// Two nodes under one id: whoever is there and answers is not replaced by accident.
Result<void> Group::silent(std::optional<Member> present) const {
    if (!present) return {};
    const raft::Status known = status();
    for (const MemberStatus& line : known.members)
        if (line.member == *present && line.active)
            return Error(Code::Invalid, "node " + std::to_string(present->node.value) + " is a member and in touch as replica " +
                                            std::to_string(present->replica.value) + "; stop it, or remove it first");
    return {};
}

Result<void> Group::still(std::optional<LogIndex> configuration) const {
    const LogIndex newest = core_->log().configuration_index();
    if (!configuration || newest == *configuration) return {};
    return Error(Code::Stale, "the newest configuration is of entry " + std::to_string(newest.value) + ", not " + std::to_string(configuration->value));
}

Result<MembersChanged> Group::add_member(Fiber& fiber, Member member, AddAs as, Bytes contact, std::optional<LogIndex> if_configuration, Instant deadline) {
    auto next = [&](const Configuration& now) -> Result<std::optional<Configuration>> {
        TRY(still(if_configuration));
        if (!now.names(member)) TRY(silent(now.find(member.node)));
        return with_member(now, member, as, contact);
    };
    TRY(std::optional<LogIndex> index, propose_members(fiber, next, "adding node " + std::to_string(member.node.value), deadline));
    if (!index) return MembersChanged{false, core_->log().configuration_index()};
    auto done = [&](const Configuration& now) { return now.names(member); };
    TRY(LogIndex in, await_members(fiber, *index, core_->term(), done, deadline));
    return MembersChanged{true, in};
}

Result<MembersChanged> Group::set_lease(Fiber& fiber, Lease lease, Instant deadline) {
    auto next = [&](const Configuration& now) { return with_lease(now, lease); };
    TRY(std::optional<LogIndex> index, propose_members(fiber, next, "a change of leases", deadline));
    if (!index) return MembersChanged{false, core_->log().configuration_index()};
    auto done = [&](const Configuration& now) { return now.lease() == lease; };
    TRY(LogIndex in, await_members(fiber, *index, core_->term(), done, deadline));
    return MembersChanged{true, in};
}

Result<MembersChanged> Group::replace_member(Fiber& fiber, Member member, const std::vector<ReplicaId>& ended, Bytes contact, Instant deadline) {
    auto next = [&](const Configuration& now) -> Result<std::optional<Configuration>> {
        if (now.names(member)) return std::optional<Configuration>();
        const std::optional<Member> present = now.find(member.node);
        if (!present)
            return Error(Code::Invalid, "node " + std::to_string(member.node.value) + " is no member any more; to take it in again, wipe its data directory and `add` it with orreryctl");
        AddAs as = AddAs::Learner;
        for (const Member& named : now.members()) {
            if (named.node != member.node) continue;
            if (std::find(ended.begin(), ended.end(), named.replica) == ended.end())
                return Error(Code::Invalid, "node " + std::to_string(member.node.value) + " is a member as replica " + std::to_string(named.replica.value) +
                                                ", which is no ended life of the one that asks");
            if (now.is_voter(named) || now.is_promoting(named)) as = AddAs::Voter;
        }
        TRY(silent(present));
        return with_member(now, member, as, contact);
    };
    TRY(std::optional<LogIndex> index, propose_members(fiber, next, "replacing node " + std::to_string(member.node.value), deadline));
    if (!index) return MembersChanged{false, core_->log().configuration_index()};
    auto done = [&](const Configuration& now) { return now.names(member); };
    TRY(LogIndex in, await_members(fiber, *index, core_->term(), done, deadline));
    return MembersChanged{true, in};
}

Result<MembersChanged> Group::remove_member(Fiber& fiber, Member member, std::optional<LogIndex> if_configuration, Instant deadline) {
    auto is_in = [&](const Configuration& now) { return member.replica ? now.names(member) : now.find(member.node).has_value(); };
    auto next = [&](const Configuration& now) -> Result<std::optional<Configuration>> {
        if (!is_in(now)) return std::optional<Configuration>();
        TRY(still(if_configuration));
        return without_node(now, member.node);
    };
    TRY(std::optional<LogIndex> index, propose_members(fiber, next, "removing node " + std::to_string(member.node.value), deadline));
    if (!index) return MembersChanged{false, core_->log().configuration_index()};
    auto done = [&](const Configuration& now) { return !is_in(now); };
    TRY(LogIndex in, await_members(fiber, *index, core_->term(), done, deadline));
    return MembersChanged{true, in};
}

}  // namespace orrery::raft
