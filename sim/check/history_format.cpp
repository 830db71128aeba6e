// Readers of the formats, and the file check of the command line. The JSON library is used without
// its exceptions.
//
// Each reader gives every event a sequence number: its line for the two event formats; for the
// operation format the order of times, starts before ends at one time (which makes operations that
// touch concurrent, the lenient reading).
#include "sim/check/history_format.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "sim/check/history_text.h"
#include "sim/check/order.h"

namespace orrery::check {
namespace {

using Json = nlohmann::json;

Error at_line(size_t line, const std::string& what) {
    return Error(Code::Invalid, "line " + std::to_string(line) + ": " + what);
}

// Long lines are cut: the message is for a terminal.
std::string shown(ByteView text) {
    return quote_value(Bytes(text));
}

ByteView trim(ByteView text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r'))
        text.remove_suffix(1);
    return text;
}

struct Line {
    size_t number;
    ByteView text;
};

std::vector<Line> lines_of(ByteView text) {
    std::vector<Line> lines;
    for (size_t number = 1; !text.empty(); ++number) {
        size_t end = text.find('\n');
        ByteView line = trim(text.substr(0, end));
        if (!line.empty() && line.front() != '#') lines.push_back({number, line});
        if (end == ByteView::npos) break;
        text.remove_prefix(end + 1);
    }
    return lines;
}

std::optional<int64_t> integer_of(ByteView text) {
    int64_t number = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return number;
}

// Pairs invocations with returns of the two formats that log events. A process has one call open at
// a time.
class EventReader {
 public:
    Result<void> invoke(const Line& line, uint64_t process, Operation operation) {
        if (open_.contains(process))
            return at_line(line.number,
                           "process " + std::to_string(process) + " has a call open already");
        operation.client = process;
        operation.start_sequence = line.number;
        operation.start = Instant{static_cast<int64_t>(line.number)};
        open_[process] = operations_.size();
        operations_.push_back(std::move(operation));
        return {};
    }
    /// The open call that a return line belongs to; the call is closed.
    Result<Operation*> close(const Line& line, uint64_t process, OpKind kind, OpStatus status) {
        auto it = open_.find(process);
        if (it == open_.end())
            return at_line(line.number, "process " + std::to_string(process) + " has no call open");
        Operation& operation = operations_[it->second];
        if (operation.kind != kind)
            return at_line(line.number, "a return of " + std::string(op_kind_name(kind)) +
                                            " for a call of " +
                                            std::string(op_kind_name(operation.kind)));
        open_.erase(it);
        operation.status = status;
        operation.end_sequence = line.number;
        operation.end = Instant{static_cast<int64_t>(line.number)};
        return &operation;
    }
    std::vector<Operation> take() {
        for (auto [process, index] : open_) operations_[index].status = OpStatus::Unknown;
        return std::move(operations_);
    }

