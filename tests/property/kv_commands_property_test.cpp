// Properties of transactions, expiry and membership under generated command schedules: small worlds in which the clients
// do what a script says, line by line, while a few faults strike. What rapidcheck shrinks is the script as well as the
// faults, so a failure is a handful of commands to read.
#include "plans.h"
#include "sim/scenario/scenario_toml.h"
#include "tests/sanitized.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

using namespace orrery;
using namespace orrery::sim;

namespace {

constexpr int kClients = 3;

rc::Gen<std::string> key(bool lists_only = false) {
    return rc::gen::map(rc::gen::inRange(0, lists_only ? 2 : 3), [](int n) { return n < 2 ? "a" + std::to_string(n) : std::string("n0"); });
}

/// "append:a0", of a transaction; with ' ' in place of ':' a command of its own.
rc::Gen<std::string> command(char between) {
    return rc::gen::apply(
        [between](int kind, std::string which, int by) {
            const std::string gap(1, between);
            if (kind == 0) return "get" + gap + which;
            return which[0] == 'a' ? "append" + gap + which : "incr" + gap + which + gap + std::to_string(by);
        },
        rc::gen::inRange(0, 3), key(), rc::gen::inRange(1, 4));
}

std::string line_of(int client, int pause, const std::string& what) { return "c" + std::to_string(client) + " " + std::to_string(pause) + "ms " + what; }

/// A range grows with the size that rapidcheck gives, and only lists are to: their items are drawn from all of their ranges.
template <typename T>
rc::Gen<std::vector<T>> list_of(double how_many, rc::Gen<T> item) {
    return rc::gen::scale(how_many, rc::gen::container<std::vector<T>>(rc::gen::resize(rc::kNominalSize, std::move(item))));
}

rc::Gen<std::string> transaction_line() {
    return rc::gen::apply(
        [](int client, int pause, std::vector<std::string> watched, std::vector<std::string> commands, std::string last) {
            std::string what = "txn";
            if (watched.size() > 2) watched.resize(2);
            if (commands.size() > 3) commands.resize(3);
            for (const std::string& one : watched) what += " watch:" + one;
            for (const std::string& one : commands) what += " " + one;
            return line_of(client, pause, what + " " + last);
        },
        rc::gen::inRange(1, kClients + 1), rc::gen::inRange(0, 40), list_of<std::string>(0.03, key()),
        list_of<std::string>(0.05, command(':')), command(':'));
}

rc::Gen<std::string> single_line() {
    return rc::gen::apply(line_of, rc::gen::inRange(1, kClients + 1), rc::gen::inRange(0, 40), command(' '));
}

rc::Gen<std::string> expiry_line() {
    return rc::gen::apply(
        [](int client, int pause, int kind, int ttl, int other) {
            const std::string time = " " + std::to_string(ttl) + "ms", owner = " c" + std::to_string(other);
            return line_of(client, pause, kind < 3 ? "set" + time : kind < 5 ? "expire" + time : kind < 6 ? "persist" : kind < 10 ? "read" + owner : "ttl" + owner);
        },
        rc::gen::inRange(1, kClients + 1), rc::gen::inRange(0, 250), rc::gen::inRange(0, 12), rc::gen::inRange(50, 2500), rc::gen::inRange(1, kClients + 1));
}

rc::Gen<std::vector<PlannedFault>> faults(const rc::Gen<Fault>& kinds, double how_many, int last_ms) {
    return list_of<PlannedFault>(how_many, rc::gen::apply([](Duration at, Fault one) { return PlannedFault{"", TriggerAt{at}, std::move(one)}; }, millis(0, last_ms), kinds));
}

/// A plan of three nodes, a script of such lines and such faults.
rc::Gen<Scenario> plan(const rc::Gen<std::string>& line, const rc::Gen<std::vector<PlannedFault>>& events, int chaos_ms) {
    return rc::gen::apply(
        [chaos_ms](std::vector<std::string> script, std::string least, std::vector<PlannedFault> planned, int seed) {
            Scenario out;
            out.name = "property";
            out.seed = static_cast<uint64_t>(seed);
            script.push_back(std::move(least));
            out.workload.kind = "kv-script";
            out.workload.clients = kClients;
            out.workload.ops = 0;
            out.workload.op_timeout = Duration::seconds(2);
            out.workload.script = std::move(script);
            out.cluster.knobs.flush_log_bytes = 8 << 10;
            out.phases.chaos = Duration::millis(chaos_ms);
            out.plan.events = std::move(planned);
            out.check.expect_errors = {"kv.time_off"};
            return out;
        },
        list_of<std::string>(0.6, line), rc::gen::resize(rc::kNominalSize, line), events, rc::gen::inRange(1, 1 << 20));
}

rc::Gen<Fault> clock_or_other() {
    auto drift = rc::gen::apply([](NodeName node, int ppm) { return Fault(ClockDrift{.node = std::move(node), .ppm = ppm}); }, node_name(), rc::gen::inRange(-20'000, 20'000));
    auto jump = rc::gen::apply([](NodeName node, int ms) { return Fault(ClockJump{.node = std::move(node), .by = Duration::millis(ms)}); }, node_name(), rc::gen::inRange(-3'600'000, 3'600'000));
    return rc::gen::weightedOneOf<Fault>({{2, drift}, {2, jump}, {3, fault()}});
}

}  // namespace

