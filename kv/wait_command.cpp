#include "kv/wait_command.h"

#include "kv/resp/number.h"
#include "kv/text_case.h"
#include "runtime/base/defect.h"

namespace orrery::kv {
namespace {

// Sixty years: added to an Instant it can not overflow.
constexpr int64_t kTimeoutMillisMax = int64_t{60} * 366 * 24 * 3600 * 1000;

std::variant<std::optional<Duration>, Reply> parse_timeout(ByteView text) {
    const auto millis = resp::parse_int64(text);
    if (!millis) return Reply::error("ERR timeout is not an integer or out of range");
    if (*millis < 0) return Reply::error("ERR timeout is negative");
    if (*millis > kTimeoutMillisMax) return Reply::error("ERR timeout is out of range");
    if (*millis == 0) return std::optional<Duration>();
    return std::optional<Duration>(Duration::millis(*millis));
}

}  // namespace

std::variant<WaitCommand, Reply> parse_wait(ArgvView argv, WaitZero wait_zero) {
    WaitCommand out;
    if (is_word(argv[0], "waitaof")) {
        const auto local = resp::parse_int64(argv[1]);
        const auto replicas = resp::parse_int64(argv[2]);
        if (!local || !replicas) return Reply::error("ERR value is not an integer or out of range");
        if (*local < 0 || *local > 1) return Reply::error("ERR value is out of range, value must between 0 and 1");
        if (*replicas < 0) return Reply::error("ERR value is out of range, must be positive");
        out.kind = WaitKind::Durable;
        out.local = *local == 1;
        out.replicas = static_cast<uint64_t>(*replicas);
    } else if (is_word(argv[0], "waitall")) {
        out.kind = WaitKind::All;
    } else if (is_word(argv[1], "all")) {
        out.kind = WaitKind::All;
    } else {
        const auto replicas = resp::parse_int64(argv[1]);
        if (!replicas) return Reply::error("ERR value is not an integer or out of range");
        if (*replicas < 0) return Reply::error("ERR value is out of range, must be positive");
        out.replicas = static_cast<uint64_t>(*replicas);
        if (out.replicas == 0 && wait_zero == WaitZero::All) out.kind = WaitKind::ZeroAsAll;
    }
    auto timeout = parse_timeout(argv.back());
    if (auto* refusal = std::get_if<Reply>(&timeout)) return std::move(*refusal);
    out.timeout = std::get<std::optional<Duration>>(timeout);
    return out;
}

LogIndex WaitTarget::target(LogIndex newest) const {
    return ORRERY_DEFECT(wait_target_global) && newest > target_ ? newest : target_;
}

}  // namespace orrery::kv
