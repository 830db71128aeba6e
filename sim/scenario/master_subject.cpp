#include "sim/scenario/master_subject.h"

#include <algorithm>
#include <cstdlib>

#include "node/raft/state_space.h"
#include "sim/check/linearizability.h"

namespace orrery::sim {

namespace {

constexpr int64_t kHopsMax = 3;  // hops of one request, behind which a client gives up

check::ListCheckerOptions list_options(const Scenario& plan) {
    int64_t ppm = 0;
    for (const PlannedFault& event : plan.plan.events)
        if (const auto* drift = std::get_if<ClockDrift>(&event.fault)) ppm = std::max(ppm, std::abs(drift->ppm));
    return {.slow_ppm = ppm};
}

std::string printable(ByteView key) {
    std::string out;
    for (const char c : key.substr(0, 24)) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte >= ' ' && byte < 127) {
            out.push_back(c);
        } else {
            out.append("\\x").push_back("0123456789abcdef"[byte >> 4]);
            out.push_back("0123456789abcdef"[byte & 15]);
        }
    }
    return out;
}

}  // namespace

MasterSubject::MasterSubject(Stage& stage)
    : stage_(stage),
      lists_(list_options(stage.plan)),
      workload_(stage.world, stage.cluster, stage.plan, stage.history, stage.liveness, lists_, model_, found_),
      data_(stage.world, stage.cluster, found_) {
    stage.world.add_observer(*this, true);
}

void MasterSubject::start() {
    data_.start();
    workload_.start();
}

void MasterSubject::stop() {
    data_.calm();
    workload_.stop();
}

// ---- what the masters have agreed on

void MasterSubject::on_event(Host& host, const TraceEvent& event) {
    if (event.name == "client.redirected" && (event.text("named") != event.text("asks") || event.number("hop") > kHopsMax))
        found_.add("client.led-astray", "redirect", stage_.stamp(), host.name() + " was sent to " + std::string(event.text("named")) + " and asks " + std::string(event.text("asks")) + ", hop " + std::to_string(event.number("hop")));
    if (host.index() >= stage_.cluster.size() || host.ending()) return;
    const LogIndex index(static_cast<uint64_t>(event.number("index")));
    if (event.name == "raft.commit") {
        lists_.committed(std::max(index, LogIndex(static_cast<uint64_t>(event.number("of_group")))), stage_.world.now());
    } else if (event.name == "raft.apply") {
        follow(host.index(), index);
    }
}

/// Whoever applies an entry first still has it in its log.
void MasterSubject::follow(size_t member, LogIndex index) {
    if (index <= model_.applied() || lost_track_) return;
    const raft::Group* group = stage_.cluster.group(member);
    const raft::Entry* entry = group != nullptr ? group->core().log().at(index) : nullptr;
    if (entry == nullptr || index != model_.applied().next()) {
        lost_track_ = true;
        return;
    }
    std::optional<std::string> wrong = model_.apply(index, entry->kind == raft::EntryKind::Data ? std::optional(entry->body_view()) : std::nullopt);
    if (!wrong && index.value % 16 == 0) wrong = model_.count();
    if (wrong) found_.add("master.wrong-state", "apply", stage_.stamp(), *wrong);
}

// ---- at the end

bool MasterSubject::verify() {
    data_.calm();
    return read_everything() && nobody_waits() && compare_states();
}

/// Whoever asked has gone, or been answered: what still waits would wait for ever.
bool MasterSubject::nobody_waits() {
    auto left = [&] {
        size_t waiting = 0;
        for (size_t i = 0; i < stage_.cluster.size(); ++i)
            if (master::MasterNode* node = stage_.cluster.master(i); node != nullptr && node->service() != nullptr) waiting += node->service()->waiting();
        return waiting;
    };
    const Duration patience = stage_.plan.cluster.knobs.request_timeout + Duration::seconds(1);
    // Signs of life pass through: at some instant nobody may be on his way.
    stage_.run_until(stage_.world.now() + patience, [&] { return left() == 0; });
    if (stage_.over()) return false;
    if (left() > 0)
        found_.add("master.left-waiting", "rest", stage_.stamp(), std::to_string(left()) + " questions still wait " + duration_text(patience) + " after the last client has left");
    return true;
}

bool MasterSubject::read_everything() {
    const Duration within = stage_.plan.phases.heal_within;
    Stage::spawn(stage_.cluster.op(), "op.read", [this, within](Fiber& fiber, Env& own) {
        read_ = workload_.read_all(fiber, own, own.now() + within, [this](const Bytes& name, const check::Value& value) {
            ledger_.final_read(name, value, stage_.stamp());
        });
    });
    if (stage_.run_until(stage_.world.now() + within * 2, [&] { return read_.has_value(); }) == Stage::Ended::No) return false;
    if (!read_->ok()) stage_.add("liveness.unreadable", "final read", read_->error().context);
    return read_->ok();
}

