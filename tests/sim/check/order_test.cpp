// Lists, counters and transactions: hand-made histories, histories that are right by construction, and brute force.
#include "sim/check/order.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include "generated_transactions.h"
#include "runtime/base/random.h"
#include "sim/check/history_format.h"

using namespace orrery;
using namespace orrery::check;

namespace {

OrderReport report_of(const std::vector<Operation>& operations, Model model = Model::Txn) {
    Result<OrderReport> report = check_order(operations, model);
    REQUIRE_MESSAGE(report.ok(), report.error().text());
    return *report;
}

/// The first violation's name, or "pass", or "inconclusive".
std::string found(const std::vector<Operation>& operations, Model model = Model::Txn) {
    const OrderReport report = report_of(operations, model);
    if (report.verdict.outcome == Outcome::Pass) return "pass";
    return report.verdict.violations.empty() ? "inconclusive" : report.verdict.violations.front().name;
}

/// Operations one after the other, or at the sequences that are given.
struct Script {
    std::vector<Operation> operations;
    uint64_t sequence = 0;

    Operation& add(Operation operation, Output output = {}, OpStatus status = OpStatus::Ok) {
        operation.status = status;
        operation.output = std::move(output);
        operation.start_sequence = ++sequence;
        operation.end_sequence = ++sequence;
        if (status == OpStatus::Unknown) operation.end_sequence = UINT64_MAX;
        operations.push_back(std::move(operation));
        return operations.back();
    }
    Operation& incr(uint64_t client, int64_t by, int64_t answer) { return add(Operation::incr(client, "n", by), Output::of_number(answer)); }
    Operation& append(uint64_t client, const char* text, int64_t answer) { return add(Operation::append(client, "k", text), Output::of_number(answer)); }
    Operation& get(uint64_t client, const char* key, Value value) { return add(Operation::get(client, key), Output::of_value(std::move(value))); }
    Operation& txn(uint64_t client, std::vector<TxnPart> parts, std::vector<Output::Answer> answers) {
        Output output;
        output.answers = std::move(answers);
        return add(Operation::txn(client, std::move(parts)), std::move(output));
    }
    Script& at(uint64_t start, uint64_t end) {
        operations.back().start_sequence = start;
        operations.back().end_sequence = end;
        return *this;
    }
};

TxnPart read(const char* key) { return {.key = key}; }
TxnPart watch(const char* key) { return {.watched = true, .key = key}; }
TxnPart append(const char* key, const char* text) { return {.kind = OpKind::Append, .key = key, .value = text}; }
Output::Answer saw(Value value) { return {.value = std::move(value)}; }
Output::Answer told(int64_t number) { return {.number = number}; }

}  // namespace

TEST_CASE("order: counters: what fits passes, up and down, with unknown increments in the gaps") {
    Script up;
    up.get(1, "n", std::nullopt);
    up.incr(1, 2, 2);
    up.get(2, "n", "2");
    up.add(Operation::incr(3, "n", 3), {}, OpStatus::Unknown);
    up.incr(1, 1, 6);
    up.get(2, "n", "6");
    CHECK(found(up.operations, Model::Counter) == "pass");
    Script down;
    down.incr(1, -2, -2);
    down.add(Operation::incr(3, "n", -3), {}, OpStatus::Unknown);
    down.incr(1, -1, -6);
    down.get(2, "n", "-6");
    CHECK(found(down.operations, Model::Counter) == "pass");
    Script both;
    both.incr(1, 2, 2);
    both.incr(1, -1, 1);
    both.get(2, "n", "1");
    CHECK(found(both.operations, Model::Counter) == "pass");
    both.get(2, "n", "2");
    CHECK(found(both.operations, Model::Counter) == "linearizability");
}

