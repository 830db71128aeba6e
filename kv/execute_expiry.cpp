// EXPIRE and its kin. A time of expiry in the past removes the key at once.
#include <algorithm>

#include "kv/execute_run.h"
#include "kv/set_options.h"
#include "runtime/base/check.h"

namespace orrery::kv {
namespace {

bool conditions_hold(const ExpireOptions& options, int64_t current_ms, int64_t wanted_ms) {
    const bool has_expiry = current_ms != 0;
    if (options.if_none && has_expiry) return false;
    if (options.if_any && !has_expiry) return false;
    // No expiry counts as infinitely late.
    if (options.if_later && (!has_expiry || wanted_ms <= current_ms)) return false;
    if (options.if_sooner && has_expiry && wanted_ms >= current_ms) return false;
    return true;
}

}  // namespace

Result<Reply> run_expire(Run& run, ArgvView argv, CommandId id) {
    const bool seconds = id == CommandId::Expire || id == CommandId::Expireat;
    const bool relative = id == CommandId::Expire || id == CommandId::Pexpire;
    auto parsed = parse_expire_options(argv);
    if (auto* refusal = std::get_if<Reply>(&parsed)) return std::move(*refusal);
    auto at = absolute_millis(argv[2], seconds ? TimeUnit::Seconds : TimeUnit::Millis,
                              relative ? TimeBase::Relative : TimeBase::Absolute, run.context.time,
                              TimeRange::Any, find_command(argv[0])->name);
    if (auto* refusal = std::get_if<Reply>(&at)) return std::move(*refusal);
    const int64_t wanted_ms = std::get<int64_t>(at);
    TRY(const SeenKey seen, run.look(argv[1]));
    if (!seen.live || !conditions_hold(std::get<ExpireOptions>(parsed), seen.live->expire_at_ms(), wanted_ms))
        return Reply::integer(0);
    if (wanted_ms <= run.context.time.millis())
        run.remove(seen);
    else
        run.put(seen, seen.live->data(), wanted_ms);
    return Reply::integer(1);
}

Result<Reply> run_persist(Run& run, ArgvView argv) {
    TRY(const SeenKey seen, run.look(argv[1]));
    if (!seen.live || seen.live->expire_at_ms() == 0) return Reply::integer(0);
    run.put(seen, seen.live->data(), 0);
    return Reply::integer(1);
}

Result<Reply> run_time_to_live(Run& run, ArgvView argv, CommandId id) {
    TRY(const SeenKey seen, run.look(argv[1]));
    if (!seen.live) return Reply::integer(-2);
    const int64_t at_ms = seen.live->expire_at_ms();
    if (at_ms == 0) return Reply::integer(-1);
    const bool absolute = id == CommandId::Expiretime || id == CommandId::Pexpiretime;
    const bool seconds = id == CommandId::Ttl || id == CommandId::Expiretime;
    // Not negative: a key that is gone at `now` needs a tick, and this reply is not used then.
    // Rounded down from the nanosecond: the expiry was rounded up, and SETEX of a second must not show 1001 ms.
    const int64_t now_ms = run.context.now.millis() + (run.context.now.ns % 1'000'000 != 0);
    const int64_t millis = absolute ? at_ms : std::max<int64_t>(0, at_ms - now_ms);
    // To the nearest second, without the overflow of millis + 500.
    return Reply::integer(seconds ? millis / 1000 + (millis % 1000 >= 500) : millis);
}

}  // namespace orrery::kv
