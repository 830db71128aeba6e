// Watcher: turns the trace of a run into what the checkers eat: Raft events, who holds which entry,
// what a wait waited for.
//
// It knows the truth of the world, not what a leader believes: an entry is held by a node when that
// node's own log has it under a sync and its own state machine has applied it, in that very term.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "sim/check/expiry.h"
#include "sim/check/member_log.h"
#include "sim/check/raft_invariants.h"
#include "sim/check/wait_checker.h"
#include "sim/scenario/cluster.h"

namespace orrery::sim {

class Watcher : public TraceObserver, public Cluster::Listener {
 public:
    using Sequence = std::function<uint64_t()>;

    /// All outlive the watcher. `sequence` gives the number of the next event in the run's order.
    Watcher(World& world, Cluster& cluster, check::ExpiryChecker& expiry, check::WaitChecker& waits, Sequence sequence);

    check::RaftInvariants& raft() { return raft_; }
    const std::map<std::string, uint64_t>& probes() const { return probes_; }

    /// The highest index applied anywhere: nothing that a client has seen lies beyond it.
    LogIndex applied_anywhere() const { return applied_anywhere_; }
    /// The entry whose body holds `bytes` (unique in the run), looked for in all logs from the
    /// newest entry down; nullopt when it is in none any more.
    std::optional<LogIndex> find_entry(ByteView bytes);
    /// Who holds the entry at `target` now, or held it until its disk was wiped at or after
    /// `since`.
    std::vector<NodeId> holders(LogIndex target) const;
    /// What the server said it waits for in the wait with that (unique) timeout; 0: it did not say.
    LogIndex told_target(Duration timeout) const;
    /// The node where that wait arrived, if it led then.
    std::optional<NodeId> told_leader(Duration timeout) const;

    /// No log may have an entry with these bytes before the wait with that (unique) timeout is
    /// answered: its connection sent them behind the wait.
    void comes_after(Duration timeout, Bytes bytes) { behind_[timeout.ns] = std::move(bytes); }
    /// A rare situation that only the testbed can see.
    void reached(std::string_view probe) { ++probes_[std::string(probe)]; }
    void clock_jumped(NodeId node);

    /// Watches which members can talk to `leader` from now on; quorum_since() answers whether a
    /// majority could, at any instant since.
    /// The voters, when everybody agrees who they are: the leader's configuration is simple and committed, and nobody who
    /// is up has begun another. nullopt while members change, or without a leader.
    std::optional<std::vector<NodeId>> settled_voters();
    /// Rises whenever the voters change in anybody's log.
    uint64_t member_changes() const { return member_changes_; }
    uint64_t begin_contact(NodeId leader);
    bool end_contact(uint64_t contact);

    void on_event(Host& host, const TraceEvent& event) override;
    void on_probe(Host& host, std::string_view name) override;
    void node_dies(NodeId node, bool wiped) override;

 private:
    struct Node {
        check::MemberLog log;
        uint64_t durable = 0;
        uint64_t applied = 0;
        // Before the last wipe.
        uint64_t lost_held = 0;
        ReplicaId replica;
        ReplicaId lost_replica;
        std::map<ReplicaId, std::pair<uint64_t, uint64_t>> lost;  // each wiped replica's durable and applied index
        std::string members;  // voters of its newest configuration
        bool joint = false;
        bool installing = false;  // a snapshot
        LogIndex installs;        // its index
    };
    /// A wait at the leader that was asked, between its beginning and its end.
    struct OpenWait {
        check::LeaderAnswer asked;
        std::vector<check::RequiredMember> required;  // when it began
        uint64_t contact = 0;
        Instant begun{};
        bool alone = false;       // the leader was a majority by itself
        Duration round_min{};     // nobody can ask and be answered in less
        bool joint = false;       // a joint configuration was in force meanwhile
        bool clock_jumped = false;
    };
    /// A wait at the node that its client asked.
    struct Told {
        LogIndex target;
        std::optional<NodeId> leader;  // if it led then
        size_t host = 0;
        Term term;
        Instant at;
        Duration paused;  // of the host, by then
        bool blocks = true;
    };
    struct Contact {
        NodeId leader;
        size_t voters = 0;
        size_t needed = 0;  // with the leader
        std::vector<NodeId> silent;
    };
    void on_wait_event(Host& host, const TraceEvent& event);
    void wait_begins(Host& host, const TraceEvent& event);
    void wait_ends(Host& host, const TraceEvent& event);
    void wait_answered(Host& host, const TraceEvent& event);
    void note_situation(const OpenWait& wait, const check::LeaderAnswer& answer, const check::LeaderTruth& truth, Host& host);
    /// R by the leader's own log and commit, and who of it holds the entry.
    std::vector<check::RequiredMember> required_at(size_t leader, LogIndex target, bool synced_only);
    bool majority_alone(size_t leader);
    bool holds(NodeId node, ReplicaId replica, LogIndex target, bool synced_only) const;
    bool right_entry(const Node& node, LogIndex target) const;
    bool logged_anywhere(ByteView bytes);
    uint64_t begin_contact(NodeId leader, const std::vector<NodeId>& voters, size_t needed);
    check::Stamp stamp() { return {world_.now(), sequence_()}; }
    bool can_talk(NodeId leader, NodeId other);

    World& world_;
    Cluster& cluster_;
    check::ExpiryChecker& expiry_;
    check::WaitChecker& waits_;
    Sequence sequence_;
    check::RaftInvariants raft_;
    std::map<std::string, uint64_t> probes_;
    std::vector<Node> nodes_;
    std::map<uint64_t, Term> applied_terms_;  // of recent applied entries, by any node
    LogIndex applied_anywhere_;
    std::map<int64_t, Told> told_;
    std::map<int64_t, Bytes> behind_;
    std::map<std::pair<size_t, uint64_t>, OpenWait> open_;  // by host and the service's number
    struct LastEnd {
        Instant at{INT64_MIN};
        LogIndex target;
        check::LeaderAnswer::Kind kind{};
        uint64_t members = 0;
        bool timed_out = false;
    };
    std::vector<LastEnd> last_end_;  // by host
    std::map<uint64_t, Contact> contacts_;
    uint64_t next_contact_ = 1;
    uint64_t member_changes_ = 0;
};

}  // namespace orrery::sim
