// Recording of a history and its two text forms. The readers are history_format.cpp.
//
// The written times carry the order: they are the virtual times, nudged forward until strictly
// increasing, since the line format knows no sequence and treats equal times as concurrent.
#include "sim/check/history.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "runtime/base/check.h"
#include "sim/check/history_text.h"

namespace orrery::check {

std::string_view op_kind_name(OpKind kind) {
    static constexpr std::array<std::string_view, 9> kNames = {"get", "set",  "append", "cas", "del",
                                                               "incr", "wait", "waitall", "txn"};
    return kNames[static_cast<size_t>(kind)];
}

std::string_view op_status_name(OpStatus status) {
    static constexpr std::array<std::string_view, 4> kNames = {"open", "ok", "fail", "unknown"};
    return kNames[static_cast<size_t>(status)];
}

Operation Operation::get(uint64_t client, Bytes key) {
    return {.client = client, .kind = OpKind::Get, .key = std::move(key)};
}
Operation Operation::set(uint64_t client, Bytes key, Bytes value) {
    return {
        .client = client, .kind = OpKind::Set, .key = std::move(key), .value = std::move(value)};
}
Operation Operation::append(uint64_t client, Bytes key, Bytes value) {
    return {
        .client = client, .kind = OpKind::Append, .key = std::move(key), .value = std::move(value)};
}
Operation Operation::cas(uint64_t client, Bytes key, Value expected, Value value) {
    return {.client = client,
            .kind = OpKind::Cas,
            .key = std::move(key),
            .value = std::move(value),
            .expected = std::move(expected)};
}
Operation Operation::del(uint64_t client, Bytes key) {
    return {.client = client, .kind = OpKind::Del, .key = std::move(key)};
}
Operation Operation::incr(uint64_t client, Bytes key, int64_t by) {
    return {.client = client, .kind = OpKind::Incr, .key = std::move(key), .number = by};
}
Operation Operation::wait(uint64_t client, int64_t members, int64_t timeout_ms) {
    return {.client = client, .kind = OpKind::Wait, .number = members, .timeout_ms = timeout_ms};
}
Operation Operation::wait_all(uint64_t client, int64_t timeout_ms) {
    return {.client = client, .kind = OpKind::WaitAll, .timeout_ms = timeout_ms};
}

Operation Operation::txn(uint64_t client, std::vector<TxnPart> parts) {
    return {.client = client, .kind = OpKind::Txn, .parts = std::move(parts)};
}

std::string quote_value(const Value& value) {
    if (!value) return "(absent)";
    constexpr size_t kHead = 48, kTail = 24;
    auto escaped = [](std::string_view bytes) {
        std::string out;
        for (char c : bytes) {
            auto byte = static_cast<unsigned char>(c);
            if (c == '\'' || c == '\\') {
                out += '\\';
                out += c;
            } else if (byte < 0x20 || byte >= 0x7f) {
                char hex[5];
                std::snprintf(hex, sizeof hex, "\\x%02x", byte);
                out += hex;
            } else {
                out += c;
            }
        }
        return out;
    };
    if (value->size() <= kHead + kTail + 8) return "'" + escaped(*value) + "'";
    std::string_view all = *value;
    return "'" + escaped(all.substr(0, kHead)) + "' ... '" +
           escaped(all.substr(all.size() - kTail)) + "' (" + std::to_string(all.size()) + " bytes)";
}

namespace {

std::string text_of_parts(const Operation& operation) {
    std::string out = " [";
    const std::vector<Output::Answer>& answers = operation.output.answers;
    for (size_t i = 0; i < operation.parts.size(); ++i) {
        const TxnPart& part = operation.parts[i];
        out += (i ? ", " : "") + std::string(part.watched ? "watch" : op_kind_name(part.kind)) + " " +
               quote_value(part.key);
        if (part.kind == OpKind::Append) out += " " + quote_value(part.value);
        if (part.kind == OpKind::Incr) out += " by " + std::to_string(part.number);
        if (operation.status != OpStatus::Ok || i >= answers.size()) continue;
        if (part.kind == OpKind::Get)
            out += " -> " + quote_value(answers[i].value);
        else if (answers[i].number)
            out += " -> " + std::to_string(*answers[i].number);
    }
    return out + "]";
}

}  // namespace

std::string Operation::text() const {
    std::string out = "client " + std::to_string(client) + " " + std::string(op_kind_name(kind));
    if (!is_wait(kind) && kind != OpKind::Txn) out += " " + quote_value(key);
    switch (kind) {
        case OpKind::Set:
        case OpKind::Append:
            out += " " + quote_value(value);
            break;
        case OpKind::Cas:
            out += " " + quote_value(expected) + " to " + quote_value(value);
            break;
        case OpKind::Incr:
            out += " by " + std::to_string(number);
            break;
        case OpKind::Wait:
            out += " " + std::to_string(number) + " " + std::to_string(timeout_ms) + " ms";
            break;
        case OpKind::WaitAll:
            out += " " + std::to_string(timeout_ms) + " ms";
            break;
        case OpKind::Txn:
            out += text_of_parts(*this);
            break;
        case OpKind::Get:
        case OpKind::Del:
            break;
    }
    out += " -> " + std::string(op_status_name(status));
    if (status == OpStatus::Ok) {
        if (kind == OpKind::Get)
            out += " " + quote_value(output.value);
        else if (kind == OpKind::Cas && output.number)
            out += *output.number ? " true" : " false";
        else if (output.number)
            out += " " + std::to_string(*output.number);
        if (kind == OpKind::WaitAll) out += " of " + std::to_string(output.required);
    }
    out += " [" + std::to_string(start_sequence) + ", ";
    out +=
        status == OpStatus::Ok || status == OpStatus::Fail ? std::to_string(end_sequence) : "open";
    return out + "]";
}

Result<History::OpId> History::invoke(Operation operation, Instant now) {
    uint64_t size = operation.key.size() + (operation.value ? operation.value->size() : 0) +
                    (operation.expected ? operation.expected->size() : 0);
    for (const TxnPart& part : operation.parts)
        size += part.key.size() + (part.value ? part.value->size() : 0) + sizeof part;
    if (operations_.size() >= options_.max_operations || bytes_ + size > options_.max_bytes) {
        full_ = true;
        return Error(Code::Overloaded, "the history holds " + std::to_string(operations_.size()) +
                                           " operations and " + std::to_string(bytes_) + " bytes");
    }
    bytes_ += size;
    operation.status = OpStatus::Open;
    operation.output = Output::none();
    operation.start_sequence = next_sequence_++;
    operation.end_sequence = UINT64_MAX;
    operation.start = now;
    operation.end = Instant::never();
    operations_.push_back(std::move(operation));
    ++open_;
    return operations_.size() - 1;
}

void History::complete(OpId id, OpStatus status, Output output, Instant now) {
    CHECK(id < operations_.size(), id, operations_.size());
    Operation& operation = operations_[id];
    CHECK(operation.status == OpStatus::Open, id, operation.text());
    CHECK(status != OpStatus::Open, id);
    CHECK(operation.kind != OpKind::Txn || status != OpStatus::Ok || output.answers.size() == operation.parts.size(), id);
    // An answer is kept even when it goes past the byte bound: dropping it would change the
    // verdict. It can overshoot by the answers of the calls that are open at that moment only.
    bytes_ += output.value ? output.value->size() : 0;
    for (const Output::Answer& answer : output.answers)
        bytes_ += (answer.value ? answer.value->size() : 0) + sizeof answer;
    operation.status = status;
    operation.output = status == OpStatus::Ok ? std::move(output) : Output::none();
    operation.end_sequence = next_sequence_++;
    operation.end = now;
    --open_;
}

namespace {

// Virtual times made strictly increasing along the sequence: start and end of operation i.
struct WrittenTimes {
    std::vector<int64_t> start, end;
};

struct Event {
    uint64_t sequence;
    size_t operation;
    bool is_end;
};

std::vector<Event> events_in_order(const std::vector<Operation>& operations) {
    std::vector<Event> events;
    events.reserve(operations.size() * 2);
    for (size_t i = 0; i < operations.size(); ++i) {
        events.push_back({operations[i].start_sequence, i, false});
        if (operations[i].status != OpStatus::Open)
            events.push_back({operations[i].end_sequence, i, true});
    }
    std::sort(events.begin(), events.end(),
              [](const Event& a, const Event& b) { return a.sequence < b.sequence; });
    return events;
}

WrittenTimes written_times(const std::vector<Operation>& operations,
                           const std::vector<Event>& events) {
    WrittenTimes times{std::vector<int64_t>(operations.size()),
                       std::vector<int64_t>(operations.size())};
    int64_t last = -1;
    for (const Event& event : events) {
        const Operation& operation = operations[event.operation];
        last = std::max(last + 1, (event.is_end ? operation.end : operation.start).ns);
        (event.is_end ? times.end : times.start)[event.operation] = last;
    }
    return times;
}

std::string json_or_null(const Value& value) {
    return value ? json_text(*value) : "null";
}

std::string json_value(const Operation& operation) {
    switch (operation.kind) {
        case OpKind::Set:
        case OpKind::Append:
            return json_or_null(operation.value);
        case OpKind::Cas:
            return "[" + json_or_null(operation.expected) + "," + json_or_null(operation.value) +
                   "]";
        case OpKind::Incr:
            return std::to_string(operation.number);
        case OpKind::Wait:
            return "[" + std::to_string(operation.number) + "," +
                   std::to_string(operation.timeout_ms) + "]";
        case OpKind::WaitAll:
            return std::to_string(operation.timeout_ms);
        case OpKind::Txn: {
            std::string out = "[";
            for (const TxnPart& part : operation.parts) {
                out += out.size() > 1 ? ",[\"" : "[\"";
                out += part.watched ? "watch" : op_kind_name(part.kind);
                out += "\"," + json_text(part.key);
                if (part.kind == OpKind::Append) out += "," + json_or_null(part.value);
                if (part.kind == OpKind::Incr) out += "," + std::to_string(part.number);
                out += "]";
            }
            return out + "]";
        }
        case OpKind::Get:
        case OpKind::Del:
            break;
    }
    return "null";
}

std::string json_output(const Operation& operation) {
    if (operation.status != OpStatus::Ok) return "null";
    const Output& output = operation.output;
    if (operation.kind == OpKind::Get) return json_or_null(output.value);
    if (operation.kind == OpKind::Txn) {
        std::string out = "[";
        for (size_t i = 0; i < output.answers.size(); ++i) {
            const Output::Answer& answer = output.answers[i];
            out += i ? "," : "";
            out += operation.parts[i].kind == OpKind::Get ? json_or_null(answer.value)
                   : answer.number                        ? std::to_string(*answer.number)
                                                          : "null";
        }
        return out + "]";
    }
    if (operation.kind == OpKind::Set || !output.number) return "null";
    if (operation.kind == OpKind::Cas) return *output.number ? "true" : "false";
    if (operation.kind != OpKind::WaitAll) return std::to_string(*output.number);
    std::string out =
        "[" + std::to_string(*output.number) + "," + std::to_string(output.required) + ",[";
    for (size_t i = 0; i < output.missing.size(); ++i)
        out += (i ? "," : "") + std::to_string(output.missing[i]);
    return out + "]]";
}

}  // namespace

std::string History::to_jsonl() const {
    WrittenTimes times = written_times(operations_, events_in_order(operations_));
    std::string out;
    for (size_t i = 0; i < operations_.size(); ++i) {
        const Operation& operation = operations_[i];
        bool open = operation.status == OpStatus::Open;
        out += "{\"client\":" + std::to_string(operation.client) + ",\"op\":\"";
        out += op_kind_name(operation.kind);
        out += "\",\"key\":" + json_text(operation.key) + ",\"value\":" + json_value(operation);
        out += ",\"output\":" + json_output(operation) +
               ",\"start_ns\":" + std::to_string(times.start[i]);
        out += ",\"end_ns\":" + (open ? std::string("null") : std::to_string(times.end[i])) +
               ",\"status\":\"";
        out += open ? op_status_name(OpStatus::Unknown) : op_status_name(operation.status);
        out += "\"}\n";
    }
    return out;
}

std::string History::to_jepsen() const {
    std::vector<Event> events = events_in_order(operations_);
    WrittenTimes times = written_times(operations_, events);
    std::string out;
    for (size_t index = 0; index < events.size(); ++index) {
        const Event& event = events[index];
        const Operation& operation = operations_[event.operation];
        std::string_view type = ":invoke";
        if (event.is_end)
            type = operation.status == OpStatus::Ok     ? ":ok"
                   : operation.status == OpStatus::Fail ? ":fail"
                                                        : ":info";
        // Jepsen's own models know a cas that did not match as :fail; here that is an answer, in
        // :output.
        bool answered = event.is_end && operation.status == OpStatus::Ok;
        out += "{:index " + std::to_string(index) + ", :time " +
               std::to_string(event.is_end ? times.end[event.operation]
                                           : times.start[event.operation]);
        out += ", :process " + std::to_string(operation.client) + ", :type ";
        out += type;
        out += ", :f :";
        out += op_kind_name(operation.kind);
        out += ", :key " + edn_text(operation.key) + ", :value " +
               edn_from_json(json_value(operation));
        if (answered) out += ", :output " + edn_from_json(json_output(operation));
        out += "}\n";
    }
    return out;
}

}  // namespace orrery::check
