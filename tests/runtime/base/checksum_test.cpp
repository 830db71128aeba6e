// CRC-32C: its values, and what it leaves behind in the processor.
#include "runtime/base/crc32c.h"

#include <utility>

#include <doctest/doctest.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace orrery {

TEST_CASE("crc32c: the check value, zeros of RFC 3720, and going on from a seed") {
    CHECK(crc32c("123456789") == 0xe3069283);
    CHECK(crc32c(Bytes(32, '\0')) == 0x8a9136aa);
    CHECK(crc32c("") == 0);
    const Bytes text(5000, 'q');
    for (size_t cut : {0, 1, 44, 255, 256, 4999}) CHECK(crc32c(ByteView(text).substr(cut), crc32c(ByteView(text).substr(0, cut))) == crc32c(text));
}

TEST_CASE("crc32c: of what is put together, padded or replaced in part, without the bytes") {
    Bytes text;
    for (int i = 0; i < 9000; ++i) text.push_back(static_cast<char>(i * 31 + i / 7));
    const auto part = [&](size_t from, size_t to) { return crc32c(ByteView(text).substr(from, to - from)); };
    for (size_t cut : {0, 1, 7, 255, 4096, 8999, 9000}) CHECK(crc32c_combine(part(0, cut), part(cut, text.size()), text.size() - cut) == crc32c(text));
    for (size_t count : {0, 1, 31, 32, 4095, 70000}) {
        CHECK(crc32c_zeros(count) == crc32c(Bytes(count, '\0')));
        CHECK(crc32c_combine(crc32c(text), crc32c_zeros(count), count) == crc32c(text + Bytes(count, '\0')));
    }
    for (auto [from, to] : {std::pair<size_t, size_t>{0, 1}, {0, 9000}, {4096, 8192}, {8999, 9000}, {100, 100}}) {
        Bytes other = text;
        for (size_t i = from; i < to; ++i) other[i] = static_cast<char>(other[i] ^ (i % 5 + 1));
        CHECK(crc32c_replace(crc32c(text), part(from, to), crc32c(ByteView(other).substr(from, to - from)), text.size() - to) == crc32c(other));
    }
}

TEST_CASE("crc32c: no upper half of a vector register stays in use") {
#if defined(__x86_64__)
    // XINUSE, the components of the state that are not as after a reset: bit 2 the upper halves of the 256-bit registers, bit 6 those
    // of the first sixteen 512-bit ones.
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    if (!__get_cpuid_count(0xd, 1, &eax, &ebx, &ecx, &edx) || (eax & 4) == 0) {
        MESSAGE("SKIPPED checksum.upper_halves the processor does not tell what is in use");
        return;
    }
    const Bytes text(4096, 'q');
    for (size_t bytes : {0, 44, 255, 256, 300, 4096}) {
        const uint32_t crc = crc32c(ByteView(text).substr(0, bytes));
        uint32_t in_use = 0, upper = 0;
        asm volatile("xgetbv" : "=a"(in_use), "=d"(upper) : "c"(1), "r"(crc));
        CHECK_MESSAGE((in_use & (1u << 2 | 1u << 6)) == 0, bytes);
    }
#else
    MESSAGE("SKIPPED checksum.upper_halves another kind of processor");
#endif
}

}  // namespace orrery