 private:
    std::vector<Operation> operations_;
    std::map<uint64_t, size_t> open_;
};

// ---- jepsen

std::vector<ByteView> words_of(ByteView text) {
    std::vector<ByteView> words;
    while (true) {
        size_t start = text.find_first_not_of(" \t");
        if (start == ByteView::npos) return words;
        text.remove_prefix(start);
        size_t end = std::min(text.find_first_of(" \t"), text.size());
        words.push_back(text.substr(0, end));
        text.remove_prefix(end);
    }
}

struct JepsenValue {
    bool timed_out = false;
    Value first, second;  // second: of a cas
};

Result<Value> jepsen_scalar(const Line& line, ByteView word) {
    if (word == "nil") return Value();
    if (!integer_of(word)) return at_line(line.number, "not a number or nil: " + shown(word));
    return Value(Bytes(word));
}

Result<JepsenValue> jepsen_value(const Line& line, std::span<const ByteView> words, OpKind kind) {
    if (words.size() == 1 && words[0] == ":timed-out") return JepsenValue{.timed_out = true};
    if (kind != OpKind::Cas) {
        if (words.size() != 1) return at_line(line.number, "one value expected");
        TRY(Value value, jepsen_scalar(line, words[0]));
        return JepsenValue{.first = value};
    }
    if (words.size() != 2 || words[0].front() != '[' || words[1].back() != ']')
        return at_line(line.number, "a cas has a value [old new]");
    TRY(Value expected, jepsen_scalar(line, words[0].substr(1)));
    TRY(Value value, jepsen_scalar(line, words[1].substr(0, words[1].size() - 1)));
    return JepsenValue{.first = expected, .second = value};
}

Result<void> jepsen_return(EventReader& reader, const Line& line, uint64_t process, OpKind kind,
                           ByteView type, const JepsenValue& value) {
    OpStatus status = type == ":ok"     ? OpStatus::Ok
                      : type == ":fail" ? OpStatus::Fail
                                        : OpStatus::Unknown;
    if (type != ":ok" && type != ":fail" && type != ":info")
        return at_line(line.number, "unknown event type " + shown(type));
    // A refused comparison is an answer: the register did not hold what was expected.
    bool refused = kind == OpKind::Cas && status == OpStatus::Fail && !value.timed_out;
    TRY(Operation * operation, reader.close(line, process, kind, refused ? OpStatus::Ok : status));
    if (status == OpStatus::Fail && kind == OpKind::Set)
        return at_line(line.number, "a write that fails is not known in this format");
    if (operation->status != OpStatus::Ok) return {};
    if (value.timed_out) return at_line(line.number, "an answer cannot be :timed-out");
    if (kind == OpKind::Get) {
        operation->output = Output::of_value(value.first);
    } else {
        if (kind == OpKind::Cas) operation->output = Output::of_number(refused ? 0 : 1);
        bool same = kind == OpKind::Cas
                        ? operation->expected == value.first && operation->value == value.second
                        : operation->value == value.first;
        if (!same) return at_line(line.number, "the return has another value than its call");
    }
    return {};
}

Result<std::vector<Operation>> parse_jepsen(const std::vector<Line>& lines) {
    EventReader reader;
    for (const Line& line : lines) {
        std::vector<ByteView> words = words_of(line.text);
        if (words.size() < 7 || words[0] != "INFO" || words[1] != "jepsen.util" || words[2] != "-")
            return at_line(line.number, "not a line of a jepsen log: " + shown(line.text));
        std::optional<int64_t> process = integer_of(words[3]);
        if (!process || *process < 0)
            return at_line(line.number, "not a process number: " + shown(words[3]));
        auto id = static_cast<uint64_t>(*process);
        OpKind kind = OpKind::Get;
        if (words[5] == ":write")
            kind = OpKind::Set;
        else if (words[5] == ":cas")
            kind = OpKind::Cas;
        else if (words[5] != ":read")
            return at_line(line.number, "unknown operation " + shown(words[5]));
        TRY(JepsenValue value, jepsen_value(line, std::span(words).subspan(6), kind));
        if (words[4] != ":invoke") {
            TRY(jepsen_return(reader, line, id, kind, words[4], value));
            continue;
        }
        if (value.timed_out) return at_line(line.number, "an invocation cannot be :timed-out");
        if (kind == OpKind::Get) {
            TRY(reader.invoke(line, id, Operation::get(id, "")));
        } else if (kind == OpKind::Cas) {
            TRY(reader.invoke(line, id, Operation::cas(id, "", value.first, value.second)));
        } else {
            if (!value.first) return at_line(line.number, "a write needs a number");
            TRY(reader.invoke(line, id, Operation::set(id, "", *value.first)));
        }
    }
    return reader.take();
}

// ---- kv: one EDN map a line

class EdnMap {
 public:
    static Result<EdnMap> parse(const Line& line) {
        EdnMap map;
        ByteView rest = line.text;
        if (rest.size() < 2 || rest.front() != '{' || rest.back() != '}')
            return at_line(line.number, "not a map in braces: " + shown(line.text));
        rest = rest.substr(1, rest.size() - 2);
        while (!(rest = skip(rest)).empty()) {
            TRY(ByteView name, token(line, rest));
            rest = skip(rest);
            TRY(ByteView value, token(line, rest));
            if (name != ":process" && name != ":type" && name != ":f" && name != ":key" &&
                name != ":value")
                return at_line(line.number, "unknown field " + shown(name));
            if (!map.fields_.emplace(name, value).second)
                return at_line(line.number, "field " + shown(name) + " twice");
        }
        for (ByteView name : {":process", ":type", ":f", ":key", ":value"})
            if (!map.fields_.contains(name))
                return at_line(line.number, "field " + shown(name) + " is missing");
        return map;
    }
    ByteView field(ByteView name) const { return fields_.at(name); }
    /// nullopt for nil.
    Result<Value> text(const Line& line, ByteView name) const {
        ByteView raw = field(name);
        if (raw == "nil") return Value();
        if (raw.front() != '"')
            return at_line(line.number, "field " + shown(name) + " is no string");
        return Value(Bytes(raw.substr(1, raw.size() - 2)));
    }

