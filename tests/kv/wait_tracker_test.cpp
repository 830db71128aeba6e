// The tracker against a naive model that keeps a list of waiters and computes everything anew at every event. The model
// can also be wrong in the ways that were shipped elsewhere; each of those must differ from the tracker somewhere, which
// shows that these runs would have caught it.
#include "kv/wait_tracker.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <map>
#include <set>

#include "runtime/base/hash.h"
#include "tests/kv/hooks.h"

namespace orrery::kv {
namespace {

enum class Bug {
    None,
    CountConnected,      // members that answer instead of R
    CountReceived,       // acknowledged from memory
    DurableOnly,         // not applied
    AppliedOnly,         // not synced
    AnyTerm,             // acknowledgements of older terms
    KeepAcrossReplicas,  // acknowledgements by node instead of replica
    InheritAcks,         // a new leadership goes on with the old table
    FrozenMembers,       // R of the moment of the call
    ShrinkAtAppend,      // R is the appended configuration alone
    GrowAtCommit,        // R is the committed configuration alone
    LastCountReused,     // the count of the waiter before
    TimerRestarts,       // at each look at the waiter
    OwnSyncOmitted,      // WAITALL leaves the leader out
    NoConfirmation,      // WAITALL without a quorum round
    NotRemoved,          // a client that left is answered
    HangsAboveMembers,   // WAIT n beyond the configured
    AnswersBeforeNoOp,   // before the own term's first entry committed
    LeaderCounted,       // WAIT's integer counts the leader
    AofWantsApplied,     // WAITAOF counts what is applied too
    AofIgnoresLocal,     // WAITAOF 1: does not wait for the leader's own sync
};

const std::vector<Bug> kBugs = {
    Bug::CountConnected,  Bug::CountReceived,  Bug::DurableOnly,     Bug::AppliedOnly,     Bug::AnyTerm,
    Bug::KeepAcrossReplicas, Bug::InheritAcks, Bug::FrozenMembers,   Bug::ShrinkAtAppend,  Bug::GrowAtCommit,
    Bug::LastCountReused, Bug::TimerRestarts,  Bug::OwnSyncOmitted,  Bug::NoConfirmation,  Bug::NotRemoved,
    Bug::HangsAboveMembers, Bug::AnswersBeforeNoOp, Bug::LeaderCounted,   Bug::AofWantsApplied, Bug::AofIgnoresLocal,
};

class Model {
 public:
    explicit Model(Bug bug) : bug_(bug) {}

    void lead(Term term, WaitMember self, const WaitConfig& config) {
        leading_ = true;
        answering_ = false;
        term_ = term;
        self_ = self;
        if (bug_ != Bug::InheritAcks) acks_.clear();
        connected_.clear();
        confirmed_ = WaitRound(0);
        set_config(config);
    }
    std::vector<WaitOutcome> own_term_committed() {
        answering_ = leading_;
        return look();
    }
    std::vector<WaitOutcome> lose_leadership() {
        std::vector<WaitOutcome> out;
        for (const auto& [client, waiter] : waiters_) out.push_back(outcome(waiter, WaitEnd::Unblocked));
        waiters_.clear();
        leading_ = answering_ = false;
        return out;
    }
    std::vector<WaitOutcome> acknowledge(const WaitAck& ack) {
        if (!leading_) return {};
        if (ack.term != term_ && bug_ != Bug::AnyTerm) return look();
        if (!known(ack.replica)) return look();
        WaitAck& kept = acks_[key(ack.replica)];
        kept.durable = std::max(kept.durable, ack.durable);
        kept.received = std::max(kept.received, ack.received);
        kept.applied = ack.applied;
        return look();
    }
    std::vector<WaitOutcome> configure(const WaitConfig& config) {
        if (!leading_) return {};
        set_config(config);
        return look();
    }
    std::vector<WaitOutcome> confirm(WaitRound round) {
        if (leading_) confirmed_ = std::max(confirmed_, round);
        return look();
    }
    void contact(ReplicaId replica, bool connected) { connected_[replica] = connected; }
    std::vector<WaitOutcome> expire(Instant now) {
        std::vector<WaitOutcome> out;
        std::erase_if(waiters_, [&](const auto& item) {
            const bool over = item.second.request.deadline <= now;
            if (over) out.push_back(outcome(item.second, WaitEnd::TimedOut));
            return over;
        });
        return out;
    }
    // nullopt: refused.
    std::optional<std::vector<WaitOutcome>> add(const WaitRequest& request, Instant now) {
        if (!leading_ || waiters_.contains(request.client)) return std::nullopt;
        const Waiter waiter{request, members()};
        if (ready(waiter)) return std::vector{outcome(waiter, WaitEnd::Satisfied)};
        if (!request.may_block || request.deadline <= now) return std::vector{outcome(waiter, WaitEnd::TimedOut)};
        waiters_[request.client] = waiter;
        return std::vector<WaitOutcome>();
    }
    void remove(uint64_t client) {
        if (bug_ != Bug::NotRemoved) waiters_.erase(client);
    }
    size_t waiting() const { return waiters_.size(); }

