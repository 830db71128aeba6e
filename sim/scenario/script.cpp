#include "sim/scenario/script.h"

#include <charconv>
#include <optional>

#include "sim/fault/fault.h"

namespace orrery::sim {

namespace {

using check::ExpiryKind;
using check::OpKind;
using check::TxnPart;

constexpr uint64_t kNumberMax = 1'000'000;

std::vector<std::string_view> split(std::string_view text, char at) {
    std::vector<std::string_view> words;
    while (!text.empty()) {
        const size_t end = std::min(text.find(at), text.size());
        if (end > 0) words.push_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return words;
}

std::optional<uint64_t> number_of(std::string_view text) {
    uint64_t number = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || number > kNumberMax) return std::nullopt;
    return number;
}

Error wrong(std::string_view word, const char* wanted) { return Error(Code::Invalid, "'" + std::string(word) + "' is not " + wanted); }

Result<size_t> client_of(std::string_view word, uint64_t clients) {
    const auto number = word.starts_with('c') ? number_of(word.substr(1)) : std::nullopt;
    if (!number || *number < 1 || *number > clients) return wrong(word, "a client of this workload, such as c1");
    return static_cast<size_t>(*number - 1);
}

Result<Duration> time_of(std::string_view word) {
    const auto time = parse_duration(word);
    if (!time || time->ns < 0 || *time > Duration::seconds(600)) return wrong(word, "a time up to 600s, such as 5ms");
    return *time;
}

/// {op, key} or {"incr", key, by}.
Result<TxnPart> part_of(const std::vector<std::string_view>& words) {
    TxnPart part;
    if (words.size() < 2) return wrong(words.empty() ? "" : words[0], "a command with its key");
    const std::string_view op = words[0], key = words[1];
    const bool list = key.starts_with('a'), counter = key.starts_with('n');
    if ((!list && !counter) || !number_of(key.substr(1))) return wrong(key, "a list (a0) or a counter (n0)");
    part.key = key;
    if (op == "append" ? !list : op == "incr" ? !counter : false) return wrong(key, "a key for that command: lists are appended to, counters incremented");
    if (op == "append") part.kind = OpKind::Append;
    else if (op == "incr") part.kind = OpKind::Incr;
    else if (op != "get" && op != "watch") return wrong(op, "get, append, incr or watch");
    part.watched = op == "watch";
    if (words.size() != (op == "incr" ? 3u : 2u)) return wrong(op, "followed by the right number of words");
    if (op == "incr") {
        const auto by = number_of(words[2]);
        if (!by || *by == 0) return wrong(words[2], "an increment from 1 to 1000000");
        part.number = static_cast<int64_t>(*by);
    }
    return part;
}

}  // namespace

Result<ScriptStep> parse_step(std::string_view line, uint64_t clients) {
    std::vector<std::string_view> words = split(line, ' ');
    if (words.size() < 3) return wrong(line, "a client, a time and a command");
    ScriptStep step;
    TRY(step.client, client_of(words[0], clients));
    TRY(step.pause, time_of(words[1]));
    words.erase(words.begin(), words.begin() + 2);
    const std::string_view op = words[0];
    if (op == "txn") {
        step.kind = ScriptStep::Kind::Transaction;
        for (size_t i = 1; i < words.size(); ++i) {
            TRY(TxnPart part, part_of(split(words[i], ':')));
            if (part.watched && !step.parts.empty() && !step.parts.back().watched) return wrong(words[i], "in its place: what is watched comes first");
            step.parts.push_back(std::move(part));
        }
        if (step.parts.empty() || step.parts.back().watched) return wrong(line, "a transaction with a command");
        return step;
    }
    if (op == "set" || op == "expire" || op == "persist" || op == "read" || op == "ttl") {
        step.kind = ScriptStep::Kind::Expiring;
        step.expiry = op == "set" ? ExpiryKind::Set : op == "expire" ? ExpiryKind::Expire : op == "persist" ? ExpiryKind::Persist : op == "read" ? ExpiryKind::Get : ExpiryKind::TimeToLive;
        if (words.size() != (op == "persist" ? 1u : 2u)) return wrong(op, "followed by the right number of words");
        step.owner = step.client;
        if (op == "set" || op == "expire") {
            TRY(step.ttl, time_of(words[1]));
            if (step.ttl < Duration::millis(1)) return wrong(words[1], "a time to live of 1ms at least");
        }
        if (op == "read" || op == "ttl") {
            TRY(step.owner, client_of(words[1], clients));
        }
        return step;
    }
    TRY(step.single, part_of(words));
    if (step.single.watched) return wrong(op, "a command outside of a transaction");
    return step;
}

}  // namespace orrery::sim
