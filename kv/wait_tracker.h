// WaitTracker: who waits for which entry to be held by whom. Pure: acknowledgements, configurations, confirmed rounds and
// the time come in, finished waits come out.
//
// The required set R is the voters of the last committed configuration with those of an appended one. A member holds an
// entry when it is durable *and* applied there: held = min(durable, applied), known only from its own acknowledgement in
// this leadership, under its present replica id. Losing contact never changes R. The cost of an event does not depend on
// how many clients wait, only on how many are released.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "kv/resp/reply.h"
#include "runtime/base/ids.h"
#include "runtime/base/result.h"
#include "runtime/base/time.h"

namespace orrery::kv {

struct WaitMember {
    NodeId node;
    ReplicaId replica;
    auto operator<=>(const WaitMember&) const = default;
};

struct WaitConfig {
    std::vector<WaitMember> committed;  // voters of the last committed configuration (joint: both halves)
    std::vector<WaitMember> appended;   // voters of one appended and not yet committed; empty: none (joint: both halves)
    std::vector<WaitMember> learners;   // their acknowledgements are kept: they may be voters soon
    LogIndex config_index;              // of the newest of these configurations
};

struct WaitAck {
    Term term;         // of the leadership that asked; any other than the present one is ignored
    ReplicaId replica;
    LogIndex durable;  // verified to match the leader's log and synced
    LogIndex applied;
    LogIndex received;  // verified to match, in memory: never counted, shown as lag
};

/// The leader's quorum rounds, numbered as they begin; a confirmed round confirms all before it.
using WaitRound = Counter<struct WaitRoundTag>;

/// Durable is WAITAOF: what is synced counts, applied or not.
enum class WaitKind : uint8_t { Count = 1, All = 2, ZeroAsAll = 3, Durable = 4 };  // on the wire; never renumber
enum class WaitEnd : uint8_t { Satisfied, TimedOut, Unblocked };

struct WaitRequest {
    uint64_t client = 0;  // of the caller's choice; one wait of it at a time
    WaitKind kind = WaitKind::Count;
    uint64_t replicas = 0;  // Count, Durable: of R without the leader. Count: 0 answers at once
    bool local = false;     // Durable only: the leader's own sync is wanted too
    LogIndex target;        // of the connection: WaitTarget::target(); 0 = it wrote and read nothing
    Instant deadline = Instant::never();
    WaitRound round;        // All, ZeroAsAll: the first round that begins after the command arrived
    bool may_block = true;  // false inside MULTI
};

/// All and ZeroAsAll without confirmed leadership count nobody but the leader itself: its acknowledgements may be those
/// of a configuration that is no longer the group's, so it never says "all".
struct WaitOutcome {
    uint64_t client = 0;
    WaitKind kind = WaitKind::Count;
    WaitEnd end = WaitEnd::Satisfied;
    uint64_t count = 0;             // of R without the leader, that hold the target (Durable: synced it): what WAIT answers
    bool local = false;             // Durable: the leader has synced it
    uint64_t acked = 0;             // of R, leader included
    uint64_t required = 0;          // |R|
    std::vector<NodeId> missing;    // of R, sorted; acked + missing = required
    std::vector<NodeId> learners;   // that are not in R and do not hold the target yet; sorted
    bool confirmed = false;         // All, ZeroAsAll: leadership was, since the command arrived
    LogIndex config_index;
    bool operator==(const WaitOutcome&) const = default;
};

/// What the client gets. WAIT and WAIT 0: the count. WAITAOF: [1 or 0, count]. WAITALL: [acked, required, [missing]] in RESP2, a map in RESP3.
/// Node ids are decimal text. An unblocked wait is the error -UNBLOCKED.
resp::Reply wait_reply(const WaitOutcome& outcome, resp::Version version);

class WaitTracker {
 public:
    /// A configuration has no more voters than this.
    static constexpr size_t kMembersMax = 64;

    struct Options {
        size_t waiters_max = 65'536;
    };

    WaitTracker() = default;
    explicit WaitTracker(const Options& options) : options_(options) {}

    // Leadership. Outside of it add() answers NotLeader and everything else is ignored.

    /// Forgets all acknowledgements: nothing is inherited, not even of an own earlier term.
    /// Requires: not leading; no waiters.
    void lead(Term term, ReplicaId self, const WaitConfig& config);
    /// The first entry of this term committed: answers may be given from here on.
    std::vector<WaitOutcome> own_term_committed();
    /// All waiters, in order of client, as Unblocked.
    std::vector<WaitOutcome> lose_leadership();
    bool leading() const { return leading_; }

