// Raft's safety properties, watched at every event of a run. Knows no Raft code: it sees what nodes
// say they did.
//
// Each (group, node) has a model of its log. A *chain* hash of an entry covers the entry and all
// before it, so that one comparison of (index, term, chain) decides that two whole prefixes are
// equal; that makes log matching and leader completeness one look-up an event. Memory: entries that
// every known node has applied are dropped (but for `keep_entries`), and no group keeps more than
// `max_entries`; an event about a dropped entry is counted in unverified(), never reported.
//
// The events are what the *driver* of a group does, in order, at the instant it does them:
//   recovery of a log:   restart(node), then per group recovered(...), before anything else of that
//   node a log change:        truncate(from) if needed, append(...) per entry, durable(last) when
//   the sync completed commit, apply:       commit when the commit index moves; apply for *every*
//   entry, no-ops and configurations too
// Restarting without recovered() is allowed: entries beyond the durable index are then kept until
// overwritten.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "runtime/base/ids.h"
#include "sim/check/verdict.h"

namespace orrery::check {

struct RaftInvariantsOptions {
    size_t max_violations = 64;
    uint64_t keep_entries =
        4'096;  // kept below the lowest applied index, for nodes that restart from an older state
    uint64_t max_entries = 262'144;  // a group's bound, whatever its slowest node has applied
};

class RaftInvariants {
 public:
    /// A voter in one life of it; replica 0: whichever.
    struct Voter {
        NodeId node;
        ReplicaId replica;
        bool operator==(const Voter&) const = default;
    };

    explicit RaftInvariants(RaftInvariantsOptions options = {})
        : options_(options), violations_(options.max_violations) {}

    // --- elections
    /// The node's current term; told on every change, also of recovery. raft.monotone-term
    void term(const Stamp& stamp, GroupId group, NodeId node, Term term);
    /// A granted vote (also for itself), told when it is durable. raft.vote-once: survives crashes,
    /// not wipes.
    void voted(const Stamp& stamp, GroupId group, NodeId node, Term term, NodeId candidate);
    /// raft.election-safety, raft.leader-completeness, raft.monotone-term
    void leader_elected(const Stamp& stamp, GroupId group, NodeId node, Term term);
    /// It leads no more; what it commits from here on it was told.
    void steps_down(GroupId group, NodeId node);

    // --- the log
    /// `entry_hash` covers the entry's payload and type. An append at or below the last index
    /// replaces the tail, as truncate() would. raft.log-matching, raft.log-gap,
    /// raft.truncated-committed
    void append(const Stamp& stamp, GroupId group, NodeId node, LogIndex index, Term term,
                uint64_t entry_hash);
    /// Removes `from` and all behind it. raft.truncated-committed
    void truncate(const Stamp& stamp, GroupId group, NodeId node, LogIndex from);
    /// The log up to `index` survives a crash now, with every cut made before.
    /// raft.durable-beyond-log
    void durable(const Stamp& stamp, GroupId group, NodeId node, LogIndex index);
    /// The snapshot's state is durable and has replaced the node's; the log begins behind it unless
    /// it holds the entry. raft.snapshot-uncommitted, raft.monotone-applied
    void snapshot_installed(const Stamp& stamp, GroupId group, NodeId node, LogIndex index,
                            Term term);

    // --- commit and apply
    /// Voters of the group's configuration (of a joint one: either half's majority is asked for by
    /// calling with both). Without it, raft.commit-without-quorum is not checked for the group.
    void voters(GroupId group, std::vector<NodeId> voters,
                std::vector<NodeId> outgoing_voters = {});
    /// The configuration in that node's log from now on, as it changes there. Once any differs from the first that was
    /// told, a commit is judged when a leader tells it, by the leader's own configuration: nobody else decides.
    void configuration(GroupId group, NodeId node, std::vector<Voter> voters, std::vector<Voter> outgoing_voters);
    /// The index at which that configuration stands in the node's log. raft.change-over-pending: a leader begins a change of
    /// members while the one before is not committed.
    void configuration_at(const Stamp& stamp, GroupId group, NodeId node, LogIndex index);
    /// Which replica the node is from now on.
    void replica_is(GroupId group, NodeId node, ReplicaId replica) { groups_[group].replicas[node].id = replica; }
    /// raft.monotone-commit, raft.commit-beyond-log, raft.commit-safety, raft.commit-without-quorum
    /// `of_group`: what the node knows to be committed, which may lie beyond what it tells of (its own disk); 0: `index`.
    void commit(const Stamp& stamp, GroupId group, NodeId node, LogIndex index, LogIndex of_group = LogIndex());
    /// raft.state-machine-safety, raft.monotone-applied, raft.applied-beyond-commit,
    /// raft.applied-beyond-durable
    void apply(const Stamp& stamp, GroupId group, NodeId node, LogIndex index, Term term,
               uint64_t entry_hash);

