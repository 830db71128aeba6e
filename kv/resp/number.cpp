#include "kv/resp/number.h"

#include <charconv>

#include "runtime/base/check.h"

namespace orrery::resp {

std::optional<int64_t> parse_int64(ByteView text) {
    if (text == "0") return 0;
    const ByteView digits = !text.empty() && text[0] == '-' ? text.substr(1) : text;
    if (digits.empty() || digits[0] < '1' || digits[0] > '9') return std::nullopt;
    int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

void append_int64(Bytes& out, int64_t value) {
    char digits[20];
    const auto [end, error] = std::to_chars(digits, digits + sizeof(digits), value);
    CHECK(error == std::errc());
    out.append(digits, end);
}

Bytes int64_text(int64_t value) {
    Bytes out;
    append_int64(out, value);
    return out;
}

}  // namespace orrery::resp