TEST_CASE("order: counters: a lost update, a stale read, a phantom and a torn read are told with both operations") {
    Script lost;
    lost.incr(1, 2, 2);
    lost.incr(2, 2, 2);
    CHECK(found(lost.operations, Model::Counter) == "order.overlap");
    const std::string text = report_of(lost.operations).verdict.violations.front().text;
    CHECK(text.find("client 1 incr 'n' by 2 -> ok 2 [1, 2]") != std::string::npos);
    CHECK(text.find("client 2 incr 'n' by 2 -> ok 2 [3, 4]") != std::string::npos);

    Script stale;
    stale.incr(1, 2, 2);
    stale.get(2, "n", std::nullopt);
    CHECK(found(stale.operations, Model::Counter) == "order.real-time");
    const std::string sentence = report_of(stale.operations).verdict.violations.front().text;
    CHECK(sentence == "client 1 incr 'n' by 2 -> ok 2 [1, 2] was answered before client 2 get 'n' -> ok (absent) [3, 4] was called, yet must come behind it: "
                      "the latter saw 0 in 'n', the other found 0 and left 2 in 'n'");

    Script phantom;
    phantom.incr(1, 2, 5);
    CHECK(found(phantom.operations, Model::Counter) == "order.unexplained");
    // An unknown one explains it only if it was called in time.
    phantom.add(Operation::incr(3, "n", 3), {}, OpStatus::Unknown);
    CHECK(found(phantom.operations, Model::Counter) == "order.unexplained");
    phantom.operations.back().start_sequence = 0;
    CHECK(found(phantom.operations, Model::Counter) == "pass");
    phantom.operations.back().number = 2;
    CHECK(found(phantom.operations, Model::Counter) == "order.unexplained");

    Script torn;
    torn.incr(1, 4, 4);
    torn.get(2, "n", "3");
    torn.at(0, 9);
    CHECK(found(torn.operations, Model::Counter) != "pass");
}

TEST_CASE("order: lists: lost, doubled, misplaced, diverged, refused and never appended texts have each a name") {
    auto with = [](auto&& more) {
        Script script;
        script.append(1, "a;", 2);
        script.append(2, "b;", 4);
        more(script);
        return found(script.operations, Model::List);
    };
    CHECK(with([](Script& s) { s.get(3, "k", "a;b;"); }) == "pass");
    CHECK(with([](Script& s) { s.get(3, "k", "a;"); }) == "order.real-time");
    CHECK(with([](Script& s) { s.get(3, "k", "b;a;"); }) == "order.misplaced");
    CHECK(with([](Script& s) { s.get(3, "k", "b;"); }) == "order.lost");
    CHECK(with([](Script& s) { s.get(3, "k", "a;b;a;"); }) == "order.duplicated");
    CHECK(with([](Script& s) { s.get(3, "k", "a;b;z;"); }) == "order.unexplained");
    CHECK(with([](Script& s) { s.get(3, "k", "a;b"); }) == "order.unexplained");
    CHECK(with([](Script& s) {
              s.add(Operation::append(4, "k", "c;"), {}, OpStatus::Fail);
              s.get(3, "k", "a;b;c;");
          }) == "order.failed-visible");
    CHECK(with([](Script& s) {
              s.add(Operation::append(4, "k", "c;"), {}, OpStatus::Unknown);
              s.add(Operation::append(5, "k", "d;"), {}, OpStatus::Unknown);
              s.get(3, "k", "a;b;c;");
              s.get(3, "k", "a;b;d;");
          }) == "order.diverged");
    CHECK(with([](Script& s) {
              s.add(Operation::append(4, "k", "c;"), {}, OpStatus::Unknown);
              s.add(Operation::append(5, "k", "d;"), {}, OpStatus::Unknown);
              s.get(3, "k", "a;b;c;d;");
              s.append(1, "e;", 6);
          }) == "order.lost");
    CHECK(with([](Script& s) { s.append(1, "c;", 4); }) == "order.overlap");
    CHECK(with([](Script& s) { s.append(1, "c;", 9); }) == "order.unexplained");
    // Seen once and gone later, though nobody was answered in between.
    CHECK(with([](Script& s) {
              s.add(Operation::append(4, "k", "c;"), {}, OpStatus::Unknown);
              s.get(3, "k", "a;b;c;");
              s.get(3, "k", "a;b;");
          }) == "order.real-time");
}

TEST_CASE("order: a history that the answers can not order is refused, not judged") {
    Script script;
    script.append(1, "a;", 2);
    script.append(2, "a;b", 5);
    CHECK(check_order(script.operations, Model::List).code() == Code::Invalid);
    CHECK(check_order(script.operations, Model::Counter).code() == Code::Invalid);
    Script silent;
    silent.add(Operation::append(1, "k", "a"));
    CHECK(check_order(silent.operations, Model::List).code() == Code::Invalid);
    Script other;
    other.add(Operation::set(1, "k", "a"));
    CHECK(check_order(other.operations, Model::Txn).code() == Code::Invalid);
    Script mixed;
    mixed.append(1, "1", 1);
    mixed.add(Operation::incr(1, "k", 1), Output::of_number(2));
    CHECK(check_order(mixed.operations, Model::Txn).code() == Code::Invalid);
    CHECK(found({}, Model::Txn) == "pass");
}

