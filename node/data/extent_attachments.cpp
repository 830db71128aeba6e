// Payloads of appends: to their place before the entry joins the log, and back for a member that lacks it.
#include "node/data/extent_views.h"
#include "runtime/base/crc32c.h"

namespace orrery::data {

using wire::ExtentCommand;

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
    const uint64_t body = command.length / wire::kImageBytes * wire::kImageBytes;
    std::vector<ExtentFiles::Piece> pieces;
    if (body > 0) pieces.push_back({command.offset, ByteView(*entry.attachment).substr(0, body)});
    Bytes tail = entry.attachment->substr(body);
    if (!tail.empty()) {
        tail.resize(wire::kImageBytes, '\0');
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
    TRY(readable(command.extent));
    TRY(const std::optional<ExtentRecord> record, extent(fiber, command.extent));
    if (!record || record->overwritten <= entry.index)
        return Error(Code::Corrupt, extent_name(command.extent) + ": the append at " + std::to_string(command.offset) + " is damaged");
    ++counters_.superseded_sent;
    if (record->state == ExtentState::Deleted) return raft::LoadedAttachment{std::make_shared<const Bytes>(), record->overwritten};
    TRY(Checked now, read_held(fiber, command.extent, command.offset, whole_images(command.length), Freed::Read));
    now.bytes.resize(command.length);
    return raft::LoadedAttachment{std::make_shared<const Bytes>(std::move(now.bytes)), record->overwritten};
}

}  // namespace orrery::data
