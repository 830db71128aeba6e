// What must hold in every state of a cluster, looked at after each step of a node. The names are what raft-script prints.
#include <algorithm>

#include "tools/raft_script/cluster.h"

namespace orrery::raft::script {
namespace {

std::string number(LogIndex index) { return std::to_string(index.value); }
std::string number(Term term) { return std::to_string(term.value); }
std::string name_of(const Replica& replica) { return "node " + std::to_string(replica.self.node.value); }

bool same(const Entry& one, const Entry& other) {
    return one.term == other.term && one.kind == other.kind && one.body_view() == other.body_view();
}

/// Counted here and not by the configuration: it is one of the things that are looked at.
bool majority_of_each_half(const Configuration& configuration, FunctionRef<bool(Member)> holds) {
    for (const auto* half : {&configuration.voters(), &configuration.outgoing()})
        if (std::count_if(half->begin(), half->end(), holds) * 2 <= std::ssize(*half) && !half->empty())
            return false;
    return true;
}

}  // namespace

void Cluster::fail(std::string_view name, const std::string& text) {
    if (violation_.empty()) violation_ = std::string(name) + ": " + text;
}

void Cluster::check_applied(uint64_t id, const Entry& entry) {
    auto [known, fresh] = committed_.try_emplace(entry.index, Committed{entry, at(id).core->term()});
    const Entry& first = known->second.entry;
    if (!fresh && !same(first, entry))
        fail("state-machine-safety", "node " + std::to_string(id) + " applies entry " + number(entry.index) +
                                         " of term " + number(entry.term) + ", elsewhere it is of term " +
                                         number(first.term));
}

void Cluster::check_read(uint64_t id, const ReadReady& read) {
    auto asked = reads_.find(read.token);
    if (asked != reads_.end() && read.index < asked->second)
        fail("linearizable-read", "node " + std::to_string(id) + " reads at index " + number(read.index) +
                                      " although " + number(asked->second) + " was committed before");
}

void Cluster::watch(uint64_t id) {
    Replica& replica = at(id);
    Core& core = *replica.core;
    if (core.term() < replica.term_seen)
        return fail("monotone-term", name_of(replica) + " fell from " + number(replica.term_seen) + " to " +
                                         number(core.term()));
    if (core.commit() < replica.commit_seen)
        return fail("monotone-commit", name_of(replica) + " fell from " + number(replica.commit_seen) +
                                           " to " + number(core.commit()));
    if (core.applied_index() < replica.applied)
        return fail("monotone-applied", name_of(replica) + " fell from " + number(replica.applied) + " to " +
                                            number(core.applied_index()));
    if (core.applied_index() > core.durable())
        return fail("applied-beyond-durable", name_of(replica) + " has applied " +
                                                  number(core.applied_index()) + ", its disk holds " +
                                                  number(core.durable()));
    replica.term_seen = core.term();
    // Of a leader the newest committed entry is of its own term: only those are counted.
    if (core.role() == Role::Leader && replica.led == core.term() && core.commit() > replica.commit_seen &&
        core.log().term_at(core.commit()) != core.term())
        return fail("commit-own-term", name_of(replica) + " of term " + number(core.term()) +
                                           " committed by counting an entry of an earlier term");
    if (core.role() == Role::Leader) watch_leader(replica);
    replica.led = core.role() == Role::Leader ? core.term() : Term();
    note_commit(replica);
    for (auto& [other_id, other] : replicas_)
        if (other.core && other_id != id) match_logs(core, *other.core);
}

void Cluster::watch_leader(Replica& replica) {
    Core& core = *replica.core;
    auto [leads, fresh] = leaders_.try_emplace(core.term(), replica.self);
    if (leads->second != replica.self)
        return fail("election-safety", "nodes " + std::to_string(leads->second.node.value) + " and " +
                                           std::to_string(replica.self.node.value) + " lead term " +
                                           number(core.term()));
    if (replica.led == core.term()) return;
    for (const auto& [index, known] : committed_)
        if (known.by < core.term() && index > core.log().floor().index &&
            core.log().term_at(index) != known.entry.term)
            return fail("leader-completeness", "committed entry " + number(index) +
                                                   " is not in the log of the leader of term " +
                                                   number(core.term()) + ", " + name_of(replica));
}

void Cluster::note_commit(Replica& replica) {
    Core& core = *replica.core;
    for (LogIndex i = std::max(replica.commit_seen, core.log().floor().index).next(); i <= core.commit();
         i = i.next()) {
        const Entry* entry = core.log().at(i);
        if (!entry) return fail("state-machine-safety", "committed beyond the log");
        auto [known, fresh] = committed_.try_emplace(i, Committed{*entry, core.term()});
        if (!same(known->second.entry, *entry))
            return fail("state-machine-safety", "two entries are committed at index " + number(i) +
                                                    ", of terms " + number(known->second.entry.term) + " and " +
                                                    number(entry->term));
        if (!fresh) continue;
        auto synced = [&](Member m) { return at(m.node.value).disk.holds(entry->position()); };
        if (!majority_of_each_half(core.log().configuration(), synced))
            return fail("durability", name_of(replica) + " committed entry " + number(i) +
                                          ", which no majority has synced");
        // A leader that was elected in the meantime has to hold it as well.
        for (auto& [id, other] : replicas_)
            if (other.core && other.core->role() == Role::Leader && other.core->term() > core.term() &&
                i > other.core->log().floor().index && other.core->log().term_at(i) != entry->term)
                return fail("leader-completeness",
                            "committed entry " + number(i) + " is not in the log of the leader of term " +
                                number(other.core->term()) + ", " + name_of(other));
    }
    replica.commit_seen = core.commit();
}

void Cluster::match_logs(Core& one, Core& other) {
    LogIndex low = std::max(one.log().floor().index, other.log().floor().index);
    bool meets = false;
    for (LogIndex i = std::min(one.log().last().index, other.log().last().index); i > low;
         i = i.previous()) {
        const Entry *a = one.log().at(i), *b = other.log().at(i);
        meets = meets || a->term == b->term;
        if (meets && !same(*a, *b))
            return fail("log-matching", "two logs agree above index " + number(i) + " and differ there");
    }
}

}  // namespace orrery::raft::script
