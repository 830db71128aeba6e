// The reader's side: nothing leaves that its checksum does not vouch for.
#include <algorithm>

#include "node/data/extent_views.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/defect.h"

namespace orrery::data {

using wire::kCheckedBytes;
using wire::kImageBytes;

Result<void> ExtentMachine::readable(ExtentId extent) const {
    LogIndex wanted = all_torn_by_;
    for (const auto* gates : {&torn_by_, &superseded_by_})
        if (auto found = gates->find(extent); found != gates->end()) wanted = std::max(wanted, found->second);
    if (applied_ >= wanted) return {};
    return Error(Code::NotReady, extent_name(extent) + " is not as its records say before entry " + std::to_string(wanted.value) + " is applied");
}

Result<void> ExtentMachine::check_blocks(ExtentId extent, uint64_t first, const std::vector<BlockRecord>& blocks, ByteView bytes) {
    for (size_t i = 0; i < blocks.size(); ++i) {
        const ByteView has = bytes.substr(std::min<size_t>(i * kCheckedBytes, bytes.size())).substr(0, whole_images(blocks[i].covered));
        if (ORRERY_DEFECT(block_crc_unchecked)) continue;
        if (has.size() == whole_images(blocks[i].covered) && crc32c(has) == blocks[i].checksum) continue;
        ++counters_.corrupt_reads;
        const std::string what = "the bytes from offset " + std::to_string((first + i) * kCheckedBytes) + " do not match their checksum";
        note_damage(extent, what);
        return Error(Code::Corrupt, extent_name(extent) + ": " + what);
    }
    return {};
}

/// Requires: a Hold for reading, and that the range is one that may be asked for.
Result<ExtentMachine::Checked> ExtentMachine::read_held(Fiber& fiber, ExtentId extent, uint64_t offset, uint64_t length, Freed freed) {
    const raft::StateSpace space = space_;
    Stored stored(fiber, store_, space);
    TRY(const std::optional<ExtentRecord> record, read_extent(stored, extent));
    if (!record) return Error(Code::NotFound, extent_name(extent) + " does not exist");
    if (record->state == ExtentState::Deleted) return Error(Code::NotFound, extent_name(extent) + " was deleted");
    if (offset + length > whole_images(record->size_bytes))
        return Error(Code::Invalid, extent_name(extent) + " ends at " + std::to_string(record->size_bytes));

    const uint64_t first = offset / kCheckedBytes, last = (offset + length - 1) / kCheckedBytes;
    std::vector<BlockRecord> blocks;
    for (uint64_t number = first; number <= last; ++number) {
        TRY(const std::optional<BlockRecord> block, read_block(stored, extent, number));
        // The record of the extent was read before: it may have been deleted since.
        if (!block) return Error(Code::NotReady, extent_name(extent) + " is being changed");
        for (uint64_t at = std::max(offset, number * kCheckedBytes); freed == Freed::Refuse && at < std::min(offset + length, (number + 1) * kCheckedBytes); at += kImageBytes)
            if ((block->freed >> (at % kCheckedBytes / kImageBytes) & 1) != 0) return Error(Code::NotFound, extent_name(extent) + " has freed the bytes at " + std::to_string(at));
        blocks.push_back(*block);
    }
    const uint64_t begin = first * kCheckedBytes;
    Result<Bytes> bytes = files_.read(fiber, extent, begin, last * kCheckedBytes + whole_images(blocks.back().covered) - begin);
    if (space != space_) return Error(Code::NotReady, "a snapshot came in meanwhile");
    if (bytes.failed_with(Code::NotFound)) {
        TRY(const std::optional<ExtentRecord> now, read_extent(stored, extent));
        if (!now || now->state == ExtentState::Deleted) return Error(Code::NotFound, extent_name(extent) + " was deleted");
        ++counters_.corrupt_reads;
        note_damage(extent, "its file is not there");
        return Error(Code::Corrupt, extent_name(extent) + ": offset " + std::to_string(offset) + ": its file is not there");
    }
    if (!bytes.ok()) {
        if (bytes.code() == Code::Io) note_damage(extent, bytes.error().text());
        return bytes.error().within(extent_name(extent) + ", offset " + std::to_string(offset));
    }
    // Nothing yields between the check and the answer.
    TRY(check_blocks(extent, first, blocks, *bytes));
    bytes->resize(std::max<size_t>(bytes->size(), offset - begin + length));
    return Checked{record->size_bytes, bytes->substr(offset - begin, length)};
}

Result<ExtentMachine::Checked> ExtentMachine::read_checked(Fiber& fiber, ExtentId extent, uint64_t offset, uint64_t length, Freed freed, Instant deadline) {
    TRY(fiber.maybe_yield());
    if (length == 0 || length > options_.read_bytes_max + 2 * kImageBytes || offset > wire::kExtentBytesMax)
        return Error(Code::Invalid, "a read of " + std::to_string(length) + " bytes at " + std::to_string(offset));
    TRY(readable(extent));
    if (reads_ >= options_.reads_max) return Error(Code::Overloaded, "too many reads of this partition are under way");
    struct Counted {
        size_t& reads;
        ~Counted() { --reads; }
    } counted{++reads_};
    ++counters_.reads;
    TRY(const ExtentFiles::Hold hold, files_.hold(fiber, extent, ExtentFiles::Use::Read, deadline));
    TRY(readable(extent));
    return read_held(fiber, extent, offset, length, freed);
}

Result<Bytes> ExtentMachine::read(Fiber& fiber, ExtentId extent, uint64_t offset, uint64_t length, Instant deadline) {
    if (length > options_.read_bytes_max || offset > wire::kExtentBytesMax) return Error(Code::Invalid, "a read of " + std::to_string(length) + " bytes");
    const uint64_t begin = offset / kImageBytes * kImageBytes;
    TRY(Checked got, read_checked(fiber, extent, begin, length == 0 ? 0 : whole_images(offset + length) - begin, Freed::Refuse, deadline));
    if (offset + length > got.size_bytes) return Error(Code::Invalid, extent_name(extent) + " ends at " + std::to_string(got.size_bytes));
    return got.bytes.substr(offset - begin, length);
}

Result<Bytes> ExtentMachine::read_images(Fiber& fiber, ExtentId extent, uint64_t first, uint64_t count, Instant deadline) {
    TRY(Checked got, read_checked(fiber, extent, first * kImageBytes, count * kImageBytes, Freed::Refuse, deadline));
    return std::move(got.bytes);
}

}  // namespace orrery::data
