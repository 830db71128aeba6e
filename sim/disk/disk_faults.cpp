// Faults at a chosen or drawn place.
#include <algorithm>

#include "runtime/base/check.h"
#include "runtime/base/hash.h"
#include "sim/disk/disk_state.h"

namespace orrery::sim {

namespace {

constexpr int kTries = 64;

struct DrawnByte {
    InodePtr inode;
    uint64_t offset = 0;
};

/// A durable byte of an allocated page of these files, or nullopt: first by draws that weigh every
/// byte the same, then, when almost nothing qualifies, the first that does.
std::optional<DrawnByte> draw_durable_byte(
    const std::vector<std::pair<std::string, InodePtr>>& files, RandomStream& draws, const SimDisk::Spared& spared) {
    auto may = [&](const std::string& path, uint64_t place) { return !spared || !spared(path, place); };
    uint64_t total = 0;
    for (const auto& [path, inode] : files) total += inode->contents().size();
    if (total == 0) return std::nullopt;
    for (int i = 0; i < kTries; ++i) {
        uint64_t place = draws.below(total);
        for (const auto& [path, inode] : files) {
            if (place >= inode->contents().size()) {
                place -= inode->contents().size();
                continue;
            }
            if (inode->contents().is_allocated(place) && inode->is_durable_at(place) && may(path, place))
                return DrawnByte{inode, place};
            break;
        }
    }
    for (const auto& [path, inode] : files)
        for (uint64_t place = 0; place < inode->contents().size(); place += kSectorBytes)
            if (inode->contents().is_allocated(place) && inode->is_durable_at(place) && may(path, place))
                return DrawnByte{inode, place};
    return std::nullopt;
}

}  // namespace

void SimDisk::set_latency(const DiskLatency& latency) {
    state_->options.latency = latency;
}
const DiskLatency& SimDisk::latency() const {
    return state_->options.latency;
}
void SimDisk::stall_until(Instant until) {
    state_->stalled_until = std::max(state_->stalled_until, until);
}
void SimDisk::set_capacity(uint64_t bytes) {
    state_->options.capacity_bytes = bytes;
}

void SimDisk::arm_sync_failure(std::string_view zone, uint64_t nth) {
    CHECK(nth > 0);
    state_->armed.push_back({State::Trigger::SyncFailure, std::string(zone), nth});
}
void SimDisk::arm_write_failure(std::string_view zone, uint64_t nth) {
    CHECK(nth > 0);
    state_->armed.push_back({State::Trigger::WriteFailure, std::string(zone), nth});
}
void SimDisk::disarm_all() {
    state_->armed.clear();
    state_->at_operations.clear();
}
void SimDisk::arm_misdirected_write(std::string_view zone, uint64_t nth) {
    CHECK(nth > 0);
    state_->armed.push_back({State::Trigger::Misdirect, std::string(zone), nth});
}
void SimDisk::arm_lying_sync(std::string_view zone, uint64_t nth) {
    CHECK(nth > 0);
    state_->armed.push_back({State::Trigger::LyingSync, std::string(zone), nth});
}

Result<void> SimDisk::flip_bit(const Place& place) {
    state_->settle();
    const InodePtr inode = state_->names.find(place.path).inode;
    if (!inode || inode->is_dir) return Error(Code::NotFound, place.path);
    if (!inode->is_durable_at(place.offset))
        return Error(Code::Invalid, place.path + ": byte is not durable");
    const uint64_t before = inode->contents().allocated_bytes();
    inode->flip_bit(place.offset, place.bit);
    state_->allocated_bytes += inode->contents().allocated_bytes() - before;
    ++counters_.bits_flipped;
    timeline_.note(Step::Fault, entity_,
                   combine64(combine64(inode->path_hash, place.offset), place.bit));
    return {};
}

std::optional<SimDisk::Place> SimDisk::flip_drawn_bit(std::string_view zone, const Spared& spared) {
    state_->settle();
    RandomStream draws =
        timeline_.stream("disk.bitrot.place", combine64(entity_, ++state_->chosen_faults));
    // Most of a preallocated file is free space: bytes that say something are preferred.
    const auto files = state_->files_below(zone);
    std::optional<DrawnByte> drawn;
    for (int i = 0; i < kTries; ++i) {
        const auto next = draw_durable_byte(files, draws, spared);
        if (!next) break;
        drawn = next;
        char byte = 0;
        next->inode->contents().read(next->offset, {&byte, 1});
        if (byte != 0) break;
    }
    if (!drawn) return std::nullopt;
    const Place place{drawn->inode->path, drawn->offset, static_cast<unsigned>(draws.below(8))};
    const Result<void> flipped = flip_bit(place);
    CHECK(flipped.ok(), flipped.error().text());
    return place;
}

Result<void> SimDisk::break_sectors(std::string_view path, uint64_t offset, uint64_t length) {
    const InodePtr inode = state_->names.find(path).inode;
    if (!inode || inode->is_dir) return Error(Code::NotFound, std::string(path));
    const uint64_t size = inode->contents().size();
    if (length == 0 || offset >= size || length > size - offset)
        return Error(Code::Invalid, std::string(path) + ": range is not inside the file");
    for (uint64_t sector = offset / kSectorBytes; sector * kSectorBytes < offset + length; ++sector)
        inode->broken_sectors.insert(sector);
    timeline_.note(Step::Fault, entity_, combine64(combine64(inode->path_hash, offset), ~length));
    return {};
}

std::optional<SimDisk::Place> SimDisk::break_drawn_sector(std::string_view zone, const Spared& spared) {
    state_->settle();
    RandomStream draws =
        timeline_.stream("disk.eio_read.place", combine64(entity_, ++state_->chosen_faults));
    const auto drawn = draw_durable_byte(state_->files_below(zone), draws, spared);
    if (!drawn) return std::nullopt;
    const Place place{drawn->inode->path, drawn->offset / kSectorBytes * kSectorBytes, 0};
    const Result<void> broken = break_sectors(place.path, place.offset, 1);
    CHECK(broken.ok(), broken.error().text());
    return place;
}

}  // namespace orrery::sim
