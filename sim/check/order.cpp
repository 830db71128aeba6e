// Operations -> touches by key -> orders of versions -> graph -> cycles -> words.
#include "sim/check/order.h"

#include <algorithm>
#include <map>
#include <set>

#include "runtime/base/check.h"
#include "sim/check/order_graph.h"
#include "sim/check/version_order.h"

namespace orrery::check {

namespace {

// Why one comes before another; the low bits of OrderEdge::why. The rest is the number of the key.
enum class Why : uint32_t { Answered = 0, Wrote = 1, Saw = 2, Looked = 3, Behind = 4 };
constexpr uint32_t kWhyBits = 3;
uint32_t why(Why reason, size_t key) { return static_cast<uint32_t>(reason) | static_cast<uint32_t>(key) << kWhyBits; }
Why reason_of(const OrderEdge& edge) { return static_cast<Why>(edge.why & ((1u << kWhyBits) - 1)); }

template <typename F>
void each_touch(const Operation& operation, uint32_t source, F&& body) {
    const bool told = operation.status == OpStatus::Ok;
    if (operation.kind != OpKind::Txn) {
        if (told || operation.kind != OpKind::Get) body(operation.key, Touch{&operation, source, 0});
        return;
    }
    for (uint32_t part = 0; part < operation.parts.size(); ++part)
        if (told || operation.parts[part].kind != OpKind::Get) body(operation.parts[part].key, Touch{&operation, source, part});
}

Error invalid_operation(const Operation& operation, const std::string& what) { return Error(Code::Invalid, operation.text() + ": " + what); }

Result<void> check_ordered_shape(const Operation& operation, Model model) {
    auto allowed = [&](OpKind kind) {
        return kind == OpKind::Get || (kind == OpKind::Append && model != Model::Counter) || (kind == OpKind::Incr && model != Model::List);
    };
    const bool ok = operation.status == OpStatus::Ok;
    if (operation.kind == OpKind::Txn ? model != Model::Txn : !allowed(operation.kind))
        return invalid_operation(operation, "not an operation of the model '" + std::string(model_name(model)) + "'");
    if (operation.kind == OpKind::Append && !operation.value) return invalid_operation(operation, "it has no value");
    for (const TxnPart& part : operation.parts) {
        if (!allowed(part.kind)) return invalid_operation(operation, "a transaction is made of get, append and incr");
        if (part.kind == OpKind::Append && !part.value) return invalid_operation(operation, "an append without a value");
    }
    if (!ok) return {};
    if (operation.end_sequence <= operation.start_sequence) return invalid_operation(operation, "it ends before it starts");
    if (operation.kind == OpKind::Txn && operation.output.answers.size() != operation.parts.size()) return invalid_operation(operation, "it has not as many answers as parts");
    return {};
}

class Checker {
 public:
    Checker(std::span<const Operation> operations, Model model, const OrderOptions& options)
        : operations_(operations), model_(model), options_(options), violations_(options.max_violations), graph_(static_cast<uint32_t>(operations.size())) {}

    Result<OrderReport> run();

 private:
    Result<void> collect();
    void connect(size_t number);
    void connect_loose(const VersionOrder& key, size_t number);
    void connect_times();
    void tell_cycle(const std::vector<OrderEdge>& cycle);
    std::string reason(const OrderEdge& edge) const;
    void add_violation(std::string_view name, const Operation& where, std::string text);

