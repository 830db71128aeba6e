// Byte strings. Bytes owns, ByteView looks; both may hold any byte. Fixed-width little-endian helpers for formats.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace orrery {

using Bytes = std::string;
using ByteView = std::string_view;

// Integers are copied as they lie in memory: a loop over bytes is one that the compiler leaves as it is.
static_assert(std::endian::native == std::endian::little, "formats are little-endian: another machine must swap here");

/// Requires: room for sizeof(Int) bytes at `to`.
template <typename Int>
void store_le(char* to, Int value) {
    std::memcpy(to, &value, sizeof(Int));
}

template <typename Int>
void put_le(Bytes& out, Int value) {
    char raw[sizeof(Int)];
    store_le(raw, value);
    out.append(raw, sizeof(Int));
}

/// Requires: at least sizeof(Int) bytes at `from`.
template <typename Int>
Int get_le(const char* from) {
    Int value;
    std::memcpy(&value, from, sizeof(Int));
    return value;
}

/// Big-endian, so that keys order as numbers do.
inline void put_be64(Bytes& out, uint64_t value) { put_le(out, __builtin_bswap64(value)); }

/// Requires: at least 8 bytes at `from`.
inline uint64_t get_be64(const char* from) { return __builtin_bswap64(get_le<uint64_t>(from)); }

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
