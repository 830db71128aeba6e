// Fixed-width integers of the formats, as bytes.
#include "runtime/base/bytes.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>

namespace orrery {
namespace {

template <typename Int>
void comes_back(Int value) {
    Bytes out = "before";
    put_le(out, value);
    REQUIRE(out.size() == 6 + sizeof(Int));
    CHECK(get_le<Int>(out.data() + 6) == value);
    char raw[sizeof(Int)];
    store_le(raw, value);
    CHECK(ByteView(raw, sizeof raw) == ByteView(out).substr(6));
}

}  // namespace

TEST_CASE("bytes: integers are little-endian, least byte first, whatever their width and sign") {
    Bytes out;
    put_le<uint32_t>(out, 0x01020304);
    put_le<int16_t>(out, -2);
    CHECK(out == Bytes("\x04\x03\x02\x01\xfe\xff", 6));
    comes_back<uint8_t>(0xfe);
    comes_back<int64_t>(std::numeric_limits<int64_t>::min());
    comes_back<uint64_t>(0x8000'0000'0000'0001);
}

TEST_CASE("bytes: big-endian numbers order as bytes as they do as numbers") {
    Bytes small, large;
    put_be64(small, 0x00ff);
    put_be64(large, 0x0100);
    CHECK(small == Bytes("\0\0\0\0\0\0\0\xff", 8));
    CHECK(small < large);
    CHECK(get_be64(large.data()) == 0x0100);
}

TEST_CASE("bytes: a reader gives what is there, and nothing of what is not all there") {
    ByteReader reader(ByteView("\x01\x02\x03", 3));
    uint32_t four = 9;
    CHECK_FALSE(reader.take_le(four));
    CHECK(four == 9);
    uint16_t two = 0;
    CHECK(reader.take_le(two));
    CHECK(two == 0x0201);
    CHECK(reader.rest() == "\x03");
}

}  // namespace orrery
