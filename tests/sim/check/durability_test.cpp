// Every claim of the ledger, each with a history that breaks it and one that does not.
#include "sim/check/durability.h"

#include <doctest/doctest.h>

#include "generated_history.h"

using namespace orrery;
using namespace orrery::check;

namespace {

struct Book {
    DurabilityLedger ledger;
    uint64_t sequence = 0;

    void write(Operation operation, OpStatus status, uint64_t lasts = 1, Output output = {}) {
        operation.status = status;
        operation.output = output;
        operation.start_sequence = ++sequence;
        operation.end_sequence = operation.start_sequence + lasts;
        sequence = lasts == 1 ? operation.end_sequence : sequence;
        ledger.write(operation);
    }
    std::string outcome(Value final) {
        ledger.final_read("k", std::move(final), {.at = {}, .sequence = 1000});
        Verdict verdict = ledger.judge();
        return verdict.outcome == Outcome::Violated ? verdict.violations.front().name
                                                    : std::string(outcome_name(verdict.outcome));
    }
    KeyFate fate() const { return ledger.judge_keys().front().fate; }
};

}  // namespace

TEST_CASE(
    "durability: an acknowledged write that is gone is found (older value, absent, unwritten, "
    "failed)") {
    Book book;
    book.write(Operation::set(1, "k", "a"), OpStatus::Ok);
    book.write(Operation::set(1, "k", "b"), OpStatus::Ok);
    book.write(Operation::set(1, "k", "f"), OpStatus::Fail);
    CHECK_EQ(book.outcome("b"), "pass");
    CHECK_EQ(book.fate(), KeyFate::Intact);
    CHECK_EQ(book.outcome("a"), "durability.lost-write");
    CHECK_EQ(book.outcome(std::nullopt), "durability.lost-write");
    CHECK_EQ(book.outcome("z"), "durability.unwritten-value");
    CHECK_EQ(book.outcome("f"), "durability.failed-write-visible");
}

TEST_CASE("durability: an overlap, an unknown outcome and a delete explain another value") {
    Book overlap;
    overlap.write(Operation::set(1, "k", "a"), OpStatus::Ok, 10);
    overlap.write(Operation::set(2, "k", "b"), OpStatus::Ok, 10);
    CHECK_EQ(overlap.outcome("a"), "pass");
    CHECK_EQ(overlap.fate(), KeyFate::Overwritten);
    Book unknown;
    unknown.write(Operation::set(1, "k", "u"), OpStatus::Unknown);
    unknown.write(Operation::set(1, "k", "a"), OpStatus::Ok);
    CHECK_EQ(unknown.outcome("u"), "pass");
    CHECK_EQ(unknown.fate(), KeyFate::Overwritten);
    Book deleted;
    deleted.write(Operation::set(1, "k", "a"), OpStatus::Ok);
    deleted.write(Operation::del(1, "k"), OpStatus::Ok, 1, Output::of_number(1));
    CHECK_EQ(deleted.outcome(std::nullopt), "pass");
    CHECK_EQ(deleted.outcome("a"), "durability.lost-write");
    Book unmatched;  // a cas that did not match wrote nothing
    unmatched.write(Operation::set(1, "k", "a"), OpStatus::Ok);
    unmatched.write(Operation::cas(1, "k", Value("x"), Value("c")), OpStatus::Ok, 1,
                    Output::of_number(0));
    CHECK_EQ(unmatched.outcome("a"), "pass");
    CHECK_EQ(unmatched.outcome("c"), "durability.unwritten-value");
}

TEST_CASE("durability: appended tokens are there once (lost, twice, foreign, failed, unknown)") {
    Book book;
    book.write(Operation::append(1, "k", "1.1;"), OpStatus::Ok);
    book.write(Operation::append(1, "k", "1.2;"), OpStatus::Unknown);
    book.write(Operation::append(1, "k", "1.3;"), OpStatus::Fail);
    CHECK_EQ(book.outcome("1.1;"), "pass");
    CHECK_EQ(book.outcome("1.2;1.1;"), "pass");
    CHECK_EQ(book.outcome("1.2;"), "durability.lost-write");
    CHECK_EQ(book.outcome("1.1;1.2;1.2;"), "durability.duplicated-write");
    CHECK_EQ(book.outcome("1.1;1.3;"), "durability.failed-write-visible");
    CHECK_EQ(book.outcome("1.1;9.9;"), "durability.unwritten-value");
}

TEST_CASE("durability: a counter lies between the acknowledged and the possible sum") {
    Book book;
    book.write(Operation::incr(1, "k", 5), OpStatus::Ok);
    book.write(Operation::incr(1, "k", 2), OpStatus::Unknown);
    book.write(Operation::incr(1, "k", -1), OpStatus::Unknown);
    for (auto good : {"4", "5", "6", "7"}) CHECK_EQ(book.outcome(good), "pass");
    for (auto bad : {"3", "8", "10"}) CHECK_EQ(book.outcome(bad), "durability.wrong-sum");
    CHECK_EQ(book.outcome("x"), "durability.unwritten-value");
    CHECK_EQ(book.outcome(std::nullopt), "durability.lost-write");
}

TEST_CASE(
    "durability: what was not looked at is inconclusive (no write, no final read, beyond the "
    "bound)") {
    DurabilityLedger empty;
    CHECK_EQ(empty.judge().outcome, Outcome::Inconclusive);
    Book unread;
    unread.write(Operation::set(1, "k", "a"), OpStatus::Ok);
    CHECK_EQ(unread.ledger.judge().outcome, Outcome::Inconclusive);
    DurabilityLedger bounded({.max_writes = 1});
    Operation set = Operation::set(1, "k", "a");
    set.status = OpStatus::Ok;
    bounded.write(set);
    bounded.write(set);
    bounded.final_read("k", Value("a"), {});
    CHECK_EQ(bounded.judge().outcome, Outcome::Inconclusive);
}

TEST_CASE("durability: generated histories pass, and fail when the last write is rolled back") {
    for (uint64_t seed = 1; seed <= 30; ++seed) {
        CAPTURE(seed);
        std::vector<Operation> operations = generate_history(
            seed, {.operations = 200, .keys = 1, .p_unknown = 0, .only_sets = true});
        std::vector<const Operation*> sets;
        for (const Operation& operation : operations)
            if (operation.kind == OpKind::Set && operation.status == OpStatus::Ok)
                sets.push_back(&operation);
        const Operation* last = sets.back();
        const Operation* early = sets.front();
        DurabilityLedger ledger;
        ledger.add(operations);
        ledger.final_read("k0", last->value, {});
        CHECK_EQ(ledger.judge().outcome, Outcome::Pass);
        ledger.final_read("k0", early->value, {});
        CHECK_EQ(ledger.judge().outcome, Outcome::Violated);
    }
}
