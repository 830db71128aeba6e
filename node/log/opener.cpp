#include "node/log/opener.h"

#include <algorithm>

#include "runtime/base/defect.h"
#include "runtime/base/hash.h"

namespace orrery::log {

namespace {

/// A number that no two starts share: drawn, and mixed with both clocks, because a replayed world draws the same again.
uint64_t start_number(const Env& env, std::string_view name) {
    uint64_t drawn = env.random.stream(name).next();
    return combine64(drawn, combine64(static_cast<uint64_t>(env.clock.now().ns), static_cast<uint64_t>(env.clock.wall().ns)));
}

std::vector<GroupId> groups_of(const BatchHeader& header, ByteView batch) {
    std::vector<GroupId> groups;
    ByteView rest = batch.substr(kHeaderBytes, header.record_bytes);
    while (!rest.empty()) {
        RecordHeader record = peek_record(rest.data());
        groups.push_back(record.group);
        rest.remove_prefix(record.total_bytes());
    }
    return groups;
}

}  // namespace

Result<void> Opener::check_options() const {
    auto refuse = [](const std::string& what) { return Error(Code::Invalid, "log options: " + what); };
    if (options_.directory.empty()) return refuse("directory is empty");
    if (options_.segment_bytes % kBlockBytes != 0 || options_.segment_bytes > (uint64_t{1} << 30))
        return refuse("segment_bytes must be a multiple of 4096, at most 1 GiB");
    constexpr uint64_t kLeast = 16 << 10;
    if (options_.batch_bytes < kLeast || options_.batch_bytes > identity_.segment_bytes / 4)
        return refuse("batch_bytes must be between 16 KiB and a quarter of segment_bytes");
    if (options_.queue_bytes < options_.batch_bytes || options_.queue_bytes > identity_.segment_bytes / 2)
        return refuse("queue_bytes must be between batch_bytes and half of segment_bytes");
    if (options_.copy_bytes < kLeast || options_.copy_bytes > options_.batch_bytes)
        return refuse("copy_bytes must be between 16 KiB and batch_bytes");
    if (options_.reserve_segments < 2) return refuse("reserve_segments must be at least 2");
    uint64_t least = (uint64_t{options_.reserve_segments} + 2) * identity_.segment_bytes;
    if (options_.total_bytes != 0 && options_.total_bytes < least)
        return refuse("total_bytes must hold two segments and the reserve");
    return {};
}

Result<void> Opener::prepare_directory(Blocking& blocking) {
    Disk& disk = env_.disk;
    const std::string& directory = options_.directory;
    if (Result<void> made = disk.create_dir(blocking, directory); !made.ok() && !made.failed_with(Code::Exists))
        return made;
    size_t slash = directory.rfind('/');
    TRY(disk.sync_dir(blocking, slash == std::string::npos ? std::string() : directory.substr(0, slash)));
    // A start that was killed between a rename and its sync may have left names that only the page cache holds.
    TRY(disk.sync_dir(blocking, directory));
    Result<Identity> identity = read_identity(blocking, disk, directory);
    if (identity.ok()) {
        identity_ = *identity;
    } else if (!identity.failed_with(Code::NotFound)) {
        return std::move(identity).error();
    } else {
        TRY(auto entries, disk.list(blocking, directory));
        for (const Disk::Entry& entry : entries)
            if (segment_number(entry.name))
                return Error(Code::Corrupt, directory + "/identity is missing although there are segments");
        identity_ = {fresh_log_id_, options_.segment_bytes};
        TRY(check_options());
        TRY(write_identity(blocking, disk, directory, identity_));
    }
    return check_options();
}

Result<void> Opener::open_segments(Blocking& blocking) {
    TRY(auto entries, env_.disk.list(blocking, options_.directory));
    for (const Disk::Entry& entry : entries) {
        std::optional<uint64_t> number = segment_number(entry.name);
        if (!number) continue;
        Segment segment;
        segment.number = *number;
        segment.path = options_.directory + "/" + entry.name;
        TRY(segment.file, env_.disk.open(blocking, segment.path, OpenMode::ReadWrite));
        segment.file->bypass_cache(blocking);
        // A segment gets its name when all of it is written and synced, so one that is shorter was cut later.
        TRY(uint64_t bytes, segment.file->size(blocking));
        if (bytes < identity_.segment_bytes)
            report_.node_damage.push_back({segment.path, bytes, 0, "the file ends here, a segment has " +
                                                                       std::to_string(identity_.segment_bytes) + " bytes"});
        segments_.push_back(std::move(segment));
    }
    std::sort(segments_.begin(), segments_.end(), [](const Segment& a, const Segment& b) { return a.number < b.number; });
    // Numbers rise from 1, each name is durable before the next is made, and no segment is ever given back.
    uint64_t expected = 1;
    for (const Segment& segment : segments_) {
        for (; expected < segment.number; ++expected)
            report_.node_damage.push_back({segment_path(options_.directory, expected), 0, 0, "the file is missing"});
        expected = segment.number + 1;
    }
    return {};
}

void Opener::cut_at_damage() {
    // The seeded defect: the row ends at the first bad place, wherever that is.
    auto bad = std::find_if(chain_.links.begin(), chain_.links.end(), [](const Link& link) { return !link.good(); });
    chain_.links.erase(bad, chain_.links.end());
}

Result<void> Opener::read_all(Blocking& blocking) {
    TRY(prepare_directory(blocking));
    TRY(open_segments(blocking));
    for (uint32_t slot = 0; slot < segments_.size(); ++slot)
        TRY(scan_segment(blocking, segments_[slot], slot, identity_, found_));
    chain_ = resolve(found_, segments_);
    if (ORRERY_DEFECT(damage_is_torn_tail)) cut_at_damage();
    TRY(replay_chain(blocking, chain_, segments_, replay_, report_));
    TRY(load_live(blocking, chain_, segments_, replay_, report_));
    if (!chain_.links.empty()) {
        const FoundBatch& newest = *chain_.links.back().batch;
        TRY(newest_bytes_, read_batch(blocking, segments_[newest.segment], newest));
        if (!batch_is_whole(newest.header, newest_bytes_))
            return Error(Code::Io, segments_[newest.segment].path + ": a batch reads differently each time");
    }
    return {};
}

void Opener::judge_group(GroupId id, GroupReport& group) {
    // A hole that the state machine does not need any more: the floor moves above it.
    const DurableApplied applied = durable_applied_(id);
    Floor raised = group.floor;
    std::erase_if(group.holes, [&](const Hole& hole) {
        if (hole.index > applied.index) return false;
        report_.not_missed.push_back(hole.place);
        raised = std::max(raised, Floor{hole.index, hole.term});
        return true;
    });
    if (raised.index > group.floor.index) {
        raised_[id] = group.floor = raised;
        std::erase_if(group.entries, [&](const Entry& entry) { return entry.index <= raised.index; });
    }
    LogIndex expected = group.floor.index.next();
    for (const Entry& entry : group.entries) {
        // Entries can only be missing where a batch is; if none is known to be, our own bookkeeping failed on disk.
        if (entry.index != expected && group.unnamed_damage.empty() && report_.node_damage.empty())
            group.unnamed_damage.push_back({options_.directory, 0, 0,
                                            "entries from " + std::to_string(expected.value) + " to " +
                                                std::to_string(entry.index.value - 1) + " are missing"});
        expected = entry.index.next();
    }
}

void Opener::judge() {
    report_.log_id = identity_.log_id;
    report_.segments = segments_.size();
    report_.torn_tail = chain_.torn_tail;
    report_.last_good_batch = chain_.links.empty() ? 0 : chain_.links.back().number;
    for (auto& [id, group] : report_.groups) judge_group(id, group);
    bound_holes();
}

void Opener::bound_holes() {
    // Holes are written down in the first batch. More than fit there are no damaged places but a damaged disk.
    uint64_t holes = 0;
    for (const auto& [id, group] : report_.groups) holes += group.holes.size();
    if (holes * kRecordHeaderBytes <= options_.batch_bytes) return;
    for (auto& [id, group] : report_.groups)
        if (!group.holes.empty()) group.unnamed_damage.push_back({group.holes.front().place.file, group.holes.front().place.offset, 0,
                                                                  std::to_string(holes) + " damaged entries are too many to mend"});
}

Error Opener::refusal() const {
    return Error(Code::Corrupt,
                 "the log has damage that is still needed:\n" + report_.damage_text() +
                     "Nothing was changed. A member of a group with healthy peers: keep a copy of the data directory, "
                     "then replace the member (remove it, wipe its directory, add it under a new replica id). A group "
                     "without other members: restore the damaged file or the whole directory from a backup.");
}

void Opener::adopt(SegmentedLog& log) {
    log.index_ = std::move(replay_.index);
    const FoundBatch* newest = chain_.links.empty() ? nullptr : &*chain_.links.back().batch;
    // What the newest batch calls recycled may be needed if it turns out to be in the page cache only, so the batch
    // before it tells which segments may be overwritten now.
    uint64_t lowest = UINT64_MAX;
    if (newest != nullptr) {
        lowest = newest->header.oldest;
        for (const FoundBatch& batch : found_.batches)
            if (batch.header.number == newest->header.predecessor() && batch.header.crc == newest->header.previous_crc)
                lowest = std::min(lowest, batch.header.oldest);
    }
    for (const FoundBatch& batch : found_.batches) {
        if (newest == nullptr || batch.header.number < lowest || batch.header.number > newest->header.number) continue;
        Segment& segment = segments_[batch.segment];
        if (segment.first_batch == 0 || batch.header.number < segment.first_batch)
            segment.first_batch = batch.header.number;
        segment.used_bytes = std::max(segment.used_bytes, batch.offset + batch.header.batch_bytes);
    }
    for (uint32_t slot = 0; slot < segments_.size(); ++slot)
        if (segments_[slot].first_batch != 0)
            log.order_.push_back(slot);
        else
            log.free_.push_back(slot);
    std::sort(log.order_.begin(), log.order_.end(),
              [&](uint32_t a, uint32_t b) { return segments_[a].first_batch < segments_[b].first_batch; });
    if (newest != nullptr) {
        // Segments with void batches only may stand behind the newest one's: they were begun by a start that never
        // synced, and are written again from their beginning once the row reaches them.
        while (log.order_.back() != newest->segment) {
            segments_[log.order_.back()].first_batch = segments_[log.order_.back()].used_bytes = 0;
            log.free_.push_back(log.order_.back());
            log.order_.pop_back();
        }
        log.write_offset_ = newest->offset + newest->header.batch_bytes;
        segments_[newest->segment].used_bytes = log.write_offset_;
        log.oldest_ = newest->header.oldest;
    }
    log.segments_ = std::move(segments_);
}

Result<void> Opener::fill_free(Blocking& blocking, SegmentedLog& log, uint64_t count) {
    while (log.free_.size() < count) {
        uint64_t after = (log.segments_.size() + 1) * identity_.segment_bytes;
        if (options_.total_bytes != 0 && after > options_.total_bytes)
            return Error(Code::NoSpace, "the log has reached its total_bytes");
        uint64_t number = log.segments_.empty() ? 1 : log.segments_.back().number + 1;
        TRY(auto segment, create_segment(blocking, env_.disk, options_.directory, number, identity_.segment_bytes));
        log.segments_.push_back(std::move(segment));
        log.free_.push_back(static_cast<uint32_t>(log.segments_.size() - 1));
        ++log.counters_.segments_created;
    }
    return {};
}

Bytes Opener::first_batch(SegmentedLog& log) {
    const FoundBatch* newest = chain_.links.empty() ? nullptr : &*chain_.links.back().batch;
    BatchHeader header;
    std::vector<GroupId> names;
    Bytes bytes(kHeaderBytes, '\0');
    header.void_from = 1;
    if (newest != nullptr) {
        const BatchHeader& last = newest->header;
        // A first batch repeated takes over what it had declared void, so that one declaration is enough.
        header.void_from = last.number == last.epoch_first ? last.void_from : last.number;
        header.previous_crc = last.previous_crc;
        names = *decode_groups(last, newest_bytes_);
        bytes.append(newest_bytes_, kHeaderBytes, last.record_bytes);
        header.record_count = last.record_count;
        log.previous_groups_ = groups_of(last, newest_bytes_);
    }
    for (const auto& [group, floor] : raised_) {
        encode_record(bytes, group, {Batch::Kind::Floor, 0, false, floor.index.value, floor.term, {}});
        ++header.record_count;
        log.previous_groups_.push_back(group);
    }
    for (const auto& [id, group] : report_.groups)
        for (const Hole& hole : group.holes) {
            auto at = std::lower_bound(group.entries.begin(), group.entries.end(), hole.index,
                                       [](const Entry& entry, LogIndex index) { return entry.index < index; });
            encode_record(bytes, id, {Batch::Kind::Entry, at->kind, at->has_attachment, hole.index.value, hole.term, {}, Batch::Place::Hole});
            ++header.record_count;
            log.previous_groups_.push_back(id);
        }
    std::sort(log.previous_groups_.begin(), log.previous_groups_.end());
    log.previous_groups_.erase(std::unique(log.previous_groups_.begin(), log.previous_groups_.end()),
                               log.previous_groups_.end());
    header.log_id = identity_.log_id;
    header.epoch = chain_.highest_epoch + 1;
    // One number is left out: a torn batch whose header was lost may have had it.
    header.number = header.epoch_first = chain_.highest_number + 2;
    header.record_bytes = static_cast<uint32_t>(bytes.size() - kHeaderBytes);
    header.group_count = static_cast<uint32_t>(names.size());
    header.salt = log.salt_;
    header.groups_crc = encode_groups(bytes, names, header.salt, header.number);
    bytes.resize(round_up(bytes.size(), kBlockBytes), '\0');
    header.batch_bytes = static_cast<uint32_t>(bytes.size());

    bool fits = !log.order_.empty() && log.write_offset_ + bytes.size() <= identity_.segment_bytes;
    if (!fits) {
        CHECK(!log.free_.empty());
        uint32_t slot = log.free_.front();
        log.free_.erase(log.free_.begin());
        log.segments_[slot].first_batch = header.number;
        log.order_.push_back(slot);
        log.write_offset_ = 0;
    }
    if (log.oldest_ == 0) log.oldest_ = header.number;
    header.oldest = log.oldest_;
    uint32_t slot = log.order_.back();
    header.segment = log.segments_[slot].number;
    header.offset = log.write_offset_;
    for (uint64_t at = kHeaderBytes; at < kHeaderBytes + header.record_bytes;) {
        RecordHeader record = peek_record(bytes.data() + at);
        stamp_record(bytes.data() + at, header.number, header.salt, record.flags);
        log.index_.place(record, {slot, static_cast<uint32_t>(record.total_bytes()), header.offset + at});
        at += record.total_bytes();
    }
    encode_header(header, bytes.data());
    log.epoch_ = Epoch(header.epoch);
    log.epoch_first_ = header.number;
    log.void_from_ = header.void_from;
    log.next_number_ = header.number + 1;
    log.last_synced_ = header.number;
    log.previous_crc_ = header.crc;
    return bytes;
}

Result<std::unique_ptr<SegmentedLog>> Opener::run(Fiber& fiber) {
    fresh_log_id_ = start_number(env_, "log.id");
    TRY(env_.blocking(fiber, [&](Blocking& blocking) { return read_all(blocking); }));
    judge();
    if (report_.refused(fetchable_)) {
        env_.tracer.error("log.damaged", {{"directory", options_.directory}, {"places", report_.damage_text()}});
        return refusal();
    }
    if (ORRERY_DEFECT(torn_tail_is_corruption) && report_.torn_tail)
        return Error(Code::Corrupt, report_.torn_tail->text());
    if (report_.torn_tail)
        env_.tracer.info("log.torn_tail", {{"file", report_.torn_tail->file}, {"offset", report_.torn_tail->offset}});
    for (const auto& [id, group] : report_.groups)
        if (!group.holes.empty())
            env_.tracer.warning("log.holes", {{"group", id}, {"count", group.holes.size()}, {"first", group.holes.front().place.text()}});
    for (const DamagedPlace& place : report_.not_missed)
        env_.tracer.warning("log.damage_not_missed", {{"place", place.text()}});

    options_.segment_bytes = identity_.segment_bytes;
    std::unique_ptr<SegmentedLog> log(new SegmentedLog(env_, options_, identity_.log_id));
    log->salt_ = static_cast<uint32_t>(start_number(env_, "log.salt"));
    adopt(*log);
    TRY(env_.blocking(fiber, [&](Blocking& blocking) -> Result<void> {
        TRY(fill_free(blocking, *log, 1));
        Bytes bytes = first_batch(*log);
        uint32_t slot = log->order_.back();
        File& file = *log->segments_[slot].file;
        TRY(file.pwrite(blocking, log->write_offset_, bytes));
        TRY(file.sync(blocking));
        log->write_offset_ += bytes.size();
        log->segments_[slot].used_bytes = log->write_offset_;
        log->counters_.batches = 1;
        log->counters_.written_bytes = bytes.size();
        // The rest of the reserve may be refused by a full disk: the log opens, and says so to those who append.
        Result<void> reserve = fill_free(blocking, *log, options_.reserve_segments + 1);
        if (reserve.failed_with(Code::NoSpace))
            log->short_of_space_ = true;
        else if (!reserve.ok())
            return reserve;
        return {};
    }));
    for (const auto& [id, group] : log->index_.groups()) log->accepted_[id] = {group.floor_index, group.last()};
    report_.epoch = log->epoch_;
    env_.tracer.info("log.opened", {{"epoch", log->epoch_},
                                    {"last_good_batch", report_.last_good_batch},
                                    {"batches", report_.batches},
                                    {"records", report_.records},
                                    {"segments", log->segments_.size()}});
    return log;
}

Result<std::unique_ptr<SegmentedLog>> SegmentedLog::open(Fiber& fiber, Env& env, Options options,
                                                         const DurableAppliedLookup& durable_applied,
                                                         RecoveryReport* report, const HolesLookup& fetchable) {
    RecoveryReport local;
    RecoveryReport& out = report == nullptr ? local : *report;
    out = {};
    return Opener(env, std::move(options), durable_applied, fetchable, out).run(fiber);
}

}  // namespace orrery::log
