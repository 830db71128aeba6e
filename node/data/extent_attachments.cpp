// Payloads of appends: to their place before the entry joins the log, and back for a member that lacks it.
#include <algorithm>
#include <set>

#include "node/data/extent_views.h"
#include "runtime/base/crc32c.h"

namespace orrery::data {

using wire::ExtentCommand;
using wire::kCheckedBytes;
using wire::kImageBytes;

namespace {

Result<ExtentCommand> append_of(const raft::Entry& entry) {
    TRY(ExtentCommand command, wire::decode_extent_command(entry.body_view()));
    if (command.kind != wire::ExtentCommandKind::Append) return Error(Code::Corrupt, "an attachment of an entry that appends nothing");
    return command;
}

}  // namespace

Result<void> ExtentMachine::store_attachment(Fiber& fiber, const raft::Entry& entry) {
    TRY(const ExtentCommand command, append_of(entry));
    if (entry.superseded_by) {
        // Not what was proposed, so its record will be untrue until that entry is applied too.
        LogIndex& wanted = superseded_by_[command.extent];
        wanted = std::max(wanted, entry.superseded_by);
        if (entry.attachment->empty()) return {};  // it is deleted by then
    }
    if (entry.attachment->size() != command.length) return Error(Code::Corrupt, "an attachment of another length than its entry says");
    if (!entry.superseded_by && crc32c(*entry.attachment) != command.checksum) return Error(Code::Corrupt, "an attachment that does not match its entry");
    TRY(const ExtentFiles::Hold hold, files_.hold(fiber, command.extent, ExtentFiles::Use::Append));
    const uint64_t body = command.length / kImageBytes * kImageBytes;
    std::vector<ExtentFiles::Piece> pieces;
    if (body > 0) pieces.push_back({command.offset, ByteView(*entry.attachment).substr(0, body)});
    Bytes tail = entry.attachment->substr(body);
    if (!tail.empty()) {
        tail.resize(kImageBytes, '\0');
        pieces.push_back({command.offset + body, tail});
    }
    TRY(files_.write(fiber, command.extent, pieces));
    ++counters_.attachments;
    return {};
}

Result<raft::LoadedAttachment> ExtentMachine::load_attachment(Fiber& fiber, const raft::Entry& entry) {
    TRY(const ExtentCommand command, append_of(entry));
    TRY(const ExtentFiles::Hold hold, files_.hold(fiber, command.extent, ExtentFiles::Use::Read));
    Result<Bytes> bytes = files_.read(fiber, command.extent, command.offset, command.length);
    if (!bytes.ok() && bytes.code() != Code::NotFound) return bytes.error();
    if (bytes.ok() && bytes->size() == command.length && crc32c(*bytes) == command.checksum)
        return raft::LoadedAttachment{std::make_shared<const Bytes>(std::move(*bytes)), {}};

    // They are not what was proposed: a later entry changed them, and we know which and can vouch for what they are now; or it is damage.
    TRY(const std::optional<ExtentRecord> record, extent(fiber, command.extent));
    if (record && record->state == ExtentState::Deleted) {
        ++counters_.superseded_sent;
        return raft::LoadedAttachment{std::make_shared<const Bytes>(), record->overwritten};
    }
    if (torn_by_.contains(command.extent)) return load_torn(fiber, command, entry.index);
    TRY(readable(command.extent));
    if (!record || record->overwritten <= entry.index)
        return Error(Code::Corrupt, extent_name(command.extent) + ": the append at " + std::to_string(command.offset) + " is damaged");
    TRY(Checked now, read_held(fiber, command.extent, command.offset, whole_images(command.length), Freed::Read));
    now.bytes.resize(command.length);
    ++counters_.superseded_sent;
    return raft::LoadedAttachment{std::make_shared<const Bytes>(std::move(now.bytes)), record->overwritten};
}

/// crc32c of whole images at `offset` as they were before the entries behind `after` that may have torn them.
uint32_t ExtentMachine::checksum_before_torn(ExtentId extent, LogIndex after, uint64_t offset, ByteView images) const {
    uint32_t checksum = crc32c(images);
    std::set<uint64_t> seen;
    for (const TornImage& torn : torn_images_.at(extent)) {
        const uint64_t at = torn.block * kImageBytes;
        if (torn.index <= after || at < offset || at >= offset + images.size() || !seen.insert(torn.block).second) continue;
        checksum = crc32c_replace(checksum, crc32c(images.substr(at - offset, kImageBytes)), torn.replaced, offset + images.size() - at - kImageBytes);
    }
    return checksum;
}

/// The same while entries of before our start wait to be applied again. Their images may be in the file, whole or torn, and the records
/// do not know of them; but they say what they replaced, so all other bytes can be checked. Requires: a Hold for reading, torn_by_.
Result<raft::LoadedAttachment> ExtentMachine::load_torn(Fiber& fiber, const ExtentCommand& command, LogIndex index) {
    const Error not_yet(Code::NotReady, extent_name(command.extent) + " can not be vouched for yet");
    if (all_torn_by_ > applied_ || superseded_by_.contains(command.extent) || !torn_images_.contains(command.extent)) return not_yet;
    const LogIndex applied = applied_, superseded_by = torn_by_.at(command.extent);
    const uint64_t first = command.offset / kCheckedBytes, end = command.offset + whole_images(command.length), last = (end - 1) / kCheckedBytes;
    std::vector<BlockRecord> blocks;
    Stored stored(fiber, store_, space_);
    for (uint64_t number = first; number <= last; ++number) {
        TRY(const std::optional<BlockRecord> block, read_block(stored, command.extent, number));
        blocks.push_back(block.value_or(BlockRecord()));
    }
    TRY(Bytes bytes, files_.read(fiber, command.extent, first * kCheckedBytes, (last - first + 1) * kCheckedBytes));
    if (applied_ != applied || !torn_by_.contains(command.extent)) return not_yet;
    bytes.resize((last - first + 1) * kCheckedBytes, '\0');
    for (size_t i = 0; i < blocks.size(); ++i) {
        // An append that is applied is in the records of its blocks; of another its entry says what it wrote.
        const uint64_t block_begin = (first + i) * kCheckedBytes;
        const uint64_t from = index <= applied ? block_begin : std::max(block_begin, command.offset);
        const uint64_t to = index <= applied ? block_begin + whole_images(blocks[i].covered) : std::min(block_begin + kCheckedBytes, end);
        const uint64_t padding = i + 1 == blocks.size() ? whole_images(command.length) - command.length : 0;
        const uint32_t wanted = index <= applied ? blocks[i].checksum : crc32c_combine(command.pieces[i], crc32c_zeros(padding), padding);
        if (checksum_before_torn(command.extent, std::max(index, applied), from, ByteView(bytes).substr(from - first * kCheckedBytes, to - from)) != wanted)
            return Error(Code::Corrupt, extent_name(command.extent) + ": the append at " + std::to_string(command.offset) + " is damaged");
    }
    ++counters_.superseded_sent;
    return raft::LoadedAttachment{std::make_shared<const Bytes>(bytes.substr(command.offset - first * kCheckedBytes, command.length)), superseded_by};
}

}  // namespace orrery::data
