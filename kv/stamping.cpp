#include "kv/stamping.h"

#include "kv/resp/number.h"
#include "kv/set_options.h"
#include "runtime/base/check.h"

namespace orrery::kv {
namespace {

struct ExpireForm {
    TimeUnit unit;
    TimeBase base;
};

// SET key value, with the options in a fixed order and the expiry absolute.
Argv set_command(ByteView key, ByteView value, const SetOptions& options, std::optional<int64_t> at_ms) {
    Argv out = {"SET", Bytes(key), Bytes(value)};
    if (options.condition == SetOptions::Condition::IfAbsent) out.push_back("NX");
    if (options.condition == SetOptions::Condition::IfPresent) out.push_back("XX");
    if (options.get) out.push_back("GET");
    if (options.keep_ttl) out.push_back("KEEPTTL");
    if (at_ms) {
        out.push_back("PXAT");
        out.push_back(resp::int64_text(*at_ms));
    }
    return out;
}

Stamped stamp_set(ArgvView argv, int64_t now_ms) {
    auto parsed = parse_set_options(argv);
    if (auto* refusal = std::get_if<Reply>(&parsed)) return std::move(*refusal);
    const SetOptions& options = std::get<SetOptions>(parsed);
    if (!options.expiry) return set_command(argv[1], argv[2], options, std::nullopt);
    auto at = absolute_millis(*options.expiry, options.unit, options.base, now_ms, TimeRange::Positive, "set");
    if (auto* refusal = std::get_if<Reply>(&at)) return std::move(*refusal);
    return set_command(argv[1], argv[2], options, std::get<int64_t>(at));
}

// SETEX key time value
Stamped stamp_setex(ArgvView argv, TimeUnit unit, int64_t now_ms, std::string_view name) {
    auto at = absolute_millis(argv[2], unit, TimeBase::Relative, now_ms, TimeRange::Positive, name);
    if (auto* refusal = std::get_if<Reply>(&at)) return std::move(*refusal);
    return set_command(argv[1], argv[3], {}, std::get<int64_t>(at));
}

Stamped stamp_expire(ArgvView argv, ExpireForm form, int64_t now_ms, std::string_view name) {
    auto options = parse_expire_options(argv);
    if (auto* refusal = std::get_if<Reply>(&options)) return std::move(*refusal);
    auto at = absolute_millis(argv[2], form.unit, form.base, now_ms, TimeRange::Any, name);
    if (auto* refusal = std::get_if<Reply>(&at)) return std::move(*refusal);
    Argv out = {"PEXPIREAT", Bytes(argv[1]), resp::int64_text(std::get<int64_t>(at))};
    for (ByteView option : argv.subspan(3)) out.emplace_back(option);
    return out;
}

}  // namespace

int64_t stamp_millis(LogTime stamp) {
    CHECK(stamp.ns >= 0, stamp.ns);
    return stamp.ns / 1'000'000 + (stamp.ns % 1'000'000 != 0);
}

Stamped stamp_command(ArgvView argv, LogTime stamp) {
    const CommandInfo* command = find_command(argv[0]);
    CHECK(command != nullptr && command->route == Route::Write);
    const int64_t now_ms = stamp_millis(stamp);
    switch (command->id) {
        case CommandId::Set: return stamp_set(argv, now_ms);
        case CommandId::Setex: return stamp_setex(argv, TimeUnit::Seconds, now_ms, "setex");
        case CommandId::Psetex: return stamp_setex(argv, TimeUnit::Millis, now_ms, "psetex");
        case CommandId::Expire:
            return stamp_expire(argv, {TimeUnit::Seconds, TimeBase::Relative}, now_ms, "expire");
        case CommandId::Pexpire:
            return stamp_expire(argv, {TimeUnit::Millis, TimeBase::Relative}, now_ms, "pexpire");
        case CommandId::Expireat:
            return stamp_expire(argv, {TimeUnit::Seconds, TimeBase::Absolute}, now_ms, "expireat");
        case CommandId::Pexpireat:
            return stamp_expire(argv, {TimeUnit::Millis, TimeBase::Absolute}, now_ms, "pexpireat");
        default: return resp::copy_of(argv);
    }
}

}  // namespace orrery::kv
