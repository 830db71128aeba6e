#include "kv/config_commands.h"

#include <algorithm>
#include <optional>

#include "kv/glob.h"
#include "kv/resp/number.h"
#include "kv/text_case.h"

namespace orrery::kv {
namespace {

/// What a change is made on: copies, which take the place of the node's when all went well.
struct Draft {
    Settings settings;
    Acl acl;
};

/// Empty: done. Otherwise why not, in the words of Redis.
using Refusal = std::string;

struct Parameter {
    std::string_view name;
    Bytes (*get)(const Draft& draft);
    Refusal (*set)(Draft& draft, ByteView value);
};

constexpr int64_t kSecondsMax = int64_t{10} * 366 * 24 * 3600;  // the same as never

Refusal parse_number(ByteView text, int64_t low, int64_t high, int64_t& out) {
    const auto number = resp::parse_int64(text);
    if (!number) return "argument couldn't be parsed into an integer";
    if (*number < low || *number > high)
        return "argument must be between " + std::to_string(low) + " and " + std::to_string(high) + " inclusive";
    out = *number;
    return {};
}

/// "1024", "8mb", "1k": as Redis reads sizes.
std::optional<uint64_t> parse_bytes(ByteView text) {
    const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    const auto number = resp::parse_int64(text.substr(0, digits));
    if (!number) return std::nullopt;
    const Bytes unit = lowered(text.substr(digits));
    constexpr std::pair<std::string_view, uint64_t> kUnits[] = {
        {"", 1}, {"b", 1}, {"k", 1000}, {"kb", 1 << 10}, {"m", 1'000'000}, {"mb", 1 << 20}, {"g", 1'000'000'000}, {"gb", 1 << 30},
    };
    for (const auto& [name, factor] : kUnits)
        if (unit == name && static_cast<uint64_t>(*number) <= (uint64_t{1} << 62) / factor) return static_cast<uint64_t>(*number) * factor;
    return std::nullopt;
}

Refusal set_seconds(ByteView value, int64_t low, Duration& out) {
    int64_t seconds = 0;
    if (Refusal no = parse_number(value, low, kSecondsMax, seconds); !no.empty()) return no;
    out = Duration::seconds(seconds);
    return {};
}

Bytes output_limits_text(const OutputLimits& limits) {
    // Other members are fed by Raft and nobody publishes: those classes hold nothing.
    return "normal " + std::to_string(limits.hard_bytes) + " " + std::to_string(limits.soft_bytes) + " " +
           std::to_string(limits.soft_time.ns / 1'000'000'000) + " slave 0 0 0 pubsub 0 0 0";
}

Refusal set_output_limits(OutputLimits& out, ByteView value) {
    std::vector<ByteView> words;
    while (!value.empty()) {
        const size_t end = std::min(value.find(' '), value.size());
        if (end > 0) words.push_back(value.substr(0, end));
        value.remove_prefix(std::min(end + 1, value.size()));
    }
    if (words.empty() || words.size() % 4 != 0) return "Wrong number of arguments in buffer limit configuration.";
    for (size_t i = 0; i < words.size(); i += 4) {
        const bool normal = is_word(words[i], "normal");
        if (!normal && !is_word(words[i], "slave") && !is_word(words[i], "replica") && !is_word(words[i], "pubsub"))
            return "Invalid client class specified in buffer limit configuration.";
        const auto hard = parse_bytes(words[i + 1]);
        const auto soft = parse_bytes(words[i + 2]);
        const auto seconds = resp::parse_int64(words[i + 3]);
        if (!hard || !soft || !seconds || *seconds < 0 || *seconds > kSecondsMax)
            return "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
        if (normal) out = {*hard, *soft, Duration::seconds(*seconds)};
    }
    return {};
}

constexpr uint64_t kBulkBytesLow = 1024, kBulkBytesHigh = 8 << 20;  // above it a value would not fit a log batch

// Sorted by name.
constexpr Parameter kParameters[] = {
    {"client-output-buffer-limit", [](const Draft& draft) { return output_limits_text(draft.settings.output); },
     [](Draft& draft, ByteView value) { return set_output_limits(draft.settings.output, value); }},
    {"client-slow-limit", [](const Draft& draft) { return Bytes(std::to_string(draft.settings.slow_client_limit.ns / 1'000'000'000)); },
     [](Draft& draft, ByteView value) { return set_seconds(value, 1, draft.settings.slow_client_limit); }},
    {"maxclients", [](const Draft& draft) { return Bytes(std::to_string(draft.settings.clients_max)); },
     [](Draft& draft, ByteView value) {
         int64_t number = 0;
         Refusal no = parse_number(value, 1, 1'000'000, number);
         if (no.empty()) draft.settings.clients_max = static_cast<uint32_t>(number);
         return no;
     }},
    {"proto-max-bulk-len", [](const Draft& draft) { return Bytes(std::to_string(draft.settings.bulk_bytes_max)); },
     [](Draft& draft, ByteView value) -> Refusal {
         const auto bytes = parse_bytes(value);
         if (!bytes) return "argument must be a memory value";
         if (*bytes < kBulkBytesLow || *bytes > kBulkBytesHigh)
             return "argument must be between " + std::to_string(kBulkBytesLow) + " and " + std::to_string(kBulkBytesHigh) + " inclusive";
         draft.settings.bulk_bytes_max = *bytes;
         return {};
     }},
    {"request-limit-ms", [](const Draft& draft) { return Bytes(std::to_string(draft.settings.request_limit.as_millis())); },
     [](Draft& draft, ByteView value) {
         int64_t millis = 0;
         Refusal no = parse_number(value, 10, 3'600'000, millis);
         if (no.empty()) draft.settings.request_limit = Duration::millis(millis);
         return no;
     }},
    // Of the password only a hash is kept: that is what is shown.
    {"requirepass", [](const Draft& draft) { return draft.acl.default_user().passwords().empty() ? Bytes() : "#" + draft.acl.default_user().passwords().front(); },
     [](Draft& draft, ByteView value) -> Refusal {
         const Bytes rule = value.empty() ? Bytes("nopass") : ">" + Bytes(value);
         const std::vector<ByteView> rules{"resetpass", rule};
         Result<void> done = draft.acl.set("default", rules);
         return done.ok() ? Refusal() : done.error().context;
     }},
    {"timeout", [](const Draft& draft) { return Bytes(std::to_string(draft.settings.idle_limit.ns / 1'000'000'000)); },
     [](Draft& draft, ByteView value) { return set_seconds(value, 0, draft.settings.idle_limit); }},
    {"wait-zero", [](const Draft& draft) { return Bytes(draft.settings.wait_zero == WaitZero::All ? "all" : "redis"); },
     [](Draft& draft, ByteView value) -> Refusal {
         if (!is_word(value, "all") && !is_word(value, "redis")) return "argument must be one of the following: redis, all";
         draft.settings.wait_zero = is_word(value, "all") ? WaitZero::All : WaitZero::Redis;
         return {};
     }},
};

/// True of this server however it was started, or since it was started.
std::vector<std::pair<std::string, Bytes>> fixed_parameters(const LocalNode& node) {
    // Every acknowledged write is synced on a majority: the nearest words Redis has are appendonly yes, appendfsync always.
    return {
        {"appendfsync", "always"}, {"appendonly", "yes"}, {"cluster-enabled", node.face() == ClientFace::Cluster ? "yes" : "no"},
        {"databases", "1"}, {"maxmemory", "0"}, {"maxmemory-policy", "noeviction"}, {"port", std::to_string(node.facts().port)}, {"save", ""},
    };
}

Reply get(ArgvView patterns, LocalNode& node) {
    std::vector<std::pair<std::string, Bytes>> all = fixed_parameters(node);
    const Draft draft{node.settings(), node.acl()};
    for (const Parameter& parameter : kParameters) all.emplace_back(parameter.name, parameter.get(draft));
    std::ranges::sort(all);
    std::vector<Reply> out;
    for (auto& [name, value] : all) {
        if (!std::ranges::any_of(patterns, [&](ByteView pattern) { return glob_match(pattern, name, LetterCase::Ignore); })) continue;
        out.push_back(Reply::bulk(Bytes(name)));
        out.push_back(Reply::bulk(std::move(value)));
    }
    return Reply::map(std::move(out));
}

Reply set(ArgvView pairs, LocalNode& node) {
    if (pairs.size() % 2 != 0) return Reply::error("ERR wrong number of arguments for 'config|set' command");
    const std::vector<std::pair<std::string, Bytes>> fixed = fixed_parameters(node);
    Draft draft{node.settings(), node.acl()};
    auto find_fixed = [&](ByteView name) { return std::ranges::find(fixed, lowered(name), [](const auto& item) { return Bytes(item.first); }); };
    auto find_parameter = [](ByteView name) { return std::ranges::find(kParameters, std::string_view(name), &Parameter::name); };
    auto failed = [](ByteView name, const std::string& why) {
        return Reply::error("ERR CONFIG SET failed (possibly related to argument '" + Bytes(name) + "') - " + why);
    };
    for (size_t i = 0; i < pairs.size(); i += 2) {
        const Bytes name = lowered(pairs[i]);
        if (find_fixed(name) == fixed.end() && find_parameter(name) == std::end(kParameters))
            return Reply::error("ERR Unknown option or number of arguments for CONFIG SET - '" + Bytes(pairs[i]) + "'");
    }
    for (size_t i = 0; i < pairs.size(); i += 2)
        for (size_t earlier = 0; earlier < i; earlier += 2)
            if (lowered(pairs[i]) == lowered(pairs[earlier])) return failed(pairs[i], "duplicate parameter");
    bool users_change = false;
    for (size_t i = 0; i < pairs.size(); i += 2) {
        const Bytes name = lowered(pairs[i]);
        if (const auto known = find_fixed(name); known != fixed.end()) {
            // A value that holds already is no change: harnesses set what they need to be so.
            if (known->second != pairs[i + 1]) return failed(pairs[i], "can't set immutable config");
            continue;
        }
        const Parameter& parameter = *find_parameter(name);
        if (Refusal no = parameter.set(draft, pairs[i + 1]); !no.empty()) return failed(pairs[i], no);
        users_change |= parameter.name == "requirepass";
    }
    if (!(draft.settings == node.settings())) node.change_settings(draft.settings);
    if (users_change) node.change_acl(std::move(draft.acl));
    return Reply::ok();
}

}  // namespace

Reply config_command(ArgvView argv, LocalNode& node) {
    if (is_word(argv[1], "get")) return get(argv.subspan(2), node);
    if (is_word(argv[1], "set")) return set(argv.subspan(2), node);
    node.reset_statistics();
    return Reply::ok();
}

}  // namespace orrery::kv
