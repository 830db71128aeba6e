// The waits of a run, as the Watcher sees them: asked, begun at a leader, told, answered. Each of a leader's answers is
// handed to the checker with what was true at that instant; rare situations are counted as probes.
#include <algorithm>
#include <charconv>

#include "sim/scenario/watcher.h"

namespace orrery::sim {

using check::LeaderAnswer;
using check::LeaderTruth;
using check::RequiredMember;

namespace {

/// How much later than at once, or than its time, a server may answer: fibers take turns.
constexpr Duration kTurn = Duration::millis(50);
/// A node that asked another gives it that long to say what it knows.
constexpr Duration kForwarded = Duration::millis(1600);
/// So far back a log is searched for a command that came too early.
constexpr uint64_t kSearched = 200;

uint64_t unsigned_of(const TraceEvent& event, std::string_view field) {
    return static_cast<uint64_t>(event.number(field));
}

std::vector<NodeId> nodes_of(std::string_view text) {
    std::vector<NodeId> out;
    while (!text.empty()) {
        const size_t comma = std::min(text.find(','), text.size());
        uint64_t node = 0;
        std::from_chars(text.data(), text.data() + comma, node);
        out.push_back(NodeId(node));
        text = text.substr(std::min(comma + 1, text.size()));
    }
    return out;
}

}  // namespace

void Watcher::on_wait_event(Host& host, const TraceEvent& event) {
    if (event.name == "kv.wait") {
        const raft::Group* group = cluster_.group(host.index());
        Told told{.target = LogIndex(unsigned_of(event, "target")), .host = host.index(), .at = world_.now(),
                  .paused = host.paused_time(), .blocks = event.number("blocks") != 0};
        if (group != nullptr && group->leads()) told.leader = cluster_.node_id(host), told.term = group->core().term();
        if (!told.blocks) reached("wait.in_transaction");
        told_[event.number("timeout")] = told;
    } else if (event.name == "kv.wait_answered") {
        wait_answered(host, event);
    } else if (event.name == "kv.wait_begun") {
        wait_begins(host, event);
    } else if (event.name == "kv.wait_ended") {
        wait_ends(host, event);
    } else if (event.name == "kv.wait_left") {
        auto found = open_.find({host.index(), unsigned_of(event, "wait")});
        if (found == open_.end()) return;
        if (found->second.contact != 0) contacts_.erase(found->second.contact);
        open_.erase(found);
        const bool another = std::ranges::any_of(open_, [&](const auto& item) { return item.first.first == host.index(); });
        if (another) reached("wait.client_left");
    }
}

// ---- at the node that the client asked

void Watcher::wait_answered(Host& host, const TraceEvent& event) {
    auto found = told_.find(event.number("timeout"));
    if (found == told_.end() || found->second.host != host.index() || event.number("timeout") == 0) return;
    const Told& told = found->second;
    const raft::Group* group = cluster_.group(host.index());
    const bool here = told.leader && group != nullptr && group->leads() && group->core().term() == told.term;
    const Duration took = world_.now() - told.at - (host.paused_time() - told.paused);
    waits_.took(stamp(), Duration::nanos(told.blocks ? event.number("timeout") : 1), took, here ? kTurn : kForwarded);
    auto behind = behind_.find(event.number("timeout"));
    if (behind == behind_.end()) return;
    if (logged_anywhere(behind->second))
        waits_.overtaken(stamp(), "a write that its connection sent behind a wait was in a log before the wait was answered: '" +
                                      behind->second.substr(0, 40) + "'");
    behind_.erase(behind);
}

bool Watcher::logged_anywhere(ByteView bytes) {
    for (size_t i = 0; i < cluster_.size(); ++i) {
        const raft::Group* group = cluster_.group(i);
        if (group == nullptr) continue;
        const raft::LogView& log = group->core().log();
        const uint64_t last = log.last().index.value, stop = std::max(log.floor().index.value, last - std::min(last, kSearched));
        for (uint64_t at = last; at > stop; --at)
            if (const raft::Entry* entry = log.at(LogIndex(at)); entry != nullptr && entry->body_view().find(bytes) != ByteView::npos) return true;
    }
    return false;
}

// ---- at the leader that was asked

bool Watcher::right_entry(const Node& node, LogIndex target) const {
    // Another entry may stand at that index; what is below the kept part was applied, so it is the right one.
    auto right = applied_terms_.find(target.value);
    return right == applied_terms_.end() || !node.log.has_other(target, right->second);
}

bool Watcher::holds(NodeId node, ReplicaId replica, LogIndex target, bool synced_only) const {
    if (target.value == 0) return true;
    const Node& now = nodes_[node.value - 1];
    if (now.replica == replica && now.durable >= target.value && (synced_only || now.applied >= target.value) && right_entry(now, target)) return true;
    // A wiped disk held what it had acknowledged: the promise is for as long as members keep their disks.
    auto lost = now.lost.find(replica);
    return lost != now.lost.end() && lost->second.first >= target.value && (synced_only || lost->second.second >= target.value);
}

std::vector<RequiredMember> Watcher::required_at(size_t leader, LogIndex target, bool synced_only) {
    std::vector<RequiredMember> out;
    const raft::Group* group = cluster_.group(leader);
    if (group == nullptr) return out;
    const raft::LogView& log = group->core().log();
    auto add = [&](const raft::Configuration& configuration) {
        for (const auto* half : {&configuration.voters(), &configuration.outgoing()})
            for (const raft::Member& member : *half) {
                RequiredMember one{member.node, member.replica, holds(member.node, member.replica, target, synced_only)};
                if (std::ranges::none_of(out, [&](const RequiredMember& other) { return other.node == one.node && other.replica == one.replica; })) out.push_back(one);
            }
    };
    add(log.configuration_at(group->core().commit()));
    if (log.configuration_index() > group->core().commit()) add(log.configuration());
    return out;
}

/// By the newest configuration that it knows: the one that rounds count by.
bool Watcher::majority_alone(size_t leader) {
    const raft::Group* group = cluster_.group(leader);
    if (group == nullptr) return false;
    const raft::Configuration& now = group->core().log().configuration();
    return !now.joint() && now.voters().size() <= 1;
}

void Watcher::wait_begins(Host& host, const TraceEvent& event) {
    OpenWait wait;
    const auto kind = static_cast<kv::WaitKind>(event.number("kind"));
    wait.asked.kind = kind == kv::WaitKind::Count     ? LeaderAnswer::Kind::Wait
                      : kind == kv::WaitKind::Durable ? LeaderAnswer::Kind::WaitAof
                                                      : LeaderAnswer::Kind::WaitAll;
    wait.asked.members = unsigned_of(event, "replicas");
    wait.asked.local = event.number("local") != 0;
    wait.begun = world_.now();
    wait.alone = majority_alone(host.index());
    wait.round_min = world_.net().options().latency_min * 2;
    wait.asked.target = LogIndex(unsigned_of(event, "target"));
    wait.required = required_at(host.index(), wait.asked.target, wait.asked.kind == LeaderAnswer::Kind::WaitAof);
    const std::optional<size_t> leader = cluster_.leader();
    const bool newer_leader = leader && *leader != host.index();
    if (newer_leader && wait.asked.kind == LeaderAnswer::Kind::WaitAll) {
        reached("wait.asked_deposed_leader");
        const auto newer = required_at(*leader, wait.asked.target, false);
        if (std::ranges::any_of(newer, [&](const RequiredMember& member) {
                return std::ranges::none_of(wait.required, [&](const RequiredMember& one) { return one.node == member.node && one.replica == member.replica; });
            }))
            reached("wait.asked_leader_of_old_members");
    }
    if (wait.asked.kind == LeaderAnswer::Kind::WaitAll && wait.required.size() > 1) {
        std::vector<NodeId> voters;
        for (const RequiredMember& member : wait.required) voters.push_back(member.node);
        std::ranges::sort(voters);
        voters.erase(std::ranges::unique(voters).begin(), voters.end());
        // While members change it is enough that anybody was heard.
        const bool settled = settled_voters().has_value() && !newer_leader;
        wait.contact = begin_contact(cluster_.node_id(host), voters, settled ? voters.size() / 2 + 1 : std::min<size_t>(2, voters.size()));
    }
    open_[{host.index(), unsigned_of(event, "wait")}] = std::move(wait);
}

void Watcher::wait_ends(Host& host, const TraceEvent& event) {
    auto found = open_.find({host.index(), unsigned_of(event, "wait")});
    if (found == open_.end()) return waits_.twice(stamp(), unsigned_of(event, "wait"));
    OpenWait wait = std::move(found->second);
    open_.erase(found);
    LeaderTruth truth;
    truth.heard_since_call = wait.contact == 0 || end_contact(wait.contact);
    // Whoever could talk may still not have: a leader that was stopped goes on with what it knew.
    const auto end = static_cast<kv::WaitEnd>(event.number("end"));
    const Duration round_min = std::min(wait.round_min, world_.net().options().latency_min * 2);
    if (wait.alone || majority_alone(host.index())) {
        truth.heard_since_call = true;  // by itself
    } else if (end == kv::WaitEnd::Satisfied && world_.now() - wait.begun < round_min) {
        truth.heard_since_call = false;
    }
    const raft::Group* group = cluster_.group(host.index());
    if (end == kv::WaitEnd::Unblocked || group == nullptr) return;
    LeaderAnswer answer = wait.asked;
    answer.timed_out = end == kv::WaitEnd::TimedOut;
    answer.count = unsigned_of(event, "count");
    answer.local_synced = event.number("local") != 0;
    answer.acked = unsigned_of(event, "acked");
    answer.required = unsigned_of(event, "required");
    answer.missing = nodes_of(event.text("missing"));
    answer.at = stamp();
    truth.leader = cluster_.node_id(host);
    truth.required = required_at(host.index(), answer.target, answer.kind == LeaderAnswer::Kind::WaitAof);
    truth.own_term_committed = group->status().own_term_committed;
    waits_.leader_answered(answer, truth);
    note_situation(wait, answer, truth, host);
}

void Watcher::note_situation(const OpenWait& wait, const LeaderAnswer& answer, const LeaderTruth& truth, Host& host) {
    auto named = [](const std::vector<RequiredMember>& members, const RequiredMember& one) {
        return std::ranges::any_of(members, [&](const RequiredMember& member) { return member.node == one.node && member.replica == one.replica; });
    };
    const bool all = answer.kind == LeaderAnswer::Kind::WaitAll;
    const bool held_by_all = std::ranges::all_of(truth.required, [](const RequiredMember& member) { return member.holds; });
    if (all && answer.timed_out && !truth.heard_since_call && held_by_all) reached("wait.isolated_leader_timed_out");
    for (const RequiredMember& member : wait.required)
        if (!answer.timed_out && !named(truth.required, member) && !holds(member.node, member.replica, answer.target, false)) reached("wait.released_by_removal");
    for (const RequiredMember& member : truth.required) {
        const Node& node = nodes_[member.node.value - 1];
        if (answer.target.value > 0 && !right_entry(node, answer.target)) reached("wait.conflicting_tail");
        if (!member.holds && node.replica == member.replica && node.durable >= answer.target.value && node.applied < answer.target.value)
            reached("wait.apply_behind_log");
        if (node.replica != member.replica && node.replica.value != 0 && node.lost.contains(member.replica)) reached("wait.required_replica_gone");
    }
    if (wait.joint && !nodes_[host.index()].joint) reached("wait.spans_joint");
    if (wait.clock_jumped) reached("wait.clock_jumped");
    LastEnd& last = last_end_[host.index()];
    if (last.at == world_.now() && last.target != answer.target && (last.kind != answer.kind || last.members != answer.members))
        reached(last.timed_out != answer.timed_out ? "wait.timed_out_as_another_was_released" : "wait.ended_together");
    last = {world_.now(), answer.target, answer.kind, answer.members, answer.timed_out};
}

void Watcher::clock_jumped(NodeId node) {
    for (auto& [key, wait] : open_)
        if (key.first + 1 == node.value) wait.clock_jumped = true;
}

}  // namespace orrery::sim
