// One run, from founding to verdict: found -> chaos (faults strike, clients work) -> heal -> settle
// -> verify.
#include "sim/scenario/run.h"

#include <algorithm>
#include <cstdlib>

#include "node/raft/found_cluster.h"
#include "node/raft/operate_members.h"
#include "sim/core/defects.h"
#include "sim/rocksdb/l1.h"
#include "sim/scenario/kv_subject.h"
#include "sim/scenario/master_subject.h"

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

class Run : private Stage {
 public:
    Run(const Scenario& plan, const RunOptions& options)
        : Stage(world_, cluster_, plan, history_, liveness_),
          plan_(plan),
          options_(options),
          world_(world_options(plan), &plan.plan.schedule.pins),
          cluster_(world_, plan),
          expiry_(expiry_options(plan)),
          waits_(wait_options(plan)),
          watcher_(world_, cluster_, expiry_, waits_, [this] { return history_.mark(); }),
          liveness_({.bound = plan.phases.heal_within}),
          subject_(make_subject()),
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

    // Stage
    Ended run_until(Instant by, const std::function<bool()>& done) override;
    bool over() override;
    void add(std::string_view name, std::string_view site, std::string text) override { found_.add(name, site, stamp(), std::move(text)); }
    void note(std::string text) override { notes_.push_back(std::move(text)); }

    std::unique_ptr<Subject> make_subject();
    Ended found();
    void settle();
    void tear_down();
    void judge_all(RunResult& result);

    const Scenario& plan_;
    const RunOptions& options_;
    check::History history_;
    World world_;
    Cluster cluster_;
    check::ExpiryChecker expiry_;
    check::WaitChecker waits_;
    Watcher watcher_;
    check::Liveness liveness_;
    std::unique_ptr<Subject> subject_;
    Injector injector_;
    std::unique_ptr<SinkObserver> sink_;
    check::Violations found_;  // by the run itself
    std::vector<std::string> notes_;
    std::string unfinished_;  // why the verdict can be no better than inconclusive
    Instant limit_;
    bool verified_ = false;
    // What harness fibers write: they may outlive the function that spawned them.
    std::optional<Result<wire::FoundingRecord>> founded_;
    bool until_reached_ = false;  // RunOptions::until
};

bool Run::over() {
    if (world_.failure()) return true;
    if (until_reached_ || world_.now() >= options_.until ||
        world_.timeline().hash().steps() >= options_.until_step)
        return true;
    return options_.stop_at_violation && (watcher_.raft().violation_count() > 0 ||
                                          subject_->violated() || !found_.empty());
}

Stage::Ended Run::run_until(Instant by, const std::function<bool()>& done) {
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

std::unique_ptr<Subject> Run::make_subject() {
    Stage& stage = *this;
    if (plan_.cluster.of_masters()) return std::make_unique<MasterSubject>(stage);
    return std::make_unique<KvSubject>(stage, watcher_, expiry_, waits_);
}

Stage::Ended Run::found() {
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
            while (!raft::change_members(fiber, env, {cluster_.peer_addresses(), cluster_.group_id()}, on, deadline).ok())
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
              [&] { return subject_->finished(); });
    subject_->stop();
    run_until(by, [&] { return subject_->finished(); });
    if (over()) return;
    if (!subject_->finished()) run_until(by + Duration::millis(1), [] { return false; });
    liveness_.check({world_.now(), history_.mark()});
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
    subject_->judge(verified_, injector_.fired(), result, parts);
    if (plan_.check.liveness) violated(liveness_.violations());
    if (!world_.failure()) {
        if (subject_->ok() == 0)
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
        subject_->start();
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
        if (!over() && subject_->finished() && plan_.phases.verify) verified_ = subject_->verify();
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
    result.operations_ok = subject_->ok();
    result.operations_unknown = subject_->unknown();
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
