// The caretaker fiber: keeps free segments at hand, by new files or by emptying the oldest, and reads entries back.
//
// A new file is made while less than half of what is in use is dead; beyond that the oldest segment is read, and what is
// live in it goes to the writer as copies. So a record is copied about once in its life, however long it stays live.
#include <algorithm>

#include "node/log/format.h"
#include "node/log/segmented_log.h"

namespace orrery::log {

bool SegmentedLog::wants_recycling() const {
    if (order_.size() < 2 || free_.size() > options_.reserve_segments) return false;
    if (copies_bytes_ >= 2 * options_.copy_bytes) return false;
    uint32_t oldest = order_.front();
    if (index_.live_records(oldest) == 0) return false;  // leaves by itself with the next batch
    if (recycling_) return recycle_offset_ < segments_[oldest].used_bytes;  // what was begun is finished
    uint64_t segment = options_.segment_bytes;
    // Copies are padded too: a nearly full segment might need more than the one that is kept for it.
    if (index_.live_bytes_of_segment(oldest) > segment / 2 && free_.size() < 2) return false;
    uint64_t used = (order_.size() - 1) * segment;
    uint64_t live = index_.live_bytes();
    return short_of_space_ ? used >= live + live / 4 + segment : used >= 2 * live + segment;
}

bool SegmentedLog::wants_segment() const {
    if (short_of_space_ && env_.now() < space_retry_at_) return false;
    if (free_.empty()) return true;
    return free_.size() <= options_.reserve_segments && !wants_recycling() && !recycling_ && !oldest_is_dead();
}

Result<void> SegmentedLog::care_loop(Fiber& fiber) {
    while (!sealed_ && !(stopping_ && pending_.empty())) {
        if (stopping_ && short_of_space_) break;
        if (wants_recycling()) {
            TRY(read_copies(fiber));
            work_.notify_all();
        } else if (wants_segment()) {
            TRY(make_segment(fiber));
            work_.notify_all();
        } else {
            bool retry = short_of_space_ && space_retry_at_ > env_.now();
            Result<void> woken = care_.wait(fiber, retry ? space_retry_at_ : Instant::never());
            if (!woken.failed_with(Code::Timeout)) TRY(woken);
        }
    }
    return {};
}

Result<void> SegmentedLog::make_segment(Fiber& fiber) {
    uint64_t bytes = options_.segment_bytes;
    Result<Segment> made = Error(Code::NoSpace, "the log has reached its total_bytes");
    if (options_.total_bytes == 0 || (segments_.size() + 1) * bytes <= options_.total_bytes) {
        uint64_t number = segments_.empty() ? 1 : segments_.back().number + 1;
        made = env_.blocking(fiber, [&](Blocking& blocking) {
            return create_segment(blocking, env_.disk, options_.directory, number, bytes);
        });
    }
    if (made.ok()) {
        segments_.push_back(std::move(made).value());
        free_.push_back(static_cast<uint32_t>(segments_.size() - 1));
        ++counters_.segments_created;
        if (short_of_space_) env_.tracer.info("log.space_returned", {{"free_segments", free_.size()}});
        short_of_space_ = false;
        return {};
    }
    if (made.failed_with(Code::Cancelled)) return made.error();
    if (!made.failed_with(Code::NoSpace)) {
        seal_log(made.error().within("a new segment"));
        return made.error();
    }
    // Nothing of the log is touched by a file that could not be made.
    if (!short_of_space_) env_.tracer.warning("log.short_of_space", {{"free_segments", free_.size()}});
    short_of_space_ = true;
    space_retry_at_ = env_.now() + options_.space_retry;
    return {};
}

Result<void> SegmentedLog::read_copies(Fiber& fiber) {
    uint32_t slot = order_.front();
    if (recycling_ != slot) {
        recycling_ = slot;
        recycle_offset_ = 0;
    }
    Segment& segment = segments_[slot];
    File& file = *segment.file;
    uint64_t offset = recycle_offset_;
    uint64_t first = segment.first_batch;
    uint64_t number = segment.number;
    ++segment.pins;
    Result<Bytes> read = env_.blocking(fiber, [&](Blocking& blocking) -> Result<Bytes> {
        Bytes bytes(kBlockBytes, '\0');
        TRY(file.pread(blocking, offset, bytes));
        std::optional<BatchHeader> header = decode_header(bytes);
        if (!header || header->offset != offset || header->segment != number || header->number < first)
            return Error(Code::Corrupt, "no batch header where one was written");
        bytes.resize(header->batch_bytes);
        TRY(auto got, file.pread(blocking, offset, bytes));
        if (got != bytes.size()) return Error(Code::Corrupt, "the file has become shorter");
        return bytes;
    });
    unpin(slot);
    if (read.failed_with(Code::Cancelled)) return read.error();
    if (recycling_ != slot) return {};  // died meanwhile
    Result<void> found = read.ok() ? find_copies(*read, slot) : Result<void>(read.error());
    if (!found.ok())
        seal_log(found.error().within(segments_[slot].path + " at " + std::to_string(offset) + " while recycling"));
    return found;
}

Result<void> SegmentedLog::find_copies(const Bytes& bytes, uint32_t slot) {
    BatchHeader header = *decode_header(bytes);
    ByteView rest = ByteView(bytes).substr(kHeaderBytes, header.record_bytes);
    while (!rest.empty()) {
        std::optional<RecordHeader> record = decode_record(rest, header.number, header.salt);
        if (!record) return Error(Code::Corrupt, "a record header is damaged");
        uint64_t at = recycle_offset_ + kHeaderBytes + header.record_bytes - rest.size();
        Location from{slot, static_cast<uint32_t>(record->total_bytes()), at};
        if (index_.is_live(*record, from)) {
            if (!body_is_intact(*record, rest))
                return Error(Code::Corrupt, "the body of a record of group " + std::to_string(record->group.value) +
                                                ", index " + std::to_string(record->index) + " is damaged");
            copies_.push_back({from, Bytes(rest.substr(0, record->total_bytes()))});
            copies_bytes_ += record->total_bytes();
        }
        rest.remove_prefix(record->total_bytes());
    }
    recycle_offset_ += header.batch_bytes;
    // Everything is read: what is still live must be on its way, or a record has become unreachable.
    if (recycle_offset_ >= segments_[slot].used_bytes && copies_.empty() && index_.live_records(slot) != 0)
        return Error(Code::Corrupt, "live records of a segment were not found in it");
    return {};
}

void SegmentedLog::unpin(uint32_t slot) {
    Segment& segment = segments_[slot];
    CHECK(segment.pins > 0);
    if (--segment.pins != 0 || !segment.dead) return;
    segment.dead = false;
    free_.push_back(slot);
    work_.notify_all();
}

Result<std::vector<Entry>> SegmentedLog::read(Fiber& fiber, GroupId group, LogIndex first, LogIndex last,
                                              uint64_t max_bytes) {
    if (sealed_) return *sealed_;
    if (stopping_ && fibers_ == 0 && started_) return Error(Code::Cancelled, "log: stopped");
    struct Wanted {
        LogIndex index;
        LiveIndex::EntryAt entry;
        File* file;
    };
    std::vector<Wanted> wanted;
    uint64_t bytes = 0;
    for (LogIndex index = first; index <= last; index = index.next()) {
        const LiveIndex::EntryAt* entry = index_.entry(group, index);
        if (entry == nullptr) break;
        bool unsynced = in_flight_ && entry->at.segment == in_flight_->segment && entry->at.offset >= in_flight_->offset;
        if (unsynced || (!wanted.empty() && bytes + entry->at.bytes > max_bytes)) break;
        bytes += entry->at.bytes;
        wanted.push_back({index, *entry, segments_[entry->at.segment].file.get()});
    }
    if (wanted.empty()) return Error(Code::NotFound, "log: entry " + std::to_string(first.value) + " is not there to read");
    for (const Wanted& each : wanted) ++segments_[each.entry.at.segment].pins;
    Result<std::vector<Entry>> out = env_.blocking(fiber, [&](Blocking& blocking) -> Result<std::vector<Entry>> {
        std::vector<Entry> entries;
        Bytes raw;
        for (const Wanted& each : wanted) {
            raw.assign(each.entry.at.bytes, '\0');
            TRY(each.file->pread(blocking, each.entry.at.offset, raw));
            RecordHeader record = peek_record(raw.data());
            bool right = record.kind == Batch::Kind::Entry && record.group == group && record.index == each.index.value &&
                         record.term == each.entry.term && body_is_intact(record, raw);
            if (right && record.is_hole()) return Error(Code::NotFound, "log: entry " + std::to_string(each.index.value) + " is a hole");
            if (!right)
                return Error(Code::Corrupt, "log: group " + std::to_string(group.value) + " entry " +
                                                std::to_string(each.index.value) + " at " +
                                                std::to_string(each.entry.at.offset) + " reads back damaged");
            entries.push_back({each.index, record.term, record.entry_kind, (record.flags & kAttachmentFlag) != 0,
                               Bytes(record_body(record, raw))});
        }
        return entries;
    });
    for (const Wanted& each : wanted) unpin(each.entry.at.segment);
    if (!out.ok()) return out;
    // Copies moved by recycling are the same entries; a truncation or floor meanwhile is not.
    for (const Wanted& each : wanted) {
        const LiveIndex::EntryAt* now = index_.entry(group, each.index);
        if (now == nullptr || now->term != each.entry.term) return Error(Code::Stale, "log: entries changed while read");
    }
    return out;
}

}  // namespace orrery::log