 private:
    struct Waiter {
        WaitRequest request;
        std::set<WaitMember> frozen;
    };

    uint64_t key(ReplicaId replica) const {
        return bug_ == Bug::KeepAcrossReplicas ? replica.value / 100 : replica.value;
    }
    bool known(ReplicaId replica) const {
        for (const auto* part : {&config_.committed, &config_.appended, &config_.learners})
            for (const WaitMember& member : *part)
                if (key(member.replica) == key(replica)) return true;
        return false;
    }
    void set_config(const WaitConfig& config) {
        config_ = config;
        if (bug_ == Bug::InheritAcks) return;
        std::set<uint64_t> keys;
        for (const auto* part : {&config_.committed, &config_.appended, &config_.learners})
            for (const WaitMember& member : *part) keys.insert(key(member.replica));
        std::erase_if(acks_, [&](const auto& item) { return !keys.contains(item.first); });
    }
    std::set<WaitMember> members() const {
        std::set<WaitMember> out;
        if (bug_ != Bug::ShrinkAtAppend || config_.appended.empty())
            out.insert(config_.committed.begin(), config_.committed.end());
        if (bug_ != Bug::GrowAtCommit) out.insert(config_.appended.begin(), config_.appended.end());
        if (bug_ == Bug::CountConnected)
            std::erase_if(out, [&](const WaitMember& member) {
                const auto at = connected_.find(member.replica);
                return member != self_ && at != connected_.end() && !at->second;
            });
        return out;
    }
    bool holds(const WaitMember& member, LogIndex target, WaitKind kind) const {
        const auto at = acks_.find(key(member.replica));
        const WaitAck ack = at == acks_.end() ? WaitAck{} : at->second;
        if (bug_ == Bug::CountReceived) return ack.received >= target;
        if (bug_ == Bug::DurableOnly) return ack.durable >= target;
        if (bug_ == Bug::AppliedOnly) return ack.applied >= target;
        if (kind == WaitKind::Durable && bug_ != Bug::AofWantsApplied) return ack.durable >= target;
        return ack.durable >= target && ack.applied >= target;
    }
    std::set<WaitMember> members_for(const Waiter& waiter) const {
        return bug_ == Bug::FrozenMembers ? waiter.frozen : members();
    }
    bool is_confirmed(const Waiter& waiter) const {
        return (answering_ || bug_ == Bug::AnswersBeforeNoOp) &&
               (waiter.request.round <= confirmed_ || bug_ == Bug::NoConfirmation);
    }
    bool ready(const Waiter& waiter) const {
        const WaitRequest& request = waiter.request;
        if (request.kind == WaitKind::Count && request.replicas == 0) return true;
        if (!answering_ && bug_ != Bug::AnswersBeforeNoOp) return false;
        uint64_t others = 0, holding = 0;
        bool all = true, own = false;
        for (const WaitMember& member : members_for(waiter)) {
            const bool self = member == self_;
            const bool held = holds(member, request.target, request.kind);
            own = own || (self && held);
            if (!(self && bug_ == Bug::OwnSyncOmitted)) all = all && held;
            if (self && bug_ != Bug::LeaderCounted) continue;
            ++others;
            holding += held;
        }
        if (request.kind == WaitKind::All || request.kind == WaitKind::ZeroAsAll) return all && is_confirmed(waiter);
        if (request.local && !own && bug_ != Bug::AofIgnoresLocal) return false;
        return holding >= (bug_ == Bug::HangsAboveMembers ? request.replicas : std::min(request.replicas, others));
    }
    WaitOutcome outcome(const Waiter& waiter, WaitEnd end) {
        const WaitRequest& request = waiter.request;
        WaitOutcome out{.client = request.client, .kind = request.kind, .end = end, .config_index = config_.config_index};
        const bool all = request.kind == WaitKind::All || request.kind == WaitKind::ZeroAsAll;
        out.local = request.kind == WaitKind::Durable && holds(self_, request.target, request.kind);
        out.confirmed = all && is_confirmed(waiter);
        for (const WaitMember& member : members_for(waiter)) {
            const bool self = member == self_;
            ++out.required;
            if (holds(member, request.target, request.kind) && (self || !all || out.confirmed)) {
                ++out.acked;
                if (!self || bug_ == Bug::LeaderCounted) ++out.count;
            } else {
                out.missing.push_back(member.node);
            }
        }
        for (const WaitMember& learner : config_.learners)
            if (!holds(learner, request.target, request.kind)) out.learners.push_back(learner.node);
        std::ranges::sort(out.missing);
        std::ranges::sort(out.learners);
        if (bug_ == Bug::LastCountReused) std::swap(out.count, last_count_);
        return out;
    }
    template <typename Predicate>
    void erase_waiters(Predicate predicate) {
        for (auto at = waiters_.begin(); at != waiters_.end();) at = predicate(*at) ? waiters_.erase(at) : std::next(at);
    }
    std::vector<WaitOutcome> look() {
        std::vector<WaitOutcome> out;
        erase_waiters([&](auto& item) {
            const bool done = ready(item.second);
            if (done) out.push_back(outcome(item.second, WaitEnd::Satisfied));
            if (bug_ == Bug::TimerRestarts && item.second.request.deadline != Instant::never())
                item.second.request.deadline = item.second.request.deadline + Duration::millis(1);
            return done;
        });
        return out;
    }

