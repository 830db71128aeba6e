// The checker against histories that are linearizable by construction, against planted faults, and
// against brute force.
#include "sim/check/linearizability.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include "generated_history.h"
#include "runtime/base/random.h"

using namespace orrery;
using namespace orrery::check;

namespace {

Outcome outcome_of(const std::vector<Operation>& operations, Model model = Model::Kv) {
    auto report = check_linearizable(operations, model);
    REQUIRE_MESSAGE(report.ok(), report.error().text());
    return report->verdict.outcome;
}

// Operations one after the other unless given sequences.
struct HistoryScript {
    std::vector<Operation> operations;
    uint64_t sequence = 0;

    Operation& add(Operation operation, OpStatus status, Output output = {}) {
        operation.status = status;
        operation.output = std::move(output);
        operation.start_sequence = ++sequence;
        operation.end_sequence = ++sequence;
        operations.push_back(std::move(operation));
        return operations.back();
    }
};

}  // namespace

TEST_CASE(
    "check: a history of an atomic store is linearizable (every kind, unknown and failed "
    "operations)") {
    for (uint64_t seed = 1; seed <= 60; ++seed) {
        CAPTURE(seed);
        CHECK_EQ(outcome_of(generate_history(seed, {.operations = 400, .clients = 8, .keys = 3})),
                 Outcome::Pass);
    }
}

TEST_CASE(
    "check: the verdict agrees with brute force (small histories, some with one answer changed)") {
    uint64_t not_linearizable = 0, total = 0;
    bool held = rc::check("agrees with brute force", [&] {
        auto seed = *rc::gen::arbitrary<uint64_t>();
        auto size = *rc::gen::inRange<size_t>(1, 8);
        std::vector<Operation> operations = generate_history(seed, {.operations = size,
                                                                    .clients = 4,
                                                                    .keys = 1,
                                                                    .values = 2,
                                                                    .p_unknown = 0.25,
                                                                    .p_fail = 0.1});
        RandomStream random(seed, "test.mutation", 0);
        for (Operation& operation : operations) {
            if (operation.status != OpStatus::Ok || !random.chance(0.3)) continue;
            if (operation.kind == OpKind::Get)
                operation.output.value =
                    random.chance(0.3) ? Value() : Value(std::to_string(random.below(3)));
            else if (operation.output.number)
                operation.output.number = static_cast<int64_t>(random.below(3));
        }
        bool expected = brute_force_linearizable(operations);
        ++total;
        not_linearizable += expected ? 0 : 1;
        RC_ASSERT(outcome_of(operations) == (expected ? Outcome::Pass : Outcome::Violated));
    });
    CHECK(held);
    CHECK_MESSAGE(not_linearizable * 10 > total,
                  "too few of the other kind to mean anything: ", not_linearizable);
    CHECK(not_linearizable * 10 < total * 9);
}

TEST_CASE(
    "check: many seeds agree with brute force (values repeat, sets of what is there already)") {
    uint64_t bad = 0;
    for (uint64_t seed = 0; seed < 6000; ++seed) {
        std::vector<Operation> operations = generate_history(seed, {.operations = 7,
                                                                    .clients = 5,
                                                                    .keys = 1,
                                                                    .values = 2,
                                                                    .p_unknown = 0.3,
                                                                    .p_fail = 0,
                                                                    .only_sets = seed % 2 == 0,
                                                                    .repeat_values = true});
        RandomStream random(seed, "test.mutation", 1);
        Operation& changed = operations[random.below(operations.size())];
        if (changed.status == OpStatus::Ok && changed.kind == OpKind::Get)
            changed.output.value = std::to_string(random.below(2));
        bool expected = brute_force_linearizable(operations);
        bad += expected ? 0 : 1;
        REQUIRE_MESSAGE(outcome_of(operations) == (expected ? Outcome::Pass : Outcome::Violated),
                        "seed ", seed);
    }
    CHECK(bad > 200);
}

