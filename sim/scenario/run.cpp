// One run, from founding to verdict: found -> chaos (faults strike, clients work) -> heal -> settle
// -> verify.
#include "sim/scenario/run.h"

#include <algorithm>
#include <cstdlib>
#include <set>

#include "node/raft/found_cluster.h"
#include "node/raft/operate_members.h"
#include "sim/check/durability.h"
#include "sim/check/expiry.h"
#include "sim/check/linearizability.h"
#include "sim/check/order.h"
#include "sim/core/defects.h"
#include "sim/rocksdb/l1.h"
#include "sim/scenario/cluster.h"
#include "sim/scenario/watcher.h"
#include "sim/scenario/workload.h"

namespace orrery::sim {

std::string RunResult::failure_name() const {
    return verdict.violations.empty() ? std::string() : verdict.violations.front().name;
}
std::string RunResult::signature() const {
    return verdict.violations.empty() ? std::string() : verdict.violations.front().signature();
}

Judgement judge(const Expectation& expect, const check::Verdict& verdict) {
    using check::Outcome;
    if (expect.result == Expected::Pass) {
        if (verdict.outcome == Outcome::Inconclusive) return Judgement::Inconclusive;
        return verdict.outcome == Outcome::Pass ? Judgement::AsExpected : Judgement::Unexpected;
    }
    if (verdict.outcome == Outcome::Inconclusive) return Judgement::Inconclusive;
    const bool found = std::any_of(
        verdict.violations.begin(), verdict.violations.end(), [&](const check::Violation& one) {
            return (expect.checker.empty() || one.name == expect.checker) &&
                   (expect.signature.empty() || one.signature() == expect.signature);
        });
    return found ? Judgement::AsExpected : Judgement::Unexpected;
}

int exit_code(Judgement judgement) {
    switch (judgement) {
        case Judgement::AsExpected:
            return 0;
        case Judgement::Unexpected:
            return 1;
        case Judgement::Inconclusive:
            return 3;
    }
    UNREACHABLE(static_cast<int>(judgement));
}

namespace {

/// Hands every event to the caller's sink.
class SinkObserver : public TraceObserver {
 public:
    SinkObserver(World& world, TraceSink& sink) : world_(world), sink_(sink) {}
    void on_event(Host& host, const TraceEvent& event) override {
        if (open_) sink_.on_event(++sequence_, world_.now(), host.name(), event);
    }
    /// The run is over: what taking the world apart emits is no part of it.
    void close() { open_ = false; }
    void fault(const Fired& fired) { sink_.on_fault(++sequence_, world_.now(), fired.what); }

 private:
    World& world_;
    TraceSink& sink_;
    bool open_ = true;
    uint64_t sequence_ = 0;
};

class Run {
 public:
    Run(const Scenario& plan, const RunOptions& options)
        : plan_(plan),
          options_(options),
          world_(world_options(plan), &plan.plan.schedule.pins),
          cluster_(world_, plan),
          expiry_(expiry_options(plan)),
          waits_(wait_options(plan)),
          watcher_(world_, cluster_, expiry_, waits_, [this] { return history_.mark(); }),
          liveness_({.bound = plan.phases.heal_within}),
          workload_(world_, cluster_, watcher_, plan, history_, waits_, liveness_,
                    expiry_),
          injector_(world_, cluster_, plan.plan.events) {
        if (options.watch_step > 0) world_.timeline().hash().watch_step(options.watch_step);
        if (options.sink != nullptr) {
            sink_ = std::make_unique<SinkObserver>(world_, *options.sink);
            world_.add_observer(*sink_, options.sink->wants_debug());
        }
        injector_.on_fired = [this](const Fired& fired) {
            if (sink_) sink_->fault(fired);
            if (const auto* jump = std::get_if<ClockJump>(&plan_.plan.events[fired.event].fault))
                for (size_t i = 0; i < cluster_.size(); ++i)
                    if (cluster_.member(i).name() == jump->node) watcher_.clock_jumped(NodeId(i + 1));
        };
        limit_ = Instant{} + plan.limits.sim_time;
    }

