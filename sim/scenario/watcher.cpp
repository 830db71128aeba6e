#include "sim/scenario/watcher.h"

#include <algorithm>
#include <charconv>

namespace orrery::sim {

namespace {
constexpr size_t kRecentEntries = 20'000;

/// "1:77,2:78": node and replica ids.
std::vector<check::RaftInvariants::Voter> voters_of(std::string_view text) {
    std::vector<check::RaftInvariants::Voter> out;
    while (!text.empty()) {
        const size_t colon = text.find(':'), comma = text.find(',');
        uint64_t node = 0, replica = 0;
        std::from_chars(text.data(), text.data() + colon, node);
        std::from_chars(text.data() + colon + 1, text.data() + std::min(comma, text.size()), replica);
        out.push_back({NodeId(node), ReplicaId(replica)});
        text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
    }
    return out;
}

bool names(const std::vector<check::RequiredMember>& members, const check::RequiredMember& one) {
    return std::ranges::any_of(members, [&](const check::RequiredMember& member) { return member.node == one.node && member.replica == one.replica; });
}
}  // namespace

Watcher::Watcher(World& world, Cluster& cluster, check::ExpiryChecker& expiry, check::WaitChecker& waits, Sequence sequence)
    : world_(world), cluster_(cluster), expiry_(expiry), waits_(waits), sequence_(std::move(sequence)), nodes_(cluster.size()),
      last_end_(cluster.size()) {
    std::vector<NodeId> voters;
    for (size_t i = 0; i < cluster.founders(); ++i) voters.push_back(NodeId(i + 1));
    raft_.voters(cluster.group_id(), std::move(voters));
    cluster.set_listener(this);
    world.add_observer(*this, true);
}

void Watcher::on_event(Host& host, const TraceEvent& event) {
    if (host.index() >= nodes_.size()) return;
    // A paused process may be killed with a completion waiting for it: what it believes on its way out is no fact.
    if (host.ending() && !event.name.starts_with("process.")) return;
    for (auto& [number, contact] : contacts_)
        std::erase_if(contact.silent,
                      [&](NodeId other) { return can_talk(contact.leader, other); });
    const bool of_raft = event.name.starts_with("raft.");
    if (!of_raft) {
        if (event.name.starts_with("kv.wait")) {
            on_wait_event(host, event);
        } else if (event.name == "kv.time_stored") {
            expiry_.time_stored(cluster_.node_id(host), event.number("wall_ns"), world_.now());
        } else if (event.name == "kv.time_found") {
            expiry_.time_found(cluster_.node_id(host), event.number("wall_ns"));
        } else if (event.name == "kv.time_begun") {
            expiry_.time_begun(event.text("source") == "estimate", world_.now());
        } else if (event.name == "process.failed" || event.name == "process.exited") {
            node_dies(cluster_.node_id(host), false);
        }
        return;
    }
    const std::string_view what = event.name.substr(5);
    const NodeId node = cluster_.node_id(host);
    const GroupId group(static_cast<uint64_t>(event.number("group")));
    const LogIndex index(static_cast<uint64_t>(event.number("index")));
    const Term term(static_cast<uint64_t>(event.number("term")));
    Node& mine = nodes_[host.index()];
    if (what == "append") {
        raft_.append(stamp(), group, node, index, term,
                     static_cast<uint64_t>(event.number("hash")));
        mine.log.append(index, term);
    } else if (what == "apply") {
        raft_.apply(stamp(), group, node, index, term, static_cast<uint64_t>(event.number("hash")));
        mine.applied = std::max(mine.applied, index.value);
        applied_terms_[index.value] = term;
        if (applied_terms_.size() > kRecentEntries) applied_terms_.erase(applied_terms_.begin());
        applied_anywhere_ = std::max(applied_anywhere_, index);
    } else if (what == "commit") {
        raft_.commit(stamp(), group, node, index, LogIndex(static_cast<uint64_t>(event.number("of_group"))));
    } else if (what == "durable") {
        raft_.durable(stamp(), group, node, index);
        mine.durable = index.value;
    } else if (what == "truncate") {
        const LogIndex from(static_cast<uint64_t>(event.number("from")));
        raft_.truncate(stamp(), group, node, from);
        mine.log.truncate(from);
    } else if (what == "hard_state_durable") {
        raft_.term(stamp(), group, node, term);
        const NodeId vote(static_cast<uint64_t>(event.number("vote")));
        if (vote) raft_.voted(stamp(), group, node, term, vote);
    } else if (what == "role") {
        if (event.text("role") == "leader") {
            raft_.leader_elected(stamp(), group, node, term);
        } else {
            raft_.steps_down(group, node);
        }
    } else if (what == "snapshot.begin") {
        mine.installing = true;
        mine.installs = index;
    } else if (what == "snapshot.installed") {
        mine.installing = false;
        raft_.snapshot_installed(stamp(), group, node, index, term);
        mine.applied = std::max(mine.applied, index.value);
        mine.durable = std::max(mine.durable, index.value);
        mine.log.installed(index, term);
    } else if (what == "configuration") {
        raft_.configuration_at(stamp(), group, node, index);
        raft_.configuration(group, node, voters_of(event.text("voters")), voters_of(event.text("outgoing")));
        std::string members(event.text("voters"));
        members.append("/").append(event.text("outgoing"));
        if (members != mine.members) ++member_changes_;
        mine.members = std::move(members);
        mine.joint = !event.text("outgoing").empty();
        for (auto& [key, wait] : open_) {
            if (key.first != host.index()) continue;
            wait.joint |= mine.joint;
            const auto required = required_at(host.index(), wait.asked.target, wait.asked.kind == check::LeaderAnswer::Kind::WaitAof);
            for (const check::RequiredMember& member : required)
                if (!member.holds && wait.asked.kind == check::LeaderAnswer::Kind::WaitAll && !names(wait.required, member)) reached("wait.held_back_by_new_member");
        }
    } else if (what == "log_reset") {
        // The crash came between the pointer's flush and the swap: the install took effect at the restart.
        raft_.restart(stamp(), node);
        raft_.snapshot_installed(stamp(), group, node, index, term);
        mine.log.installed(index, term);
    } else if (what == "group_started") {
        const LogIndex last(static_cast<uint64_t>(event.number("last")));
        const LogIndex applied(static_cast<uint64_t>(event.number("applied")));
        raft_.restart(stamp(), node);
        mine.replica = ReplicaId(static_cast<uint64_t>(event.number("replica")));
        raft_.replica_is(group, node, mine.replica);
        raft_.term(stamp(), group, node, term);
        raft_.recovered(stamp(), group, node, last,
                        Term(static_cast<uint64_t>(event.number("last_term"))), applied);
        if (event.number("stateless") != 0) raft_.state_lost(group, node, LogIndex(static_cast<uint64_t>(event.number("floor"))));
        for (const auto& [key, wait] : open_)
            if (last < wait.asked.target && wait.asked.target <= mine.log.last()) {
                reached("wait.unsynced_entry_lost");
                break;
            }
        mine.log.recovered(last);
        mine.durable = last.value;
        mine.applied = std::max(applied.value, std::min(mine.applied, last.value));
    }
}

void Watcher::on_probe(Host&, std::string_view name) {
    ++probes_[std::string(name)];
}

void Watcher::node_dies(NodeId node, bool wiped) {
    raft_.crash(stamp(), node);
    Node& dying = nodes_[node.value - 1];
    for (auto at = open_.begin(); at != open_.end();) {
        if (dying.installing && at->second.asked.target <= dying.installs) reached("wait.install_cut_off"), dying.installing = false;
        if (at->first.first + 1 != node.value) {
            ++at;
            continue;
        }
        if (at->second.contact != 0) contacts_.erase(at->second.contact);
        at = open_.erase(at);
    }
    dying.installing = false;
    if (!wiped) return;
    raft_.wipe(stamp(), node);
    Node& lost = nodes_[node.value - 1];
    const uint64_t held = std::min(lost.durable, lost.applied);
    const ReplicaId replica = lost.replica;
    auto all_lost = std::move(lost.lost);
    all_lost[replica] = {lost.durable, lost.applied};
    lost = Node();
    lost.lost = std::move(all_lost);
    lost.lost_held = held;
    lost.lost_replica = replica;
}

std::optional<LogIndex> Watcher::find_entry(ByteView bytes) {
    std::optional<LogIndex> found;
    for (size_t i = 0; i < cluster_.size() && !found; ++i) {
        const raft::Group* group = cluster_.group(i);
        if (group == nullptr) continue;
        const raft::LogView& log = group->core().log();
        // Only what is applied somewhere has been answered.
        const uint64_t last = std::min(log.last().index.value, applied_anywhere_.value);
        for (uint64_t at = last; at > log.floor().index.value; --at) {
            const raft::Entry* entry = log.at(LogIndex(at));
            if (entry == nullptr || entry->body_view().find(bytes) == ByteView::npos) continue;
            auto applied = applied_terms_.find(at);
            if (applied != applied_terms_.end() && applied->second == entry->term)
                found = LogIndex(at);
            break;
        }
    }
    return found;
}

std::vector<NodeId> Watcher::holders(LogIndex target) const {
    std::vector<NodeId> out;
    for (size_t i = 0; i < nodes_.size(); ++i) {
        const Node& node = nodes_[i];
        // A wiped disk held what it had acknowledged: the promise is for as long as members keep their disks, and until the
        // replica is replaced the leader goes by what it was told.
        if (node.lost_held >= target.value && node.lost_held > 0 && !cluster_.replaced(i, node.lost_replica)) {
            out.push_back(NodeId(i + 1));
            continue;
        }
        if (node.durable < target.value || node.applied < target.value) continue;
        if (!right_entry(node, target)) continue;
        out.push_back(NodeId(i + 1));
    }
    return out;
}

LogIndex Watcher::told_target(Duration timeout) const {
    auto found = told_.find(timeout.ns);
    return found != told_.end() ? found->second.target : LogIndex();
}

std::optional<NodeId> Watcher::told_leader(Duration timeout) const {
    auto found = told_.find(timeout.ns);
    return found != told_.end() ? found->second.leader : std::nullopt;
}

bool Watcher::can_talk(NodeId leader, NodeId other) {
    Host& a = cluster_.member(leader.value - 1);
    Host& b = cluster_.member(other.value - 1);
    if (b.state() != Host::State::Up) return false;
    return !world_.net().is_cut(a.endpoint(), b.endpoint()) &&
           !world_.net().is_cut(b.endpoint(), a.endpoint());
}

std::optional<std::vector<NodeId>> Watcher::settled_voters() {
    const std::optional<size_t> leader = cluster_.leader();
    if (!leader) return std::nullopt;
    const raft::Core& core = cluster_.group(*leader)->core();
    const raft::Configuration& now = core.log().configuration();
    if (now.joint() || core.log().configuration_index() > core.commit()) return std::nullopt;
    for (size_t i = 0; i < cluster_.size(); ++i) {
        const raft::Group* other = cluster_.group(i);
        if (other == nullptr || other->core().log().configuration_index() <= core.log().configuration_index()) continue;
        if (other->core().log().configuration().voters() != now.voters()) return std::nullopt;  // begun by an earlier leader
    }
    std::vector<NodeId> out;
    for (const raft::Member& member : now.voters()) out.push_back(member.node);
    return out;
}

uint64_t Watcher::begin_contact(NodeId leader) {
    const std::optional<std::vector<NodeId>> voters = settled_voters();
    if (!voters) return 0;
    return begin_contact(leader, *voters, voters->size() / 2 + 1);
}

uint64_t Watcher::begin_contact(NodeId leader, const std::vector<NodeId>& voters, size_t needed) {
    Contact contact{leader, voters.size(), needed, {}};
    for (NodeId voter : voters)
        if (voter != leader && !can_talk(leader, voter)) contact.silent.push_back(voter);
    if (contact.silent.empty()) return 0;
    contacts_[next_contact_] = std::move(contact);
    return next_contact_++;
}

bool Watcher::end_contact(uint64_t contact) {
    auto found = contacts_.find(contact);
    if (found == contacts_.end()) return true;
    // A link that healed behind the last event has carried the answer: the network moves without saying a word.
    std::erase_if(found->second.silent, [&](NodeId other) { return can_talk(found->second.leader, other); });
    const size_t heard = found->second.voters - found->second.silent.size(), needed = found->second.needed;
    contacts_.erase(found);
    return heard >= needed;
}

}  // namespace orrery::sim