    Bug bug_;
    bool leading_ = false, answering_ = false;
    Term term_;
    WaitMember self_;
    WaitConfig config_;
    std::map<uint64_t, WaitAck> acks_;
    std::map<ReplicaId, bool> connected_;
    WaitRound confirmed_;
    std::map<uint64_t, Waiter> waiters_;
    uint64_t last_count_ = 0;
};

std::vector<WaitOutcome> by_client(std::vector<WaitOutcome> outcomes) {
    std::ranges::sort(outcomes, {}, &WaitOutcome::client);
    return outcomes;
}

// Drives both with the same events. Each word of `script` is one event.
class Duel {
 public:
    explicit Duel(Bug bug) : model_(bug) {}

    // False at the first difference.
    bool run(const std::vector<uint64_t>& script) {
        lead();
        for (uint64_t word : script) {
            word_ = word;
            draws_ = 0;
            if (!step()) return false;
            if (tracker_.waiting() != model_.waiting()) return false;
        }
        return same(tracker_.lose_leadership(), model_.lose_leadership()) && tracker_.waiting() == 0;
    }
    size_t ended() const { return ended_; }

 private:
    uint64_t draw(uint64_t bound) { return mix64(word_ + 0x1234567 * ++draws_) % bound; }
    bool same(std::vector<WaitOutcome> a, std::vector<WaitOutcome> b) {
        ended_ += a.size();
        return by_client(std::move(a)) == by_client(std::move(b));
    }
    WaitMember member(uint64_t node) { return {NodeId(node), ReplicaId(node * 100 + lives_[node])}; }
    std::vector<WaitMember> subset(uint64_t mask) {
        std::vector<WaitMember> out;
        for (uint64_t node = 1; node <= 5; ++node)
            if (mask & (1u << (node - 1))) out.push_back(member(node));
        return out;
    }
    WaitConfig config() {
        WaitConfig out;
        out.committed = subset(draw(32) | 1);
        if (draw(2) == 0) out.appended = subset(draw(32) | 1);
        if (draw(3) == 0) out.learners = subset(draw(32) & 0x1e);
        out.config_index = LogIndex(draw(50));
        return out;
    }
    void lead() {
        ++term_;
        // Usually the present configuration goes on: that is where inherited acknowledgements would show.
        if (config_.committed.empty() || draw(4) == 0) config_ = config();
        tracker_.lead(Term(term_), member(1).replica, config_);
        model_.lead(Term(term_), member(1), config_);
    }
    bool step() {
        switch (draw(20)) {
            default: {
                WaitAck ack;
                ack.term = Term(draw(6) == 0 ? term_ - 1 : term_);
                const uint64_t node = draw(5) + 1;
                ack.replica = ReplicaId(node * 100 + (draw(8) == 0 ? lives_[node] / 2 : lives_[node]));
                ack.received = LogIndex(draw(12));
                ack.durable = LogIndex(ack.received.value - draw(std::min<uint64_t>(ack.received.value + 1, 4)));
                ack.applied = LogIndex(draw(12));
                return same(tracker_.acknowledge({&ack, 1}), model_.acknowledge(ack));
            }
            case 0:
            case 1: {
                config_ = config();
                return same(tracker_.configure(config_), model_.configure(config_));
            }
            case 2:
            case 3: {
                confirmed_ = std::min(begun_, confirmed_ + draw(3));
                return same(tracker_.confirm(WaitRound(confirmed_)), model_.confirm(WaitRound(confirmed_)));
            }
            case 4: {
                const ReplicaId replica = member(draw(4) + 2).replica;
                const bool connected = draw(3) == 0;
                tracker_.contact(replica, connected);
                model_.contact(replica, connected);
                return true;
            }
            case 5:
            case 6: {
                now_ = now_ + Duration::millis(static_cast<int64_t>(draw(5)));
                return same(tracker_.expire(now_), model_.expire(now_));
            }
            case 7: {
                const uint64_t client = draw(8) + 1;
                tracker_.remove(client);
                model_.remove(client);
                return true;
            }
            case 8: {
                if (draw(3) != 0) return same(tracker_.own_term_committed(), model_.own_term_committed());
                if (draw(2) == 0) ++lives_[draw(4) + 2];
                const bool equal = same(tracker_.lose_leadership(), model_.lose_leadership());
                confirmed_ = begun_ = 0;
                lead();
                return equal;
            }
            case 9: return same(tracker_.own_term_committed(), model_.own_term_committed());
            case 10:
            case 11:
            case 12:
            case 13: return add();
        }
    }
    bool add() {
        WaitRequest request;
        request.client = draw(8) + 1;
        request.kind = static_cast<WaitKind>(draw(4) + 1);
        request.replicas = draw(7);
        request.local = request.kind == WaitKind::Durable && draw(2) == 0;
        request.target = LogIndex(draw(12));
        if (draw(2) == 0) request.deadline = now_ + Duration::millis(static_cast<int64_t>(draw(12)));
        request.round = WaitRound(begun_ += draw(2));
        if (request.kind != WaitKind::Count) request.round = WaitRound(++begun_);
        request.may_block = draw(8) != 0;
        const auto got = tracker_.add(request, now_);
        const auto expected = model_.add(request, now_);
        if (got.ok() != expected.has_value()) return false;
        if (!got.ok()) return true;
        std::vector<WaitOutcome> at_once;
        if (*got) at_once.push_back(**got);
        return same(std::move(at_once), *expected);
    }