    RunResult go();
    bool failed() const { return world_.failure().has_value(); }

 private:
    static WorldOptions world_options(const Scenario& plan) {
        WorldOptions out;
        out.seed = plan.seed;
        out.policy = plan.plan.schedule.policy;
        out.extra_yield_p = plan.plan.schedule.extra_yield_p;
        out.pct_depth = plan.plan.schedule.pct_depth;
        out.max_steps = plan.limits.events;
        return out;
    }
    static check::WaitCheckerOptions wait_options(const Scenario& plan) {
        // With faults about, a late answer may be the network's doing.
        return {.turn = plan.plan.events.empty() ? Duration::millis(500) : Duration::seconds(3600), .slow_ppm = std::max<int64_t>(most_drift_ppm(plan), 10'000)};
    }
    static int64_t most_drift_ppm(const Scenario& plan) {
        int64_t ppm = 0;
        for (const PlannedFault& event : plan.plan.events)
            if (const auto* drift = std::get_if<ClockDrift>(&event.fault)) ppm = std::max(ppm, std::abs(drift->ppm));
        return ppm;
    }

    static check::ExpiryOptions expiry_options(const Scenario& plan) {
        // State-machine time follows the leader's clock, which drifts, and is slewed.
        return {.rate_ppb = (most_drift_ppm(plan) + kv::StateTime::kSlewPpm) * 1000};
    }

    enum class Ended : uint8_t { Yes, No };
    /// Runs until `done`, at most until `by`. No: the run is over, or time was.
    Ended run_until(Instant by, const std::function<bool()>& done);
    bool over();
    Ended found();
    void settle();
    void verify();
    Ended verify_waits();
    void add(std::string_view name, std::string_view site, std::string text) {
        found_.add(name, site, {world_.now(), history_.mark()}, std::move(text));
    }
    /// A harness fiber on a host. Its body uses only what this object holds.
    void spawn(Host& host, std::string_view name, std::function<void(Fiber&, Env&)> body);
    void tear_down();
    void judge_all(RunResult& result);
    void judge_history(RunResult& result, std::vector<check::Verdict>& parts);
    check::Verdict judge_expiry();

    const Scenario& plan_;
    const RunOptions& options_;
    check::History history_;
    World world_;
    Cluster cluster_;
    check::ExpiryChecker expiry_;
    check::WaitChecker waits_;
    Watcher watcher_;
    check::Liveness liveness_;
    check::ReplicaEquality replicas_;
    check::DurabilityLedger ledger_;
    Workload workload_;
    Injector injector_;
    std::unique_ptr<SinkObserver> sink_;
    check::Violations found_;  // by the run itself
    std::vector<std::string> notes_;
    std::string unfinished_;  // why the verdict can be no better than inconclusive
    Instant limit_;
    bool verified_ = false;
    // What harness fibers write: they may outlive the function that spawned them.
    std::optional<Result<wire::FoundingRecord>> founded_;
    std::optional<Result<Workload::Held>> held_;
    std::optional<Result<void>> read_;
    std::optional<Result<void>> idle_;
    std::optional<Result<size_t>> left_;
    std::vector<check::ReplicaState> states_;
    uint64_t digests_pending_ = 0;
    bool until_reached_ = false;  // RunOptions::until
};

bool Run::over() {
    if (world_.failure()) return true;
    if (until_reached_ || world_.now() >= options_.until ||
        world_.timeline().hash().steps() >= options_.until_step)
        return true;
    return options_.stop_at_violation && (watcher_.raft().violation_count() > 0 ||
                                          !waits_.violations().empty() || !found_.empty());
}

Run::Ended Run::run_until(Instant by, const std::function<bool()>& done) {
    bool ended = false;
    const Instant until = std::min({by, limit_, options_.until});
    world_.run_until(until, [&] {
        ended = done();
        return ended || over();
    });
    // The world does not move on to an instant at which nothing happens.
    if (!ended && until == options_.until && world_.timeline().next_at() > until)
        until_reached_ = true;
    if (!ended && !world_.failure() && world_.now() < until && !over()) return Ended::No;  // idle
    return ended ? Ended::Yes : Ended::No;
}

void Run::spawn(Host& host, std::string_view name, std::function<void(Fiber&, Env&)> body) {
    host.env()->spawn(
        name, [env = host.env(), body = std::move(body)](Fiber& fiber) { body(fiber, *env); });
}

Run::Ended Run::found() {
    spawn(cluster_.op(), "op.found", [this](Fiber& fiber, Env& env) {
        founded_ = raft::found_cluster(fiber, env, cluster_.peer_addresses(),
                                       env.now() + Duration::seconds(20));
    });
    if (run_until(limit_, [&] { return founded_.has_value(); }) == Ended::No) return Ended::No;
    if (!founded_->ok()) {
        add("run.not-founded", "founding",
            "the cluster could not be founded: " + founded_->error().text());
        return Ended::No;
    }
    if (plan_.cluster.knobs.lease_drift_ppm > 0) {
        // From the first election on, whenever that is: faults may strike before they are on.
        spawn(cluster_.op(), "op.leases", [this](Fiber& fiber, Env& env) {
            wire::GroupChange on;
            on.action = wire::ChangeAction::LeasesOn;
            on.lease_drift_ppm = static_cast<uint32_t>(plan_.cluster.knobs.lease_drift_ppm);
            // A leader that is out of touch refuses it: the operator comes back.
            const Instant deadline = env.now() + plan_.limits.sim_time;
            while (!raft::change_members(fiber, env, {cluster_.peer_addresses(), kv::kKvGroup}, on, deadline).ok())
                if (env.now() >= deadline || !env.sleep(fiber, Duration::seconds(1)).ok()) return;
        });
    }
    const Duration patience = plan_.cluster.knobs.election_timeout_max * 10 + Duration::seconds(5);
    auto ready = [&] {
        const auto leader = cluster_.leader();
        if (!leader) return false;
        for (size_t i = 0; i < cluster_.founders(); ++i)
            if (cluster_.node(i) == nullptr || !cluster_.node(i)->serving()) return false;
        return true;
    };
    if (run_until(world_.now() + patience, ready) == Ended::Yes) return Ended::Yes;
    if (!over())
        add("run.no-first-leader", "founding",
            "no leader, or a node that does not serve, " + duration_text(patience) +
                " after the founding");
    return Ended::No;
}

void Run::settle() {
    // Everything that was down starts now; a leader is owed within ten election timeouts of that.
    const Instant healed = world_.now();
    liveness_.healed(healed);
    const Duration election = plan_.cluster.knobs.election_timeout_max * 10 + Duration::seconds(3);
    const Instant by = healed + plan_.phases.heal_within;
    if (run_until(healed + election, [&] { return cluster_.leader().has_value(); }) == Ended::No &&
        !over() && plan_.check.liveness)
        add("liveness.no-leader", "heal",
            "no leader " + duration_text(election) + " after all faults ended");
    if (over()) return;
    if (cluster_.changes_members()) {
        // Operators finish; then whoever lost its disk is taken in anew, as one would.
        run_until(by, [&] { return cluster_.orders_running() == 0; });
        run_until(by, [&] { return watcher_.settled_voters().has_value(); });
        if (over()) return;
        cluster_.replace_lost(plan_.phases.heal_within);
        auto anyone_returns = [&] {
            for (size_t i = 0; i < cluster_.size(); ++i)
                if (cluster_.returns(i)) return true;
            return false;
        };
        run_until(world_.now() + plan_.phases.heal_within,
                  [&] { return cluster_.orders_running() == 0 && watcher_.settled_voters() && !anyone_returns(); });
        if (over()) return;
        if (anyone_returns() && plan_.check.liveness)
            add("liveness.replica-not-back", "heal", "a retired replica's node has not been taken back " + duration_text(world_.now() - healed) + " after all faults ended");
        if (!watcher_.settled_voters() && plan_.check.liveness)
            add("liveness.members-unsettled", "heal", "a change of members has not come to its end " + duration_text(world_.now() - healed) + " after all faults ended");
    }
    // Clients that still have something to do get a third of the time for it.
    run_until(std::min(by, healed + plan_.phases.heal_within / 3),
              [&] { return workload_.finished(); });
    workload_.stop();
    run_until(by, [&] { return workload_.finished(); });
    if (over()) return;
    if (!workload_.finished()) run_until(by + Duration::millis(1), [] { return false; });
    liveness_.check({world_.now(), history_.mark()});
}

void Run::verify() {
    // The last write, silence, and then every member must hold it: nothing else carries news in an
    // idle group.
    bool anyone_lost = false;
    for (size_t i = 0; i < cluster_.size(); ++i)
        anyone_lost |= cluster_.standing(i) == Cluster::Standing::Lost;
    const Instant by = world_.now() + plan_.phases.heal_within;
    if (plan_.check.wait) {
        const Duration timeout = anyone_lost ? Duration::millis(200) : plan_.phases.heal_within / 2;
        spawn(cluster_.op(), "op.wait", [this, timeout](Fiber& fiber, Env& own) {
            held_ = workload_.write_and_wait_all(fiber, own, plan_.workload.idle_tail, timeout,
                                                 own.now() + plan_.phases.heal_within);
        });
        if (run_until(by + plan_.phases.heal_within, [&] { return held_.has_value(); }) ==
            Ended::No) {
            if (!over())
                add("liveness.pending-operation", "waitall", "the last WAITALL has no answer");
            return;
        }
        if (!held_->ok()) {
            add("liveness.no-write", "heal", held_->error().context);
            return;
        }
        const std::optional<std::vector<NodeId>> voters = watcher_.settled_voters();
        const int64_t expected = static_cast<int64_t>(voters ? voters->size() : cluster_.founders());
        if ((*held_)->required != expected)
            add("wait.wrong-members", "last waitall",
                "WAITALL asked " + std::to_string((*held_)->required) + " of " +
                    std::to_string(expected) + " members");
        for (size_t i = 0; i < cluster_.size(); ++i)  // one that was still looking at its log when the wait began
            anyone_lost |= cluster_.standing(i) == Cluster::Standing::Lost;
        if (!anyone_lost && (*held_)->acked < expected)
            add("wait.no-progress", "last waitall",
                "in an idle healed group only " + std::to_string((*held_)->acked) + " of " +
                    std::to_string(expected) + " members hold the last write after " +
                    duration_text(timeout));
        if (!anyone_lost && plan_.workload.odd_waits_p > 0 && verify_waits() == Ended::No) return;
    }

    spawn(cluster_.op(), "op.read", [this](Fiber& fiber, Env& own) {
        read_ =
            workload_.read_all(fiber, own, own.now() + plan_.phases.heal_within,
                               [this](const Bytes& key, const check::Value& value) {
                                   ledger_.final_read(key, value, {world_.now(), history_.mark()});
                               });
    });
    if (run_until(world_.now() + plan_.phases.heal_within * 2, [&] { return read_.has_value(); }) ==
        Ended::No)
        return;
    if (!read_->ok()) {
        add("liveness.unreadable", "final read", read_->error().context);
        return;
    }

    // At rest all members have applied the same, and hold the same.
    auto converged = [&] {
        LogIndex highest;
        for (size_t i = 0; i < cluster_.size(); ++i)
            if (raft::Group* group = cluster_.group(i))
                highest = std::max(highest, group->core().commit());
        for (size_t i = 0; i < cluster_.size(); ++i) {
            if (cluster_.standing(i) != Cluster::Standing::Member) continue;
            raft::Group* group = cluster_.group(i);
            if (group == nullptr || group->applied() != highest) return false;
        }
        return true;
    };
    run_until(world_.now() + plan_.phases.heal_within, converged);
    if (over()) return;
    for (size_t i = 0; i < cluster_.size(); ++i) {
        if (cluster_.standing(i) != Cluster::Standing::Member) continue;
        kv::KvNode* node = cluster_.node(i);
        if (node == nullptr || node->service() == nullptr) {
            add("replica.not-serving", "rest",
                cluster_.member(i).name() + " does not serve though all faults ended");
            continue;
        }
        ++digests_pending_;
        spawn(cluster_.member(i), "check.digest", [this, i, node](Fiber& fiber, Env&) {
            Result<kv::KvMachine::Digest> digest = node->service()->machine().digest(fiber);
            if (digest.ok()) {
                states_.push_back({NodeId(i + 1), digest->applied, digest->digest});
            } else {
                notes_.push_back("no digest of n" + std::to_string(i + 1) + ": " +
                                 digest.error().text());
            }
            --digests_pending_;
        });
    }
    if (run_until(world_.now() + plan_.phases.heal_within, [&] { return digests_pending_ == 0; }) ==
        Ended::No)
        return;
    std::sort(states_.begin(), states_.end(),
              [](const auto& a, const auto& b) { return a.node < b.node; });
    if (plan_.cluster.knobs.lease_drift_ppm > 0) {
        uint64_t reads = 0;
        for (size_t i = 0; i < cluster_.size(); ++i)
            if (kv::KvNode* node = cluster_.node(i); node != nullptr && node->service() != nullptr) reads += node->service()->counters().lease_reads;
        // The operator's attempts take a while, and their answers may be lost.
        auto on = [&] {
            const auto leader = cluster_.leader();
            return leader && cluster_.group(*leader)->core().log().configuration().lease().on();
        };
        if (run_until(world_.now() + plan_.phases.heal_within, on) == Ended::No && !over()) add("liveness.leases-not-on", "heal", "leases were asked for, and are not on " + duration_text(plan_.phases.heal_within) + " after all faults ended");
        if (reads == 0) notes_.push_back("no read was answered under a lease since the nodes' last start");
    }
    if (plan_.check.replicas)
        replicas_.at_rest({world_.now(), history_.mark()}, kv::kKvGroup, states_);
    verified_ = true;
}

Run::Ended Run::verify_waits() {
    const std::optional<std::vector<NodeId>> voters = watcher_.settled_voters();
    const std::optional<size_t> leader = cluster_.leader();
    if (!voters || !leader) return Ended::Yes;
    spawn(cluster_.op(), "op.idle", [this, count = voters->size()](Fiber& fiber, Env& own) {
        idle_ = workload_.idle_rounds(fiber, own, plan_.cluster.knobs.heartbeat, count, own.now() + plan_.phases.heal_within);
    });
    if (run_until(world_.now() + plan_.phases.heal_within * 2, [&] { return idle_.has_value(); }) == Ended::No) return Ended::No;
    if (!idle_->ok()) notes_.push_back("waits in the idle group were not timed: " + idle_->error().context);
    // A member that says nothing, so that nobody's wait can end, and clients that leave while they wait.
    std::vector<size_t> others;
    for (NodeId voter : *voters)
        if (voter.value != *leader + 1) others.push_back(voter.value - 1);
    if (others.size() < 2 || cluster_.leader() != leader) return Ended::Yes;
    Host& silent = cluster_.member(others.front());
    if (silent.state() != Host::State::Up) return Ended::Yes;
    silent.pause();
    spawn(cluster_.op(), "op.leave", [this, at = std::vector<size_t>{*leader, others.back()}](Fiber& fiber, Env& own) {
        left_ = workload_.leave_while_waiting(fiber, own, at, own.now() + Duration::seconds(5));
    });
    const Ended done = run_until(world_.now() + Duration::seconds(12), [&] { return left_.has_value(); });
    if (done == Ended::Yes && left_->ok() && **left_ > 0) {
        for (size_t i = 0; i < cluster_.size(); ++i)
            if (kv::KvNode* node = cluster_.node(i); node != nullptr && node->service() != nullptr && i != others.front())
                waits_.left_over({world_.now(), history_.mark()}, NodeId(i + 1), node->service()->waiting());
        watcher_.reached("wait.left_by_client");
    }
    if (silent.state() == Host::State::Paused) silent.resume();
    return done;
}

check::Verdict Run::judge_expiry() {
    for (const Fired& fired : injector_.fired()) {
        const auto* jump = std::get_if<ClockJump>(&plan_.plan.events[fired.event].fault);
        if (jump == nullptr) continue;
        // Whom a symbolic name meant is not kept: then it may have been anybody.
        Host* named = world_.find_host(jump->node);
        for (size_t i = 0; i < cluster_.size(); ++i)
            if (named == nullptr || named == &cluster_.member(i))
                expiry_.wall_moved(NodeId(i + 1), jump->by, fired.at);
    }
    return expiry_.judge();
}

void Run::judge_history(RunResult& result, std::vector<check::Verdict>& parts) {
    auto bad = [&](const Error& error) {
        parts.push_back({check::Outcome::Violated,
                         {{.name = "run.bad-history", .text = error.text(), .at = world_.now(), .sequence = history_.sequence(), .site = "history"}},
                         {}});
    };
    // Lists and counters tell their order themselves. The search judges them too where there are not many of them and no
    // transaction joins them.
    const std::vector<check::Operation>& all = history_.operations();
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

void Run::judge_all(RunResult& result) {
    std::vector<check::Verdict> parts;
    auto violated = [&](const std::vector<check::Violation>& list) {
        if (!list.empty()) parts.push_back({check::Outcome::Violated, list, {}});
    };
    auto inconclusive = [&](std::string why) {
        parts.push_back({check::Outcome::Inconclusive, {}, std::move(why)});
    };
    if (plan_.check.raft) parts.push_back(watcher_.raft().verdict());
    violated(found_.list());
    if (const auto& failure = world_.failure()) {
        // The site of a failed run is its text up to the operands: numbers are taken out by the
        // signature.
        const std::string site = failure->text.substr(0, failure->text.find(" | "));
        parts.push_back({check::Outcome::Violated,
                         {{.name = failure->name,
                           .text = failure->text,
                           .at = failure->at,
                           .sequence = history_.sequence(),
                           .site = site.substr(0, 160)}},
                         {}});
        result.recent = world_.recent_events();
    }
    if (plan_.check.wait) {
        violated(waits_.violations());
        if (waits_.replies() == 0) notes_.push_back("no WAIT of the workload was answered");
    }
    judge_history(result, parts);
    if (verified_ && plan_.check.durability) {
        ledger_.add(history_.operations());
        check::Verdict verdict = ledger_.judge();
        if (verdict.outcome != check::Outcome::Inconclusive || workload_.ok() > 0)
            parts.push_back(std::move(verdict));
    }
    // With fewer than two members left there is nothing to compare.
    if (verified_ && plan_.check.replicas && states_.size() > 1)
        parts.push_back(replicas_.verdict());
    if (verified_ && states_.size() < 2)
        notes_.push_back("fewer than two members to compare at rest");
    if (plan_.check.expiry && (plan_.workload.mix.expire > 0 || plan_.workload.kind == "kv-script")) {
        check::Verdict verdict = judge_expiry();
        if (expiry_.judged() > 0) {
            parts.push_back(std::move(verdict));
        } else {
            notes_.push_back(verdict.reason);
        }
    }
    if (plan_.check.liveness) violated(liveness_.violations());
    if (!world_.failure()) {
        if (workload_.ok() == 0)
            inconclusive("no operation of a client succeeded: nothing was checked");
        if (!verified_ && plan_.phases.verify)
            inconclusive(unfinished_.empty() ? "the run ended before its state was verified"
                                             : unfinished_);
        for (const std::string& id : plan_.check.require_fired) {
            const bool fired = std::any_of(
                injector_.fired().begin(), injector_.fired().end(), [&](const Fired& one) {
                    return plan_.plan.events[one.event].id == id && one.effective;
                });
            if (!fired) inconclusive("event '" + id + "' had to fire and did not");
        }
    }
    result.verdict = check::combine(std::move(parts));
}

void Run::tear_down() {
    // Every fiber ends here, while what it uses is alive. A failed run is left as it is.
    for (size_t i = 0; i < world_.host_count() && !world_.failure(); ++i) {
        Host& host = world_.host(i);
        if (host.state() == Host::State::Paused) host.resume();
        if (host.up()) host.crash(Host::Death::Kill);
    }
}

RunResult Run::go() {
    RunResult result;
    result.plan = plan_;
    cluster_.start_all();
    if (found() == Ended::Yes) {
        workload_.start();
        injector_.begin();
        const Instant begun = world_.now();
        const Instant chaos_end = begun + plan_.phases.chaos;
        run_until(chaos_end, [] { return false; });
        // Events that follow others may come later than the phase.
        while (!over() && world_.now() < injector_.last_due() && world_.now() < limit_)
            run_until(injector_.last_due(), [] { return false; });
        if (!over()) {
            injector_.heal();
            settle();
        }
        if (!over() && workload_.finished() && plan_.phases.verify) verify();
    }
    if (!over() && world_.now() >= limit_)
        add("run.no-progress", "limit",
            "the run was not over after " + duration_text(plan_.limits.sim_time) +
                " of simulated time");
    if (until_reached_ || world_.now() >= options_.until ||
        world_.timeline().hash().steps() >= options_.until_step) {
        unfinished_ = "stopped where it was asked to";
        result.stopped = true;
    }
    const TraceHash& hash = world_.timeline().hash();
    result.hash = hash.value();
    result.steps = hash.steps();
    result.checkpoints = hash.checkpoints();
    result.watched_hash = hash.watched_value();
    result.sim_time = world_.now() - Instant{};
    if (sink_ != nullptr) sink_->close();
    tear_down();
    judge_all(result);
    for (const Fired& fired : injector_.fired()) {
        const PlannedFault& event = plan_.plan.events[fired.event];
        result.faults.push_back({fired.event, event.id, std::string(fault_name(event.fault)),
                                 fired.at, fired.what, fired.effective});
    }
    result.never_fired = injector_.never_fired();
    result.probes = watcher_.probes();
    result.operations = history_.operations().size();
    result.operations_ok = workload_.ok();
    result.operations_unknown = workload_.unknown();
    result.waits_checked = waits_.replies();
    result.raft_events = watcher_.raft().events();
    result.notes = std::move(notes_);
    result.history = std::move(history_);
    return result;
}

}  // namespace

RunResult run_plan(const Scenario& plan, const RunOptions& options) {
    CHECK(plan.is_plan(), plan.name);
    RunResult refused;
    refused.plan = plan;
    DefectSet defects;
    for (const std::vector<std::string>* names : {&plan.defects, &options.defects}) {
        for (const std::string& name : *names) {
            const std::optional<Defect> defect = find_defect(name);
            if (!defect) {
                refused.verdict.reason = "there is no defect '" + name + "'";
                return refused;
            }
            defects |= only(*defect);
        }
    }
    if (options.check_determinism) {
        if (Result<void> checked = check_rocksdb_is_deterministic(plan.seed); !checked.ok()) {
            refused.verdict.reason = "this process is not deterministic: " + checked.error().text();
            return refused;
        }
    }
    reset_rocksdb_process_state(plan.seed);
    set_defects(defects);
    auto run = std::make_unique<Run>(plan, options);
    RunResult result = run->go();
    // The fibers of a failed run are left where they stand, and with them all that they stand on.
    if (run->failed()) {
        (void)run.release();
    } else {
        run.reset();
    }
    set_defects({});
    return result;
}

RunResult run_scenario(const Scenario& scenario, uint64_t seed, const RunOptions& options) {
    return run_plan(expand(scenario, seed), options);
}

}  // namespace orrery::sim