 private:
    static ByteView skip(ByteView text) {
        size_t start = text.find_first_not_of(" \t,");
        return start == ByteView::npos ? ByteView() : text.substr(start);
    }
    static Result<ByteView> token(const Line& line, ByteView& rest) {
        if (rest.empty()) return at_line(line.number, "a field without a value");
        size_t end;
        if (rest.front() == '"') {
            end = rest.find_first_of("\"\\", 1);
            if (end == ByteView::npos) return at_line(line.number, "a string without an end");
            if (rest[end] == '\\')
                return at_line(line.number, "strings of this format have no escapes");
            ++end;
            if (end < rest.size() && rest[end] != ' ' && rest[end] != ',' && rest[end] != '\t')
                return at_line(line.number, "a string goes on after its end");
        } else {
            end = std::min(rest.find_first_of(" \t,"), rest.size());
        }
        ByteView out = rest.substr(0, end);
        rest.remove_prefix(end);
        return out;
    }
    std::map<ByteView, ByteView> fields_;
};

Result<std::vector<Operation>> parse_kv(const std::vector<Line>& lines) {
    EventReader reader;
    for (const Line& line : lines) {
        TRY(EdnMap map, EdnMap::parse(line));
        std::optional<int64_t> process = integer_of(map.field(":process"));
        if (!process || *process < 0) return at_line(line.number, "not a process number");
        auto id = static_cast<uint64_t>(*process);
        TRY(Value key, map.text(line, ":key"));
        TRY(Value value, map.text(line, ":value"));
        if (!key) return at_line(line.number, "a key is never nil");
        ByteView type = map.field(":type"), f = map.field(":f");
        if (type != ":invoke" && type != ":ok")
            return at_line(line.number, "unknown event type " + shown(type));
        if (f != ":get" && f != ":put" && f != ":append")
            return at_line(line.number, "unknown operation " + shown(f));
        OpKind kind = f == ":get" ? OpKind::Get : f == ":put" ? OpKind::Set : OpKind::Append;
        bool calls_get = type == ":invoke" && kind == OpKind::Get;
        if (value.has_value() == calls_get)
            return at_line(line.number,
                           calls_get ? "an invoked get has the value nil" : "the value is nil");
        if (type == ":invoke") {
            Operation operation = kind == OpKind::Get      ? Operation::get(id, *key)
                                  : kind == OpKind::Append ? Operation::append(id, *key, *value)
                                                           : Operation::set(id, *key, *value);
            TRY(reader.invoke(line, id, std::move(operation)));
            continue;
        }
        TRY(Operation * operation, reader.close(line, id, kind, OpStatus::Ok));
        if (operation->key != *key)
            return at_line(line.number, "the return has another key than its call");
        if (kind == OpKind::Get)
            operation->output = Output::of_value(value);
        else if (operation->value != value)
            return at_line(line.number, "the return has another value than its call");
    }
    return reader.take();
}

// ---- jsonl: one operation a line

class JsonlReader {
 public:
    explicit JsonlReader(const Line& line) : line_(line) {}