TEST_CASE("property: transactions are strictly serializable, and none is half there (any schedule)") {
    const auto line = rc::gen::weightedOneOf<std::string>({{3, transaction_line()}, {2, single_line()}});
    for_all_plans("transactions", 40, plan(line, faults(fault(), 0.06, 1200), 1500), [](const Scenario& plan) {
        return violation_of(plan, {"order.", "durability.", "run.", "resp.", "replica.", "event.error", "liveness.", "check.failed"});
    });
}

TEST_CASE("property: no key outlives its time, goes before it, or comes back (any schedule)") {
    for_all_plans("expiry", 40, plan(expiry_line(), faults(clock_or_other(), 0.06, 2500), 3000), [](const Scenario& plan) {
        return violation_of(plan, {"expiry.", "replica.", "resp.", "event.error", "liveness.", "check.failed"});
    });
}

TEST_CASE("property: members come and go and nothing is lost or out of order (any schedule)") {
    const auto line = rc::gen::weightedOneOf<std::string>({{2, transaction_line()}, {3, single_line()}});
    const auto kinds = rc::gen::weightedOneOf<Fault>({{3, member_fault()}, {1, fault()}});
    for_all_plans("members", 30, plan(line, faults(kinds, 0.08, 2500), 3000), [](Scenario plan) {
        plan.cluster.spare = 2;
        plan.cluster.knobs.retain_bytes = 4 << 10;  // newcomers get snapshots
        plan.phases.heal_within = Duration::seconds(25);
        return violation_of(plan, {"raft.", "order.", "durability.", "replica.", "event.error", "check.failed", "liveness."});
    });
}

TEST_CASE("property: the schedules find planted bugs of transactions and expiry") {
    if (test::kSanitized) return;
    struct Planted {
        const char* defect;
        rc::Gen<Scenario> plan;
    };
    const std::vector<Planted> all{
        {"watch_ignored", plan(transaction_line(), faults(fault(), 0, 1000), 1500)},
        {"exec_compares_at_proposal", plan(transaction_line(), faults(fault(), 0, 1000), 1500)},
        {"expiry_by_local_clock", plan(expiry_line(), faults(clock_or_other(), 0.06, 2500), 3000)},
    };
    for (const Planted& planted : all) {
        RunOptions options;
        options.defects = {planted.defect};
        bool found = false;
        rc::detail::TestParams params;
        params.maxSuccess = 80;
        params.seed = 3;
        params.disableShrinking = true;
        (void)rc::detail::checkTestable(
            [&]() {
                const Scenario one = *planted.plan;
                found = run_in_child(one, options).outcome == check::Outcome::Violated;
                RC_ASSERT(!found);
            },
            rc::detail::TestMetadata(), params);
        CHECK_MESSAGE(found, std::string(planted.defect));
    }
}
