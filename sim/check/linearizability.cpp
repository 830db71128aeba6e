// Splits a history by key, runs one search a key, and says in words what stood in the way.
#include "sim/check/linearizability.h"

#include <algorithm>
#include <map>

#include "runtime/base/check.h"
#include "sim/check/key_search.h"

namespace orrery::check {
namespace {

constexpr uint64_t kLeastStepsPerKey =
    200'000;  // a hard key must not leave the easy ones after it undecided
constexpr size_t kShownSteps = 12, kShownOpen = 12;

Error refused(const Operation& operation, const std::string& why) {
    return Error(Code::Invalid, operation.text() + ": " + why);
}

Result<void> check_step_shape(const Operation& operation, Model model) {
    OpKind kind = operation.kind;
    bool in_model = (model == Model::Kv && kind != OpKind::Txn) || kind == OpKind::Get || kind == OpKind::Set ||
                    (model == Model::Register ? kind == OpKind::Cas : kind == OpKind::Append);
    if (!in_model)
        return refused(operation,
                       "not an operation of the model '" + std::string(model_name(model)) + "'");
    if ((kind == OpKind::Set || kind == OpKind::Append) && !operation.value)
        return refused(operation, "it has no value");
    if (operation.status == OpStatus::Ok) {
        if (operation.end_sequence <= operation.start_sequence)
            return refused(operation, "it ends before it starts");
        if (kind == OpKind::Cas && !operation.output.number)
            return refused(operation, "a cas that is ok must say whether it matched");
    }
    return {};
}

bool counts(const Operation& operation) {
    if (is_wait(operation.kind) || operation.status == OpStatus::Fail) return false;
    return operation.kind != OpKind::Get || operation.status == OpStatus::Ok;
}

// Where a value that was read may have come from: often the whole explanation.
std::string origin_of(const Value& value, std::span<const Operation> operations, const Bytes& key,
                      const std::vector<size_t>& order) {
    if (!value) return {};
    for (size_t i = 0; i < operations.size(); ++i) {
        const Operation& operation = operations[i];
        if (operation.key != key || operation.value != value) continue;
        if (operation.kind != OpKind::Set && operation.kind != OpKind::Cas) continue;
        std::string out = "  " + quote_value(value) + " was asked for by: " + operation.text();
        if (operation.status == OpStatus::Fail)
            return out + ", which was answered as certainly without effect\n";
        auto placed = std::find(order.begin(), order.end(), i);
        if (placed == order.end()) return out + ", which is not in the order above\n";
        return out + ", step " + std::to_string(placed - order.begin() + 1) +
               " of the order above\n";
    }
    return {};
}

std::string explain(const KeyFailure& failure, std::span<const Operation> operations,
                    const std::vector<KeyOp>& ops, size_t answered_placed) {
    const Operation& blocked = operations[failure.blocked];
    size_t answered = static_cast<size_t>(
        std::count_if(ops.begin(), ops.end(), [](const KeyOp& op) { return op.answered; }));
    std::string out =
        "key " + quote_value(failure.key) +
        " is not linearizable\n  longest order found: " + std::to_string(failure.prefix.size()) +
        " steps, " + std::to_string(answered_placed) + " of " + std::to_string(answered) +
        " answered operations\n";
    size_t first = failure.prefix.size() > kShownSteps ? failure.prefix.size() - kShownSteps : 0;
    if (first) out += "    ... " + std::to_string(first) + " steps before these\n";
    for (size_t i = first; i < failure.prefix.size(); ++i)
        out += "    " + std::to_string(i + 1) + ". " + operations[failure.prefix[i]].text() + "\n";
    out += "  the value then is " + quote_value(failure.state) +
           "\n  cannot be placed, yet must be by sequence " + std::to_string(blocked.end_sequence) +
           ": " + blocked.text() + "\n";
    if (blocked.kind == OpKind::Get)
        out += origin_of(blocked.output.value, operations, failure.key, failure.prefix);
    std::vector<size_t> placed = failure.prefix;
    std::sort(placed.begin(), placed.end());
    size_t open = 0;
    for (const KeyOp& op : ops) {
        bool could = op.operation->start_sequence < blocked.end_sequence &&
                     op.source != failure.blocked &&
                     !std::binary_search(placed.begin(), placed.end(), op.source);
        if (!could || ++open > kShownOpen) continue;
        if (open == 1) out += "  also not placed, though they may come next:\n";
        out += "    " + op.operation->text() + "\n";
    }
    if (open > kShownOpen) out += "    ... and " + std::to_string(open - kShownOpen) + " more\n";
    return out;
}

}  // namespace

std::string_view model_name(Model model) {
    switch (model) {
        case Model::Register:
            return "register";
        case Model::Kv:
            return "kv";
        case Model::Append:
            return "append";
        case Model::Counter:
            return "counter";
        case Model::List:
            return "list";
        case Model::Txn:
            return "txn";
    }
    return "?";
}

Result<LinearizabilityReport> check_linearizable(std::span<const Operation> operations, Model model,
                                                 const LinearizabilityOptions& options) {
    CHECK(is_searched(model), model_name(model));
    LinearizabilityReport report;
    std::map<ByteView, std::vector<KeyOp>> by_key;
    for (size_t i = 0; i < operations.size(); ++i) {
        if (is_wait(operations[i].kind)) continue;
        TRY(check_step_shape(operations[i], model));
        if (!counts(operations[i])) continue;
        by_key[operations[i].key].push_back(prepare_key_op(operations[i], i));
        ++report.operations;
    }
    report.keys = by_key.size();

    Violations violations(options.max_failures);
    for (auto& [key, ops] : by_key) {
        std::sort(ops.begin(), ops.end(), [](const KeyOp& a, const KeyOp& b) {
            return a.operation->start_sequence < b.operation->start_sequence;
        });
        KeySearch search(ops, model);
        uint64_t limit = std::max(options.max_steps,
                                  report.steps + std::min(kLeastStepsPerKey, options.max_steps));
        KeySearch::Answer answer = search.run(report.steps, limit, options.max_configurations);
        if (answer == KeySearch::Answer::GaveUp) ++report.keys_undecided;
        if (answer != KeySearch::Answer::Not) continue;
        ++report.keys_failed;
        const Deepest& deepest = search.deepest();
        const Operation& blocked = operations[deepest.blocked];
        violations.add("linearizability", op_kind_name(blocked.kind),
                       {.at = blocked.end, .sequence = blocked.end_sequence},
                       blocked.text() +
                           " cannot be placed: every order of what was answered before leaves "
                           "another value, the longest " +
                           quote_value(deepest.state));
        if (report.failures.size() >= options.max_failures) continue;
        report.failures.push_back({.key = Bytes(key),
                                   .prefix = deepest.order,
                                   .blocked = deepest.blocked,
                                   .state = deepest.state,
                                   .text = {}});
        report.failures.back().text =
            explain(report.failures.back(), operations, ops, deepest.answered_placed);
    }

    Verdict& verdict = report.verdict;
    verdict.violations = violations.list();
    if (!violations.empty()) {
        verdict.outcome = Outcome::Violated;
    } else if (report.keys_undecided) {
        verdict.reason = std::to_string(report.keys_undecided) + " of " +
                         std::to_string(report.keys) + " keys undecided after " +
                         std::to_string(report.steps) + " steps";
    } else {
        verdict.outcome = Outcome::Pass;
    }
    return report;
}

}  // namespace orrery::check