    Result<Operation> read(uint64_t client_of(const std::string&, void*), void* clients);

 private:
    Error error(const std::string& what) const { return at_line(line_.number, what); }
    Result<void> parse();
    Result<Value> scalar(const Json& json, const char* field) const;
    Result<int64_t> integer(const Json& json, const char* field) const;
    Result<void> read_request(const std::string& op, const Json& value);
    Result<void> read_output(const Json& output);
    Result<void> read_times();
    Result<void> read_wait_all(const Json& output);
    Result<void> read_parts(const Json& value);
    Result<void> read_answers(const Json& output);

    const Line& line_;
    Json object_;
    Operation operation_;
};

Result<void> JsonlReader::parse() {
    static constexpr std::string_view kFields[] = {"client", "op",       "key",    "value",
                                                   "output", "start_ns", "end_ns", "status"};
    std::set<std::string> seen;
    std::string twice, unknown;
    auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
        if (event != Json::parse_event_t::key || depth != 1) return true;
        auto name = parsed.get<std::string>();
        if (!seen.insert(name).second) twice = name;
        if (std::find(std::begin(kFields), std::end(kFields), name) == std::end(kFields))
            unknown = name;
        return true;
    };
    object_ = Json::parse(line_.text.begin(), line_.text.end(), watch, false);
    if (object_.is_discarded()) return error("not valid JSON: " + shown(line_.text));
    if (!object_.is_object()) return error("not a JSON object: " + shown(line_.text));
    if (!unknown.empty()) return error("unknown field " + shown(unknown));
    if (!twice.empty()) return error("field " + shown(twice) + " twice");
    for (const char* name : {"client", "op", "key", "start_ns", "status"})
        if (!seen.contains(name)) return error("field '" + std::string(name) + "' is missing");
    return {};
}

Result<Value> JsonlReader::scalar(const Json& json, const char* field) const {
    if (json.is_null()) return Value();
    if (json.is_number()) return Value(json.dump());
    if (!json.is_string())
        return error("field '" + std::string(field) + "' is no string, number or null");
    std::optional<Bytes> bytes = bytes_of_json_text(json.get<std::string>());
    if (!bytes) return error("field '" + std::string(field) + "' has a broken hex text");
    return Value(std::move(*bytes));
}

Result<int64_t> JsonlReader::integer(const Json& json, const char* field) const {
    bool fits =
        json.is_number_integer() &&
        (!json.is_number_unsigned() || json.get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX));
    if (!fits) return error("field '" + std::string(field) + "' is no 64-bit integer");
    return json.get<int64_t>();
}

Result<void> JsonlReader::read_request(const std::string& op, const Json& value) {
    static constexpr std::pair<std::string_view, OpKind> kKinds[] = {
        {"get", OpKind::Get},   {"read", OpKind::Get},       {"set", OpKind::Set},
        {"write", OpKind::Set}, {"put", OpKind::Set},        {"cas", OpKind::Cas},
        {"del", OpKind::Del},   {"incr", OpKind::Incr},      {"append", OpKind::Append},
        {"wait", OpKind::Wait}, {"waitall", OpKind::WaitAll},
        {"txn", OpKind::Txn}};
    auto kind = std::find_if(std::begin(kKinds), std::end(kKinds), [&](const auto& one) { return one.first == op; });
    if (kind == std::end(kKinds)) return error("unknown operation " + shown(op));
    operation_.kind = kind->second;
    switch (operation_.kind) {
        case OpKind::Get:
        case OpKind::Del:
            if (!value.is_null()) return error("field 'value' of a " + op + " must be null");
            return {};
        case OpKind::Set:
        case OpKind::Append: {
            TRY(operation_.value, scalar(value, "value"));
            if (!operation_.value) return error("field 'value' of a " + op + " must not be null");
            return {};
        }
        case OpKind::Cas: {
            if (!value.is_array() || value.size() != 2)
                return error("field 'value' of a cas is [expected, new]");
            TRY(operation_.expected, scalar(value[0], "value"));
            TRY(operation_.value, scalar(value[1], "value"));
            return {};
        }
        case OpKind::Incr: {
            if (value.is_null()) return {};
            TRY(operation_.number, integer(value, "value"));
            return {};
        }
        case OpKind::Wait: {
            if (!value.is_array() || value.size() != 2)
                return error("field 'value' of a wait is [n, timeout_ms]");
            TRY(operation_.number, integer(value[0], "value"));
            TRY(operation_.timeout_ms, integer(value[1], "value"));
            return {};
        }
        case OpKind::WaitAll: {
            TRY(operation_.timeout_ms, integer(value, "value"));
            return {};
        }
        case OpKind::Txn:
            return read_parts(value);
    }
    return {};
}