    WaitTracker tracker_;
    Model model_;
    uint64_t word_ = 0, draws_ = 0;
    uint64_t term_ = 0, begun_ = 0, confirmed_ = 0;
    std::map<uint64_t, uint64_t> lives_;
    WaitConfig config_;
    Instant now_;
    size_t ended_ = 0;
};

std::vector<uint64_t> script_of(uint64_t seed, size_t events) {
    std::vector<uint64_t> out;
    for (size_t i = 0; i < events; ++i) out.push_back(combine64(seed, i));
    return out;
}

// Scripts, of at most `runs`, until the first difference; nullopt: none.
std::optional<size_t> first_difference(Bug bug, size_t runs) {
    for (size_t run = 0; run < runs; ++run) {
        Duel duel(bug);
        if (!duel.run(script_of(run, 120))) return run;
    }
    return std::nullopt;
}

TEST_CASE("kv wait: the tracker answers as the naive model does (any events, shrunk)") {
    CHECK(rc::check([] {
        const auto script = *rc::gen::container<std::vector<uint64_t>>(rc::gen::inRange<uint64_t>(0, UINT64_MAX));
        RC_ASSERT(Duel(Bug::None).run(script));
    }));
}

TEST_CASE("kv wait: the tracker answers as the naive model does (3,000 long runs)") {
    size_t ended = 0;
    for (size_t run = 0; run < 3000; ++run) {
        Duel duel(Bug::None);
        CHECK_MESSAGE(duel.run(script_of(run, 120)), run);
        ended += duel.ended();
    }
    CHECK(ended > 10'000);  // the runs are about something
}

TEST_CASE("kv wait: every wrong model is found out (twenty known mistakes)") {
    for (Bug bug : kBugs) CHECK_MESSAGE(first_difference(bug, 3000).has_value(), static_cast<int>(bug));
}

TEST_CASE("kv wait: the seeded defects change answers") {
    for (Defect defect : {Defect::waitall_counts_connected, Defect::wait_counts_received}) {
        test::DefectScope scope(defect);
        CHECK_MESSAGE(first_difference(Bug::None, 3000).has_value(), static_cast<int>(defect));
    }
}

// ---- by example

WaitMember member(uint64_t node) { return {NodeId(node), ReplicaId(node * 100)}; }
WaitConfig three() { return {.committed = {member(1), member(2), member(3)}, .config_index = LogIndex(1)}; }
WaitAck ack(uint64_t node, uint64_t index) {
    return {Term(1), ReplicaId(node * 100), LogIndex(index), LogIndex(index), LogIndex(index)};
}

struct Led {
    explicit Led(WaitTracker::Options options = {}) : tracker(options) {
        tracker.lead(Term(1), ReplicaId(100), three());
        CHECK(tracker.own_term_committed().empty());
    }
    std::vector<WaitOutcome> tell(WaitAck what) { return tracker.acknowledge({&what, 1}); }
    WaitTracker tracker;
};

TEST_CASE("kv wait: an isolated leader never reports all (acknowledgements of before, no round since)") {
    Led led;
    for (uint64_t node : {1, 2, 3}) led.tell(ack(node, 9));
    const auto at_once = led.tracker.add(
        {.client = 1, .kind = WaitKind::All, .target = LogIndex(9), .deadline = Instant{1000}, .round = WaitRound(4)}, {});
    REQUIRE(at_once.ok());
    CHECK_FALSE(at_once->has_value());
    CHECK(led.tracker.confirm(WaitRound(3)).empty());
    const auto ended = led.tracker.expire(Instant{1000});
    REQUIRE(ended.size() == 1);
    CHECK(ended[0].end == WaitEnd::TimedOut);
    CHECK(ended[0].acked == 1);
    CHECK(ended[0].required == 3);
    CHECK(ended[0].missing == std::vector{NodeId(2), NodeId(3)});
    CHECK(resp::encoded(wait_reply(ended[0], resp::Version::Resp2), resp::Version::Resp2) ==
          "*3\r\n:1\r\n:3\r\n*2\r\n$1\r\n2\r\n$1\r\n3\r\n");
}

TEST_CASE("kv wait: a removed member holds WAITALL back until the removal commits, not until it is appended") {
    Led led;
    for (uint64_t node : {1, 2}) led.tell(ack(node, 9));
    led.tracker.confirm(WaitRound(1));
    CHECK_FALSE(led.tracker.add({.client = 1, .kind = WaitKind::All, .target = LogIndex(9), .round = WaitRound(1)}, {})->has_value());
    WaitConfig appended = three();
    appended.appended = {member(1), member(2)};
    CHECK(led.tracker.configure(appended).empty());
    const auto ended = led.tracker.configure({.committed = {member(1), member(2)}, .config_index = LogIndex(10)});
    REQUIRE(ended.size() == 1);
    CHECK(ended[0].acked == 2);
    CHECK(ended[0].required == 2);
    CHECK(ended[0].config_index == LogIndex(10));
}

TEST_CASE("kv wait: one acknowledgement releases waiters in order of target, whatever they asked for") {
    Led led;
    led.tell(ack(1, 9));
    CHECK_FALSE(led.tracker.add({.client = 5, .replicas = 1, .target = LogIndex(7)}, {})->has_value());
    CHECK_FALSE(led.tracker.add({.client = 6, .replicas = 1, .target = LogIndex(3)}, {})->has_value());
    CHECK_FALSE(led.tracker.add({.client = 7, .replicas = 2, .target = LogIndex(3)}, {})->has_value());
    CHECK_FALSE(led.tracker.add({.client = 8, .replicas = 99, .target = LogIndex(2)}, {})->has_value());
    const auto first = led.tell(ack(2, 7));
    REQUIRE(first.size() == 2);
    CHECK(first[0].client == 6);
    CHECK(first[1].client == 5);
    const auto second = led.tell(ack(3, 3));
    REQUIRE(second.size() == 2);
    CHECK(second[0].client == 8);
    CHECK(second[0].count == 2);  // more were asked for than there are: the truth
    CHECK(second[1].client == 7);
    CHECK(led.tracker.waiting() == 0);
}

TEST_CASE("kv wait: WAITAOF counts what is synced though not applied, WAIT does not (a slow applier)") {
    Led led;
    CHECK_FALSE(led.tracker.add({.client = 1, .replicas = 1, .target = LogIndex(5)}, {})->has_value());
    CHECK_FALSE(led.tracker.add({.client = 2, .kind = WaitKind::Durable, .replicas = 1, .local = true, .target = LogIndex(5)}, {})->has_value());
    WaitAck synced = ack(2, 5);
    synced.applied = LogIndex(1);
    CHECK(led.tell(synced).empty());  // the leader's own sync is missing
    const auto ended = led.tell(ack(1, 5));
    REQUIRE(ended.size() == 1);
    CHECK(ended[0].client == 2);
    CHECK(resp::encoded(wait_reply(ended[0], resp::Version::Resp2), resp::Version::Resp2) == "*2\r\n:1\r\n:1\r\n");
    CHECK(led.tracker.waiting() == 1);
}

TEST_CASE("kv wait: limits and refusals (not leading, twice, too many, in MULTI)") {
    WaitTracker idle;
    CHECK(idle.add({.client = 1, .replicas = 1}, {}).failed_with(Code::NotLeader));
    Led led(WaitTracker::Options{.waiters_max = 1});
    const WaitRequest blocked{.client = 1, .replicas = 1, .target = LogIndex(5)};
    CHECK_FALSE(led.tracker.add(blocked, {})->has_value());
    CHECK(led.tracker.add(blocked, {}).failed_with(Code::Exists));
    CHECK(led.tracker.add({.client = 2, .replicas = 1, .target = LogIndex(5)}, {}).failed_with(Code::Overloaded));
    CHECK(led.tracker.add({.client = 2, .replicas = 1, .target = LogIndex(5), .may_block = false}, {})->has_value());
    CHECK(led.tracker.add({.client = 2, .replicas = 0, .target = LogIndex(5)}, {})->has_value());
    CHECK(led.tracker.unblock(1, WaitEnd::Unblocked)->end == WaitEnd::Unblocked);
    CHECK_FALSE(led.tracker.unblock(1, WaitEnd::TimedOut).has_value());
    CHECK(led.tracker.next_deadline() == Instant::never());
}

TEST_CASE("kv wait: new waiters ask for one push and one round, together") {
    Led led;
    CHECK_FALSE(led.tracker.take_push().commit_index);
    CHECK_FALSE(led.tracker.add({.client = 1, .replicas = 1, .target = LogIndex(5)}, {})->has_value());
    CHECK_FALSE(led.tracker.add({.client = 2, .kind = WaitKind::All, .target = LogIndex(5), .round = WaitRound(1)}, {})->has_value());
    const auto push = led.tracker.take_push();
    CHECK(push.commit_index);
    CHECK(push.round);
    CHECK_FALSE(led.tracker.take_push().commit_index);
}

TEST_CASE("kv wait: a lone member can not succeed before it holds the write itself") {
    WaitTracker tracker;
    tracker.lead(Term(1), ReplicaId(100), {.committed = {member(1)}, .config_index = LogIndex(1)});
    CHECK(tracker.own_term_committed().empty());
    CHECK(tracker.confirm(WaitRound(1)).empty());
    CHECK_FALSE(tracker.add({.client = 1, .kind = WaitKind::All, .target = LogIndex(2), .round = WaitRound(1)}, {})->has_value());
    const WaitAck own = ack(1, 2);
    const auto ended = tracker.acknowledge({&own, 1});
    REQUIRE(ended.size() == 1);
    CHECK(resp::encoded(wait_reply(ended[0], resp::Version::Resp2), resp::Version::Resp2) == "*3\r\n:1\r\n:1\r\n*0\r\n");
}

}  // namespace
}  // namespace orrery::kv
