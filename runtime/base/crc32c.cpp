#include "runtime/base/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <array>

namespace orrery {

namespace {

#if defined(__x86_64__)
// From 256 bytes on ISA-L computes in 512-bit registers and leaves their upper halves in use. Until somebody clears them every change
// from such code (memcpy of the C library is some) to plain SSE costs a quarter of a microsecond, wherever in the process it is.
[[gnu::target("avx")]] void clear_upper_halves() { __builtin_ia32_vzeroupper(); }
bool has_upper_halves() { return __builtin_cpu_supports("avx") != 0; }
#else
void clear_upper_halves() {}
bool has_upper_halves() { return false; }
#endif

// Polynomials over GF(2) modulo the Castagnoli polynomial, bit-reversed as the crc is: the highest bit is x^0.
constexpr uint32_t kPolynomial = 0x82f63b78;
constexpr uint32_t kOne = 1u << 31;

constexpr uint32_t multiply(uint32_t a, uint32_t b) {
    uint32_t product = 0;
    for (uint32_t bit = kOne; bit != 0; bit >>= 1) {
        if ((a & bit) != 0) product ^= b;
        b = (b & 1) != 0 ? (b >> 1) ^ kPolynomial : b >> 1;
    }
    return product;
}

/// [k] is x^(8 * 2^k): what 2^k bytes that follow do to a crc.
constexpr std::array<uint32_t, 64> kShifts = [] {
    std::array<uint32_t, 64> out{};
    uint32_t power = kOne >> 1;
    for (int i = 0; i < 3; ++i) power = multiply(power, power);
    for (uint32_t& shift : out) {
        shift = power;
        power = multiply(power, power);
    }
    return out;
}();

uint32_t shifted(uint32_t crc, uint64_t bytes) {
    for (size_t k = 0; bytes != 0; ++k, bytes >>= 1)
        if ((bytes & 1) != 0) crc = multiply(kShifts[k], crc);
    return crc;
}

}  // namespace

uint32_t crc32c_combine(uint32_t front, uint32_t back, uint64_t back_bytes) { return shifted(front, back_bytes) ^ back; }

uint32_t crc32c_zeros(uint64_t count) { return ~shifted(~uint32_t{0}, count); }

uint32_t crc32c_replace(uint32_t whole, uint32_t old_part, uint32_t new_part, uint64_t bytes_behind) {
    return whole ^ shifted(old_part ^ new_part, bytes_behind);
}

uint32_t crc32c(ByteView bytes, uint32_t seed) {
    uint32_t crc = ~seed;
    // ISA-L takes an int length.
    while (!bytes.empty()) {
        const size_t part = std::min<size_t>(bytes.size(), 1u << 30);
        crc = crc32_iscsi(reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data())), static_cast<int>(part), crc);
        bytes.remove_prefix(part);
    }
    if (has_upper_halves()) clear_upper_halves();
    return ~crc;
}

}  // namespace orrery
