// WAIT and WAITALL replies against the truth of the world, not against what the leader believes.
//
// The caller (the simulated world) looks at every disk image and applied index at the instant the
// server answers, and hands in who holds the target then. Names: wait.* below, with the numbers of
// the WAIT invariants of the KV's contract.
//
// Two looks at every wait. The leader's own answer is judged at the instant it is given, replica by
// replica, while members change too: leader_answered(). What the client gets in the end is judged
// against the connection's own writes and reads: answered(). Survivors, local reads and the
// linearizable rest (W14 to W16) follow from who holds the entry and from the other checkers.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "runtime/base/ids.h"
#include "sim/check/verdict.h"

namespace orrery::check {

/// The world at one instant, for one waiter's target.
struct WaitTruth {
    NodeId leader;                 // the node that answers
    std::vector<NodeId> required;  // R: voters of the last committed and of any appended
                                   // configuration, leader included
    std::vector<NodeId> holders;   // nodes whose disk image, as of a power loss now, and applied
                                   // state hold the target
    bool quorum_since_call =
        false;  // a majority of R answered the leader after the command arrived
};

struct WaitCall {
    enum class Kind : uint8_t { Wait, WaitAll };
    Kind kind = Kind::Wait;
    int64_t members = 0;    // Wait: n
    Duration timeout;       // 0: no limit in time
    bool may_block = true;  // false inside MULTI
    LogIndex target;  // the connection's target when the command arrived, as the world knows it
    Stamp called;
};

struct WaitReply {
    enum class Ending : uint8_t {
        Answered,   // a count, or WAITALL's triple
        Unblocked,  // -UNBLOCKED: demotion, CLIENT UNBLOCK
        Refused,    // any other error
        Gone,       // the connection closed before an answer
    };
    Ending ending = Ending::Answered;
    int64_t acked = 0;
    int64_t required = 0;         // WaitAll
    std::vector<NodeId> missing;  // WaitAll
    LogIndex target;              // what the server waited for, 0 = not told
    Stamp answered;
};

/// A voter that an answer has to count, and whether it holds the target: on its disk as of a power
/// loss now, and (but for WAITAOF) applied.
struct RequiredMember {
    NodeId node;
    ReplicaId replica;
    bool holds = false;
};

/// What a leader says of a wait, as it says it.
struct LeaderAnswer {
    enum class Kind : uint8_t { Wait, WaitAll, WaitAof };
    Kind kind = Kind::Wait;
    uint64_t members = 0;  // Wait, WaitAof: n
    bool local = false;    // WaitAof: the leader's own disk is asked for too
    LogIndex target;
    bool timed_out = false;  // else it says that what was asked for is the case
    uint64_t count = 0;      // Wait, WaitAof
    bool local_synced = false;  // WaitAof
    uint64_t acked = 0, required = 0;  // WaitAll
    std::vector<NodeId> missing;       // WaitAll; a node twice when two replicas of it are required
    Stamp at;
};

/// The world then.
struct LeaderTruth {
    NodeId leader;
    std::vector<RequiredMember> required;  // R, leader included, from the leader's log and commit
    bool heard_since_call = true;    // enough of R answered the leader after the wait began
    bool own_term_committed = true;  // before that a leader may answer less than it knows
};

struct WaitCheckerOptions {
    Duration turn = Duration::millis(50);  // W6: how much later than its timeout a reply may be
    int64_t slow_ppm = 10'000;  // W6: by so much a server's clock may be slow
    size_t max_open =
        65'536;  // waiters at once; one more is refused and makes the verdict inconclusive
    size_t max_violations = 64;
};

class WaitChecker {
 public:
    using WaiterId = uint64_t;

    explicit WaitChecker(WaitCheckerOptions options = {})
        : options_(options), violations_(options.max_violations) {}

    /// 0 when max_open is reached; every call with that id is then ignored.
    WaiterId called(const WaitCall& call);
    /// Any instant between call and answer; a WAITALL success may rest on it (W2 asks for one
    /// instant, not the last).
    void observe(WaiterId waiter, const WaitTruth& truth);
    /// wait.overcount (W1), wait.all-not-held (W2), wait.early (W4), wait.vacuous (W5), wait.late,
    /// wait.ended-by-time (W6), wait.foreign-target (W7), wait.missing-inexact (W10),
    /// wait.wrong-members (W11), wait.replied-twice (W13)
    void answered(WaiterId waiter, const WaitReply& reply, const WaitTruth& truth);
    /// wait.overcount (W1), wait.all-not-held (W2), wait.early (W4), wait.vacuous (W5, W12),
    /// wait.hung (W9: the time was up although what was asked for was the case), wait.missing-inexact
    /// (W10), wait.wrong-members (W11)
    void leader_answered(const LeaderAnswer& answer, const LeaderTruth& truth);
    /// A leader ended a wait that it had not begun, or that had ended: wait.replied-twice (W13).
    void twice(const Stamp& stamp, uint64_t wait);
    /// A command that the connection sent behind the wait was in a log when the wait was answered:
    /// wait.overtaken (W8).
    void overtaken(const Stamp& stamp, const std::string& text);
    /// The server took `took` of the world's time, asked for `timeout` (0: none), and was owed
    /// `grace` more: wait.late (W6).
    void took(const Stamp& stamp, Duration timeout, Duration took, Duration grace);
    /// In an idle group whose members are all up and in touch: wait.stalled (W9) beyond `bound`.
    void idle_round(const Stamp& stamp, Duration took, Duration bound);
    /// Waiters left in a node's table when nobody waits there any more: wait.leaked (W13).
    void left_over(const Stamp& stamp, NodeId node, uint64_t waiters);
    /// When all connections are closed: wait.leaked (W13) for each waiter without an end.
    void finish(const Stamp& stamp);

    size_t open_count() const { return open_.size(); }
    uint64_t replies() const { return replies_; }
    uint64_t leader_answers() const { return leader_answers_; }
    const std::vector<Violation>& violations() const { return violations_.list(); }
    /// Pass, Violated, or Inconclusive: no reply was checked, or waiters were refused.
    Verdict verdict() const;

 private:
    struct Open {
        WaitCall call;
        bool all_held = false;
    };
    void check_wait(const Open& waiter, const WaitReply& reply, const WaitTruth& truth);
    void check_wait_all(const Open& waiter, const WaitReply& reply, const WaitTruth& truth);
    void check_time(const Open& waiter, const WaitReply& reply, bool satisfied);

    WaitCheckerOptions options_;
    Violations violations_;
    std::map<WaiterId, Open> open_;
    WaiterId next_ = 1;
    uint64_t replies_ = 0;
    uint64_t leader_answers_ = 0;
    uint64_t refused_ = 0;
};

}  // namespace orrery::check