Result<void> JsonlReader::read_parts(const Json& value) {
    if (!value.is_array() || value.empty()) return error("field 'value' of a txn is a list of parts");
    for (const Json& json : value) {
        if (!json.is_array() || json.size() < 2 || !json[0].is_string() || !json[1].is_string())
            return error("a part of a txn is [\"get\"|\"watch\", key], [\"append\", key, text] or [\"incr\", key, by]");
        TxnPart part;
        const auto op = json[0].get<std::string>();
        TRY(Value key, scalar(json[1], "value"));
        part.key = std::move(*key);
        part.watched = op == "watch";
        size_t size = 2;
        if (op == "append") {
            part.kind = OpKind::Append;
            size = 3;
        } else if (op == "incr") {
            part.kind = OpKind::Incr;
            size = 3;
        } else if (op != "get" && op != "watch") {
            return error("unknown part of a txn " + shown(op));
        }
        if (json.size() != size) return error("a part '" + op + "' of a txn has " + std::to_string(size) + " fields");
        if (part.kind == OpKind::Append) {
            TRY(part.value, scalar(json[2], "value"));
            if (!part.value) return error("field 'value': an append of a txn must not be null");
        }
        if (part.kind == OpKind::Incr) {
            TRY(part.number, integer(json[2], "value"));
        }
        operation_.parts.push_back(std::move(part));
    }
    return {};
}

Result<void> JsonlReader::read_answers(const Json& output) {
    if (!output.is_array() || output.size() != operation_.parts.size())
        return error("field 'output' of a txn that is ok is a list of as many answers as it has parts");
    for (size_t i = 0; i < output.size(); ++i) {
        Output::Answer& answer = operation_.output.answers.emplace_back();
        if (operation_.parts[i].kind == OpKind::Get) {
            TRY(answer.value, scalar(output[i], "output"));
        } else if (!output[i].is_null()) {
            TRY(answer.number, integer(output[i], "output"));
        }
    }
    return {};
}

Result<void> JsonlReader::read_wait_all(const Json& output) {
    if (!output.is_array() || output.size() != 3 || !output[2].is_array())
        return error("field 'output' of a waitall is [acked, required, [missing]]");
    TRY(operation_.output.number, integer(output[0], "output"));
    TRY(operation_.output.required, integer(output[1], "output"));
    for (const Json& node : output[2]) {
        TRY(int64_t id, integer(node, "output"));
        operation_.output.missing.push_back(static_cast<uint64_t>(id));
    }
    return {};
}

Result<void> JsonlReader::read_output(const Json& output) {
    if (operation_.status != OpStatus::Ok) return {};
    switch (operation_.kind) {
        case OpKind::Get: {
            TRY(operation_.output.value, scalar(output, "output"));
            return {};
        }
        case OpKind::Cas:
            if (!output.is_boolean())
                return error("field 'output' of a cas that is ok must be true or false");
            operation_.output = Output::of_number(output.get<bool>() ? 1 : 0);
            return {};
        case OpKind::Set:
            return {};
        case OpKind::WaitAll:
            return read_wait_all(output);
        case OpKind::Txn:
            return read_answers(output);
        case OpKind::Append:
        case OpKind::Del:
        case OpKind::Incr:
        case OpKind::Wait: {
            if (output.is_null()) return {};
            TRY(operation_.output.number, integer(output, "output"));
            return {};
        }
    }
    return {};
}

