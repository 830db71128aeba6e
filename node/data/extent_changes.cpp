#include "node/data/extent_changes.h"

#include <algorithm>

#include "runtime/base/crc32c.h"

namespace orrery::data {

using wire::BlockImage;
using wire::ExtentCommand;
using wire::ExtentCommandKind;
using wire::kCheckedBytes;
using wire::kImageBytes;

namespace {

/// One command's work on one extent.
class Change {
 public:
    Change(const ExtentCommand& command, LogIndex index, ExtentView& view) : command_(command), index_(index), view_(view) {}

    Result<ExtentOutcome> run() {
        TRY(std::optional<ExtentRecord> found, read_extent(view_, command_.extent));
        if (command_.kind == ExtentCommandKind::Create) {
            if (!found) return done({.changed = index_});
            return refuse(Code::Exists, found->state == ExtentState::Deleted ? "was deleted, its id never comes back" : "exists");
        }
        if (!found) return refuse(Code::NotFound, "does not exist");
        if (found->state == ExtentState::Deleted) return refuse(Code::NotFound, "was deleted");
        record_ = *found;
        record_.changed = index_;
        switch (command_.kind) {
            case ExtentCommandKind::Create: break;
            case ExtentCommandKind::Append: return append();
            case ExtentCommandKind::WriteImages: return write_images(found->changed);
            case ExtentCommandKind::Punch: return punch();
            case ExtentCommandKind::Delete: return erase();
        }
        return Error(Code::Corrupt, "command of unknown kind");
    }

 private:
    Result<ExtentOutcome> refuse(Code code, const std::string& why) const { return ExtentOutcome{Error(code, extent_name(command_.extent) + " " + why), {}}; }

    Result<ExtentOutcome> done(const ExtentRecord& record) {
        for (const auto& [number, block] : blocks_) out_.insert_or_assign(block_key(command_.extent, number), encode_block_record(block));
        out_.insert_or_assign(extent_key(command_.extent), encode_extent_record(record));
        return ExtentOutcome{std::nullopt, std::move(out_)};
    }

    /// The block as this command has it so far; covered 0 where the extent has none.
    Result<BlockRecord*> block(uint64_t number) {
        auto known = blocks_.find(number);
        if (known == blocks_.end()) {
            TRY(std::optional<BlockRecord> stored, read_block(view_, command_.extent, number));
            known = blocks_.emplace(number, stored.value_or(BlockRecord())).first;
        }
        return &known->second;
    }

    /// Puts whole images of `bytes` in all behind what the block has; `checksum` is theirs, `covered` what the extent has of them.
    static void extend(BlockRecord& block, uint32_t checksum, uint64_t bytes, uint64_t covered) {
        const uint64_t before = whole_images(block.covered);
        block.checksum = before == 0 ? checksum : crc32c_combine(block.checksum, checksum, bytes);
        block.covered = static_cast<uint32_t>(before + covered);
    }

    Result<ExtentOutcome> append() {
        if (command_.offset != whole_images(record_.size_bytes))
            return refuse(Code::Stale, "ends at " + std::to_string(record_.size_bytes) + ", there is nothing to append at " + std::to_string(command_.offset));
        uint64_t at = command_.offset;
        const uint64_t end = command_.offset + command_.length;
        for (const uint32_t piece : command_.pieces) {
            const uint64_t bytes = std::min(end, (at / kCheckedBytes + 1) * kCheckedBytes) - at;
            TRY(BlockRecord * known, block(at / kCheckedBytes));
            if (whole_images(known->covered) != at % kCheckedBytes) return Error(Code::Corrupt, extent_name(command_.extent) + ": a block does not end where the extent does");
            const uint64_t padding = whole_images(bytes) - bytes;
            extend(*known, crc32c_combine(piece, crc32c_zeros(padding), padding), whole_images(bytes), bytes);
            at += bytes;
        }
        record_.size_bytes = end;
        return done(record_);
    }

    Result<ExtentOutcome> write_images(LogIndex changed) {
        if (command_.after != changed)
            return refuse(Code::Stale, "was changed by entry " + std::to_string(changed.value) + " after the images were made");
        for (const BlockImage& image : command_.images) {
            const uint64_t at = image.block * kImageBytes;
            const uint64_t end = whole_images(record_.size_bytes);
            if (at > end) return refuse(Code::Invalid, "does not reach to block " + std::to_string(image.block));
            TRY(BlockRecord * known, block(at / kCheckedBytes));
            const uint64_t within = at % kCheckedBytes;
            if ((known->freed >> (within / kImageBytes) & 1) != 0) return refuse(Code::NotFound, "has freed block " + std::to_string(image.block));
            const uint32_t checksum = crc32c(image.bytes);
            // Only the last block may be short, and none shrinks.
            if (at + kImageBytes < end ? image.covered != kImageBytes : at + image.covered < record_.size_bytes)
                return refuse(Code::Invalid, "would lose bytes of block " + std::to_string(image.block));
            if (at == end) {
                extend(*known, checksum, kImageBytes, image.covered);
            } else if (whole_images(known->covered) < within + kImageBytes) {
                return Error(Code::Corrupt, extent_name(command_.extent) + ": a block ends before the extent does");
            } else {
                const uint64_t behind = whole_images(known->covered) - within - kImageBytes;
                known->checksum = crc32c_replace(known->checksum, image.replaced, checksum, behind);
                known->covered = std::max<uint32_t>(known->covered, static_cast<uint32_t>(within) + image.covered);
                record_.overwritten = index_;
            }
            record_.size_bytes = std::max(record_.size_bytes, at + image.covered);
        }
        return done(record_);
    }

    Result<ExtentOutcome> punch() {
        const uint64_t end = command_.offset + command_.length;
        if (end > whole_images(record_.size_bytes)) return refuse(Code::Invalid, "ends before the range that is to be freed");
        for (uint64_t at = command_.offset; at < end; at += kImageBytes) {
            TRY(BlockRecord * known, block(at / kCheckedBytes));
            known->freed |= uint32_t{1} << (at % kCheckedBytes / kImageBytes);
        }
        record_.overwritten = index_;
        return done(record_);
    }

    Result<ExtentOutcome> erase() {
        for (uint64_t at = 0; at < record_.size_bytes; at += kCheckedBytes) out_.emplace(block_key(command_.extent, at / kCheckedBytes), std::nullopt);
        return done({ExtentState::Deleted, 0, index_, index_});
    }

    const ExtentCommand& command_;
    LogIndex index_;
    ExtentView& view_;
    ExtentRecord record_;
    std::map<uint64_t, BlockRecord> blocks_;
    ExtentChanges out_;
};

}  // namespace

Result<std::optional<ExtentRecord>> read_extent(ExtentView& view, ExtentId extent) {
    TRY(std::optional<Bytes> bytes, view.get(extent_key(extent)));
    if (!bytes) return std::optional<ExtentRecord>();
    TRY(ExtentRecord record, decode_extent_record(*bytes));
    return std::optional(record);
}

Result<std::optional<BlockRecord>> read_block(ExtentView& view, ExtentId extent, uint64_t block) {
    TRY(std::optional<Bytes> bytes, view.get(block_key(extent, block)));
    if (!bytes) return std::optional<BlockRecord>();
    TRY(BlockRecord record, decode_block_record(*bytes));
    return std::optional(record);
}

Result<ExtentOutcome> change_extent(const wire::ExtentCommand& command, LogIndex index, ExtentView& view) { return Change(command, index, view).run(); }

}  // namespace orrery::data
