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
Argv set_command(ByteView key, ByteView value, const SetOptions& options, int64_t at_ms) {
    Argv out = {"SET", Bytes(key), Bytes(value)};
    if (options.condition == SetOptions::Condition::IfAbsent) out.push_back("NX");
    if (options.condition == SetOptions::Condition::IfPresent) out.push_back("XX");
    if (options.get) out.push_back("GET");
    if (options.keep_ttl) out.push_back("KEEPTTL");
    out.push_back("PXAT");
    out.push_back(resp::int64_text(at_ms));
    return out;
}

Stamped stamp_set(ArgvView argv, LogTime stamp) {
    auto parsed = parse_set_options(argv);
    if (auto* refusal = std::get_if<Reply>(&parsed)) return std::move(*refusal);
    const SetOptions& options = std::get<SetOptions>(parsed);
    if (!options.expiry) return argv;
    auto at = absolute_millis(*options.expiry, options.unit, options.base, stamp, TimeRange::Positive, "set");
    if (auto* refusal = std::get_if<Reply>(&at)) return std::move(*refusal);
    return set_command(argv[1], argv[2], options, std::get<int64_t>(at));
}

// SETEX key time value
Stamped stamp_setex(ArgvView argv, TimeUnit unit, LogTime stamp, std::string_view name) {
    auto at = absolute_millis(argv[2], unit, TimeBase::Relative, stamp, TimeRange::Positive, name);
    if (auto* refusal = std::get_if<Reply>(&at)) return std::move(*refusal);
    return set_command(argv[1], argv[3], {}, std::get<int64_t>(at));
}

// GETEX key [PERSIST | PXAT time]. A time that makes no sense stays as it is: it is an error only if the key exists.
Stamped stamp_getex(ArgvView argv, LogTime stamp) {
    auto parsed = parse_getex_options(argv);
    if (auto* refusal = std::get_if<Reply>(&parsed)) return std::move(*refusal);
    const GetexOptions& options = std::get<GetexOptions>(parsed);
    if (!options.expiry) return argv;
    const auto at = absolute_millis(*options.expiry, options.unit, options.base, stamp, TimeRange::Positive, "getex");
    if (std::holds_alternative<Reply>(at)) return argv;
    return Argv{"GETEX", Bytes(argv[1]), "PXAT", resp::int64_text(std::get<int64_t>(at))};
}

Stamped stamp_expire(ArgvView argv, ExpireForm form, LogTime stamp, std::string_view name) {
    auto options = parse_expire_options(argv);
    if (auto* refusal = std::get_if<Reply>(&options)) return std::move(*refusal);
    auto at = absolute_millis(argv[2], form.unit, form.base, stamp, TimeRange::Any, name);
    if (auto* refusal = std::get_if<Reply>(&at)) return std::move(*refusal);
    Argv out = {"PEXPIREAT", Bytes(argv[1]), resp::int64_text(std::get<int64_t>(at))};
    for (ByteView option : argv.subspan(3)) out.emplace_back(option);
    return out;
}

}  // namespace

Stamped stamp_command(ArgvView argv, LogTime stamp) {
    const CommandInfo* command = find_command(argv[0]);
    CHECK(command != nullptr && command->route == Route::Write);
    CHECK(stamp.ns >= 0, stamp.ns);
    switch (command->id) {
        case CommandId::Set: return stamp_set(argv, stamp);
        case CommandId::Setex: return stamp_setex(argv, TimeUnit::Seconds, stamp, "setex");
        case CommandId::Psetex: return stamp_setex(argv, TimeUnit::Millis, stamp, "psetex");
        case CommandId::Getex: return stamp_getex(argv, stamp);
        case CommandId::Expire:
            return stamp_expire(argv, {TimeUnit::Seconds, TimeBase::Relative}, stamp, "expire");
        case CommandId::Pexpire:
            return stamp_expire(argv, {TimeUnit::Millis, TimeBase::Relative}, stamp, "pexpire");
        case CommandId::Expireat:
            return stamp_expire(argv, {TimeUnit::Seconds, TimeBase::Absolute}, stamp, "expireat");
        case CommandId::Pexpireat:
            return stamp_expire(argv, {TimeUnit::Millis, TimeBase::Absolute}, stamp, "pexpireat");
        default: return argv;
    }
}

Bytes stamp_transaction(const Transaction& transaction, LogTime stamp, uint64_t draw) {
    Transaction out;
    out.mode = transaction.mode;
    out.draw = draw;
    out.watches = transaction.watches;
    std::vector<Stamped> stamped;  // the views below look into them
    for (const std::vector<ByteView>& words : transaction.commands) {
        const CommandInfo* command = find_command(words[0]);
        if (command != nullptr && command->route == Route::Write) {
            const Stamped& one = stamped.emplace_back(stamp_command(words, stamp));
            if (one.refusal() == nullptr) {
                out.commands.emplace_back(one.words().begin(), one.words().end());
                continue;
            }
        }
        // A read, or what execute() will refuse in the same words.
        out.commands.push_back(words);
    }
    return encode_transaction(out);
}

}  // namespace orrery::kv
