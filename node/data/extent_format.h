// The records of a partition's extents in the Store, below its StateSpace. README.md has the layout.
#pragma once

#include <string>

#include "node/raft/state_space.h"
#include "node/wire/extent_command.h"

namespace orrery::data {

enum class ExtentState : uint8_t {  // stored; never renumber
    Live = 1,
    Deleted = 2,  // for good: the id never comes back
};

struct ExtentRecord {
    ExtentState state = ExtentState::Live;
    uint64_t size_bytes = 0;  // end of the last byte; 0 when deleted
    LogIndex changed;         // the last entry that did anything to it
    LogIndex overwritten;     // the last one that changed bytes it had before, or freed or deleted them; 0: none
    bool operator==(const ExtentRecord&) const = default;
};

/// One block of kCheckedBytes.
struct BlockRecord {
    uint32_t covered = 0;  // bytes from the block's start that the extent has, [1, kCheckedBytes]
    uint32_t checksum = 0; // crc32c of them, and of zeros up to the next multiple of kImageBytes
    uint32_t freed = 0;    // bit n: the block's n-th image of kImageBytes is freed
    bool operator==(const BlockRecord&) const = default;
};

/// The least multiple of kImageBytes that is not below `bytes`.
constexpr uint64_t whole_images(uint64_t bytes) { return (bytes + wire::kImageBytes - 1) / wire::kImageBytes * wire::kImageBytes; }

/// "extent 7": for people.
std::string extent_name(ExtentId extent);

// Keys without the prefix of the StateSpace. Numbers are big-endian: extents, and the blocks of one, lie in order.
Bytes extent_key(ExtentId extent);
Bytes block_key(ExtentId extent, uint64_t block);
/// [extents_begin(), extents_end()) are the keys of all extents.
Bytes extents_begin();
Bytes extents_end();
/// Errors: Corrupt.
Result<ExtentId> extent_of_key(ByteView key);

Bytes encode_extent_record(const ExtentRecord& record);
/// Errors: Corrupt.
Result<ExtentRecord> decode_extent_record(ByteView bytes);
Bytes encode_block_record(const BlockRecord& record);
/// Errors: Corrupt.
Result<BlockRecord> decode_block_record(ByteView bytes);

}  // namespace orrery::data
