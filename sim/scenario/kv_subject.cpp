// A KV run at its end, and its verdict.
#include "sim/scenario/kv_subject.h"

#include <algorithm>
#include <set>

#include "sim/check/linearizability.h"
#include "sim/check/order.h"

namespace orrery::sim {

KvSubject::KvSubject(Stage& stage, Watcher& watcher, check::ExpiryChecker& expiry, check::WaitChecker& waits)
    : stage_(stage), plan_(stage.plan), cluster_(stage.cluster), watcher_(watcher), expiry_(expiry), waits_(waits),
      workload_(stage.world, stage.cluster, watcher, stage.plan, stage.history, waits, stage.liveness, expiry) {}

bool KvSubject::anyone_lost() {
    for (size_t i = 0; i < cluster_.size(); ++i)
        if (cluster_.standing(i) == Cluster::Standing::Lost) return true;
    return false;
}

bool KvSubject::verify() {
    if (plan_.check.wait && !verify_last_write()) return false;
    return read_everything() && compare_states();
}

bool KvSubject::verify_last_write() {
    // The last write, silence, and then every member must hold it: nothing else carries news in an
    // idle group.
    bool lost = anyone_lost();
    const Instant by = stage_.world.now() + plan_.phases.heal_within;
    const Duration timeout = lost ? Duration::millis(200) : plan_.phases.heal_within / 2;
    Stage::spawn(cluster_.op(), "op.wait", [this, timeout](Fiber& fiber, Env& own) {
        held_ = workload_.write_and_wait_all(fiber, own, plan_.workload.idle_tail, timeout,
                                             own.now() + plan_.phases.heal_within);
    });
    if (stage_.run_until(by + plan_.phases.heal_within, [&] { return held_.has_value(); }) ==
        Ended::No) {
        if (!stage_.over())
            stage_.add("liveness.pending-operation", "waitall", "the last WAITALL has no answer");
        return false;
    }
    if (!held_->ok()) {
        stage_.add("liveness.no-write", "heal", held_->error().context);
        return false;
    }
    const std::optional<std::vector<NodeId>> voters = watcher_.settled_voters();
    const int64_t expected = static_cast<int64_t>(voters ? voters->size() : cluster_.founders());
    if ((*held_)->required != expected)
        stage_.add("wait.wrong-members", "last waitall",
            "WAITALL asked " + std::to_string((*held_)->required) + " of " +
                std::to_string(expected) + " members");
    lost |= anyone_lost();  // one that was still looking at its log when the wait began
    if (!lost && (*held_)->acked < expected)
        stage_.add("wait.no-progress", "last waitall",
            "in an idle healed group only " + std::to_string((*held_)->acked) + " of " +
                std::to_string(expected) + " members hold the last write after " +
                duration_text(timeout));
    if (!lost && plan_.workload.odd_waits_p > 0 && verify_waits() == Ended::No) return false;
    return true;
}

bool KvSubject::read_everything() {
    Stage::spawn(cluster_.op(), "op.read", [this](Fiber& fiber, Env& own) {
        read_ =
            workload_.read_all(fiber, own, own.now() + plan_.phases.heal_within,
                               [this](const Bytes& key, const check::Value& value) {
                                   ledger_.final_read(key, value, stage_.stamp());
                               });
    });
    if (stage_.run_until(stage_.world.now() + plan_.phases.heal_within * 2, [&] { return read_.has_value(); }) ==
        Ended::No)
        return false;
    if (!read_->ok()) {
        stage_.add("liveness.unreadable", "final read", read_->error().context);
        return false;
    }
    return true;
}

void KvSubject::look_at_leases() {
    if (plan_.cluster.knobs.lease_drift_ppm == 0) return;
    uint64_t reads = 0;
    for (size_t i = 0; i < cluster_.size(); ++i)
        if (kv::KvNode* node = cluster_.kv(i); node != nullptr && node->service() != nullptr) reads += node->service()->counters().lease_reads;
    // The operator's attempts take a while, and their answers may be lost.
    auto on = [&] {
        const auto leader = cluster_.leader();
        return leader && cluster_.group(*leader)->core().log().configuration().lease().on();
    };
    if (stage_.run_until(stage_.world.now() + plan_.phases.heal_within, on) == Ended::No && !stage_.over()) stage_.add("liveness.leases-not-on", "heal", "leases were asked for, and are not on " + duration_text(plan_.phases.heal_within) + " after all faults ended");
    if (reads == 0) stage_.note("no read was answered under a lease since the nodes' last start");
}

bool KvSubject::compare_states() {
    stage_.run_until(stage_.world.now() + plan_.phases.heal_within, [&] { return cluster_.all_applied(); });
    if (stage_.over()) return false;
    for (size_t i = 0; i < cluster_.size(); ++i) {
        if (cluster_.standing(i) != Cluster::Standing::Member) continue;
        kv::KvNode* node = cluster_.kv(i);
        if (node == nullptr || node->service() == nullptr) {
            stage_.add("replica.not-serving", "rest",
                cluster_.member(i).name() + " does not serve though all faults ended");
            continue;
        }
        ++digests_pending_;
        Stage::spawn(cluster_.member(i), "check.digest", [this, i, node](Fiber& fiber, Env&) {
            Result<kv::KvMachine::Digest> digest = node->service()->machine().digest(fiber);
            if (digest.ok()) {
                states_.push_back({NodeId(i + 1), digest->applied, digest->digest});
            } else {
                stage_.note("no digest of n" + std::to_string(i + 1) + ": " +
                                 digest.error().text());
            }
            --digests_pending_;
        });
    }
    if (stage_.run_until(stage_.world.now() + plan_.phases.heal_within, [&] { return digests_pending_ == 0; }) ==
        Ended::No)
        return false;
    std::sort(states_.begin(), states_.end(),
              [](const auto& a, const auto& b) { return a.node < b.node; });
    look_at_leases();
    if (plan_.check.replicas)
        replicas_.at_rest(stage_.stamp(), kv::kKvGroup, states_);
    return true;
}

Stage::Ended KvSubject::verify_waits() {
    const std::optional<std::vector<NodeId>> voters = watcher_.settled_voters();
    const std::optional<size_t> leader = cluster_.leader();
    if (!voters || !leader) return Ended::Yes;
    Stage::spawn(cluster_.op(), "op.idle", [this, count = voters->size()](Fiber& fiber, Env& own) {
        idle_ = workload_.idle_rounds(fiber, own, plan_.cluster.knobs.heartbeat, count, own.now() + plan_.phases.heal_within);
    });
    if (stage_.run_until(stage_.world.now() + plan_.phases.heal_within * 2, [&] { return idle_.has_value(); }) == Ended::No) return Ended::No;
    if (!idle_->ok()) stage_.note("waits in the idle group were not timed: " + idle_->error().context);
    // A member that says nothing, so that nobody's wait can end, and clients that leave while they wait.
    std::vector<size_t> others;
    for (NodeId voter : *voters)
        if (voter.value != *leader + 1) others.push_back(voter.value - 1);
    if (others.size() < 2 || cluster_.leader() != leader) return Ended::Yes;
    Host& silent = cluster_.member(others.front());
    if (silent.state() != Host::State::Up) return Ended::Yes;
    silent.pause();
    Stage::spawn(cluster_.op(), "op.leave", [this, at = std::vector<size_t>{*leader, others.back()}](Fiber& fiber, Env& own) {
        left_ = workload_.leave_while_waiting(fiber, own, at, own.now() + Duration::seconds(5));
    });
    const Ended done = stage_.run_until(stage_.world.now() + Duration::seconds(12), [&] { return left_.has_value(); });
    if (done == Ended::Yes && left_->ok() && **left_ > 0) {
        for (size_t i = 0; i < cluster_.size(); ++i)
            if (kv::KvNode* node = cluster_.kv(i); node != nullptr && node->service() != nullptr && i != others.front())
                waits_.left_over(stage_.stamp(), NodeId(i + 1), node->service()->waiting());
        watcher_.reached("wait.left_by_client");
    }
    if (silent.state() == Host::State::Paused) silent.resume();
    return done;
}

check::Verdict KvSubject::judge_expiry(const std::vector<Fired>& all_fired) {
    for (const Fired& fired : all_fired) {
        const auto* jump = std::get_if<ClockJump>(&plan_.plan.events[fired.event].fault);
        if (jump == nullptr) continue;
        // Whom a symbolic name meant is not kept: then it may have been anybody.
        Host* named = stage_.world.find_host(jump->node);
        for (size_t i = 0; i < cluster_.size(); ++i)
            if (named == nullptr || named == &cluster_.member(i))
                expiry_.wall_moved(NodeId(i + 1), jump->by, fired.at);
    }
    return expiry_.judge();
}

void KvSubject::judge_history(RunResult& result, std::vector<check::Verdict>& parts) {
    auto bad = [&](const Error& error) {
        parts.push_back({check::Outcome::Violated,
                         {{.name = "run.bad-history", .text = error.text(), .at = stage_.world.now(), .sequence = stage_.history.sequence(), .site = "history"}},
                         {}});
    };
    // Lists and counters tell their order themselves. The search judges them too where there are not many of them and no
    // transaction joins them.
    const std::vector<check::Operation>& all = stage_.history.operations();
    std::set<ByteView> ordered, joined;
    const std::vector<Bytes> names = check::ordered_keys(all);
    ordered.insert(names.begin(), names.end());
    for (const check::Operation& operation : all)
        for (const check::TxnPart& part : operation.parts) joined.insert(part.key);
    const bool many = plan_.workload.kind != "kv" && plan_.workload.kind != "kv-register";
    std::vector<check::Operation> told, searched;
    for (const check::Operation& operation : all) {
        const bool txn = operation.kind == check::OpKind::Txn;
        if (txn || joined.contains(operation.key) || ordered.contains(operation.key)) told.push_back(operation);
        if (!txn && !joined.contains(operation.key) && !(many && ordered.contains(operation.key))) searched.push_back(operation);
    }
    if (plan_.check.order && !told.empty()) {
        auto report = check::check_order(told, check::Model::Txn);
        if (report.ok()) parts.push_back(std::move(report->verdict));
        else bad(report.error());
    }
    if (plan_.check.linearizable) {
        auto report = check::check_linearizable(searched, check::Model::Kv);
        if (!report.ok()) return bad(report.error());
        result.linearizability_steps = report->steps;
        for (check::Violation& one : report->verdict.violations)
            if (one.site.empty()) one.site = "history";
        parts.push_back(std::move(report->verdict));
    }
}

void KvSubject::judge(bool verified, const std::vector<Fired>& fired, RunResult& result, std::vector<check::Verdict>& parts) {
    auto violated = [&](const std::vector<check::Violation>& list) {
        if (!list.empty()) parts.push_back({check::Outcome::Violated, list, {}});
    };
    result.waits_checked = waits_.replies();
    if (plan_.check.wait) {
        violated(waits_.violations());
        if (waits_.replies() == 0) stage_.note("no WAIT of the workload was answered");
    }
    judge_history(result, parts);
    if (verified && plan_.check.durability) {
        ledger_.add(stage_.history.operations());
        check::Verdict verdict = ledger_.judge();
        if (verdict.outcome != check::Outcome::Inconclusive || workload_.ok() > 0)
            parts.push_back(std::move(verdict));
    }
    // With fewer than two members left there is nothing to compare.
    if (verified && plan_.check.replicas && states_.size() > 1)
        parts.push_back(replicas_.verdict());
    if (verified && states_.size() < 2)
        stage_.note("fewer than two members to compare at rest");
    if (plan_.check.expiry && (plan_.workload.mix.expire > 0 || plan_.workload.kind == "kv-script")) {
        check::Verdict verdict = judge_expiry(fired);
        if (expiry_.judged() > 0) {
            parts.push_back(std::move(verdict));
        } else {
            stage_.note(verdict.reason);
        }
    }
}

}  // namespace orrery::sim
