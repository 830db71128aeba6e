// See the header for what is checked. Order within an event: monotony of the node first, then the
// group's truth, then the model is moved on, so that one wrong event is reported once and the
// following ones are judged against what the nodes really did.
#include "sim/check/raft_invariants.h"

#include <algorithm>

#include "runtime/base/hash.h"

namespace orrery::check {
namespace {

constexpr size_t kVotesKept = 64;  // of the latest terms of a replica
constexpr size_t kLeadersKept = 4'096;
constexpr size_t kCutsKept = 32;

uint64_t chain_of(uint64_t previous_chain, Term term, uint64_t hash) {
    if (previous_chain == 0) return 0;
    uint64_t chain = combine64(combine64(previous_chain, term.value), hash);
    return chain ? chain : 1;
}

bool contradicts(uint64_t chain_a, uint64_t chain_b) {
    return chain_a != 0 && chain_b != 0 && chain_a != chain_b;
}

std::string decimal(uint64_t value) {
    return std::to_string(value);
}

std::string at(uint64_t index, Term term) {
    return "index " + decimal(index) + " term " + decimal(term.value);
}

}  // namespace

RaftInvariants::Replica& RaftInvariants::replica(GroupId group, NodeId node) {
    ++events_;
    return groups_[group].replicas[node];
}

std::optional<RaftInvariants::Entry> RaftInvariants::entry_at(const Replica& replica,
                                                              uint64_t index) {
    if (index == replica.base) return Entry{replica.base_term, 0, replica.base_chain};
    if (index < replica.base || index > last_index(replica)) return std::nullopt;
    return replica.entries[index - replica.base - 1];
}

std::optional<RaftInvariants::Entry> RaftInvariants::committed_at(const Group& group,
                                                                  uint64_t index) {
    if (index <= group.committed_base || index > group.last_committed()) return std::nullopt;
    return group.committed[index - group.committed_base - 1];
}

void RaftInvariants::report(std::string_view name, std::string_view site, const Stamp& stamp,
                            Where where, std::string text) {
    violations_.add(
        name, site, stamp,
        "group " + decimal(where.first.value) + " node " + decimal(where.second.value) + ": " + text);
}

// ---- elections

void RaftInvariants::observe_term(const Stamp& stamp, Where where, Replica& replica, Term term,
                                  std::string_view site) {
    if (term < replica.term)
        report(
            "raft.monotone-term", site, stamp, where,
            "its term went back from " + decimal(replica.term.value) + " to " + decimal(term.value));
    replica.term = std::max(replica.term, term);
}

void RaftInvariants::term(const Stamp& stamp, GroupId group, NodeId node, Term term) {
    observe_term(stamp, {group, node}, replica(group, node), term, "term");
}

void RaftInvariants::voted(const Stamp& stamp, GroupId group, NodeId node, Term term,
                           NodeId candidate) {
    Replica& voter = replica(group, node);
    auto [vote, is_first] = voter.votes.try_emplace(term, candidate);
    if (!is_first && vote->second != candidate)
        report("raft.vote-once", "vote", stamp, {group, node},
               "it voted for node " + decimal(candidate.value) + " in term " + decimal(term.value) +
                   ", after a vote for node " + decimal(vote->second.value));
    if (voter.votes.size() > kVotesKept) voter.votes.erase(voter.votes.begin());
    observe_term(stamp, {group, node}, voter, term, "vote");
}

void RaftInvariants::leader_elected(const Stamp& stamp, GroupId group_id, NodeId node, Term term) {
    Replica& leader = replica(group_id, node);
    Group& group = groups_[group_id];
    Where where{group_id, node};
    auto [known, is_first] = group.leaders.try_emplace(term, node);
    if (!is_first && known->second != node)
        report("raft.election-safety", "election", stamp, where,
               "it is leader of term " + decimal(term.value) + ", whose leader is node " +
                   decimal(known->second.value) + " already");
    if (group.leaders.size() > kLeadersKept) group.leaders.erase(group.leaders.begin());
    observe_term(stamp, where, leader, term, "election");
    leader.leading = leader.leads = term;
    leader.present = true;
    check_completeness(stamp, where, group, leader, term);
}

void RaftInvariants::steps_down(GroupId group, NodeId node) { replica(group, node).leads = Term(); }

// One comparison of chains stands for every entry committed before `term`, since the chain covers
// all that precede.
void RaftInvariants::check_completeness(const Stamp& stamp, Where where, Group& group,
                                        const Replica& leader, Term term) {
    uint64_t must_hold = 0;
    Term committed_term;
    for (const auto& [in_term, index] : group.committed_in) {
        if (in_term >= term) break;
        if (index > must_hold) {
            must_hold = index;
            committed_term = in_term;
        }
    }
    if (must_hold == 0) return;
    std::string committed =
        decimal(must_hold) + " was committed in term " + decimal(committed_term.value);
    if (last_index(leader) < must_hold) {
        report("raft.leader-completeness", "election", stamp, where,
               "it leads term " + decimal(term.value) + " with a log that ends at index " +
                   decimal(last_index(leader)) + ", though index " + committed);
        return;
    }
    std::optional<Entry> truth = committed_at(group, must_hold), own = entry_at(leader, must_hold);
    if (!truth || !own) {
        ++unverified_;
    } else if (truth->term != own->term || contradicts(truth->chain, own->chain)) {
        report("raft.leader-completeness", "election", stamp, where,
               "it leads term " + decimal(term.value) + " and holds " + at(must_hold, own->term) +
                   " where another entry of index " + committed + " (entry term " +
                   decimal(truth->term.value) + ")");
    }
}

// ---- the log

void RaftInvariants::cut(const Stamp& stamp, Where where, Replica& replica, uint64_t from,
                         std::string_view site) {
    if (from > last_index(replica)) return;
    if (from <= replica.commit)
        report("raft.truncated-committed", site, stamp, where,
               "it removes its log from index " + decimal(from) +
                   ", though it has committed up to " + decimal(replica.commit));
    uint64_t kept = from > replica.base ? from - 1 - replica.base : 0;
    auto first_cut = replica.entries.begin() +
                     static_cast<std::ptrdiff_t>(std::min<uint64_t>(replica.entries.size(), kept));
    replica.cuts.push_back(
        {.from = replica.base + kept + 1, .entries = {first_cut, replica.entries.end()}});
    if (replica.cuts.size() > kCutsKept) {
        replica.cuts.pop_front();
        replica.cuts_dropped = true;
    }
    replica.entries.erase(first_cut, replica.entries.end());
    replica.durable = std::min(replica.durable, last_index(replica));
}

void RaftInvariants::truncate(const Stamp& stamp, GroupId group, NodeId node, LogIndex from) {
    cut(stamp, {group, node}, replica(group, node), from.value, "truncate");
}

void RaftInvariants::append(const Stamp& stamp, GroupId group_id, NodeId node, LogIndex log_index,
                            Term term, uint64_t entry_hash) {
    Replica& log = replica(group_id, node);
    Group& group = groups_[group_id];
    Where where{group_id, node};
    uint64_t index = log_index.value;
    log.present = true;
    if (index <= log.base) {
        ++unverified_;
        return;
    }
    if (index > last_index(log) + 1) {
        report("raft.log-gap", "append", stamp, where,
               "it appends index " + decimal(index) + " to a log that ends at " +
                   decimal(last_index(log)));
        // Go on as if the log began here, with what precedes not known.
        log.entries.clear();
        log.base = index - 1;
        log.base_term = Term();
        log.base_chain = 0;
    }
    cut(stamp, where, log, index, "append");
    uint64_t previous = log.entries.empty() ? log.base_chain : log.entries.back().chain;
    Entry entry{term, entry_hash, chain_of(previous, term, entry_hash)};
    log.entries.push_back(entry);

    if (index <= group.floor) {
        ++unverified_;
    } else {
        auto [known, is_first] = group.known.try_emplace({index, term}, entry);
        if (!is_first) {
            Entry& other = known->second;
            if (other.hash != entry.hash)
                report("raft.log-matching", "append", stamp, where,
                       "its entry of " + at(index, term) + " differs from the one another log got");
            else if (contradicts(other.chain, entry.chain))
                report("raft.log-matching", "append", stamp, where,
                       "its entry of " + at(index, term) +
                           " follows other entries than in another log");
            if (other.chain == 0) other.chain = entry.chain;
        }
    }
    if (group.known.size() > options_.max_entries) prune(group);
}

void RaftInvariants::durable(const Stamp& stamp, GroupId group, NodeId node, LogIndex index) {
    Replica& log = replica(group, node);
    if (index.value > last_index(log))
        report("raft.durable-beyond-log", "durable", stamp, {group, node},
               "index " + decimal(index.value) + " is durable, but its log ends at " +
                   decimal(last_index(log)));
    log.durable = std::max(log.durable, std::min(index.value, last_index(log)));
    std::erase_if(log.cuts, [&](const Cut& cut) { return cut.from <= index.value; });
    if (log.cuts.empty()) log.cuts_dropped = false;
}

void RaftInvariants::snapshot_installed(const Stamp& stamp, GroupId group_id, NodeId node,
                                        LogIndex log_index, Term term) {
    Replica& log = replica(group_id, node);
    Group& group = groups_[group_id];
    Where where{group_id, node};
    uint64_t index = log_index.value;
    std::optional<Entry> truth = committed_at(group, index);
    if (index > group.last_committed())
        report("raft.snapshot-uncommitted", "snapshot", stamp, where,
               "it installs a snapshot at index " + decimal(index) + ", but nothing beyond " +
                   decimal(group.last_committed()) + " was committed");
    else if (truth && truth->term != term)
        report("raft.snapshot-uncommitted", "snapshot", stamp, where,
               "it installs a snapshot at " + at(index, term) +
                   ", but the committed entry has term " + decimal(truth->term.value));
    if (log.applied && index < *log.applied)
        report("raft.monotone-applied", "snapshot", stamp, where,
               "a snapshot at index " + decimal(index) + " replaces a state that had applied " +
                   decimal(*log.applied));
    if (log.present && index == log.base && term == log.base_term) {
        // Told again after a restart, or sent again to a replica whose state was lost while its log was not.
        log.commit = std::max(log.commit, index);
        log.applied = index;
        return;
    }
    if (log.present && index < log.base && truth) {
        // Its state was lost behind an install, and with it what the log did not know yet: it has the entries of that snapshot still.
        std::vector<Entry> again;
        for (uint64_t at = index + 1; at <= log.base; ++at)
            if (std::optional<Entry> entry = committed_at(group, at)) again.push_back(*entry);
        if (again.size() == log.base - index) {
            log.entries.insert(log.entries.begin(), again.begin(), again.end());
            log.base = index;
            log.base_term = term;
            log.base_chain = truth->chain;
            log.applied = index;
            return;
        }
    }
    std::optional<Entry> own = entry_at(log, index);
    bool keeps_tail = own && own->term == term && index > log.base;
    if (keeps_tail) {
        log.base_chain = own->chain;
        log.entries.erase(log.entries.begin(),
                          log.entries.begin() + static_cast<std::ptrdiff_t>(index - log.base));
    } else {
        log.entries.clear();
        log.base_chain = truth ? truth->chain : 0;
    }
    log.base = index;
    log.base_term = term;
    log.present = true;
    log.durable = std::min(std::max(log.durable, index), last_index(log));
    log.commit = std::max(log.commit, index);
    log.applied = index;
}

void RaftInvariants::configuration_at(const Stamp& stamp, GroupId group, NodeId node, LogIndex index) {
    Replica& log = replica(group, node);
    if (log.leads.value != 0 && log.configuration_index > log.commit && index.value > log.configuration_index)
        report("raft.change-over-pending", "configuration", stamp, {group, node},
               "it leads term " + decimal(log.leads.value) + " and changes the members at index " + decimal(index.value) +
                   ", though the change at index " + decimal(log.configuration_index) + " is committed only up to " + decimal(log.commit));
    log.configuration_index = index.value;
}

// ---- commit and apply

void RaftInvariants::voters(GroupId group, std::vector<NodeId> voters,
                            std::vector<NodeId> outgoing_voters) {
    auto any_life = [](const std::vector<NodeId>& nodes) {
        std::vector<Voter> out;
        for (NodeId node : nodes) out.push_back({node, ReplicaId()});
        return out;
    };
    groups_[group].voters = any_life(voters);
    groups_[group].outgoing_voters = any_life(outgoing_voters);
}

void RaftInvariants::configuration(GroupId group_id, NodeId node, std::vector<Voter> voters,
                                   std::vector<Voter> outgoing_voters) {
    if (voters.empty()) return;
    Group& group = groups_[group_id];
    std::pair told{std::move(voters), std::move(outgoing_voters)};
    if (!group.first_configuration) group.first_configuration = told;
    group.members_changed |= *group.first_configuration != told;
    group.replicas[node].configuration = std::move(told);
}

void RaftInvariants::check_quorum(const Stamp& stamp, Where where, const Group& group, const Replica& teller,
                                  uint64_t index, const Entry& entry) {
    const auto* voters = teller.configuration ? &teller.configuration->first : &group.voters;
    const auto* outgoing = teller.configuration ? &teller.configuration->second : &group.outgoing_voters;
    for (const std::vector<Voter>* half : {voters, outgoing}) {
        if (half->empty()) continue;
        size_t holders = 0;
        for (const Voter& voter : *half) {
            auto held_by = [&](const std::map<NodeId, Replica>& replicas) {
                auto it = replicas.find(voter.node);
                if (it == replicas.end() || it->second.durable < index) return false;
                if (voter.replica && it->second.id && voter.replica != it->second.id) return false;
                std::optional<Entry> own = entry_at(it->second, index);
                // A voter whose log begins behind the index holds it in its snapshot.
                return index <= it->second.base ||
                       (own && own->term == entry.term && !contradicts(own->chain, entry.chain));
            };
            // A disk that was wiped may have held it when it was acknowledged.
            if (held_by(group.replicas) || held_by(group.lost)) ++holders;
        }
        if (holders * 2 <= half->size())
            report("raft.commit-without-quorum", "commit", stamp, where,
                   "it commits " + at(index, entry.term) + ", which is durable on " +
                       decimal(holders) + " of " + decimal(half->size()) + " voters");
    }
}

void RaftInvariants::commit(const Stamp& stamp, GroupId group_id, NodeId node, LogIndex log_index,
                            LogIndex of_group) {
    Replica& log = replica(group_id, node);
    Group& group = groups_[group_id];
    Where where{group_id, node};
    uint64_t index = log_index.value;
    if (index < log.commit)
        report("raft.monotone-commit", "commit", stamp, where,
               "its commit index went back from " + decimal(log.commit) + " to " + decimal(index));
    if (index > last_index(log)) {
        report("raft.commit-beyond-log", "commit", stamp, where,
               "it commits up to index " + decimal(index) + ", but its log ends at " +
                   decimal(last_index(log)));
        index = last_index(log);
    }
    log.commit = std::max(log.commit, index);
    if (index == 0) return;
    std::optional<Entry> own = entry_at(log, index);
    if (group.members_changed && log.leads.value != 0 && own) check_quorum(stamp, where, group, log, index, *own);
    if (index <= group.last_committed()) {
        std::optional<Entry> truth = committed_at(group, index);
        if (!truth || !own)
            ++unverified_;
        else if (truth->term != own->term || contradicts(truth->chain, own->chain))
            report("raft.commit-safety", "commit", stamp, where,
                   "it commits " + at(index, own->term) + ", but another entry (term " +
                       decimal(truth->term.value) + ") or prefix is committed there");
        return;
    }
    // Raft 5.4.2: a leader counts replicas for entries of its own term only; what is older commits with those.
    const uint64_t newest_index = std::max(index, of_group.value);
    const std::optional<Entry> newest = entry_at(log, newest_index);
    if (log.leads.value != 0 && newest && newest->term < log.leads)
        report("raft.commit-old-term", "commit", stamp, where,
               "it leads term " + decimal(log.leads.value) + " and commits " + at(newest_index, newest->term) +
                   " as the newest entry, though none of its own term is committed");
    // The committed prefix of the group grows by this node's entries: first, do they go on from it?
    uint64_t joint = group.last_committed();
    std::optional<Entry> truth = committed_at(group, joint), before = entry_at(log, joint);
    if (truth && before &&
        (truth->term != before->term || contradicts(truth->chain, before->chain)))
        report("raft.commit-safety", "commit", stamp, where,
               "it commits up to " + decimal(index) + " on top of " + at(joint, before->term) +
                   ", but another entry (term " + decimal(truth->term.value) +
                   ") or prefix is committed there");
    if (joint < log.base) {  // it knows only its snapshot; nothing was told of the entries below
        group.committed.clear();
        group.committed_base = joint = log.base;
    }
    for (uint64_t i = joint + 1; i <= index; ++i) group.committed.push_back(*entry_at(log, i));
    Term in_term = own ? std::max(own->term, log.leading) : log.leading;
    group.committed_in[in_term] = index;
    if (group.committed_in.size() > kLeadersKept)
        group.committed_in.erase(group.committed_in.begin());
    if (own && !group.members_changed) check_quorum(stamp, where, group, log, index, *own);
}

void RaftInvariants::apply(const Stamp& stamp, GroupId group_id, NodeId node, LogIndex log_index,
                           Term term, uint64_t entry_hash) {
    Replica& log = replica(group_id, node);
    Group& group = groups_[group_id];
    Where where{group_id, node};
    uint64_t index = log_index.value;
    if (log.applied && index != *log.applied + 1)
        report("raft.monotone-applied", "apply", stamp, where,
               "it applies index " + decimal(index) + " after index " + decimal(*log.applied));
    if (index > log.commit)
        report("raft.applied-beyond-commit", "apply", stamp, where,
               "it applies index " + decimal(index) + ", but has committed only up to " +
                   decimal(log.commit));
    if (index > log.durable)
        report("raft.applied-beyond-durable", "apply", stamp, where,
               "it applies index " + decimal(index) + ", but its log is durable only up to " +
                   decimal(log.durable));
    Entry entry{term, entry_hash, 0};
    std::optional<Entry> own = index > log.base ? entry_at(log, index) : std::nullopt;
    if (own && (own->term != term || own->hash != entry_hash))
        report("raft.state-machine-safety", "apply", stamp, where,
               "it applies an entry of " + at(index, term) +
                   " that is not the one of its own log (term " + decimal(own->term.value) + ")");
    if (index <= group.floor) {
        ++unverified_;
    } else {
        auto [known, is_first] = group.applied.try_emplace(index, std::pair(entry, node));
        const Entry& other = known->second.first;
        if (!is_first && (other.hash != entry_hash || other.term != term))
            report("raft.state-machine-safety", "apply", stamp, where,
                   "it applies an entry of " + at(index, term) + ", but node " +
                       decimal(known->second.second.value) + " applied another one of term " +
                       decimal(other.term.value));
    }
    log.applied = std::max(log.applied.value_or(0), index);
    if (index > group.floor + 2 * options_.keep_entries && index % 64 == 0) prune(group);
}

// ---- lives

void RaftInvariants::crash(const Stamp&, NodeId node) {
    ++events_;
    for (auto& [id, group] : groups_) {
        auto it = group.replicas.find(node);
        if (it != group.replicas.end()) it->second.leading = it->second.leads = Term();
    }
}

void RaftInvariants::restart(const Stamp&, NodeId node) {
    ++events_;
    for (auto& [id, group] : groups_) {
        auto it = group.replicas.find(node);
        if (it == group.replicas.end()) continue;
        Replica& log = it->second;
        log.leading = log.leads = Term();
        log.commit = log.base;
        log.applied.reset();
    }
}

// A log is written front to back, so what a crash leaves is the log as it was at some moment: undo
// the cuts, the latest first, until the end is the one found.
bool RaftInvariants::bring_back_cut_tail(Replica& log, uint64_t last, Term last_term) {
    auto ends_so = [&] {
        std::optional<Entry> own = entry_at(log, last);
        return last == 0 || (own && (own->term == last_term || last == log.base));
    };
    if (ends_so()) return true;
    Replica before = log;
    while (!log.cuts.empty()) {
        Cut cut = std::move(log.cuts.back());
        log.cuts.pop_back();
        if (cut.from <= log.base || cut.from > last_index(log) + 1)
            continue;  // of a time before a snapshot
        log.entries.resize(cut.from - log.base - 1);
        log.entries.insert(log.entries.end(), cut.entries.begin(), cut.entries.end());
        if (ends_so()) return true;
    }
    log = std::move(before);
    return false;
}

void RaftInvariants::recovered(const Stamp& stamp, GroupId group, NodeId node, LogIndex last,
                               Term last_term, LogIndex applied) {
    Replica& log = replica(group, node);
    Where where{group, node};
    if (last.value < log.durable)
        report("raft.durable-lost", "recovery", stamp, where,
               "its log ends at index " + decimal(last.value) +
                   " after the restart, but was durable up to " + decimal(log.durable));
    if (!bring_back_cut_tail(log, last.value, last_term)) {
        if (log.cuts_dropped)
            ++unverified_;
        else
            report("raft.durable-lost", "recovery", stamp, where,
                   "recovery found " + at(last.value, last_term) +
                       " at the end of its log, which it never wrote there");
    }
    cut(stamp, where, log, last.value + 1, "recovery");
    log.cuts.clear();
    log.cuts_dropped = false;
    log.durable = last_index(log);
    log.commit = std::max(log.commit, applied.value);
    log.applied = applied.value;
    log.present = log.present || last.value > 0 || applied.value > 0;
}

void RaftInvariants::state_lost(GroupId group, NodeId node, LogIndex floor) {
    Replica& log = replica(group, node);
    log.commit = floor.value;
    log.applied = 0;
}

void RaftInvariants::wipe(const Stamp&, NodeId node) {
    ++events_;
    for (auto& [id, group] : groups_) {
        auto it = group.replicas.find(node);
        if (it == group.replicas.end()) continue;
        group.lost[node] = std::move(it->second);
        group.replicas.erase(it);
    }
}

// ---- memory

void RaftInvariants::prune(Group& group) {
    uint64_t lowest = UINT64_MAX;
    for (const auto& [node, log] : group.replicas)
        if (log.present) lowest = std::min(lowest, log.applied.value_or(log.base));
    uint64_t floor =
        lowest == UINT64_MAX || lowest < options_.keep_entries ? 0 : lowest - options_.keep_entries;
    if (group.known.size() > options_.max_entries) {
        // A replica lags too far behind to wait for: keep the newest half of the bound.
        uint64_t newest = group.known.rbegin()->first.first;
        uint64_t kept = options_.max_entries / 2;
        floor = std::max(floor, newest > kept ? newest - kept : 0);
    }
    if (floor <= group.floor) return;
    group.floor = floor;
    group.known.erase(group.known.begin(), group.known.lower_bound({floor + 1, Term()}));
    group.applied.erase(group.applied.begin(), group.applied.upper_bound(floor));
    while (group.committed_base < floor && !group.committed.empty()) {
        group.committed.pop_front();
        ++group.committed_base;
    }
    for (auto& [node, log] : group.replicas) {
        while (log.base < floor && !log.entries.empty() && log.base + 1 <= log.commit) {
            log.base_term = log.entries.front().term;
            log.base_chain = log.entries.front().chain;
            log.entries.pop_front();
            ++log.base;
        }
    }
}

uint64_t RaftInvariants::entries_held() const {
    uint64_t held = 0;
    for (const auto& [id, group] : groups_) {
        held += group.known.size() + group.committed.size() + group.applied.size();
        for (const auto& [node, log] : group.replicas) held += log.entries.size();
    }
    return held;
}

Verdict RaftInvariants::verdict() const {
    if (!violations_.empty())
        return {.outcome = Outcome::Violated, .violations = violations_.list(), .reason = {}};
    if (events_ == 0)
        return {
            .outcome = Outcome::Inconclusive, .violations = {}, .reason = "no raft event was seen"};
    return {.outcome = Outcome::Pass, .violations = {}, .reason = {}};
}

}  // namespace orrery::check
