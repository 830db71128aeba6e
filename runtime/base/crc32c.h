// CRC-32C (Castagnoli), the one checksum of frames, log records and extents. ISA-L does the work.
#pragma once

#include <cstdint>

#include "runtime/base/bytes.h"

namespace orrery {

/// crc32c("123456789") == 0xe3069283. `seed` is the crc of the bytes before, to go on from.
uint32_t crc32c(ByteView bytes, uint32_t seed = 0);

}  // namespace orrery