Result<void> JsonlReader::read_times() {
    TRY(operation_.start.ns, integer(object_["start_ns"], "start_ns"));
    const Json& end = object_["end_ns"];
    if (!end.is_null()) {
        TRY(operation_.end.ns, integer(end, "end_ns"));
        if (operation_.end < operation_.start) return error("field 'end_ns' is before 'start_ns'");
    } else if (operation_.status != OpStatus::Unknown) {
        return error("field 'end_ns' may be null only when the status is unknown");
    }
    return {};
}

Result<Operation> JsonlReader::read(uint64_t client_of(const std::string&, void*), void* clients) {
    TRY(parse());
    operation_.client = client_of(object_["client"].dump(), clients);
    if (!object_["op"].is_string()) return error("field 'op' is no string");
    if (!object_["key"].is_string()) return error("field 'key' is no string");
    TRY(Value key, scalar(object_["key"], "key"));
    operation_.key = std::move(*key);
    const Json& status = object_["status"];
    if (status == "ok")
        operation_.status = OpStatus::Ok;
    else if (status == "fail")
        operation_.status = OpStatus::Fail;
    else if (status == "unknown")
        operation_.status = OpStatus::Unknown;
    else
        return error("field 'status' is not ok, fail or unknown");
    TRY(read_request(object_["op"].get<std::string>(), object_["value"]));
    TRY(read_output(object_["output"]));
    TRY(read_times());
    return std::move(operation_);
}

void number_by_time(std::vector<Operation>& operations) {
    struct Event {
        Instant at;
        bool is_end;
        size_t operation;
    };
    std::vector<Event> events;
    for (size_t i = 0; i < operations.size(); ++i) {
        events.push_back({operations[i].start, false, i});
        if (operations[i].end != Instant::never()) events.push_back({operations[i].end, true, i});
    }
    std::stable_sort(events.begin(), events.end(), [](const Event& a, const Event& b) {
        return std::pair(a.at, a.is_end) < std::pair(b.at, b.is_end);
    });
    uint64_t sequence = 0;
    for (const Event& event : events) {
        Operation& operation = operations[event.operation];
        (event.is_end ? operation.end_sequence : operation.start_sequence) = ++sequence;
    }
}

Result<std::vector<Operation>> parse_jsonl(const std::vector<Line>& lines) {
    // Client names may be any JSON value. A number stands for itself; other values are numbered
    // from 2^32 on.
    std::map<std::string, uint64_t> names;
    auto client_of = [](const std::string& name, void* all) -> uint64_t {
        std::optional<int64_t> number = integer_of(name);
        if (number && *number >= 0) return static_cast<uint64_t>(*number);
        auto& known = *static_cast<std::map<std::string, uint64_t>*>(all);
        return known.try_emplace(name, (uint64_t{1} << 32) + known.size()).first->second;
    };
    std::vector<Operation> operations;
    for (const Line& line : lines) {
        TRY(Operation operation, JsonlReader(line).read(client_of, &names));
        operations.push_back(std::move(operation));
    }
    number_by_time(operations);
    return operations;
}

}  // namespace

std::string_view history_format_name(HistoryFormat format) {
    switch (format) {
        case HistoryFormat::Jepsen:
            return "jepsen";
        case HistoryFormat::Kv:
            return "kv";
        case HistoryFormat::Jsonl:
            return "jsonl";
    }
    return "?";
}

Model default_model(HistoryFormat format) {
    switch (format) {
        case HistoryFormat::Jepsen:
            return Model::Register;
        case HistoryFormat::Kv:
            return Model::Append;
        case HistoryFormat::Jsonl:
            break;
    }
    return Model::Kv;
}

