// What a data partition's log says about extents, and what whoever proposed it hears.
//
// An extent is a run of bytes that grows at its end. Its unit of writing is the 4 KiB block, of checking the 128 KiB block
// (node/data/README.md). Commands look into the bytes they were decoded from. What decode refuses is Corrupt.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/bytes.h"
#include "runtime/base/ids.h"
#include "runtime/base/result.h"

namespace orrery {

using ExtentId = StrongId<struct ExtentIdTag>;  // within its partition; never given twice; 0 = none

namespace wire {

inline constexpr uint64_t kImageBytes = 4096;           // what is written as a whole
inline constexpr uint64_t kCheckedBytes = 128 << 10;    // what has one checksum
inline constexpr uint64_t kExtentBytesMax = 8ull << 30;  // of one extent
inline constexpr uint64_t kAppendBytesMax = 4 << 20;    // of one append
inline constexpr size_t kImagesMax = 256;               // of one command

enum class ExtentCommandKind : uint8_t {  // stored; never renumber
    Create = 1,
    Append = 2,
    WriteImages = 3,
    Punch = 4,
    Delete = 5,
};
/// "create", "append", "write_images", "punch", "delete"; "?" for others.
std::string_view extent_command_name(ExtentCommandKind kind);

/// One 4 KiB block as it is to be.
struct BlockImage {
    uint64_t block = 0;         // number within the extent; at byte block * kImageBytes
    uint32_t covered = 0;       // bytes from the block's start that the extent has then, [1, kImageBytes]; behind them are zeros
    uint32_t replaced = 0;      // crc32c of the block's 4096 bytes before; 0 where the extent did not have the block
    ByteView bytes;             // kImageBytes
    bool operator==(const BlockImage&) const = default;
};

/// Which fields say something depends on the kind; the others are zero, or it is Corrupt.
struct ExtentCommand {
    ExtentCommandKind kind = ExtentCommandKind::Create;
    ExtentId extent;
    // Append and Punch, in bytes. Offsets, and the length of a Punch, are multiples of kImageBytes.
    uint64_t offset = 0;
    uint64_t length = 0;  // at least 1
    // Append: crc32c of the payload, which is the entry's attachment, and of each piece of it that lies in one block of kCheckedBytes.
    uint32_t checksum = 0;
    std::vector<uint32_t> pieces;
    // WriteImages: the last entry that had changed the extent when they were made, and the blocks, rising.
    LogIndex after;
    std::vector<BlockImage> images;
    bool operator==(const ExtentCommand&) const = default;
};
Bytes encode_extent_command(const ExtentCommand& command);
/// Views of images look into `bytes`.
Result<ExtentCommand> decode_extent_command(ByteView bytes);

/// The append of `payload` at `offset`, checksums and all. Requires: what decode_extent_command() asks of an Append.
ExtentCommand append_command(ExtentId extent, uint64_t offset, ByteView payload);
/// How many pieces an Append of [offset, offset + length) has.
uint64_t pieces_of(uint64_t offset, uint64_t length);

/// What an entry did. Not `Result`: it travels.
struct ExtentAnswer {
    uint8_t code = 0;  // a Code's number, or 0: done
    std::string context;
    bool operator==(const ExtentAnswer&) const = default;
};
Bytes encode_extent_answer(const ExtentAnswer& answer);
/// Errors: Corrupt (also a number that no Code has).
Result<ExtentAnswer> decode_extent_answer(ByteView bytes);

}  // namespace wire
}  // namespace orrery
