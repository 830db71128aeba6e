#include "kv/set_options.h"

#include "kv/common_replies.h"
#include "kv/resp/number.h"
#include "kv/text_case.h"

namespace orrery::kv {
namespace {

struct ExpiryWord {
    std::string_view word;
    TimeUnit unit;
    TimeBase base;
};

constexpr ExpiryWord kExpiryWords[] = {
    {"ex", TimeUnit::Seconds, TimeBase::Relative},
    {"px", TimeUnit::Millis, TimeBase::Relative},
    {"exat", TimeUnit::Seconds, TimeBase::Absolute},
    {"pxat", TimeUnit::Millis, TimeBase::Absolute},
};

const ExpiryWord* find_expiry_word(ByteView text) {
    for (const ExpiryWord& word : kExpiryWords)
        if (is_word(text, word.word)) return &word;
    return nullptr;
}

Reply invalid_time(std::string_view command) {
    return Reply::error("ERR invalid expire time in '" + Bytes(command) + "' command");
}

}  // namespace

std::variant<SetOptions, Reply> parse_set_options(ArgvView argv) {
    SetOptions out;
    for (size_t i = 3; i < argv.size(); ++i) {
        const ByteView word = argv[i];
        const ExpiryWord* expiry = find_expiry_word(word);
        if (is_word(word, "nx") && out.condition != SetOptions::Condition::IfPresent) {
            out.condition = SetOptions::Condition::IfAbsent;
        } else if (is_word(word, "xx") && out.condition != SetOptions::Condition::IfAbsent) {
            out.condition = SetOptions::Condition::IfPresent;
        } else if (is_word(word, "get")) {
            out.get = true;
        } else if (is_word(word, "keepttl") && !out.expiry) {
            out.keep_ttl = true;
        } else if (expiry != nullptr && !out.keep_ttl && i + 1 < argv.size()) {
            // The same word twice is taken, the last time counts; two different ones are not.
            if (out.expiry && (out.unit != expiry->unit || out.base != expiry->base)) return syntax_error();
            out.expiry = argv[++i];
            out.unit = expiry->unit;
            out.base = expiry->base;
        } else {
            return syntax_error();
        }
    }
    return out;
}

std::variant<GetexOptions, Reply> parse_getex_options(ArgvView argv) {
    const Reply syntax_error = Reply::error("ERR syntax error");
    GetexOptions out;
    for (size_t i = 2; i < argv.size(); ++i) {
        const ExpiryWord* expiry = find_expiry_word(argv[i]);
        if (is_word(argv[i], "persist") && !out.expiry) {
            out.persist = true;
        } else if (expiry != nullptr && !out.persist && i + 1 < argv.size()) {
            if (out.expiry && (out.unit != expiry->unit || out.base != expiry->base)) return syntax_error;
            out.expiry = argv[++i];
            out.unit = expiry->unit;
            out.base = expiry->base;
        } else {
            return syntax_error;
        }
    }
    return out;
}

std::variant<ExpireOptions, Reply> parse_expire_options(ArgvView argv) {
    ExpireOptions out;
    for (ByteView word : argv.subspan(3)) {
        if (is_word(word, "nx"))
            out.if_none = true;
        else if (is_word(word, "xx"))
            out.if_any = true;
        else if (is_word(word, "gt"))
            out.if_later = true;
        else if (is_word(word, "lt"))
            out.if_sooner = true;
        else
            return Reply::error("ERR Unsupported option " + Bytes(word.substr(0, word.find('\0'))));
    }
    if (out.if_none && (out.if_any || out.if_later || out.if_sooner))
        return Reply::error("ERR NX and XX, GT or LT options at the same time are not compatible");
    if (out.if_later && out.if_sooner)
        return Reply::error("ERR GT and LT options at the same time are not compatible");
    return out;
}

std::variant<int64_t, Reply> absolute_millis(ByteView text, TimeUnit unit, TimeBase base, LogTime now,
                                             TimeRange range, std::string_view command) {
    const auto number = resp::parse_int64(text);
    if (!number) return Reply::error("ERR value is not an integer or out of range");
    if (range == TimeRange::Positive && *number <= 0) return invalid_time(command);
    int64_t millis = *number;
    if (unit == TimeUnit::Seconds && __builtin_mul_overflow(millis, int64_t{1000}, &millis)) return invalid_time(command);
    const int64_t now_ms = now.millis() + (*number > 0 && now.ns % 1'000'000 != 0);
    if (base == TimeBase::Relative && __builtin_add_overflow(millis, now_ms, &millis)) return invalid_time(command);
    return millis;
}

}  // namespace orrery::kv
