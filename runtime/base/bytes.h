// Byte strings. Bytes owns, ByteView looks; both may hold any byte. Fixed-width little-endian helpers for formats.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace orrery {

using Bytes = std::string;
using ByteView = std::string_view;

template <typename Int>
void put_le(Bytes& out, Int value) {
    char raw[sizeof(Int)];
    for (size_t i = 0; i < sizeof(Int); ++i) raw[i] = static_cast<char>(static_cast<uint64_t>(value) >> (8 * i));
    out.append(raw, sizeof(Int));
}

/// Requires: at least sizeof(Int) bytes at `from`.
template <typename Int>
Int get_le(const char* from) {
    uint64_t value = 0;
    for (size_t i = 0; i < sizeof(Int); ++i)
        value |= static_cast<uint64_t>(static_cast<unsigned char>(from[i])) << (8 * i);
    return static_cast<Int>(value);
}

/// Big-endian, so that keys order as numbers do.
inline void put_be64(Bytes& out, uint64_t value) {
    char raw[8];
    for (int i = 0; i < 8; ++i) raw[i] = static_cast<char>(value >> (56 - 8 * i));
    out.append(raw, 8);
}

/// Requires: at least 8 bytes at `from`.
inline uint64_t get_be64(const char* from) {
    uint64_t value = 0;
    for (int i = 0; i < 8; ++i) value = value << 8 | static_cast<unsigned char>(from[i]);
    return value;
}

/// Reads fields from untrusted bytes; every take_* answers false, and moves nothing, when too few bytes are left.
class ByteReader {
 public:
    explicit ByteReader(ByteView bytes) : rest_(bytes) {}

    template <typename Int>
    bool take_le(Int& out) {
        if (rest_.size() < sizeof(Int)) return false;
        out = get_le<Int>(rest_.data());
        rest_.remove_prefix(sizeof(Int));
        return true;
    }
    bool take_bytes(size_t count, ByteView& out) {
        if (rest_.size() < count) return false;
        out = rest_.substr(0, count);
        rest_.remove_prefix(count);
        return true;
    }
    /// A uint32 length followed by that many bytes.
    bool take_string(ByteView& out) {
        ByteReader copy = *this;
        uint32_t length = 0;
        if (!copy.take_le(length) || !copy.take_bytes(length, out)) return false;
        *this = copy;
        return true;
    }
    ByteView rest() const { return rest_; }
    bool empty() const { return rest_.empty(); }

 private:
    ByteView rest_;
};

/// The form take_string() reads.
inline void put_string(Bytes& out, ByteView text) {
    put_le<uint32_t>(out, static_cast<uint32_t>(text.size()));
    out.append(text);
}

}  // namespace orrery