std::optional<Model> find_model(std::string_view name) {
    for (Model model : {Model::Register, Model::Kv, Model::Append, Model::Counter, Model::List, Model::Txn})
        if (model_name(model) == name) return model;
    return std::nullopt;
}

Result<HistoryFormat> detect_history_format(ByteView text) {
    std::vector<Line> lines = lines_of(text);
    if (lines.empty()) return HistoryFormat::Jsonl;
    ByteView first = lines.front().text;
    if (first.substr(0, 4) == "INFO") return HistoryFormat::Jepsen;
    ByteView inside = first.front() == '{' ? trim(first.substr(1)) : ByteView();
    if (!inside.empty() && inside.front() == ':') return HistoryFormat::Kv;
    if (!inside.empty() && (inside.front() == '"' || inside.front() == '}'))
        return HistoryFormat::Jsonl;
    return at_line(lines.front().number,
                   "neither a jepsen log, nor kv (EDN maps), nor jsonl: " + shown(first));
}

Result<std::vector<Operation>> parse_history(ByteView text, HistoryFormat format) {
    std::vector<Line> lines = lines_of(text);
    switch (format) {
        case HistoryFormat::Jepsen:
            return parse_jepsen(lines);
        case HistoryFormat::Kv:
            return parse_kv(lines);
        case HistoryFormat::Jsonl:
            break;
    }
    return parse_jsonl(lines);
}

Result<HistoryCheck> check_history_text(ByteView text, std::optional<Model> model,
                                        const LinearizabilityOptions& options) {
    TRY(HistoryFormat format, detect_history_format(text));
    TRY(std::vector<Operation> operations, parse_history(text, format));
    Model chosen = model.value_or(default_model(format));
    HistoryCheck check{.format = format, .model = chosen, .report = {}, .text = {}};
    if (!is_searched(chosen)) {
        TRY(OrderReport order, check_order(operations, chosen));
        check.report.verdict = std::move(order.verdict);
        check.report.operations = order.operations;
        check.report.keys = order.keys;
        const std::string property = chosen == Model::Txn ? "strictly serializable" : "linearizable";
        check.text = check.report.verdict.outcome == Outcome::Pass       ? property + (operations.empty() ? ": the history is empty" : "")
                     : check.report.verdict.outcome == Outcome::Violated ? "not " + property
                                                                         : "inconclusive: " + check.report.verdict.reason;
        check.text += " (model " + std::string(model_name(chosen)) + ", format " + std::string(history_format_name(format)) + ", " +
                      std::to_string(order.operations) + " operations, " + std::to_string(order.keys) + " keys, " + std::to_string(order.edges) + " edges)\n" + order.text;
        return check;
    }
    TRY(check.report, check_linearizable(operations, chosen, options));
    const LinearizabilityReport& made = check.report;
    switch (made.verdict.outcome) {
        case Outcome::Pass:
            check.text = operations.empty() ? "linearizable: the history is empty" : "linearizable";
            break;
        case Outcome::Violated:
            check.text = "not linearizable";
            break;
        case Outcome::Inconclusive:
            check.text = "inconclusive: " + made.verdict.reason;
            break;
    }
    check.text += " (model " + std::string(model_name(chosen)) + ", format " +
                  std::string(history_format_name(format)) + ", " +
                  std::to_string(made.operations) + " operations, " + std::to_string(made.keys) +
                  " keys, " + std::to_string(made.steps) + " steps)\n";
    for (const KeyFailure& failure : made.failures) check.text += failure.text;
    if (made.keys_failed > made.failures.size())
        check.text +=
            "and " + std::to_string(made.keys_failed - made.failures.size()) + " more keys\n";
    if (made.keys_failed && made.keys_undecided)
        check.text += std::to_string(made.keys_undecided) + " further keys are undecided\n";
    return check;
}

}  // namespace orrery::check