TEST_CASE("check: a stale read is found and explained (planted in a long history)") {
    uint64_t planted = 0;
    for (uint64_t seed = 1; seed <= 20; ++seed) {
        std::vector<Operation> operations =
            generate_history(seed, {.operations = 300, .only_sets = true});
        // A read that ends behind a later write of its key: let it answer a value that write had
        // replaced.
        for (Operation& read : operations) {
            if (read.kind != OpKind::Get || read.status != OpStatus::Ok || !read.output.value)
                continue;
            const Operation *old = nullptr, *newer = nullptr;
            for (const Operation& write : operations) {
                bool before = write.kind == OpKind::Set && write.key == read.key &&
                              write.status == OpStatus::Ok &&
                              write.end_sequence < read.start_sequence;
                if (!before) continue;
                if (!old)
                    old = &write;
                else if (write.start_sequence > old->end_sequence)
                    newer = &write;
            }
            if (!newer) continue;
            read.output.value = old->value;
            ++planted;
            auto report = check_linearizable(operations, Model::Kv);
            REQUIRE(report.ok());
            CAPTURE(seed);
            REQUIRE_EQ(report->verdict.outcome, Outcome::Violated);
            CHECK_EQ(report->verdict.violations.front().signature(), "linearizability@get");
            CHECK_EQ(report->failures.front().key, read.key);
            CHECK(report->failures.front().text.find("cannot be placed") != std::string::npos);
            break;
        }
    }
    CHECK(planted >= 15);
}

TEST_CASE("check: a lost write, a failed write that took effect and a write twice are found") {
    HistoryScript lost;
    lost.add(Operation::set(1, "k", "a"), OpStatus::Ok);
    lost.add(Operation::set(1, "k", "b"), OpStatus::Ok);
    CHECK_EQ(outcome_of(lost.operations), Outcome::Pass);
    lost.add(Operation::get(2, "k"), OpStatus::Ok, Output::of_value("a"));
    auto report = check_linearizable(lost.operations, Model::Kv);
    REQUIRE(report.ok());
    REQUIRE_EQ(report->failures.size(), 1);
    CHECK_EQ(report->failures[0].blocked, 2);
    CHECK_EQ(report->failures[0].prefix, std::vector<size_t>{0, 1});
    CHECK_EQ(report->failures[0].state, Value("b"));
    CHECK(report->failures[0].text.find("step 1 of the order above") != std::string::npos);

    HistoryScript failed;
    failed.add(Operation::set(1, "k", "a"), OpStatus::Fail);
    failed.add(Operation::get(2, "k"), OpStatus::Ok, Output::of_value("a"));
    CHECK_EQ(outcome_of(failed.operations), Outcome::Violated);
    failed.operations[0].status = OpStatus::Unknown;
    CHECK_EQ(outcome_of(failed.operations), Outcome::Pass);

    HistoryScript twice;
    twice.add(Operation::append(1, "k", "x;"), OpStatus::Ok, Output::of_number(2));
    twice.add(Operation::get(2, "k"), OpStatus::Ok, Output::of_value("x;x;"));
    CHECK_EQ(outcome_of(twice.operations), Outcome::Violated);
}

TEST_CASE("check: a set of the value that is there is not placed before its time") {
    // 1: set a, then set b, then (overlapping both) set a again; a get of a at the end needs the
    // second a to come last.
    HistoryScript script;
    script.add(Operation::set(1, "k", "a"), OpStatus::Ok);
    Operation& again = script.add(Operation::set(2, "k", "a"), OpStatus::Ok);
    again.end_sequence = 100;
    script.add(Operation::set(1, "k", "b"), OpStatus::Ok);
    Operation& read = script.add(Operation::get(1, "k"), OpStatus::Ok, Output::of_value("a"));
    read.start_sequence = 101;
    read.end_sequence = 102;
    CHECK_EQ(outcome_of(script.operations), Outcome::Pass);
}

