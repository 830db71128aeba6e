// Overwrites and small appends: whole images of the 4 KiB blocks that they touch, made of the newest ones there are.
//
// The newest image of a block is the one in the log that is not applied yet, else what the file has, which is checked as it is read.
// Reading yields. So nothing is believed afterwards unless no entry but appends was proposed for the extent since the read began.
#include <algorithm>

#include "node/data/extent_writer.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/defect.h"

namespace orrery::data {

using wire::kImageBytes;

Result<Written> ExtentWriter::append_small(Fiber& fiber, ExtentId extent, ByteView bytes, Instant deadline) {
    return write_images(fiber, extent, std::nullopt, bytes, deadline);
}

Result<Written> ExtentWriter::overwrite(Fiber& fiber, ExtentId extent, uint64_t offset, ByteView bytes, Instant deadline) {
    return write_images(fiber, extent, offset, bytes, deadline);
}

Result<Written> ExtentWriter::write_images(Fiber& fiber, ExtentId extent, std::optional<uint64_t> wanted, ByteView bytes, Instant deadline) {
    if (bytes.empty() || bytes.size() > wire::kImagesMax * kImageBytes || wanted.value_or(0) > wire::kExtentBytesMax)
        return Error(Code::Invalid, "a write of no bytes, or of too many");
    TRY(group_.admit(fiber, bytes.size(), deadline));
    for (int tries = 0; tries < options_.tries_max; ++tries) {
        TRY(Tail* tail, live_tail(fiber, extent, deadline));
        const uint64_t offset = wanted.value_or(tail->end), end = offset + bytes.size();
        if ((wanted && end > tail->end) || end > wire::kExtentBytesMax)
            return Error(Code::Invalid, extent_name(extent) + " ends at " + std::to_string(tail->end));
        if (const LogIndex punched = tail->punched; punched > machine_.applied_index()) {
            TRY(machine_.wait_applied(fiber, punched, deadline));  // which blocks there are is known then
            continue;
        }
        const uint64_t first = offset / kImageBytes;
        const uint64_t after_last = std::min(whole_images(end), whole_images(tail->end)) / kImageBytes;  // of those that are there already
        if ((end - 1) / kImageBytes - first + 1 > wire::kImagesMax) return Error(Code::Invalid, "a write of too many blocks");

        Images old;  // of those that are there
        uint64_t read_first = after_last, read_after_last = first;
        for (uint64_t block = first; block < after_last; ++block) {
            if (auto found = tail->images.find(block); found != tail->images.end()) {
                old[block] = found->second.bytes;
                continue;
            }
            read_first = std::min(read_first, block);
            read_after_last = block + 1;
        }
        if (read_first < read_after_last) {
            const Term term = term_;
            const LogIndex overwritten = tail->overwritten, changed = tail->changed;
            const Result<Bytes> read = machine_.read_images(fiber, extent, read_first, read_after_last - read_first, deadline);
            if (read.failed_with(Code::Invalid)) {
                TRY(machine_.wait_applied(fiber, changed, deadline));  // its append is under way
                continue;
            }
            if (!read.ok()) return read.error();
            // From here to begin() nothing yields.
            TRY(ready());
            tail = known(extent);
            if (term_ != term || tail == nullptr || tail->broken || tail->state != Tail::State::Live || tail->overwritten != overwritten) continue;
            if (!wanted && tail->end != offset) continue;
            for (uint64_t block = read_first; block < read_after_last; ++block)
                old.try_emplace(block, std::make_shared<const Bytes>(read->substr((block - read_first) * kImageBytes, kImageBytes)));
        }
        TRY(Begun begun, begin_images(extent, *tail, offset, bytes, old));
        return finish(fiber, std::move(begun), deadline);
    }
    return Error(Code::Overloaded, extent_name(extent) + " is being changed by others");
}

/// Atomic. `old`: the newest images of the blocks that the extent has.
Result<ExtentWriter::Begun> ExtentWriter::begin_images(ExtentId extent, Tail& tail, uint64_t offset, ByteView bytes, const Images& old) {
    const uint64_t end = std::max(tail.end, offset + bytes.size());
    wire::ExtentCommand command;
    command.kind = wire::ExtentCommandKind::WriteImages;
    command.extent = extent;
    command.after = tail.changed;
    Images made;
    for (uint64_t block = offset / kImageBytes; block * kImageBytes < offset + bytes.size(); ++block) {
        const uint64_t at = block * kImageBytes;
        const auto before = old.find(block);
        Bytes image = before == old.end() ? Bytes(kImageBytes, '\0') : *before->second;
        const uint64_t from = std::max(at, offset), to = std::min(at + kImageBytes, offset + bytes.size());
        bytes.copy(image.data() + (from - at), to - from, from - offset);
        made[block] = std::make_shared<const Bytes>(std::move(image));
        command.images.push_back({block, static_cast<uint32_t>(std::min(kImageBytes, end - at)), before == old.end() ? 0 : crc32c(*before->second), *made[block]});
    }
    TRY(Begun begun, begin(command, nullptr, raft::SpaceUse::Takes));
    begun.written.offset = offset;
    if (ORRERY_DEFECT(overwrite_in_place_before_commit)) {
        env_.spawn("data.write_early", [this, extent, made](Fiber& fiber) {
            for (const auto& [block, image] : made) (void)machine_.files().write(fiber, extent, {{block * kImageBytes, *image}});
        });
    }
    tail.end = end;
    tail.changed = tail.overwritten = begun.written.index;
    for (auto& [block, image] : made) tail.images.insert_or_assign(block, Image{begun.written.index, std::move(image)});
    return begun;
}

}  // namespace orrery::data