    // --- lives of a node, all its groups
    /// It leads nothing any more. Its disk goes on to count for quorums.
    void crash(const Stamp& stamp, NodeId node);
    /// A new life: commit and applied start anew, term, votes and what was durable do not.
    void restart(const Stamp& stamp, NodeId node);
    /// What recovery found: the last log index and its term (the snapshot's if the log ends before
    /// it; 0, 0: nothing), the applied index of the state. A tail that was cut, but whose cut no
    /// durable() covered, may have come back. raft.durable-lost
    void recovered(const Stamp& stamp, GroupId group, NodeId node, LogIndex last, Term last_term,
                   LogIndex applied);
    /// Behind recovered(): the state is lost, the log is whole from `floor` on, and what is committed has to be heard of anew.
    void state_lost(GroupId group, NodeId node, LogIndex floor);
    /// The disk is empty; what comes back under this node id is another replica.
    void wipe(const Stamp& stamp, NodeId node);

    const std::vector<Violation>& violations() const { return violations_.list(); }
    uint64_t violation_count() const { return violations_.total(); }
    uint64_t events() const { return events_; }
    /// Events that could not be judged, since what they compare with was dropped.
    uint64_t unverified() const { return unverified_; }
    /// Entries held over all groups.
    uint64_t entries_held() const;
    /// Pass, Violated, or Inconclusive when there was no event.
    Verdict verdict() const;

 private:
    struct Entry {
        Term term;
        uint64_t hash = 0;
        uint64_t chain = 0;  // 0: what precedes is not known
    };
    struct Cut {
        uint64_t from = 0;
        std::deque<Entry> entries;
    };
    struct Replica {
        // The log's model: entries[i] has index base + 1 + i; `base` itself has base_term and
        // base_chain.
        uint64_t base = 0;
        Term base_term;
        uint64_t base_chain = 1;
        std::deque<Entry> entries;
        uint64_t durable = 0;
        std::deque<Cut> cuts;             // not known to be durable; the latest last
        bool cuts_dropped = false;        // there were more than are kept
        uint64_t commit = 0;              // of this life
        std::optional<uint64_t> applied;  // of this life; nothing before the first apply
        ReplicaId id;  // 0: not told
        std::optional<std::pair<std::vector<Voter>, std::vector<Voter>>> configuration;
        uint64_t configuration_index = 0;
        Term term;
        Term leads;                    // the term it leads now; 0: none
        Term leading;                  // the last term this node was elected in, in this life
        std::map<Term, NodeId> votes;  // the last few terms
        bool present = false;          // has a log or state: takes part in the pruning bound
    };
    struct Group {
        std::map<NodeId, Replica> replicas;
        std::map<NodeId, Replica> lost;  // as they were when their disks were wiped
        std::map<Term, NodeId> leaders;
        std::map<std::pair<uint64_t, Term>, Entry>
            known;           // every (index, term) ever appended, above `floor`
        uint64_t floor = 0;  // what is at or below was dropped
        // The committed prefix: committed[i] has index committed_base + 1 + i.
        uint64_t committed_base = 0;
        std::deque<Entry> committed;
        std::map<Term, uint64_t> committed_in;  // term -> highest index committed in it
        std::map<uint64_t, std::pair<Entry, NodeId>> applied;
        std::vector<Voter> voters, outgoing_voters;
        std::optional<std::pair<std::vector<Voter>, std::vector<Voter>>> first_configuration;
        bool members_changed = false;
        uint64_t last_committed() const { return committed_base + committed.size(); }
    };
    using Where = std::pair<GroupId, NodeId>;

    Replica& replica(GroupId group, NodeId node);
    static std::optional<Entry> entry_at(const Replica& replica, uint64_t index);
    static std::optional<Entry> committed_at(const Group& group, uint64_t index);
    static uint64_t last_index(const Replica& replica) {
        return replica.base + replica.entries.size();
    }
    void cut(const Stamp& stamp, Where where, Replica& replica, uint64_t from,
             std::string_view site);
    static bool bring_back_cut_tail(Replica& replica, uint64_t last, Term last_term);
    void observe_term(const Stamp& stamp, Where where, Replica& replica, Term term,
                      std::string_view site);
    void check_completeness(const Stamp& stamp, Where where, Group& group, const Replica& replica,
                            Term term);
    void check_quorum(const Stamp& stamp, Where where, const Group& group, const Replica& teller, uint64_t index,
                      const Entry& entry);
    void prune(Group& group);
    void report(std::string_view name, std::string_view site, const Stamp& stamp, Where where,
                std::string text);

    RaftInvariantsOptions options_;
    Violations violations_;
    std::map<GroupId, Group> groups_;
    uint64_t events_ = 0;
    uint64_t unverified_ = 0;
};

}  // namespace orrery::check