TEST_CASE("check: an open operation may take effect at any later time, a returned one may not") {
    HistoryScript script;
    script.add(Operation::set(1, "k", "late"), OpStatus::Unknown);
    script.add(Operation::set(2, "k", "a"), OpStatus::Ok);
    script.add(Operation::get(2, "k"), OpStatus::Ok, Output::of_value("a"));
    script.add(Operation::get(2, "k"), OpStatus::Ok, Output::of_value("late"));
    CHECK_EQ(outcome_of(script.operations), Outcome::Pass);
    script.add(Operation::get(2, "k"), OpStatus::Ok, Output::of_value("a"));
    CHECK_EQ(outcome_of(script.operations), Outcome::Violated);
    HistoryScript ok;
    ok.operations = script.operations;
    ok.operations.pop_back();
    ok.operations[0].status = OpStatus::Ok;
    CHECK_EQ(outcome_of(ok.operations), Outcome::Violated);
}

TEST_CASE(
    "check: too much to search is inconclusive, never a pass (bounds on steps and on "
    "configurations)") {
    // Forty appends at once and a read that no order explains.
    std::vector<Operation> operations;
    for (uint64_t i = 0; i < 40; ++i) {
        Operation append = Operation::append(
            i, "k", std::string(1, static_cast<char>('a' + i % 26)) + std::to_string(i));
        append.status = OpStatus::Ok;
        append.start_sequence = i + 1;
        append.end_sequence = 100 + i;
        operations.push_back(append);
    }
    Operation read = Operation::get(99, "k");
    read.status = OpStatus::Ok;
    read.output = Output::of_value("nothing like it");
    read.start_sequence = 200;
    read.end_sequence = 201;
    operations.push_back(read);
    auto steps = check_linearizable(operations, Model::Kv, {.max_steps = 50'000});
    REQUIRE(steps.ok());
    CHECK_EQ(steps->verdict.outcome, Outcome::Inconclusive);
    CHECK_EQ(steps->verdict.exit_code(), 3);
    CHECK_EQ(steps->keys_undecided, 1);
    auto configurations = check_linearizable(operations, Model::Kv, {.max_configurations = 1'000});
    REQUIRE(configurations.ok());
    CHECK_EQ(configurations->verdict.outcome, Outcome::Inconclusive);
    // A key that is wrong for certain is reported though another is undecided.
    Operation wrong = Operation::get(98, "other");
    wrong.status = OpStatus::Ok;
    wrong.output = Output::of_value("never written");
    wrong.start_sequence = 300;
    wrong.end_sequence = 301;
    operations.push_back(wrong);
    auto both = check_linearizable(operations, Model::Kv, {.max_steps = 50'000});
    REQUIRE(both.ok());
    CHECK_EQ(both->verdict.outcome, Outcome::Violated);
}

TEST_CASE(
    "check: a thousand operations of unknown outcome on one key stay cheap (3,000 calls of 8 "
    "clients)") {
    GeneratedHistoryOptions options{.operations = 3'000,
                                    .clients = 8,
                                    .keys = 1,
                                    .p_unknown = 0.3,
                                    .p_fail = 0,
                                    .only_sets = true};
    auto report = check_linearizable(generate_history(7, options), Model::Kv);
    REQUIRE(report.ok());
    CHECK_EQ(report->verdict.outcome, Outcome::Pass);
    CHECK(report->steps < 3'000'000);
}

TEST_CASE("check: models refuse what they do not know, and differ in the first value") {
    HistoryScript script;
    script.add(Operation::incr(1, "k", 1), OpStatus::Ok, Output::of_number(1));
    CHECK_EQ(check_linearizable(script.operations, Model::Register).code(), Code::Invalid);
    CHECK_EQ(check_linearizable(script.operations, Model::Append).code(), Code::Invalid);
    HistoryScript empty;
    empty.add(Operation::get(1, "k"), OpStatus::Ok, Output::of_value(""));
    CHECK_EQ(outcome_of(empty.operations, Model::Append), Outcome::Pass);
    CHECK_EQ(outcome_of(empty.operations, Model::Kv), Outcome::Violated);
    HistoryScript cas;
    cas.add(Operation::cas(1, "k", Value("1"), Value("2")), OpStatus::Ok);
    CHECK_EQ(check_linearizable(cas.operations, Model::Kv).code(), Code::Invalid);
}
