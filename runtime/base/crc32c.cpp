#include "runtime/base/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>

namespace orrery {

uint32_t crc32c(ByteView bytes, uint32_t seed) {
    uint32_t crc = ~seed;
    // ISA-L takes an int length.
    while (!bytes.empty()) {
        const size_t part = std::min<size_t>(bytes.size(), 1u << 30);
        crc = crc32_iscsi(reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data())), static_cast<int>(part), crc);
        bytes.remove_prefix(part);
    }
    return ~crc;
}

}  // namespace orrery