    // Facts. Each gives the waits that it ended, in order of target, then client.

    /// Own progress comes this way too, as any member's. Durable never falls in a term; applied does when a member
    /// restarts, and is taken as last said.
    std::vector<WaitOutcome> acknowledge(std::span<const WaitAck> acks);
    std::vector<WaitOutcome> configure(const WaitConfig& config);
    std::vector<WaitOutcome> confirm(WaitRound round);
    /// Contact with a member. Never changes an answer; INFO shows it.
    void contact(ReplicaId replica, bool connected);
    /// Ends the waits whose deadline is at or before `now`, in order of deadline, then client.
    std::vector<WaitOutcome> expire(Instant now);
    /// never() when no wait has one.
    Instant next_deadline() const;

    // Waiters.

    /// The outcome at once, or nullopt: blocked, and one of the calls above will end it.
    /// Errors: NotLeader; Overloaded (waiters_max); Exists (the client waits already).
    Result<std::optional<WaitOutcome>> add(const WaitRequest& request, Instant now);
    /// The client is gone. Harmless when it does not wait.
    void remove(uint64_t client);
    /// CLIENT UNBLOCK: the answer as if the time were up, or as if leadership were lost. nullopt: it does not wait.
    std::optional<WaitOutcome> unblock(uint64_t client, WaitEnd end);
    size_t waiting() const { return waiters_.size(); }

    /// What the leader should send at the end of this loop turn, for all new waiters together: the commit index to
    /// members behind, and a quorum round. Asking clears it.
    struct Push {
        bool commit_index = false;
        bool round = false;
    };
    Push take_push();

 private:
    struct Held {
        LogIndex durable, applied, received;
        bool connected = true;
    };
    using Queue = std::set<std::pair<LogIndex, uint64_t>>;  // (target, client)

    bool tracked(ReplicaId replica) const;
    LogIndex held_by(ReplicaId replica, WaitKind kind) const;
    bool counts_for_all(const WaitMember& member) const;
    /// Of the waits that are ready by count alone: what they share, and so share a queue.
    struct Bar {
        WaitKind kind = WaitKind::Count;
        bool local = false;
        uint64_t replicas = 0;  // at most kMembersMax
        auto operator<=>(const Bar&) const = default;
    };
    static Bar bar_of(const WaitRequest& request);
    static bool by_count(WaitKind kind) { return kind == WaitKind::Count || kind == WaitKind::Durable; }
    LogIndex count_limit(const Bar& bar) const;
    LogIndex all_limit() const;
    bool is_ready(const WaitRequest& request) const;
    WaitOutcome outcome_of(const WaitRequest& request, WaitEnd end) const;
    void set_config(const WaitConfig& config);
    void enqueue(const WaitRequest& request);
    void dequeue(const WaitRequest& request);
    bool still_unconfirmed(const std::pair<WaitRound, uint64_t>& entry) const;
    WaitOutcome finish(uint64_t client, WaitEnd end);
    void reuse(WaitOutcome& outcome);  // defect wait_reuses_count
    using Targets = std::vector<std::pair<LogIndex, uint64_t>>;  // (target, client)
    std::vector<WaitOutcome> release(Targets ready = {});

    Options options_;
    bool leading_ = false;
    bool answering_ = false;  // own_term_committed() was called
    Term term_;
    ReplicaId self_;
    WaitRound confirmed_;
    WaitConfig config_;
    std::vector<WaitMember> required_;      // R, sorted
    std::map<ReplicaId, Held> held_;        // of R and the learners; absent: nothing known
    std::map<uint64_t, WaitRequest> waiters_;  // each is in one queue below, and in deadlines_ if it has one
    std::map<Bar, Queue> by_count_;         // no empty queues
    Queue all_;                             // All and ZeroAsAll whose round is confirmed
    /// All and ZeroAsAll whose round is not confirmed, in order of rounds; also some that have ended since.
    std::deque<std::pair<WaitRound, uint64_t>> unconfirmed_;
    std::set<std::pair<Instant, uint64_t>> deadlines_;
    Push push_;
    std::optional<uint64_t> last_count_;  // defect wait_reuses_count
};

}  // namespace orrery::kv
