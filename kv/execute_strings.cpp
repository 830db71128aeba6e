// Strings and counters. Where Redis' words of an error depend on the order of its checks, the order here is the same.
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <map>

#include "kv/common_replies.h"
#include "kv/execute_run.h"
#include "kv/resp/number.h"
#include "kv/set_options.h"
#include "runtime/base/check.h"

namespace orrery::kv {
namespace {

// INCRBYFLOAT is computed at apply, so all members must agree on the last digit: x87 extended precision everywhere.
static_assert(std::numeric_limits<long double>::digits == 64, "members would disagree on INCRBYFLOAT");

constexpr size_t kFloatTextMax = 5 * 1024;  // longest number Redis reads or writes

Reply not_a_float() { return Reply::error("ERR value is not a valid float"); }

Reply value_or_null(const SeenKey& seen) { return seen.live ? Reply::bulk(Bytes(seen.live->data())) : Reply::null(); }

std::optional<long double> parse_float(ByteView text) {
    if (text.empty() || text.size() >= kFloatTextMax) return std::nullopt;
    if (text[0] == ' ' || (text[0] >= '\t' && text[0] <= '\r')) return std::nullopt;
    const std::string copy(text);
    char* end = nullptr;
    errno = 0;
    const long double value = std::strtold(copy.c_str(), &end);
    if (end != copy.c_str() + copy.size() || std::isnan(value)) return std::nullopt;
    if (errno == ERANGE && (std::isinf(value) || value == 0)) return std::nullopt;
    return value;
}

// Plain digits, at most 17 behind the point, no trailing zeros.
Bytes float_text(long double value) {
    char buffer[kFloatTextMax];
    const int length = std::snprintf(buffer, sizeof(buffer), "%.17Lf", value);
    CHECK(length > 0 && static_cast<size_t>(length) < sizeof(buffer), length);
    Bytes out(buffer, static_cast<size_t>(length));
    while (out.back() == '0') out.pop_back();
    if (out.back() == '.') out.pop_back();
    return out == "-0" ? "0" : out;
}

}  // namespace

Result<Reply> run_get(Run& run, ArgvView argv) {
    TRY(const SeenKey seen, run.look(argv[1]));
    return value_or_null(seen);
}

Result<Reply> run_getdel(Run& run, ArgvView argv) {
    TRY(const SeenKey seen, run.look(argv[1]));
    if (seen.stored) run.remove(seen);
    return value_or_null(seen);
}

Result<Reply> run_getset(Run& run, ArgvView argv) {
    TRY(const SeenKey seen, run.look(argv[1]));
    run.put(seen, argv[2], 0);
    return value_or_null(seen);
}

Result<Reply> run_getex(Run& run, ArgvView argv) {
    auto parsed = parse_getex_options(argv);
    if (auto* refusal = std::get_if<Reply>(&parsed)) return std::move(*refusal);
    const GetexOptions& options = std::get<GetexOptions>(parsed);
    TRY(const SeenKey seen, run.look(argv[1]));
    // As in Redis a time that makes no sense is an error only if the key exists.
    if (!seen.live) return Reply::null();
    std::optional<int64_t> expire_at_ms;
    if (options.expiry) {
        auto at = absolute_millis(*options.expiry, options.unit, options.base, run.context.time, TimeRange::Positive, "getex");
        if (auto* refusal = std::get_if<Reply>(&at)) return std::move(*refusal);
        expire_at_ms = std::get<int64_t>(at);
    } else if (options.persist && seen.live->expire_at_ms() != 0) {
        expire_at_ms = 0;
    }
    if (expire_at_ms && *expire_at_ms != 0 && *expire_at_ms <= run.context.time.millis()) {
        run.remove(seen);
    } else if (expire_at_ms) {
        run.put(seen, seen.live->data(), *expire_at_ms);
    }
    return value_or_null(seen);
}

Result<Reply> run_getrange(Run& run, ArgvView argv) {
    const auto first = resp::parse_int64(argv[2]);
    if (!first) return not_an_integer();
    const auto last = resp::parse_int64(argv[3]);
    if (!last) return not_an_integer();
    TRY(const SeenKey seen, run.look(argv[1]));
    if (!seen.live) return Reply::bulk("");
    const ByteView data = seen.live->data();
    const auto size = static_cast<int64_t>(data.size());
    int64_t start = *first, end = *last;
    if (start < 0 && end < 0 && start > end) return Reply::bulk("");
    if (start < 0) start = std::max<int64_t>(0, size + start);
    if (end < 0) end = std::max<int64_t>(0, size + end);
    end = std::min(end, size - 1);
    if (start > end || size == 0) return Reply::bulk("");
    return Reply::bulk(Bytes(data.substr(static_cast<size_t>(start), static_cast<size_t>(end - start + 1))));
}

Result<Reply> run_setrange(Run& run, ArgvView argv) {
    const auto offset = resp::parse_int64(argv[2]);
    if (!offset) return not_an_integer();
    if (*offset < 0) return Reply::error("ERR offset is out of range");
    const ByteView value = argv[3];
    TRY(const SeenKey seen, run.look(argv[1]));
    Bytes data(seen.live ? seen.live->data() : ByteView());
    if (value.empty()) return Reply::integer(static_cast<int64_t>(data.size()));
    if (static_cast<uint64_t>(*offset) > run.context.value_bytes_max ||
        static_cast<uint64_t>(*offset) + value.size() > run.context.value_bytes_max)
        return Reply::error("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    const auto at = static_cast<size_t>(*offset);
    if (data.size() < at + value.size()) data.resize(at + value.size(), '\0');
    data.replace(at, value.size(), value);
    const auto bytes = static_cast<int64_t>(data.size());
    run.put(seen, data, seen.live ? seen.live->expire_at_ms() : 0);
    return Reply::integer(bytes);
}

Result<Reply> run_mget(Run& run, ArgvView argv) {
    std::vector<Reply> values;
    uint64_t bytes = 0;
    for (ByteView key : argv.subspan(1)) {
        TRY(const SeenKey seen, run.look(key));
        values.push_back(value_or_null(seen));
        bytes += reply_bytes(values.back());
        if (bytes > run.context.reply_bytes_max) return reply_too_large(run.context);
    }
    return Reply::array(std::move(values));
}

Result<Reply> run_mset(Run& run, ArgvView argv, CommandId id) {
    const bool if_absent = id == CommandId::Msetnx;
    if (argv.size() % 2 == 0)
        return Reply::error("ERR wrong number of arguments for '" + std::string(if_absent ? "msetnx" : "mset") + "' command");
    std::map<ByteView, ByteView> values;  // of the same key twice the last one counts
    for (size_t i = 1; i < argv.size(); i += 2) values[argv[i]] = argv[i + 1];
    std::vector<SeenKey> seen;
    seen.reserve(values.size());
    for (const auto& [key, value] : values) {
        TRY(SeenKey one, run.look(key));
        if (one.live && if_absent) return Reply::integer(0);
        if (one.live) one.live = Record::make(one.key, {});  // the value is not needed: many large ones are not held at once
        seen.push_back(std::move(one));
    }
    size_t i = 0;
    for (const auto& [key, value] : values) run.put(seen[i++], value, 0);
    return if_absent ? Reply::integer(1) : Reply::ok();
}

Result<Reply> run_set(Run& run, ArgvView argv) {
    auto parsed = parse_set_options(argv);
    if (auto* refusal = std::get_if<Reply>(&parsed)) return std::move(*refusal);
    const SetOptions& options = std::get<SetOptions>(parsed);
    int64_t expire_at_ms = 0;
    if (options.expiry) {
        auto at = absolute_millis(*options.expiry, options.unit, options.base, run.context.time,
                                  TimeRange::Positive, "set");
        if (auto* refusal = std::get_if<Reply>(&at)) return std::move(*refusal);
        expire_at_ms = std::get<int64_t>(at);
    }
    TRY(const SeenKey seen, run.look(argv[1]));
    const bool refused = (options.condition == SetOptions::Condition::IfAbsent && seen.live) ||
                         (options.condition == SetOptions::Condition::IfPresent && !seen.live);
    if (!refused) {
        if (options.keep_ttl && seen.live) expire_at_ms = seen.live->expire_at_ms();
        if (expire_at_ms != 0 && expire_at_ms <= run.context.time.millis()) {
            // Set and expired in one step: nobody can ever see it.
            if (seen.stored) run.remove(seen);
        } else {
            run.put(seen, argv[2], expire_at_ms);
        }
    }
    if (options.get) return value_or_null(seen);
    return refused ? Reply::null() : Reply::ok();
}

Result<Reply> run_setex(Run& run, ArgvView argv, CommandId id) {
    const bool seconds = id == CommandId::Setex;
    auto at = absolute_millis(argv[2], seconds ? TimeUnit::Seconds : TimeUnit::Millis, TimeBase::Relative,
                              run.context.time, TimeRange::Positive, seconds ? "setex" : "psetex");
    if (auto* refusal = std::get_if<Reply>(&at)) return std::move(*refusal);
    TRY(const SeenKey seen, run.look(argv[1]));
    run.put(seen, argv[3], std::get<int64_t>(at));
    return Reply::ok();
}

Result<Reply> run_setnx(Run& run, ArgvView argv) {
    TRY(const SeenKey seen, run.look(argv[1]));
    if (seen.live) return Reply::integer(0);
    run.put(seen, argv[2], 0);
    return Reply::integer(1);
}

Result<Reply> run_append(Run& run, ArgvView argv) {
    TRY(const SeenKey seen, run.look(argv[1]));
    Bytes data(seen.live ? seen.live->data() : ByteView());
    const int64_t expire_at_ms = seen.live ? seen.live->expire_at_ms() : 0;
    if (data.size() + argv[2].size() > run.context.value_bytes_max)
        return Reply::error("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    data += argv[2];
    const auto bytes = static_cast<int64_t>(data.size());
    run.put(seen, data, expire_at_ms);
    return Reply::integer(bytes);
}

Result<Reply> run_strlen(Run& run, ArgvView argv) {
    TRY(const SeenKey seen, run.look(argv[1]));
    return Reply::integer(seen.live ? static_cast<int64_t>(seen.live->data().size()) : 0);
}

Result<Reply> run_increment(Run& run, ArgvView argv, CommandId id) {
    int64_t by = 1;
    if (id == CommandId::Incrby || id == CommandId::Decrby) {
        const auto parsed = resp::parse_int64(argv[2]);
        if (!parsed) return not_an_integer();
        by = *parsed;
    }
    if (id == CommandId::Decr || id == CommandId::Decrby) {
        if (by == std::numeric_limits<int64_t>::min()) return Reply::error("ERR decrement would overflow");
        by = -by;
    }
    TRY(const SeenKey seen, run.look(argv[1]));
    const auto before = seen.live ? resp::parse_int64(seen.live->data()) : std::optional<int64_t>(0);
    if (!before) return not_an_integer();
    int64_t after = 0;
    if (__builtin_add_overflow(*before, by, &after)) return Reply::error("ERR increment or decrement would overflow");
    run.put(seen, resp::int64_text(after), seen.live ? seen.live->expire_at_ms() : 0);
    return Reply::integer(after);
}

Result<Reply> run_incrbyfloat(Run& run, ArgvView argv) {
    TRY(const SeenKey seen, run.look(argv[1]));
    const auto before = seen.live ? parse_float(seen.live->data()) : std::optional<long double>(0);
    const auto by = parse_float(argv[2]);
    if (!before || !by) return not_a_float();
    const long double after = *before + *by;
    if (std::isnan(after) || std::isinf(after)) return Reply::error("ERR increment would produce NaN or Infinity");
    Bytes text = float_text(after);
    run.put(seen, text, seen.live ? seen.live->expire_at_ms() : 0);
    return Reply::bulk(std::move(text));
}

}  // namespace orrery::kv