TEST_CASE("order: transactions: what is torn, skewed or stale is a cycle; what is not, is none") {
    // Half of a transaction is seen.
    Script half;
    half.txn(1, {append("x", "1;"), append("y", "1;")}, {told(2), told(2)});
    half.txn(2, {read("x"), read("y")}, {saw("1;"), saw({})});
    half.at(0, 9);
    CHECK(found(half.operations) == "order.cycle");
    half.operations.back().output.answers[0] = saw({});
    CHECK(found(half.operations) == "pass");

    // Write skew: each looked at what the other wrote, before it did.
    Script skew;
    skew.txn(1, {read("x"), append("y", "1;")}, {saw({}), told(2)});
    skew.at(1, 4);
    skew.txn(2, {read("y"), append("x", "2;")}, {saw({}), told(2)});
    skew.at(2, 5);
    CHECK(found(skew.operations) == "order.cycle");
    CHECK(report_of(skew.operations).verdict.violations.front().text ==
          "client 1 txn [get 'x' -> (absent), append 'y' '1;' -> 2] -> ok [1, 4] and client 2 txn [get 'y' -> (absent), append 'x' '2;' -> 2] -> ok [2, 5] "
          "must each come before the other: the first saw 0 bytes of 'x', the other found 0 and left 2 bytes of 'x', and the second saw 0 bytes of 'y', the other "
          "found 0 and left 2 bytes of 'y'");
    skew.operations.back().output.answers[0] = saw("1;");
    CHECK(found(skew.operations) == "pass");

    // Serializable, but not in real time.
    Script late;
    late.txn(1, {append("x", "1;")}, {told(2)});
    late.txn(2, {read("x"), append("y", "2;")}, {saw({}), told(2)});
    CHECK(found(late.operations) == "order.real-time");
    late.at(0, 9);
    CHECK(found(late.operations) == "pass");

    // A watched key had changed when EXEC took effect.
    Script watched;
    watched.append(1, "a;", 2);
    watched.append(2, "b;", 4);
    watched.txn(3, {watch("k"), append("k", "c;")}, {saw("a;"), told(6)});
    CHECK(found(watched.operations) == "order.torn-transaction");
    CHECK(report_of(watched.operations).text.find("between them lies client 2 append 'k' 'b;' -> ok 4") != std::string::npos);

    // A transaction sees what it wrote.
    Script own;
    own.txn(1, {append("x", "1;"), read("x")}, {told(2), saw({})});
    CHECK(found(own.operations) == "order.torn-transaction");
}

TEST_CASE("order: a transaction of unknown outcome took effect as a whole, or not at all") {
    auto with = [](Value x, Value y) {
        Script script;
        script.add(Operation::txn(1, {append("x", "1;"), append("y", "1;")}), {}, OpStatus::Unknown);
        script.get(2, "x", std::move(x));
        script.get(2, "y", std::move(y));
        return found(script.operations);
    };
    CHECK(with("1;", "1;") == "pass");
    CHECK(with({}, {}) == "pass");
    CHECK(with({}, "1;") == "pass");  // between the reads
    CHECK(with("1;", {}) == "order.real-time");
}

TEST_CASE("order: a cycle of three is found and told step by step") {
    Script script;
    script.txn(1, {read("x"), append("y", "1;")}, {saw({}), told(2)});
    script.at(1, 10);
    script.txn(2, {read("y"), append("z", "2;")}, {saw({}), told(2)});
    script.at(2, 11);
    script.txn(3, {read("z"), append("x", "3;")}, {saw({}), told(2)});
    script.at(3, 12);
    const OrderReport report = report_of(script.operations);
    REQUIRE(report.verdict.violations.size() == 1);
    for (const char* client : {"client 1 txn", "client 2 txn", "client 3 txn"})
        CHECK(report.verdict.violations[0].text.find(client) != std::string::npos);
}

TEST_CASE("order: histories of an atomic store pass (single operations and transactions, unknown and refused ones)") {
    uint64_t undecided = 0;
    for (uint64_t seed = 1; seed <= 300; ++seed) {
        CAPTURE(seed);
        const bool down = seed % 3 == 0;
        const auto operations = generate_transactions(seed, {.operations = 300, .clients = 8, .lists = 1 + seed % 3, .counters = seed % 2, .p_txn = seed % 4 / 4.0, .down = down});
        const OrderReport report = report_of(operations);
        CHECK_MESSAGE(report.verdict.outcome != Outcome::Violated, report.text);
        undecided += report.verdict.outcome == Outcome::Inconclusive;
    }
    CHECK(undecided == 0);
}