bool MasterSubject::compare_states() {
    const Duration within = stage_.plan.phases.heal_within;
    stage_.run_until(stage_.world.now() + within, [&] { return stage_.cluster.all_applied(); });
    if (stage_.over()) return false;
    if (!stage_.cluster.all_applied() && stage_.plan.check.liveness)
        stage_.add("replica.not-converged", "rest", "a master has not applied what is committed " + duration_text(within) + " after all clients ended");
    if (const std::optional<std::string> wrong = model_.count()) found_.add("master.wrong-state", "rest", stage_.stamp(), *wrong);
    for (size_t i = 0; i < stage_.cluster.size(); ++i) {
        if (stage_.cluster.standing(i) != Cluster::Standing::Member) continue;
        master::MasterNode* node = stage_.cluster.master(i);
        if (node == nullptr || node->service() == nullptr) {
            stage_.add("replica.not-serving", "rest", stage_.cluster.member(i).name() + " does not serve though all faults ended");
            continue;
        }
        ++states_pending_;
        Stage::spawn(stage_.cluster.member(i), "check.state", [this, i](Fiber& fiber, Env&) {
            if (Result<void> compared = compare_state(fiber, i); !compared.ok())
                stage_.note("the state of " + stage_.cluster.member(i).name() + " was not compared: " + compared.error().text());
            --states_pending_;
        });
    }
    return stage_.run_until(stage_.world.now() + within, [&] { return states_pending_ == 0; }) == Stage::Ended::Yes;
}

Result<void> MasterSubject::compare_state(Fiber& fiber, size_t member) {
    const raft::Group& group = *stage_.cluster.group(member);
    const std::shared_ptr<const raft::StateSpace> space = group.space();
    const LogIndex applied = group.applied();
    if (applied > model_.applied()) return Error(Code::NotReady, "it is of an index that the model has not");
    const std::string name = stage_.cluster.member(member).name();
    // One point of the Store, taken in the turn in which the index was read.
    const store::Store& store = stage_.cluster.node(member)->host()->store();
    const std::unique_ptr<store::Snapshot> point = store.snapshot();
    const std::map<Bytes, Bytes> wanted = model_.at(applied);
    auto differs = [&](const std::string& what) {
        found_.add("master.state-diverged", "rest", stage_.stamp(), name + " at index " + std::to_string(applied.value) + " " + what);
    };
    auto next = wanted.begin();
    const Bytes end = raft::space_end(*space);
    for (Bytes from = raft::space_begin(*space);;) {
        TRY(store::Store::Chunk chunk, store.scan(fiber, point.get(), from, end));
        for (const auto& [whole, value] : chunk.pairs) {
            const Bytes key = whole.substr(raft::kSpaceBytes);
            if (key.front() == '\0') continue;  // the driver's
            if (next == wanted.end() || key < next->first) return differs("has a record too many, " + printable(key)), Result<void>();
            if (next->first < key) return differs("lacks the record " + printable(next->first)), Result<void>();
            if (next->second != value) return differs("has another record " + printable(key)), Result<void>();
            ++next;
        }
        if (!chunk.next) break;
        from = std::move(*chunk.next);
    }
    if (next != wanted.end()) differs("lacks the record " + printable(next->first));
    ++states_compared_;
    return {};
}

void MasterSubject::judge(bool verified, const std::vector<Fired>&, RunResult& result, std::vector<check::Verdict>& parts) {
    using check::Outcome;
    const Checks& check = stage_.plan.check;
    auto add = [&](const std::vector<check::Violation>& list) {
        if (!list.empty()) parts.push_back({Outcome::Violated, list, {}});
    };
    auto inconclusive = [&](std::string why) { parts.push_back({Outcome::Inconclusive, {}, std::move(why)}); };
    if (check.lists) {
        add(found_.list());
        add(lists_.violations());
        if (lists_.full()) inconclusive("more answers of masters than are remembered");
        if (lost_track_) inconclusive("an entry was applied that the testbed saw in nobody's log");
    }
    result.lists_checked = lists_.answers();
    if (verified && data_.registered() == 0) inconclusive("no data node was registered: nothing could be placed");
    if (check.linearizable) {
        Result<check::LinearizabilityReport> report = check::check_linearizable(stage_.history.operations(), check::Model::Kv);
        if (!report.ok()) {
            parts.push_back({Outcome::Violated, {{.name = "run.bad-history", .text = report.error().text(), .at = stage_.world.now(), .sequence = stage_.history.sequence(), .site = "history"}}, {}});
        } else {
            result.linearizability_steps = report->steps;
            for (check::Violation& one : report->verdict.violations)
                if (one.site.empty()) one.site = "history";
            parts.push_back(std::move(report->verdict));
        }
    }
    if (verified && check.durability) {
        ledger_.add(stage_.history.operations());
        check::Verdict verdict = ledger_.judge();
        if (verdict.outcome != Outcome::Inconclusive || workload_.ok() > 0) parts.push_back(std::move(verdict));
    }
    if (verified && check.replicas && states_compared_ == 0 && !violated()) stage_.note("no master's state was compared at rest");
    if (lists_.answers() == 0) stage_.note("no master answered a list");
}

}  // namespace orrery::sim
