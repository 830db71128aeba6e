#include "sim/disk/inode.h"

#include <algorithm>

#include "runtime/base/check.h"
#include "sim/disk/sim_disk.h"

namespace orrery::sim {

namespace {

constexpr size_t kRecordsMax = 8192;

uint64_t first_sector(const ContentRecord& record) {
    return record.offset / kSectorBytes;
}
uint64_t end_sector(const ContentRecord& record) {
    return (record.offset + record.length + kSectorBytes - 1) / kSectorBytes;
}
bool changes_size(const ContentRecord& record) {
    return record.size_before != record.size_after;
}

}  // namespace

void Inode::write(Instant at, uint64_t offset, ByteView bytes) {
    ContentRecord record{.kind = ContentRecord::Kind::Write,
                         .at = at,
                         .offset = offset,
                         .length = bytes.size(),
                         .size_before = contents_.size()};
    record.image = contents_.replace(offset, bytes);
    record.size_after = contents_.size();
    unsynced_bytes_ += record.length;
    resizes_unsynced_ += changes_size(record);
    records_.push_back(std::move(record));
    if (!broken_sectors.empty()) {
        // Only a sector that is written whole is remapped by the drive.
        const uint64_t first = (offset + kSectorBytes - 1) / kSectorBytes;
        const uint64_t end = (offset + bytes.size()) / kSectorBytes;
        if (first < end)
            broken_sectors.erase(broken_sectors.lower_bound(first),
                                 broken_sectors.lower_bound(end));
    }
}

void Inode::resize(Instant at, uint64_t size) {
    const uint64_t before = contents_.size();
    ContentRecord record{.kind = ContentRecord::Kind::Resize,
                         .at = at,
                         .offset = std::min(size, before),
                         .length = size < before ? before - size : 0,
                         .size_before = before,
                         .size_after = size};
    record.image = contents_.resize(size);
    resizes_unsynced_ += changes_size(record);
    records_.push_back(std::move(record));
    broken_sectors.erase(broken_sectors.lower_bound((size + kSectorBytes - 1) / kSectorBytes),
                         broken_sectors.end());
}

void Inode::synced(Instant at) {
    records_.push_back({.kind = ContentRecord::Kind::Synced, .at = at});
    ++marks_made_;
}

void Inode::sync_failed(Instant at) {
    // What the medium holds is what the sectors held before the changes since the last mark of any
    // kind: undo those, look, and do them again.
    size_t begin = records_.size();
    while (begin > 0 && !records_[begin - 1].is_mark()) --begin;
    ContentRecord mark{.kind = ContentRecord::Kind::SyncFailed, .at = at};
    mark.dropped = std::make_unique<std::map<uint64_t, Sector>>();
    for (size_t i = records_.size(); i-- > begin;) undo(records_[i]);
    mark.size_before = contents_.size();
    for (size_t i = begin; i < records_.size(); ++i) {
        if (records_[i].kind != ContentRecord::Kind::Write) continue;
        for (uint64_t sector = first_sector(records_[i]); sector < end_sector(records_[i]);
             ++sector) {
            auto [it, is_new] = mark.dropped->try_emplace(sector);
            if (is_new) contents_.read(sector * kSectorBytes, it->second);
        }
    }
    for (size_t i = begin; i < records_.size(); ++i) apply(records_[i]);
    mark.size_after = contents_.size();
    records_.push_back(std::move(mark));
    ++marks_made_;
}

void Inode::apply(ContentRecord& record) {
    contents_.swap(record.offset, record.length, record.image, record.size_after);
}
void Inode::undo(ContentRecord& record) {
    contents_.swap(record.offset, record.length, record.image, record.size_before);
}

bool Inode::is_durable_at(uint64_t offset) const {
    if (offset >= contents_.size() || lost_.contains(offset / kSectorBytes)) return false;
    if (lost_size_ && offset >= *lost_size_) return false;
    return std::none_of(records_.begin(), records_.end(), [&](const ContentRecord& record) {
        return offset >= record.offset / kSectorBytes * kSectorBytes &&
               offset < end_sector(record) * kSectorBytes && record.length > 0;
    });
}

void Inode::flip_bit(uint64_t offset, unsigned bit) {
    CHECK(is_durable_at(offset), path, offset);
    char byte = 0;
    contents_.read(offset, {&byte, 1});
    byte = static_cast<char>(byte ^ (1 << (bit % 8)));
    contents_.write(offset, {&byte, 1});
}

size_t Inode::records_until_mark() const {
    size_t count = 0;
    while (!records_[count].is_mark()) ++count;
    return count;
}

// Takes the first `count` records as settled: durable, or (SyncFailed) clean but not on the medium.
void Inode::retire_segment(size_t count, ContentRecord::Kind as) {
    for (size_t i = 0; i < count; ++i) {
        const ContentRecord& record = records_.front();
        if (record.kind == ContentRecord::Kind::Write) unsynced_bytes_ -= record.length;
        resizes_unsynced_ -= changes_size(record);
        if (as == ContentRecord::Kind::Synced && has_lost()) {
            lost_.erase(lost_.lower_bound(first_sector(record)),
                        lost_.lower_bound(end_sector(record)));
            if (changes_size(record)) lost_size_.reset();
        }
        records_.pop_front();
    }
}

void Inode::retire_until_mark(uint64_t mark) {
    while (marks_retired_ < mark) {
        const size_t count = records_until_mark();
        const ContentRecord::Kind kind = records_[count].kind;
        retire_segment(count, kind);
        if (kind == ContentRecord::Kind::SyncFailed) {
            // What was lost before and not rewritten since is still what the medium has: keep the
            // older entry.
            for (auto& [sector, bytes] : *records_.front().dropped)
                lost_.try_emplace(sector, bytes);
            if (changes_size(records_.front()) && !lost_size_)
                lost_size_ = records_.front().size_before;
        }
        records_.pop_front();
        ++marks_retired_;
    }
}

void Inode::write_back(Instant now) {
    if (records_.size() <= kRecordsMax) return;
    while (records_.size() > kRecordsMax / 2 && records_.front().at <= now) {
        if (records_.front().is_mark()) {
            retire_until_mark(marks_retired_ + 1);
            continue;
        }
        // A failed sync ahead decides over these: they were never written back.
        auto mark = std::find_if(records_.begin(), records_.end(),
                                 [](const auto& r) { return r.is_mark(); });
        if (mark != records_.end() && mark->kind == ContentRecord::Kind::SyncFailed) {
            if (mark->at > now) return;
            retire_until_mark(marks_retired_ + 1);
            continue;
        }
        retire_segment(1, ContentRecord::Kind::Synced);
    }
}

uint64_t Inode::undo_after(Instant at) {
    uint64_t undone = 0;
    while (!records_.empty() && records_.back().at > at) {
        ContentRecord& record = records_.back();
        ++undone;
        if (record.is_mark()) {
            --marks_made_;
        } else {
            undo(record);
            if (record.kind == ContentRecord::Kind::Write) unsynced_bytes_ -= record.length;
            resizes_unsynced_ -= changes_size(record);
        }
        records_.pop_back();
    }
    retire_until_mark(marks_made_);
    return undone;
}

// Versions count the records that an item has taken: 0 is the durable one.
struct Inode::Survival {
    struct Choice {
        uint32_t versions = 0;  // records that touch the sector
        uint32_t version = 0;   // of these, how many have reached the medium
        uint32_t taken = 0;
        bool garbage = false;
    };
    std::map<uint64_t, Choice> sectors;
    size_t sizes_until = 0;  // records before this have their size on the medium
};

Inode::Survival Inode::draw_survival(const PowerLoss& odds, RandomStream& draws) const {
    Survival out;
    for (const ContentRecord& record : records_)
        if (record.kind == ContentRecord::Kind::Write)
            for (uint64_t sector = first_sector(record); sector < end_sector(record); ++sector)
                ++out.sectors[sector].versions;

    double mode = draws.unit();
    const auto falls_in = [&](double chance) { return (mode -= chance) < 0; };
    if (falls_in(odds.keep_all)) {
        for (auto& [sector, choice] : out.sectors) choice.version = choice.versions;
        out.sizes_until = records_.size();
        return out;
    }
    if (falls_in(odds.lose_all)) return out;
    if (falls_in(odds.prefix)) {
        // Records before `cut` are on the medium whole, the one at `cut` up to a sector, which may
        // be garbage.
        const size_t cut = draws.below(records_.size() + 1);
        out.sizes_until = cut;
        for (size_t i = 0; i < cut; ++i)
            if (records_[i].kind == ContentRecord::Kind::Write)
                for (uint64_t sector = first_sector(records_[i]); sector < end_sector(records_[i]);
                     ++sector)
                    ++out.sectors[sector].version;
        if (cut < records_.size() && records_[cut].kind == ContentRecord::Kind::Write) {
            const ContentRecord& torn = records_[cut];
            const uint64_t count = draws.below(end_sector(torn) - first_sector(torn) + 1);
            for (uint64_t i = 0; i < count; ++i) ++out.sectors[first_sector(torn) + i].version;
            if (count > 0) {
                out.sizes_until += draws.chance(0.5);
                out.sectors[first_sector(torn) + count - 1].garbage = draws.chance(odds.garbage);
            }
        }
        return out;
    }
    for (auto& [sector, choice] : out.sectors) {
        choice.version = static_cast<uint32_t>(draws.below(choice.versions + 1));
        choice.garbage = draws.chance(odds.garbage);
    }
    out.sizes_until = draws.below(records_.size() + 1);
    return out;
}

void Inode::lose_power(const PowerLoss& odds, RandomStream draws, CrashReport& report) {
    if (records_.empty() && !has_lost()) return;
    const uint64_t seen_size = contents_.size();
    for (size_t i = records_.size(); i-- > 0;) undo(records_[i]);
    Survival survival = draw_survival(odds, draws);

    // From here the images hold what each change brought. A sector takes the changes up to its
    // version; as it is whole sectors that reach a medium, it starts from what the page cache held
    // and not from a `lost` version.
    uint64_t size = contents_.size();
    bool size_settled = false;
    Bytes bytes;
    struct Range {
        uint64_t from = UINT64_MAX;
        uint64_t to = 0;
    };
    std::map<uint64_t, Range> touched;  // per sector, by any unsynced write
    const bool spares_synced =
        std::any_of(odds.garbage_spares_synced.begin(), odds.garbage_spares_synced.end(),
                    [this](const std::string& zone) { return path.starts_with(zone); });
    for (size_t i = 0; i < records_.size(); ++i) {
        const ContentRecord& record = records_[i];
        if (i < survival.sizes_until && changes_size(record)) {
            size = record.size_after;
            size_settled = true;
        }
        if (record.kind == ContentRecord::Kind::Resize) {
            if (i < survival.sizes_until) {
                contents_.resize(record.size_after);
                lost_.erase(lost_.lower_bound(first_sector(record)),
                            lost_.lower_bound(end_sector(record)));
            }
            continue;
        }
        for (uint64_t sector = first_sector(record); sector < end_sector(record); ++sector) {
            Survival::Choice& choice = survival.sectors[sector];
            const uint64_t from = std::max(record.offset, sector * kSectorBytes);
            const uint64_t to =
                std::min(record.offset + record.length, (sector + 1) * kSectorBytes);
            Range& range = touched[sector];
            range = {std::min(range.from, from), std::max(range.to, to)};
            if (choice.taken == choice.version) continue;
            ++choice.taken;
            bytes.resize(to - from);
            read_image(record.image, record.offset, record.length, from, bytes);
            contents_.write(from, bytes);
        }
    }
    for (auto& [sector, choice] : survival.sectors) {
        if (choice.version > 0) lost_.erase(sector);
        if (choice.garbage) {
            bytes.clear();
            while (bytes.size() < kSectorBytes) put_le<uint64_t>(bytes, draws.next());
            const Range range = spares_synced ? touched[sector]
                                              : Range{sector * kSectorBytes, (sector + 1) * kSectorBytes};
            contents_.write(range.from, ByteView(bytes).substr(range.from % kSectorBytes, range.to - range.from));
            lost_.erase(sector);
            ++report.sectors_garbage;
        } else if (choice.version == choice.versions) {
            ++report.sectors_kept;
        } else {
            ++report.sectors_lost;
        }
    }
    put_lost(contents_, lost_);
    if (!size_settled && lost_size_) size = *lost_size_;
    contents_.resize(size);
    report.sizes_lost += size != seen_size;

    lost_.clear();
    lost_size_.reset();
    records_.clear();
    unsynced_bytes_ = 0;
    resizes_unsynced_ = 0;
}

void Inode::put_lost(Contents& contents, const std::map<uint64_t, Sector>& lost) {
    const uint64_t size = contents.size();
    for (const auto& [sector, bytes] : lost)
        contents.write(sector * kSectorBytes, {bytes.data(), bytes.size()});
    contents.resize(size);
}

Contents Inode::durable(Instant now) const {
    // On a copy (pages are shared), so that looking changes nothing.
    Inode copy(is_dir, nullptr);
    copy.contents_ = contents_;
    copy.lost_ = lost_;
    copy.lost_size_ = lost_size_;
    copy.marks_made_ = marks_made_;
    copy.marks_retired_ = marks_retired_;
    for (const ContentRecord& record : records_) {
        ContentRecord twin{.kind = record.kind,
                           .at = record.at,
                           .offset = record.offset,
                           .length = record.length,
                           .size_before = record.size_before,
                           .size_after = record.size_after,
                           .image = record.image};
        if (record.dropped)
            twin.dropped = std::make_unique<std::map<uint64_t, Sector>>(*record.dropped);
        copy.records_.push_back(std::move(twin));
    }
    copy.undo_after(now);
    for (size_t i = copy.records_.size(); i-- > 0;) copy.undo(copy.records_[i]);
    put_lost(copy.contents_, copy.lost_);
    if (copy.lost_size_) copy.contents_.resize(*copy.lost_size_);
    return std::move(copy.contents_);
}

std::shared_ptr<Inode> Inode::from_image(const Contents& contents, std::shared_ptr<Domain> domain) {
    auto inode = std::make_shared<Inode>(false, std::move(domain));
    inode->contents_ = contents;
    return inode;
}

}  // namespace orrery::sim
