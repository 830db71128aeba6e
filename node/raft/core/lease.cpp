// Leases: a leader that a majority has lately promised not to replace answers reads without asking again.
//
// The promise is made by every message of a leader that is answered, while the configuration in force has leases, and is kept
// whatever configuration or leader comes after. It is volatile: whoever has leases in its log at start keeps one that it may
// have made. The leader counts a member only once that member holds durably the newest configuration and the first entry of
// this term: then nothing of an earlier leader, which might say otherwise, is left behind that in its log; it has promised by
// this configuration (anew if that came later than the round), and would wait after a restart.
//
// Why nobody else leads meanwhile: a new leader needs a majority of a configuration that is the leader's newest or next to it
// (an entry of the leader's own term is committed, so whoever can win holds the configurations before it), so one member of
// those that promised must vote. It does so for nobody else before the promise ends, by its clock, which began after the
// round did; the drift bound makes up for the rates. The one exception is a vote that the leader has called for by TimeoutNow,
// and such a message may be on its way for ever: after it no lease is taken in this term.
// Source: the Raft thesis, 6.4.1 and 3.10.
#include <algorithm>

#include "node/raft/core/core.h"
#include "runtime/base/defect.h"

namespace orrery::raft {
namespace {

constexpr Instant kNoLease{INT64_MIN};
constexpr size_t kMaxRoundsBegun = 256;  // beyond it a round counts from the beginning of one before

}  // namespace

void Core::renew_promise(Instant now) {
    const Lease& lease = log_.configuration().lease();
    if (!lease.on()) return;
    promised_to_ = leader_;
    promised_until_ = std::max(promised_until_, now + lease.promise);
}

bool Core::promised_to_another(Instant now, Member candidate) const {
    if (ORRERY_DEFECT(lease_promise_broken)) return false;
    return now < promised_until_ && candidate != promised_to_;
}

void Core::note_round_begun(Instant now) {
    if (!log_.configuration().lease().on()) return rounds_begun_.clear();
    if (rounds_begun_.size() < kMaxRoundsBegun) rounds_begun_.emplace_back(round_, now);
    // Those before the newest that a majority has answered are of no use any more.
    if (rounds_begun_.size() < kMaxRoundsBegun / 2) return;
    const uint64_t answered = answered_under_lease();
    while (rounds_begun_.size() > 1 && rounds_begun_[1].first <= answered) rounds_begun_.pop_front();
}

uint64_t Core::answered_under_lease() const {
    const LogIndex since = std::max(log_.configuration_index(), own_term_first_);
    return log_.configuration().quorum_value([&](Member member) -> uint64_t {
        if (member == options_.self) return durable_ >= since ? round_ : 0;
        const Progress* progress = progress_.get(member.node);
        return progress && progress->member == member && progress->match >= since ? progress->round : 0;
    });
}

Instant Core::lease_until() const {
    const Lease& lease = log_.configuration().lease();
    if (role_ != Role::Leader || !lease.on() || leaving_ || !own_term_committed()) return kNoLease;
    if (lease_given_up_ && !ORRERY_DEFECT(lease_kept_on_transfer)) return kNoLease;
    const uint64_t answered = answered_under_lease();
    auto after = std::upper_bound(rounds_begun_.begin(), rounds_begun_.end(), answered,
                                  [](uint64_t round, const auto& begun) { return round < begun.first; });
    if (after == rounds_begun_.begin()) return kNoLease;
    const Instant since = ORRERY_DEFECT(lease_from_answer) ? quorum_contact(std::prev(after)->second) : std::prev(after)->second;
    return since + (ORRERY_DEFECT(lease_ignores_drift) ? lease.promise : lease.lasts());
}

/// What is committed may have been seen elsewhere, by who asked a leader before us and read where it is applied by now: our own state has to
/// have all of it.
bool Core::may_read_under_lease() const {
    const bool whole = applied_ >= commit_;
    return role_ == Role::Leader && log_.configuration().lease().on() && own_term_committed() && applied_ >= own_term_first_ && whole;
}

}  // namespace orrery::raft
