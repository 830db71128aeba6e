// WAIT and WAITALL replies against the truth of the world, not against what the leader believes.
//
// The caller (the simulated world) looks at every disk image and applied index at the instant the
// server answers, and hands in who holds the target then. Names: wait.* below, with the numbers of
// the WAIT invariants of the KV's contract. Not here: progress without further writes (W9:
// Liveness), order behind a wait (W8) and survivors (W14 to W16: scenarios).
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

struct WaitCheckerOptions {
    Duration turn = Duration::millis(50);  // W6: how much later than its timeout a reply may be
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
    /// When all connections are closed: wait.leaked (W13) for each waiter without an end.
    void finish(const Stamp& stamp);

    size_t open_count() const { return open_.size(); }
    uint64_t replies() const { return replies_; }
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
    uint64_t refused_ = 0;
};

}  // namespace orrery::check
