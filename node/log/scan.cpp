#include "node/log/scan.h"

#include <algorithm>
#include <iterator>

namespace orrery::log {

namespace {

constexpr uint64_t kReadBytes = 1 << 20;  // of one read of a file

/// pread that leaves zeros where sectors can not be read or the file ends: a checksum decides what that means. One bad sector
/// among n costs some 2 log2(n) further reads.
Result<void> read_forgiving(Blocking& blocking, File& file, uint64_t offset, std::span<char> into) {
    Result<size_t> got = file.pread(blocking, offset, into);
    if (!got.ok() && !got.failed_with(Code::Io)) return std::move(got).error();
    if (!got.ok() && into.size() > kBlockBytes) {
        const size_t half = (into.size() / 2 + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
        TRY(read_forgiving(blocking, file, offset, into.first(half)));
        return read_forgiving(blocking, file, offset + half, into.subspan(half));
    }
    const auto zeros = into.subspan(got.ok() ? *got : 0);
    std::fill(zeros.begin(), zeros.end(), '\0');
    return {};
}

/// Reads batches in the order of the row, whose neighbours mostly lie side by side: many with one read of the file.
class BatchReader {
 public:
    BatchReader(Blocking& blocking, const SegmentTable& segments) : blocking_(blocking), segments_(segments) {}

    /// The bytes of one batch, until the next call. Unreadable sectors come back as zeros.
    Result<ByteView> read(const FoundBatch& batch) {
        const uint64_t bytes = batch.header.batch_bytes;
        const bool inside = batch.segment == segment_ && batch.offset >= from_ && batch.offset + bytes <= from_ + window_.size();
        if (!inside) {
            window_.resize(std::max(bytes, kReadBytes));
            TRY(read_forgiving(blocking_, *segments_[batch.segment].file, batch.offset, window_));
            segment_ = batch.segment;
            from_ = batch.offset;
        }
        return ByteView(window_).substr(batch.offset - from_, bytes);
    }

 private:
    Blocking& blocking_;
    const SegmentTable& segments_;
    uint32_t segment_ = 0;
    uint64_t from_ = 0;
    Bytes window_;
};

DamagedPlace place_of(const FoundBatch& batch, const SegmentTable& segments, uint64_t within, std::string what) {
    return {segments[batch.segment].path, batch.offset + within, batch.header.number, std::move(what)};
}

/// Where a batch that is gone must have been: behind the one before it, or nobody knows.
DamagedPlace place_of_gap(const Link& gap, const Link* before, const SegmentTable& segments) {
    std::string what = gap.lowest == gap.number
                           ? "the batch is missing or its header is damaged"
                           : "batches from " + std::to_string(gap.lowest) + " on are missing or their headers are damaged";
    if (before == nullptr || !before->batch) return {"", 0, gap.number, std::move(what)};
    return {segments[before->batch->segment].path, before->batch->offset + before->batch->header.batch_bytes, gap.number,
            std::move(what)};
}

class Voids {
 public:
    explicit Voids(const Found& found) {
        // Only a batch that counts may void others: a torn first batch of an epoch never became true.
        for (const FoundBatch& batch : found.batches)
            if (batch.whole) from_[batch.header.epoch] = batch.header.void_from;
    }
    bool contains(const BatchHeader& header) const {
        for (auto later = from_.upper_bound(header.epoch); later != from_.end(); ++later)
            if (later->second <= header.number) return true;
        return false;
    }

 private:
    std::map<uint64_t, uint64_t> from_;  // epoch -> void_from
};

/// Batches that may be in the row, by number; the better one where a number occurs twice.
std::map<uint64_t, const FoundBatch*> candidates(const Found& found, const Voids& voids) {
    std::map<uint64_t, const FoundBatch*> out;
    for (const FoundBatch& batch : found.batches) {
        if (voids.contains(batch.header)) continue;
        const FoundBatch*& slot = out[batch.header.number];
        if (slot == nullptr || std::pair(batch.whole, batch.header.epoch) > std::pair(slot->whole, slot->header.epoch))
            slot = &batch;
    }
    return out;
}

std::optional<DamagedPlace> find_torn_tail(const Found& found, const Voids& voids, const FoundBatch* newest,
                                           const SegmentTable& segments) {
    uint64_t last = newest == nullptr ? 0 : newest->header.number;
    for (const FoundBatch& batch : found.batches)
        if (!batch.whole && batch.header.number > last && !voids.contains(batch.header))
            return place_of(batch, segments, 0, "the newest batch is not whole");
    // The next place is behind the newest batch or, when that segment was full, at the beginning of another.
    for (const auto& [slot, offset] : found.bad_headers)
        if (offset == 0 || (newest != nullptr && slot == newest->segment &&
                            offset == newest->offset + newest->header.batch_bytes))
            return DamagedPlace{segments[slot].path, offset, 0, "the newest batch has a bad header"};
    return std::nullopt;
}

}  // namespace

Result<void> scan_segment(Blocking& blocking, const Segment& segment, uint32_t slot, const Identity& identity, Found& found) {
    Bytes bytes(identity.segment_bytes, '\0');
    for (uint64_t at = 0; at < bytes.size(); at += kReadBytes)
        TRY(read_forgiving(blocking, *segment.file, at, std::span<char>(bytes).subspan(at, std::min(kReadBytes, bytes.size() - at))));
    for (uint64_t at = 0; at < bytes.size();) {
        ByteView rest = ByteView(bytes).substr(at);
        std::optional<BatchHeader> header = decode_header(rest);
        if (!header) {
            if (get_le<uint64_t>(rest.data()) == kBatchMagic) found.bad_headers.emplace_back(slot, at);
            at += kBlockBytes;
            continue;
        }
        // A header of another log, file or offset is a copy that somebody put here, or a misdirected write.
        bool fits = header->log_id == identity.log_id && header->segment == segment.number && header->offset == at;
        bool whole = fits && batch_is_whole(*header, rest);
        if (fits) found.batches.push_back({*header, slot, at, whole});
        // Something else may begin inside a batch that is not whole, never inside one that is.
        at += whole ? header->batch_bytes : kBlockBytes;
    }
    return {};
}

Chain resolve(const Found& found, const SegmentTable& segments) {
    Chain chain;
    Voids voids(found);
    std::map<uint64_t, const FoundBatch*> row = candidates(found, voids);
    const FoundBatch* newest = nullptr;
    for (const FoundBatch& batch : found.batches) {
        chain.highest_number = std::max(chain.highest_number, batch.header.number);
        chain.highest_epoch = std::max(chain.highest_epoch, batch.header.epoch);
    }
    for (const auto& [number, batch] : row)
        if (batch->whole) newest = batch;
    chain.torn_tail = find_torn_tail(found, voids, newest, segments);
    if (newest == nullptr) return chain;

    const uint64_t lowest = newest->header.oldest;
    BatchHeader epoch = newest->header;  // tells the numbers of its epoch
    const BatchHeader* above = nullptr;  // the batch whose predecessor is looked for
    for (uint64_t number = newest->header.number; number >= lowest;) {
        auto at = row.find(number);
        bool expected = at != row.end() && (above == nullptr || above->previous_crc == at->second->header.crc);
        if (expected) {
            chain.links.push_back({number, number, *at->second});
            epoch = at->second->header;
            above = &at->second->header;
            number = epoch.predecessor();
            continue;
        }
        // Gone. Within a known epoch its predecessor is known, below it the next one that is there has to do.
        uint64_t next = number - 1;
        uint64_t gap_lowest = number;
        if (number == epoch.epoch_first) {
            next = epoch.void_from - 1;
        } else if (number < epoch.epoch_first) {
            auto below = row.lower_bound(number);
            next = std::max(below == row.begin() ? 0 : std::prev(below)->first, lowest - 1);
            gap_lowest = next + 1;
        }
        if (!chain.links.back().batch)
            chain.links.back().lowest = gap_lowest;  // one gap of several batches
        else
            chain.links.push_back({number, gap_lowest, std::nullopt});
        above = nullptr;
        number = next;
    }
    std::reverse(chain.links.begin(), chain.links.end());
    return chain;
}

Result<Bytes> read_batch(Blocking& blocking, const Segment& segment, const FoundBatch& batch) {
    Bytes bytes(batch.header.batch_bytes, '\0');
    TRY(read_forgiving(blocking, *segment.file, batch.offset, bytes));
    return bytes;
}

namespace {

/// Calls visit(record header, its bytes, offset in the batch) for each record whose header is right; false when the
/// rest of the batch can not be told apart any more, at `*stopped`.
template <typename Visit>
bool walk_records(const BatchHeader& header, ByteView batch, uint64_t* stopped, Visit visit) {
    ByteView rest = batch.substr(kHeaderBytes, header.record_bytes);
    uint32_t count = 0;
    while (!rest.empty()) {
        uint64_t at = kHeaderBytes + header.record_bytes - rest.size();
        std::optional<RecordHeader> record = decode_record(rest, header.number, header.salt);
        if (!record) {
            *stopped = at;
            return false;
        }
        visit(*record, rest.substr(0, record->total_bytes()), at);
        rest.remove_prefix(record->total_bytes());
        ++count;
    }
    *stopped = kHeaderBytes + header.record_bytes;
    return count == header.record_count;
}

/// Names the groups of a lost batch, by its successor where that can.
void report_lost(const DamagedPlace& place, const Link* successor, ByteView successor_bytes, RecoveryReport& report) {
    std::optional<std::vector<GroupId>> names;
    if (successor != nullptr && successor->batch) names = decode_groups(successor->batch->header, successor_bytes);
    if (!names) {
        report.node_damage.push_back(place);
        return;
    }
    for (GroupId group : *names) report.groups[group].unnamed_damage.push_back(place);
}

}  // namespace

Result<void> replay_chain(Blocking& blocking, const Chain& chain, const SegmentTable& segments, Replay& replay,
                          RecoveryReport& report) {
    BatchReader reader(blocking, segments);
    std::optional<DamagedPlace> lost;  // of the link before
    for (size_t i = 0; i < chain.links.size(); ++i) {
        const Link& link = chain.links[i];
        ByteView bytes;
        if (link.batch) {
            TRY(bytes, reader.read(*link.batch));
        }
        if (lost) report_lost(*lost, &link, bytes, report);
        lost.reset();
        if (!link.batch) {
            lost = place_of_gap(link, i == 0 ? nullptr : &chain.links[i - 1], segments);
            // The successor names the groups of its predecessor only, not those of a whole gap.
            if (link.lowest != link.number) {
                report.node_damage.push_back(*lost);
                lost.reset();
            }
            continue;
        }
        const FoundBatch& batch = *link.batch;
        ++report.batches;
        uint64_t stopped = 0;
        bool complete = walk_records(batch.header, bytes, &stopped, [&](const RecordHeader& record, ByteView raw, uint64_t at) {
            ++report.records;
            Location where{batch.segment, static_cast<uint32_t>(raw.size()), batch.offset + at};
            if (!body_is_intact(record, raw))
                replay.bad_bodies.emplace(std::pair(where.segment, where.offset),
                                          place_of(batch, segments, at, "the body of a record is damaged"));
            replay.index.place(record, where);
        });
        if (!complete) lost = place_of(batch, segments, stopped, "a record header is damaged, and what follows it is lost");
    }
    if (lost) report_lost(*lost, nullptr, {}, report);
    return {};
}

Result<void> load_live(Blocking& blocking, const Chain& chain, const SegmentTable& segments, const Replay& replay,
                       RecoveryReport& report) {
    for (const auto& [id, group] : replay.index.groups()) report.groups[id].floor = {group.floor_index, group.floor_term};
    BatchReader reader(blocking, segments);
    for (const Link& link : chain.links) {
        if (!link.batch) continue;
        const FoundBatch& batch = *link.batch;
        TRY(ByteView bytes, reader.read(batch));
        uint64_t stopped = 0;
        walk_records(batch.header, bytes, &stopped, [&](const RecordHeader& record, ByteView raw, uint64_t at) {
            Location where{batch.segment, static_cast<uint32_t>(raw.size()), batch.offset + at};
            if (!replay.index.is_live(record, where)) return;
            if (record.kind == Batch::Kind::Tombstone) {
                report.tombstones[record.group].push_back(ReplicaId(record.index));
                return;
            }
            GroupReport& group = report.groups[record.group];
            auto bad = replay.bad_bodies.find({where.segment, where.offset});
            const bool intact = bad == replay.bad_bodies.end();
            ByteView body = intact ? record_body(record, raw) : ByteView();
            if (record.kind == Batch::Kind::Entry) {
                group.entries.push_back({LogIndex(record.index), record.term, record.entry_kind,
                                         (record.flags & kAttachmentFlag) != 0, Bytes(body)});
                if (!intact) group.holes.push_back({LogIndex(record.index), record.term, bad->second});
                if (record.is_hole())
                    group.holes.push_back({LogIndex(record.index), record.term,
                                           place_of(batch, segments, at, "a hole that an earlier start found, not filled yet")});
            } else if (!intact) {
                group.named_damage.push_back(bad->second);
                group.named_damage.back().what =
                    record.kind == Batch::Kind::HardState ? "the hard state is damaged" : "the configuration is damaged";
            } else if (record.kind == Batch::Kind::HardState) {
                group.hard_state = HardState{record.term, ReplicaId(record.index), Bytes(body)};
            } else if (record.kind == Batch::Kind::Configuration) {
                group.configuration = Bytes(body);
            }
        });
    }
    auto by_index = [](const auto& a, const auto& b) { return a.index < b.index; };
    for (auto& [id, group] : report.groups) {
        std::sort(group.entries.begin(), group.entries.end(), by_index);
        std::sort(group.holes.begin(), group.holes.end(), by_index);
    }
    for (auto& [id, replicas] : report.tombstones) std::sort(replicas.begin(), replicas.end());
    return {};
}

}  // namespace orrery::log