namespace {

/// Small histories, most of them spoilt, against brute force. `exact`: right ones must pass and wrong ones must be found.
void against_brute_force(const GeneratedTransactionsOptions& shape, bool exact) {
    uint64_t wrong = 0, total = 0, missed = 0;
    const bool held = rc::check("agrees with brute force", [&] {
        const auto seed = *rc::gen::arbitrary<uint64_t>();
        GeneratedTransactionsOptions options = shape;
        options.operations = *rc::gen::inRange<size_t>(2, 8);
        for (uint64_t again = 0; again < 40; ++again) {
            std::vector<Operation> operations = generate_transactions(seed + again, options);
            if (again % 8 != 0) spoil(operations, seed + again);
            const bool right = brute_force_serializable(operations);
            const Result<OrderReport> report = check_order(operations, Model::Txn);
            if (!report.ok()) RC_FAIL(report.error().text());
            ++total;
            wrong += right ? 0 : 1;
            const bool passes = report->verdict.outcome == Outcome::Pass;
            missed += !right && passes;
            if (right != passes && (right || exact)) {
                std::string all = "seed " + std::to_string(seed + again) + ", brute force says " + (right ? "right" : "wrong") + ": " + report->text;
                for (const Operation& operation : operations) all += "\n  " + operation.text();
                RC_FAIL(all);
            }
        }
    });
    CHECK(held);
    CHECK_MESSAGE(wrong * 10 > total, "too few wrong ones to mean anything: " << wrong << " of " << total);
    CHECK(wrong * 10 < total * 9);
    MESSAGE(total << " histories, " << wrong << " wrong, " << missed << " of them not seen");
    CHECK(missed * 20 <= wrong);
}

}  // namespace

TEST_CASE("order: the verdict on single operations is that of brute force (unknown and refused ones included)") {
    against_brute_force({.clients = 4, .lists = 1, .counters = 0, .p_txn = 0, .p_unknown = 0.25, .p_fail = 0.1}, true);
    against_brute_force({.clients = 4, .lists = 0, .counters = 1, .p_txn = 0, .p_unknown = 0.25, .p_fail = 0.1}, true);
    against_brute_force({.clients = 4, .lists = 0, .counters = 1, .p_txn = 0, .p_unknown = 0.25, .p_fail = 0.1, .down = true}, true);
}

TEST_CASE("order: the verdict on transactions is that of brute force (all outcomes known)") {
    against_brute_force({.clients = 4, .lists = 2, .counters = 1, .p_txn = 0.7, .p_unknown = 0, .p_fail = 0.1}, true);
}

TEST_CASE("order: transactions of unknown outcome never make a right history wrong (against brute force)") {
    against_brute_force({.clients = 4, .lists = 2, .counters = 1, .p_txn = 0.7, .p_unknown = 0.3, .p_fail = 0.1}, false);
}

