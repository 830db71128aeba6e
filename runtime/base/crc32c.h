// CRC-32C (Castagnoli), the one checksum of frames, log records and extents. ISA-L does the work.
#pragma once

#include <cstdint>

#include "runtime/base/bytes.h"

namespace orrery {

/// crc32c("123456789") == 0xe3069283. `seed` is the crc of the bytes before, to go on from.
uint32_t crc32c(ByteView bytes, uint32_t seed = 0);

// What follows needs no bytes: a crc is linear. Each costs some hundred nanoseconds, whatever the lengths are.

/// Of `front` followed by `back`, which is `back_bytes` long, from the crcs of both.
uint32_t crc32c_combine(uint32_t front, uint32_t back, uint64_t back_bytes);
/// Of `count` zero bytes.
uint32_t crc32c_zeros(uint64_t count);
/// Of a string in which a part is replaced by another of the same length, from the crcs of the string and both parts;
/// `bytes_behind` follow the part.
uint32_t crc32c_replace(uint32_t whole, uint32_t old_part, uint32_t new_part, uint64_t bytes_behind);

}  // namespace orrery