    std::span<const Operation> operations_;
    Model model_;
    const OrderOptions& options_;
    OrderReport report_;
    Violations violations_;
    std::string undecided_;
    std::vector<VersionOrder> keys_;
    std::vector<bool> took_effect_;  // of unknown outcome, but somebody saw a part of it
    OrderGraph graph_;
    std::vector<Operation> searched_;  // of counters that go both ways
};

/// Counters that go both ways, for which the answers tell no order.
std::set<ByteView> two_way_counters(std::span<const Operation> operations) {
    std::set<ByteView> up, both;
    std::set<ByteView> down;
    for (const Operation& operation : operations) {
        if (operation.kind != OpKind::Incr || operation.number == 0) continue;
        (operation.number > 0 ? up : down).insert(operation.key);
    }
    std::set_intersection(up.begin(), up.end(), down.begin(), down.end(), std::inserter(both, both.end()));
    return both;
}

Result<void> Checker::collect() {
    const std::set<ByteView> two_way = two_way_counters(operations_);
    std::map<ByteView, std::vector<Touch>> touches;
    for (uint32_t i = 0; i < operations_.size(); ++i) {
        const Operation& operation = operations_[i];
        if (is_wait(operation.kind)) continue;
        TRY(check_ordered_shape(operation, model_));
        if (operation.status == OpStatus::Fail || (operation.kind == OpKind::Get && operation.status != OpStatus::Ok)) {
            // Kept for one thing: a write that was refused and is seen all the same.
            if (operation.status == OpStatus::Fail) each_touch(operation, i, [&](const Bytes& key, Touch touch) { touches[key].push_back(touch); });
            continue;
        }
        ++report_.operations;
        if (operation.kind != OpKind::Txn && two_way.contains(operation.key)) {
            searched_.push_back(operation);
            continue;
        }
        each_touch(operation, i, [&](const Bytes& key, Touch touch) { touches[key].push_back(touch); });
    }
    for (auto& [key, list] : touches) {
        if (two_way.contains(key)) {
            if (std::any_of(list.begin(), list.end(), [](const Touch& touch) { return touch.operation->kind == OpKind::Txn; }))
                return Error(Code::Invalid, "key " + quote_value(Bytes(key)) + ": a counter of transactions goes one way only");
            continue;
        }
        keys_.emplace_back(key, std::move(list));
    }
    report_.keys = keys_.size();
    return {};
}

void Checker::add_violation(std::string_view name, const Operation& where, std::string text) {
    if (violations_.list().size() < options_.max_violations) report_.text += std::string(name) + ": " + text + "\n";
    violations_.add(name, op_kind_name(where.kind), {.at = where.end == Instant::never() ? where.start : where.end, .sequence = where.end_sequence == UINT64_MAX ? where.start_sequence : where.end_sequence}, std::move(text));
}

// Neighbours in the order of versions; own parts of one transaction make no edge.
void Checker::connect(size_t number) {
    const VersionOrder& key = keys_[number];
    const std::vector<Touch>& touches = key.touches();
    const Touch* writer = nullptr;         // the last write
    std::vector<uint32_t> readers;         // of the version reached, since then
    uint32_t joint = UINT32_MAX;           // behind readers of an older version that no known write follows
    int64_t reached = 0;
    for (uint32_t i : key.placed()) {
        const Touch& touch = touches[i];
        if (touch.kind() == OpKind::Get || touch.begin == touch.end) {
            if (touch.end > reached && !readers.empty()) {
                const uint32_t next = graph_.add_joint();
                if (joint != UINT32_MAX) graph_.add(joint, next, why(Why::Behind, number));
                for (uint32_t reader : readers) graph_.add(reader, next, why(Why::Behind, number));
                readers.clear();
                joint = next;
            }
            if (joint != UINT32_MAX) graph_.add(joint, touch.source, why(Why::Behind, number));
            if (writer) graph_.add(writer->source, touch.source, why(Why::Saw, number));
            readers.push_back(touch.source);
            reached = std::max(reached, touch.end);
            continue;
        }
        if (writer) graph_.add(writer->source, touch.source, why(Why::Wrote, number));
        for (uint32_t reader : readers) graph_.add(reader, touch.source, why(Why::Looked, number));
        if (joint != UINT32_MAX) graph_.add(joint, touch.source, why(Why::Looked, number));
        readers.clear();
        joint = UINT32_MAX;
        writer = &touch;
        reached = touch.end;
    }
}

// A transaction that took effect appended whatever it appends, and behind all that was shown.
void Checker::connect_loose(const VersionOrder& key, size_t number) {
    if (key.counter()) return;
    std::vector<uint32_t> before;
    for (uint32_t i : key.placed()) {
        const Touch& touch = key.touches()[i];
        if (touch.end > key.shown()) break;
        if (touch.kind() != OpKind::Get) before.clear();
        before.push_back(touch.source);
    }
    uint32_t joint = UINT32_MAX;
    for (uint32_t i : key.loose()) {
        const Touch& touch = key.touches()[i];
        if (!took_effect_[touch.source]) continue;
        if (joint == UINT32_MAX) {
            joint = graph_.add_joint();
            for (uint32_t source : before) graph_.add(source, joint, why(Why::Looked, number));
        }
        graph_.add(joint, touch.source, why(Why::Looked, number));
    }
}

// One joint a return; who is called later comes behind it.
void Checker::connect_times() {
    struct Event {
        uint64_t sequence;
        uint32_t source;
        bool returns;
    };
    std::vector<Event> events;
    for (uint32_t i = 0; i < operations_.size(); ++i) {
        const Operation& operation = operations_[i];
        if (is_wait(operation.kind) || operation.status == OpStatus::Fail) continue;
        const bool ok = operation.status == OpStatus::Ok;
        if (operation.kind == OpKind::Get && !ok) continue;
        events.push_back({operation.start_sequence, i, false});
        if (ok) events.push_back({operation.end_sequence, i, true});
    }
    std::sort(events.begin(), events.end(), [](const Event& a, const Event& b) { return a.sequence < b.sequence; });
    uint32_t last = UINT32_MAX;
    for (const Event& event : events) {
        if (!event.returns) {
            if (last != UINT32_MAX) graph_.add(last, event.source, why(Why::Answered, 0));
            continue;
        }
        const uint32_t joint = graph_.add_joint();
        graph_.add(event.source, joint, why(Why::Answered, 0));
        if (last != UINT32_MAX) graph_.add(last, joint, why(Why::Answered, 0));
        last = joint;
    }
}

std::string Checker::reason(const OrderEdge& edge) const {
    if (reason_of(edge) == Why::Answered) return "it was answered before the other was called";
    const VersionOrder& key = keys_[edge.why >> kWhyBits];
    return "it " + key.describe(edge.from) + ", the other " + key.describe(edge.to);
}

void Checker::tell_cycle(const std::vector<OrderEdge>& edges) {
    // Joints taken out: from operation to operation.
    std::vector<OrderEdge> steps;
    std::optional<uint32_t> from;
    for (const OrderEdge& edge : edges) {
        if (!from) from = edge.from;
        if (edge.to >= operations_.size()) continue;
        steps.push_back({*from, edge.to, edge.why});
        from.reset();
    }
    if (steps.empty()) return;
    if (steps.size() == 1) {
        const Operation& alone = operations_[steps[0].from];
        return add_violation("order.cycle", alone, alone.text() + " must come before itself: it " + keys_[steps[0].why >> kWhyBits].describe(steps[0].from));
    }
    const auto by_time = std::find_if(steps.begin(), steps.end(), [](const OrderEdge& step) { return reason_of(step) == Why::Answered; });
    const bool timed = by_time != steps.end();
    if (timed) std::rotate(steps.begin(), by_time, steps.end());
    // The first step says that one comes before the other, the last one leads back to it.
    const Operation& first = operations_[steps.front().from];
    const Operation& second = operations_[steps.front().to];
    std::string text = timed ? first.text() + " was answered before " + second.text() + " was called, yet must come behind it"
                             : first.text() + " and " + second.text() + " must each come before the other";
    if (!timed) text += ": the first " + reason(steps.front()).substr(3);
    if (steps.size() == 2) {
        text += (timed ? ": the latter " : ", and the second ") + reason(steps[1]).substr(3);
    } else {
        text += timed ? ":" : ", and back";
        for (size_t i = 1; i < steps.size(); ++i) {
            if (i > 4 && i + 1 < steps.size()) {
                if (i == 5) text += "; and so on";
                continue;
            }
            text += (i == 1 ? " " : "; ") + operations_[steps[i].from].text() + " before " + operations_[steps[i].to].text() + ", for " + reason(steps[i]);
        }
    }
    add_violation(timed ? "order.real-time" : "order.cycle", second, std::move(text));
}

Result<OrderReport> Checker::run() {
    TRY(collect());
    took_effect_.assign(operations_.size(), false);
    for (VersionOrder& key : keys_) {
        TRY(key.place(options_.max_steps));
        if (const auto& problem = key.problem()) {
            add_violation(problem->name, operations_[problem->source], problem->text);
        }
        if (!key.undecided().empty() && undecided_.empty()) undecided_ = key.undecided();
        for (uint32_t i : key.placed()) took_effect_[key.touches()[i].source] = true;
    }
    for (size_t number = 0; number < keys_.size(); ++number) {
        if (keys_[number].problem()) continue;  // its order is not to be built on
        connect(number);
        connect_loose(keys_[number], number);
    }
    connect_times();
    report_.edges = graph_.edges();
    uint64_t knots = 0;
    for (const std::vector<OrderEdge>& cycle : graph_.cycles(options_.max_violations, options_.max_steps, knots)) tell_cycle(cycle);
    if (!searched_.empty()) {
        TRY(LinearizabilityReport search, check_linearizable(searched_, Model::Kv));
        report_.keys += search.keys;
        for (const Violation& violation : search.verdict.violations) {
            report_.text += violation.name + ": " + violation.text + "\n";
            violations_.add(violation.name, violation.site, {violation.at, violation.sequence}, violation.text);
        }
        if (search.verdict.outcome == Outcome::Inconclusive && undecided_.empty()) undecided_ = search.verdict.reason;
    }
    Verdict& verdict = report_.verdict;
    verdict.violations = violations_.list();
    verdict.outcome = !violations_.empty() ? Outcome::Violated : undecided_.empty() ? Outcome::Pass : Outcome::Inconclusive;
    if (verdict.outcome == Outcome::Inconclusive) verdict.reason = undecided_;
    const uint64_t told = verdict.violations.size();
    const uint64_t all = std::max<uint64_t>(violations_.total(), told + (knots > options_.max_violations ? knots - options_.max_violations : 0));
    if (all > told) report_.text += "and " + std::to_string(all - told) + " more\n";
    return std::move(report_);
}

}  // namespace

Result<OrderReport> check_order(std::span<const Operation> operations, Model model, const OrderOptions& options) {
    CHECK(!is_searched(model), model_name(model));
    CHECK(operations.size() < UINT32_MAX / 4, operations.size());
    return Checker(operations, model, options).run();
}

std::vector<Bytes> ordered_keys(std::span<const Operation> operations) {
    struct Uses {
        bool appends = false, up = false, down = false, other = false;
    };
    std::map<ByteView, Uses> keys;
    for (const Operation& operation : operations) {
        if (is_wait(operation.kind)) continue;
        auto note = [&](const Bytes& key, OpKind kind, int64_t by) {
            Uses& uses = keys[key];
            if (kind == OpKind::Append) uses.appends = true;
            else if (kind == OpKind::Incr) (by < 0 ? uses.down : uses.up) = true;
            else if (kind != OpKind::Get) uses.other = true;
        };
        if (operation.kind != OpKind::Txn) note(operation.key, operation.kind, operation.number);
        for (const TxnPart& part : operation.parts) note(part.key, part.kind, part.number);
    }
    std::vector<Bytes> out;
    for (const auto& [key, uses] : keys)
        if (!uses.other && (uses.appends ? 1 : 0) + (uses.up ? 1 : 0) + (uses.down ? 1 : 0) <= 1) out.emplace_back(key);
    return out;
}

}  // namespace orrery::check
