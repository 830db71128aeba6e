#include "node/log/segmented_log.h"

#include <algorithm>

#include "node/log/format.h"

namespace orrery::log {

namespace {

void note_group(std::vector<GroupId>& groups, GroupId group) {
    if (groups.empty() || groups.back() != group) groups.push_back(group);
}

}  // namespace

SegmentedLog::SegmentedLog(Env& env, Options options, uint64_t log_id)
    : env_(env), options_(std::move(options)), log_id_(log_id) {}

SegmentedLog::~SegmentedLog() { CHECK(fibers_ == 0, fibers_); }

void SegmentedLog::start() {
    CHECK(!started_);
    started_ = true;
    fibers_ = 2;
    env_.spawn("log.writer", [this](Fiber& fiber) {
        (void)write_loop(fiber);
        writer_ended_ = true;
        ended();
    });
    env_.spawn("log.caretaker", [this](Fiber& fiber) {
        (void)care_loop(fiber);
        ended();
    });
}

void SegmentedLog::ended() {
    // Without one of its fibers the log makes no progress: nobody may wait for it any more.
    stopping_ = true;
    --fibers_;
    wake_all();
}

void SegmentedLog::wake_all() {
    work_.notify_all();
    care_.notify_all();
    progress_.notify_all();
}

Result<void> SegmentedLog::stop(Fiber& fiber) {
    stopping_ = true;
    wake_all();
    while (fibers_ != 0) TRY(progress_.wait(fiber));
    (void)close_files(fiber);  // cancelled: they are closed here and now
    if (sealed_) return *sealed_;
    if (!started_ || synced_ < appended_) return Error(Code::Cancelled, "log: stopped before everything was synced");
    return {};
}

/// Closing a preallocated file may write to the disk: not on the loop thread, where the destructor would do it.
Result<void> SegmentedLog::close_files(Fiber& fiber) {
    std::vector<std::unique_ptr<File>> files;
    for (Segment& segment : segments_)
        if (segment.pins == 0) files.push_back(std::move(segment.file));
    return env_.blocking(fiber, [&](Blocking&) -> Result<void> {
        files.clear();
        return {};
    });
}

// ---- appending

Result<void> SegmentedLog::check_items(const Accepted* before, const Batch& records, Accepted& after) const {
    after = before == nullptr ? Accepted{} : *before;
    auto refuse = [](const char* what, uint64_t index) {
        return Error(Code::Invalid, std::string("log: ") + what + " " + std::to_string(index));
    };
    for (const Batch::Item& item : records.items()) {
        LogIndex index(item.index);
        if (item.body.size() > options_.batch_bytes) return refuse("a body larger than a batch:", item.body.size());
        switch (item.kind) {
            case Batch::Kind::Entry:
                if (index <= after.floor) return refuse("entry at or below the floor:", item.index);
                if (index > after.last.next()) return refuse("a gap before entry", item.index);
                if (item.place == Batch::Place::Fill) {
                    if (index > after.last) return refuse("nothing to fill at", item.index);
                    break;
                }
                after.last = index;
                break;
            case Batch::Kind::Truncate:
                if (index <= after.floor) return refuse("truncation at or below the floor:", item.index);
                after.last = std::min(after.last, index.previous());
                break;
            case Batch::Kind::Floor:
                if (index < after.floor) return refuse("a floor below the floor:", item.index);
                after.floor = index;
                after.last = std::max(after.last, index);
                break;
            case Batch::Kind::Tombstone: after = {}; break;
            case Batch::Kind::HardState:
            case Batch::Kind::Configuration: break;
        }
    }
    return {};
}

Result<void> SegmentedLog::check_space(uint64_t bytes, Use use) {
    if (queued_bytes_ + bytes > options_.queue_bytes) {
        ++counters_.refused_overloaded;
        return Error(Code::Overloaded, "log: too much waits for a sync");
    }
    uint64_t segment = options_.segment_bytes;
    uint64_t rest = segment - write_offset_;
    uint64_t available = free_.size() * segment + rest;
    uint64_t needed = queued_bytes_ + bytes + 4 * kBlockBytes;
    // What may not be touched: the reserve, and always one segment, without which nothing could be recycled.
    uint64_t kept = (use == Use::Ordinary ? options_.reserve_segments : 1) * segment;
    if (available >= kept + needed) return {};
    if (short_of_space_) {
        ++counters_.refused_no_space;
        return Error(Code::NoSpace, "log: the disk is full, " + std::to_string(free_.size()) + " free segments are kept");
    }
    // The caretaker is about to make room or to learn that there is none.
    care_.notify_all();
    ++counters_.refused_overloaded;
    return Error(Code::Overloaded, "log: waiting for a free segment");
}

bool SegmentedLog::no_space() const {
    uint64_t available = free_.size() * options_.segment_bytes + (options_.segment_bytes - write_offset_);
    return short_of_space_ &&
           available < options_.reserve_segments * options_.segment_bytes + queued_bytes_ + 5 * kBlockBytes;
}

Result<Ticket> SegmentedLog::append(GroupId group, const Batch& records, Use use) {
    if (sealed_) return *sealed_;
    if (stopping_) return Error(Code::Cancelled, "log: stopping");
    CHECK(!records.empty());
    auto known = accepted_.find(group);
    Accepted after;
    TRY(check_items(known == accepted_.end() ? nullptr : &known->second, records, after));
    uint64_t bytes = 0;
    for (const Batch::Item& item : records.items()) bytes += RecordHeader::record_bytes(item.body.size());
    if (bytes > options_.batch_bytes)
        return Error(Code::Invalid, "log: an append of " + std::to_string(bytes) + " bytes is larger than a batch");
    TRY(check_space(bytes, use));

    if (pending_.empty() || pending_.back().bytes.size() + bytes > kHeaderBytes + options_.batch_bytes) {
        pending_.emplace_back();
        pending_.back().bytes.assign(kHeaderBytes, '\0');
    }
    Pending& into = pending_.back();
    for (const Batch::Item& item : records.items()) encode_record(into.bytes, group, item);
    into.records += static_cast<uint32_t>(records.items().size());
    appended_.sequence += 1;
    into.last_sequence = appended_.sequence;
    accepted_[group] = after;
    queued_bytes_ += bytes;
    appended_bytes_ += bytes;
    ++counters_.appends;
    work_.notify_all();
    return appended_;
}

Result<Ticket> SegmentedLog::set_floor(GroupId group, LogIndex index, Term term) {
    Batch records;
    records.floor(index, term);
    return append(group, records, Use::Reserve);
}

Result<void> SegmentedLog::wait_synced(Fiber& fiber, Ticket ticket, Instant deadline) {
    CHECK(ticket <= appended_, ticket.sequence, appended_.sequence);
    TRY(fiber.maybe_yield());
    while (synced_ < ticket) {
        if (sealed_) return *sealed_;
        if (writer_ended_) return Error(Code::Cancelled, "log: stopped before the sync");
        TRY(progress_.wait(fiber, deadline));
    }
    return {};
}

// ---- the writer

/// An upper bound of the next batch's size, before anything is placed.
uint64_t SegmentedLog::batch_bound(Content content) const {
    uint64_t bytes = kHeaderBytes + previous_groups_.size() * 8;
    if (content == Content::All && !pending_.empty()) bytes += pending_.front().bytes.size() - kHeaderBytes;
    if (content != Content::Seal) bytes += copies_bound();
    return round_up(bytes, kBlockBytes);
}

uint64_t SegmentedLog::copies_bound() const {
    if (copies_.empty()) return 0;
    return std::max<uint64_t>(std::min(copies_bytes_, options_.copy_bytes), copies_.front().bytes.size());
}

bool SegmentedLog::fits(Content content) const {
    return write_offset_ + batch_bound(content) <= options_.segment_bytes;
}

bool SegmentedLog::may_write(Content content) const {
    // The last free segment is for copies alone: emptying the oldest segment always has room to write to.
    size_t kept = content == Content::Copies ? 0 : 1;
    return fits(content) ? free_.size() >= kept : free_.size() > kept;
}

bool SegmentedLog::oldest_is_dead() const { return order_.size() > 1 && index_.live_records(order_.front()) == 0; }

Result<void> SegmentedLog::write_loop(Fiber& fiber) {
    while (!sealed_) {
        if (!pending_.empty() && may_write(Content::All)) {
            TRY(write_batch(fiber, Content::All));
        } else if ((!copies_.empty() || (!pending_.empty() && oldest_is_dead())) && may_write(Content::Copies)) {
            TRY(write_batch(fiber, Content::Copies));
        } else if (!pending_.empty()) {
            // Out of segments. The caretaker wakes this fiber when it has one; without space a stop does not wait for it.
            if (stopping_ && (short_of_space_ || fibers_ < 2)) return Code::NoSpace;  // stop() says what is not synced
            care_.notify_all();
            TRY(work_.wait(fiber));
        } else if (stopping_) {
            return !last_was_seal_ && may_write(Content::Seal) ? write_batch(fiber, Content::Seal) : Result<void>();
        } else {
            bool wants_seal = !last_was_seal_ && may_write(Content::Seal);
            Result<void> woken = work_.wait(fiber, wants_seal ? env_.now() + options_.seal_after : Instant::never());
            if (!woken.failed_with(Code::Timeout)) {
                TRY(woken);
            } else if (pending_.empty() && copies_.empty() && may_write(Content::Seal)) {
                TRY(write_batch(fiber, Content::Seal));
            }
        }
    }
    return {};
}

void SegmentedLog::take_segment() {
    uint32_t slot = free_.front();
    free_.erase(free_.begin());
    segments_[slot].first_batch = next_number_;
    segments_[slot].used_bytes = 0;
    order_.push_back(slot);
    write_offset_ = 0;
    care_.notify_all();
}

void SegmentedLog::place(char* record, uint64_t number, uint8_t flags, Location at) {
    stamp_record(record, number, salt_, flags);
    index_.place(peek_record(record), at);
}

void SegmentedLog::place_pending(InFlight& batch, uint32_t& records, std::vector<GroupId>& groups) {
    Pending& from = pending_.front();
    batch.bytes = std::move(from.bytes);
    batch.last_sequence = from.last_sequence;
    batch.queued_bytes = batch.bytes.size() - kHeaderBytes;
    records += from.records;
    pending_.pop_front();
    for (uint64_t at = kHeaderBytes; at < batch.bytes.size();) {
        RecordHeader record = peek_record(batch.bytes.data() + at);
        note_group(groups, record.group);
        place(batch.bytes.data() + at, batch.number, record.flags,
              {batch.segment, static_cast<uint32_t>(record.total_bytes()), batch.offset + at});
        at += record.total_bytes();
    }
}

void SegmentedLog::place_copies(InFlight& batch, uint32_t& records, std::vector<GroupId>& groups) {
    uint64_t placed = 0;
    const uint64_t bound = copies_bound();
    while (!copies_.empty()) {
        Copy& copy = copies_.front();
        RecordHeader record = peek_record(copy.bytes.data());
        // Live or not is asked here, with every record of this batch and all before it in place.
        if (index_.is_live(record, copy.from)) {
            if (placed + copy.bytes.size() > bound) break;
            uint64_t at = batch.bytes.size();
            batch.bytes += copy.bytes;
            note_group(groups, record.group);
            place(batch.bytes.data() + at, batch.number, record.flags | kCopyFlag,
                  {batch.segment, static_cast<uint32_t>(copy.bytes.size()), batch.offset + at});
            ++records;
            placed += copy.bytes.size();
            ++counters_.copies;
            counters_.copied_bytes += copy.bytes.size();
        }
        copies_bytes_ -= copy.bytes.size();
        copies_.pop_front();
    }
}

/// Segments without a live record are left behind with this batch: it says so in its header, so they are free once it
/// is synced, and not before.
void SegmentedLog::retire_dead_segments() {
    while (oldest_is_dead()) {
        uint32_t slot = order_.front();
        order_.pop_front();
        dead_.push_back(slot);
        if (recycling_ == slot) {
            recycling_.reset();
            copies_.clear();
            copies_bytes_ = 0;
        }
    }
    oldest_ = segments_[order_.front()].first_batch;
}

SegmentedLog::InFlight SegmentedLog::build(Content content) {
    if (!fits(content)) take_segment();
    InFlight batch;
    batch.segment = order_.back();
    batch.offset = write_offset_;
    batch.number = next_number_++;
    batch.seal = content == Content::Seal;
    uint32_t records = 0;
    std::vector<GroupId> groups;
    if (content == Content::All)
        place_pending(batch, records, groups);
    else
        batch.bytes.assign(kHeaderBytes, '\0');
    if (content != Content::Seal) place_copies(batch, records, groups);
    retire_dead_segments();

    BatchHeader header;
    header.log_id = log_id_;
    header.epoch = epoch_.value;
    header.number = batch.number;
    header.oldest = oldest_;
    header.void_from = void_from_;
    header.epoch_first = epoch_first_;
    header.segment = segments_[batch.segment].number;
    header.offset = batch.offset;
    header.previous_crc = previous_crc_;
    header.record_bytes = static_cast<uint32_t>(batch.bytes.size() - kHeaderBytes);
    header.record_count = records;
    header.group_count = static_cast<uint32_t>(previous_groups_.size());
    header.salt = salt_;
    header.seal = batch.seal;
    header.groups_crc = encode_groups(batch.bytes, previous_groups_, salt_, batch.number);
    batch.bytes.resize(round_up(batch.bytes.size(), kBlockBytes), '\0');
    header.batch_bytes = static_cast<uint32_t>(batch.bytes.size());
    encode_header(header, batch.bytes.data());

    CHECK(write_offset_ + batch.bytes.size() <= options_.segment_bytes, write_offset_, batch.bytes.size());
    write_offset_ += batch.bytes.size();
    segments_[batch.segment].used_bytes = write_offset_;
    previous_crc_ = header.crc;
    std::sort(groups.begin(), groups.end());
    groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
    previous_groups_ = std::move(groups);
    last_was_seal_ = batch.seal;
    counters_.records += records;
    return batch;
}

Result<void> SegmentedLog::write_batch(Fiber& fiber, Content content) {
    InFlight batch = build(content);
    in_flight_ = Location{batch.segment, static_cast<uint32_t>(batch.bytes.size()), batch.offset};
    File& file = *segments_[batch.segment].file;
    Result<void> written = env_.blocking(fiber, [&](Blocking& blocking) -> Result<void> {
        TRY(file.pwrite(blocking, batch.offset, batch.bytes));
        return file.sync(blocking);
    });
    if (written.ok()) {
        confirm(batch);
        return {};
    }
    // Cancelled: the node is stopping and nobody will learn what became of the batch. Anything else: the file is in
    // doubt for good, and a second sync could lie about the first.
    if (written.failed_with(Code::Cancelled))
        stopping_ = true;
    else
        seal_log(Error(Code::Io, segments_[batch.segment].path + " at " + std::to_string(batch.offset) + ": " +
                                     written.error().text()));
    return written;
}

void SegmentedLog::confirm(const InFlight& batch) {
    in_flight_.reset();
    last_synced_ = batch.number;
    queued_bytes_ -= batch.queued_bytes;
    if (batch.last_sequence != 0) synced_.sequence = batch.last_sequence;
    ++counters_.batches;
    counters_.seals += batch.seal ? 1 : 0;
    counters_.written_bytes += batch.bytes.size();
    for (uint32_t slot : dead_) {
        ++counters_.segments_recycled;
        segments_[slot].first_batch = 0;
        if (segments_[slot].pins == 0)
            free_.push_back(slot);
        else
            segments_[slot].dead = true;
    }
    dead_.clear();
    if (free_.size() > options_.reserve_segments) short_of_space_ = false;
    care_.notify_all();
    if (batch.last_sequence == 0) return;
    progress_.notify_all();
    if (listener_) listener_();
}

void SegmentedLog::seal_log(Error error) {
    if (sealed_) return;
    sealed_ = Error(error.code, "log is sealed: " + error.context);
    env_.tracer.error("log.sealed", {{"code", code_name(error.code)}, {"error", error.context}});
    wake_all();
    if (listener_) listener_();
}

Status SegmentedLog::status() const {
    Status status;
    status.counters = counters_;
    status.log_id = log_id_;
    status.epoch = epoch_;
    status.last_batch = last_synced_;
    status.oldest_batch = oldest_;
    status.live_bytes = index_.live_bytes();
    status.queued_bytes = queued_bytes_;
    status.segments = segments_.size();
    status.free_segments = free_.size();
    status.short_of_space = short_of_space_;
    return status;
}

}  // namespace orrery::log
