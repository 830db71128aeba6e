// ASCII case, without locales: command names and options are compared this way.
#pragma once

#include "runtime/base/bytes.h"

namespace orrery::kv {

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

constexpr char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

inline Bytes lowered(ByteView text) {
    Bytes out(text);
    for (char& c : out) c = lower(c);
    return out;
}

inline Bytes uppered(ByteView text) {
    Bytes out(text);
    for (char& c : out) c = upper(c);
    return out;
}

/// `word` is lower case already.
inline bool is_word(ByteView text, ByteView word) {
    if (text.size() != word.size()) return false;
    for (size_t i = 0; i < text.size(); ++i)
        if (lower(text[i]) != word[i]) return false;
    return true;
}

}  // namespace orrery::kv
