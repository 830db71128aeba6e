// The applier's side: what entries do to records and files, and in which order.
#include "node/data/extent_machine.h"

#include <algorithm>

#include "node/data/extent_views.h"
#include "runtime/base/defect.h"

namespace orrery::data {

using wire::ExtentCommand;
using wire::ExtentCommandKind;

namespace {
constexpr size_t kUnlinksAtOnce = 64;
}

Result<void> ExtentMachine::load(Fiber& fiber, const raft::StateSpace& space) {
    TRY(const auto files, files_.open(fiber, space.group, options_.replica));
    TRY(std::optional<Bytes> record, store_.get(fiber, raft::applied_key(space)));
    raft::AppliedRecord applied;
    if (record) {
        TRY(applied, raft::decode_applied(*record));
    }
    // What was there before is of no meaning any more, and nothing is applied meanwhile. Reads begin with `space_`.
    space_ = space;
    applied_ = applied.applied.index;
    held_.clear();
    unlinks_.clear();
    damaged_.clear();
    std::erase_if(torn_by_, [&](const auto& item) { return item.second <= applied_; });
    std::erase_if(torn_images_, [&](const auto& item) { return !torn_by_.contains(item.first); });
    std::erase_if(superseded_by_, [&](const auto& item) { return item.second <= applied_; });
    applied_moved_.notify_all();
    TRY(look_at_files(fiber, files));
    begin_unlinking();
    return {};
}

/// Files of deleted extents go: what the Store holds when it is loaded is durable. An extent that has lost its file is damaged. A file
/// that no record names may belong to an entry that is still to be applied.
Result<void> ExtentMachine::look_at_files(Fiber& fiber, const std::map<ExtentId, uint64_t>& files) {
    const Bytes prefix = raft::space_begin(space_), end = prefix + extents_end();
    Bytes from = prefix + extents_begin();
    for (;;) {
        TRY(store::Store::Chunk chunk, store_.scan(fiber, nullptr, from, end));
        for (const auto& [key, value] : chunk.pairs) {
            TRY(const ExtentId extent, extent_of_key(ByteView(key).substr(prefix.size())));
            TRY(const ExtentRecord record, decode_extent_record(value));
            const auto file = files.find(extent);
            if (record.state == ExtentState::Deleted) {
                if (file != files.end()) unlinks_[extent] = LogIndex();
            } else if (const uint64_t wanted = whole_images(record.size_bytes); wanted > 0 && (file == files.end() || file->second < wanted)) {
                ++counters_.files_missing;
                note_damage(extent, file == files.end() ? "its file is not there" : "its file is too short");
            }
        }
        if (!chunk.next) return {};
        from = std::move(*chunk.next);
    }
}

void ExtentMachine::recovered(std::span<const raft::Entry> above_applied) {
    for (const raft::Entry& entry : above_applied) {
        if (entry.kind != raft::EntryKind::Data) continue;
        Result<ExtentCommand> command = entry.hole ? Result<ExtentCommand>(Code::NotFound) : wire::decode_extent_command(entry.body_view());
        if (!command.ok()) {
            all_torn_by_ = entry.index;
        } else if (command->kind == ExtentCommandKind::WriteImages || command->kind == ExtentCommandKind::Punch || command->kind == ExtentCommandKind::Delete) {
            torn_by_[command->extent] = entry.index;
            for (const wire::BlockImage& image : command->images) torn_images_[command->extent].push_back({entry.index, image.block, image.replaced});
        }
    }
}

void ExtentMachine::truncated(LogIndex from) {
    // An earlier entry may have torn the same extent: what is left of the log up to there will be applied.
    for (auto& [extent, index] : torn_by_) index = std::min(index, from.previous());
    for (auto& [extent, index] : superseded_by_) index = std::min(index, from.previous());  // what it stands for is committed, so before
    for (auto& [extent, images] : torn_images_) std::erase_if(images, [from](const TornImage& image) { return image.index >= from; });
    all_torn_by_ = std::min(all_torn_by_, from.previous());
}

// ---- apply

Result<void> ExtentMachine::apply_all(Fiber& fiber, std::span<raft::ApplyItem> items) {
    Stored stored(fiber, store_, space_);
    BatchView view(changed_, stored);
    for (raft::ApplyItem& item : items) {
        TRY(const ExtentCommand command, wire::decode_extent_command(item.body));
        TRY(ExtentOutcome done, change_extent(command, item.index, view));
        if (item.reply_wanted)
            item.reply = wire::encode_extent_answer(done.refused ? wire::ExtentAnswer{static_cast<uint8_t>(done.refused->code), done.refused->context} : wire::ExtentAnswer());
        if (done.refused) {
            // An append to what is deleted has put its bytes into a file that was gone already.
            if (command.kind != ExtentCommandKind::Append) continue;
            TRY(const std::optional<ExtentRecord> record, read_extent(view, command.extent));
            if (record && record->state == ExtentState::Deleted) deleted_[command.extent] = item.index;
            continue;
        }
        for (auto& [key, value] : done.changes) changed_.insert_or_assign(key, std::move(value));
        if (command.kind == ExtentCommandKind::WriteImages) {
            for (const wire::BlockImage& image : command.images) images_[command.extent].insert_or_assign(image.block, image.bytes);
        } else if (command.kind == ExtentCommandKind::Delete) {
            images_.erase(command.extent);
            deleted_[command.extent] = item.index;
        }
    }
    return {};
}

Result<void> ExtentMachine::write_images(Fiber& fiber) {
    for (const auto& [extent, images] : images_) {
        TRY(ExtentFiles::Hold hold, files_.hold(fiber, extent, ExtentFiles::Use::Change));
        held_.push_back(std::move(hold));
        std::vector<ExtentFiles::Piece> pieces;
        for (const auto& [block, bytes] : images) pieces.push_back({block * wire::kImageBytes, bytes});
        if (ORRERY_DEFECT(extent_bytes_after_store)) {
            TRY(files_.write(fiber, extent, pieces, ExtentFiles::Durable::Later));
            env_.spawn("data.sync_later", [this, extent = extent](Fiber& own) {
                if (!env_.sleep(own, Duration::millis(200)).ok() || !files_.read(own, extent, 0, 1).ok()) return;
                (void)files_.write(own, extent, {});
            });
            continue;
        }
        TRY(files_.write(fiber, extent, pieces));
    }
    return {};
}

Result<void> ExtentMachine::apply(Fiber& fiber, std::span<raft::ApplyItem> items, store::Batch& batch) {
    changed_.clear();
    images_.clear();
    deleted_.clear();
    held_.clear();
    Result<void> done = apply_all(fiber, items);
    if (done.ok()) done = write_images(fiber);
    images_.clear();
    if (!done.ok()) {
        held_.clear();
        return done.error().within("entries from " + std::to_string(items.empty() ? 0 : items.front().index.value));
    }
    const Bytes prefix = raft::space_begin(space_);
    for (const auto& [key, value] : changed_) {
        if (value) {
            batch.put(prefix + key, *value);
        } else {
            batch.erase(prefix + key);
        }
    }
    return {};
}

void ExtentMachine::applied(LogIndex up_to) {
    applied_ = up_to;
    changed_.clear();
    held_.clear();
    for (const auto& [extent, index] : deleted_) {
        damaged_.erase(extent);
        unlink_when_durable(extent, index);
    }
    deleted_.clear();
    std::erase_if(torn_by_, [&](const auto& item) { return item.second <= up_to; });
    std::erase_if(torn_images_, [&](const auto& item) { return !torn_by_.contains(item.first); });
    std::erase_if(superseded_by_, [&](const auto& item) { return item.second <= up_to; });
    applied_moved_.notify_all();
}

Result<void> ExtentMachine::wait_applied(Fiber& fiber, LogIndex index, Instant deadline) {
    TRY(fiber.maybe_yield());
    while (applied_ < index) TRY(applied_moved_.wait(fiber, deadline));
    return {};
}

// ---- files of deleted extents

void ExtentMachine::unlink_when_durable(ExtentId extent, LogIndex index) {
    unlinks_[extent] = ORRERY_DEFECT(extent_unlinked_before_tombstone) ? LogIndex() : index;
    begin_unlinking();
    if (unlinks_.size() > options_.unlinks_max) (void)store_.request_flush();
}

void ExtentMachine::durable(LogIndex up_to) {
    durable_ = std::max(durable_, up_to);
    begin_unlinking();
}

void ExtentMachine::begin_unlinking() {
    if (unlinking_) return;
    if (std::none_of(unlinks_.begin(), unlinks_.end(), [this](const auto& item) { return item.second <= durable_; })) return;
    unlinking_ = true;
    env_.spawn("data.unlink", [this](Fiber& fiber) { unlink_loop(fiber); });
}

void ExtentMachine::unlink_loop(Fiber& fiber) {
    for (;;) {
        std::vector<ExtentId> extents;
        for (auto at = unlinks_.begin(); at != unlinks_.end() && extents.size() < kUnlinksAtOnce; ++at)
            if (at->second <= durable_) extents.push_back(at->first);
        if (extents.empty()) break;
        if (Result<void> removed = files_.remove(fiber, extents); !removed.ok()) {
            if (removed.code() == Code::Cancelled) return;
            // They are tried again with the next flush, or start.
            env_.tracer.warning("data.unlink_failed", {{"group", space_.group}, {"error", removed.error().text()}});
            break;
        }
        for (const ExtentId extent : extents) unlinks_.erase(extent);
        counters_.files_removed += extents.size();
    }
    unlinking_ = false;
}

void ExtentMachine::note_damage(ExtentId extent, std::string what) {
    env_.tracer.warning("data.extent_damaged", {{"group", space_.group}, {"extent", extent.value}, {"what", what}});
    if (damaged_.size() < options_.damaged_max || damaged_.contains(extent)) damaged_[extent] = std::move(what);
}

Result<std::optional<ExtentRecord>> ExtentMachine::extent(Fiber& fiber, ExtentId extent) const {
    Stored stored(fiber, store_, space_);
    return read_extent(stored, extent);
}

}  // namespace orrery::data
