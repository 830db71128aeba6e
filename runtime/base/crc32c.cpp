#include "runtime/base/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>

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

}  // namespace

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