TEST_CASE("order: many operations make few edges, and the one that is wrong is found among them (200,000 operations)") {
    std::vector<Operation> operations = generate_transactions(5, {.operations = 200'000, .clients = 16, .lists = 4, .counters = 2, .operations_per_key_set = 400, .p_txn = 0.4});
    const OrderReport report = report_of(operations);
    REQUIRE_MESSAGE(report.verdict.outcome == Outcome::Pass, report.text);
    CHECK(report.edges < 10 * operations.size());
    // The last long read of some list forgets its last text, which was answered long before.
    for (size_t i = operations.size(); i-- > 0;) {
        Operation& one = operations[i];
        if (one.kind != OpKind::Get || one.status != OpStatus::Ok || !one.output.value || one.key[0] != 'a' || one.output.value->size() < 400) continue;
        const size_t cut = one.output.value->rfind(';', one.output.value->size() - 60);
        one.output.value->resize(cut + 1);
        break;
    }
    const OrderReport spoilt = report_of(operations);
    REQUIRE(spoilt.verdict.violations.size() == 1);
    CHECK(spoilt.verdict.violations[0].name == "order.real-time");
}

TEST_CASE("order: a counter with more gaps than can be tried out is inconclusive, not passed") {
    // Twos and fours fill gaps of 12 in very many ways, and no gap of 3: that is seen only when all were tried.
    Script script;
    int64_t value = 0;
    for (uint64_t i = 0; i < 60; ++i) script.add(Operation::incr(100 + i, "n", i % 2 == 0 ? 2 : 4), {}, OpStatus::Unknown);
    for (uint64_t i = 0; i < 12; ++i) script.incr(1, 1, value += 13);
    const Result<OrderReport> report = check_order(script.operations, Model::Counter, {.max_steps = 10'000});
    REQUIRE(report.ok());
    CHECK(report->verdict.outcome == Outcome::Pass);
    script.incr(1, 1, value += 4);  // a gap of 3
    const Result<OrderReport> never = check_order(script.operations, Model::Counter, {.max_steps = 10'000});
    REQUIRE(never.ok());
    CHECK(never->verdict.outcome == Outcome::Inconclusive);
    CHECK(never->verdict.reason.find("10000 steps") != std::string::npos);
}

TEST_CASE("order: a written history reads back as the same (txn in jsonl, every kind of part)") {
    History history;
    const auto one = history.invoke(Operation::txn(1, {watch("w"), read("r"), append("a", "x\xff"), {.kind = OpKind::Incr, .key = "n", .number = -4}}), Instant{5});
    Output output;
    output.answers = {saw("seen"), saw({}), told(2), told(-4)};
    history.complete(*one, OpStatus::Ok, output, Instant{9});
    (void)history.invoke(Operation::txn(2, {append("a", "y")}), Instant{9});
    const Result<std::vector<Operation>> back = parse_history(history.to_jsonl(), HistoryFormat::Jsonl);
    REQUIRE_MESSAGE(back.ok(), back.error().text());
    REQUIRE(back->size() == 2);
    CHECK((*back)[0].parts == history.operations()[0].parts);
    CHECK((*back)[0].output == output);
    CHECK((*back)[1].status == OpStatus::Unknown);
    CHECK(history.to_jepsen().find(":f :txn") != std::string::npos);
}

TEST_CASE("order: a txn that is written wrongly is refused with its line (jsonl)") {
    auto refused = [](const std::string& value, const std::string& output, const std::string& words) {
        const std::string good = R"({"client":1,"op":"get","key":"k","value":null,"output":null,"start_ns":1,"end_ns":2,"status":"ok"})";
        const std::string text = good + "\n" + R"({"client":1,"op":"txn","key":"","value":)" + value + R"(,"output":)" + output + R"(,"start_ns":3,"end_ns":4,"status":"ok"})";
        const auto parsed = parse_history(text, HistoryFormat::Jsonl);
        REQUIRE(!parsed.ok());
        CHECK(parsed.error().context.starts_with("line 2: "));
        CHECK_MESSAGE(parsed.error().context.find(words) != std::string::npos, parsed.error().context);
    };
    refused("null", "[]", "list of parts");
    refused("[]", "[]", "list of parts");
    refused("[1]", "[1]", "a part of a txn is");
    refused(R"([["get"]])", "[null]", "a part of a txn is");
    refused(R"([["pop","k"]])", "[null]", "unknown part");
    refused(R"([["get","k",1]])", "[null]", "2 fields");
    refused(R"([["append","k"]])", "[1]", "3 fields");
    refused(R"([["append","k",null]])", "[1]", "must not be null");
    refused(R"([["incr","k","x"]])", "[1]", "64-bit integer");
    refused(R"([["get","k"],["get","k"]])", "[null]", "as many answers");
    refused(R"([["get","k"]])", "null", "as many answers");
    refused(R"([["incr","k",1]])", R"(["1"])", "64-bit integer");
}

TEST_CASE("order: check_history_text judges by the model that is asked for (counter, list, txn)") {
    const std::string counters = R"({"client":1,"op":"incr","key":"n","value":2,"output":2,"start_ns":1,"end_ns":2,"status":"ok"})"
                                 "\n"
                                 R"({"client":2,"op":"get","key":"n","value":null,"output":%,"start_ns":3,"end_ns":4,"status":"ok"})";
    for (auto [value, exit] : {std::pair("\"2\"", 0), {"null", 1}}) {
        std::string text = counters;
        text.replace(text.find('%'), 1, value);
        for (const char* model : {"counter", "txn", "kv"}) {
            const auto checked = check_history_text(text, find_model(model));
            REQUIRE(checked.ok());
            CHECK(checked->exit_code() == exit);
        }
        CHECK(check_history_text(text, find_model("list")).code() == Code::Invalid);
    }
    CHECK(!find_model("queue"));
}
