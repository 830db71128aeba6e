// The calls on one open file.
#include <algorithm>

#include "runtime/base/check.h"
#include "runtime/base/hash.h"
#include "sim/disk/disk_state.h"

namespace orrery::sim {

SimDisk::OpenFile::OpenFile(SimDisk& disk, InodePtr inode, bool may_write)
    : disk_(disk), life_(disk.life_), inode_(std::move(inode)), may_write_(may_write) {
    ++inode_->open_files;
}

SimDisk::OpenFile::~OpenFile() {
    if (life_ == disk_.life_) disk_.state_->closed(inode_);
}

Instant SimDisk::OpenFile::floor() const {
    return std::max(inode_->domain->tail, inode_->tail);
}

void SimDisk::OpenFile::placed(Instant at, bool changed) {
    inode_->domain->tail = std::max(inode_->domain->tail, at);
    inode_->tail = at;
    if (changed) inode_->changed_at = at;
}

// Rates may break a page or flip a bit of it as it is read; then sectors that are broken answer.
Result<void> SimDisk::OpenFile::show_read_faults(uint64_t offset, uint64_t length) {
    State& state = *disk_.state_;
    const DiskFaults& faults = disk_.faults;
    const bool may_break =
        faults.read_error.chance > 0 && inode_->path.starts_with(faults.read_error.zone);
    const bool may_rot = faults.bit_rot.chance > 0 && inode_->path.starts_with(faults.bit_rot.zone);
    if (may_break || may_rot) {
        RandomStream breaks = state.fault_draws("disk.eio_read");
        RandomStream rots = state.fault_draws("disk.bitrot");
        for (uint64_t page = offset / kPageBytes; page * kPageBytes < offset + length; ++page) {
            if (may_break && breaks.chance(faults.read_error.chance) &&
                inode_->is_durable_at(page * kPageBytes))
                for (uint64_t i = 0; i < kPageBytes / kSectorBytes; ++i)
                    inode_->broken_sectors.insert(page * (kPageBytes / kSectorBytes) + i);
            if (!may_rot || !rots.chance(faults.bit_rot.chance)) continue;
            const uint64_t place = page * kPageBytes + rots.below(kPageBytes);
            if (!inode_->is_durable_at(place)) continue;
            const uint64_t before = inode_->contents().allocated_bytes();
            inode_->flip_bit(place, static_cast<unsigned>(rots.below(8)));
            state.allocated_bytes += inode_->contents().allocated_bytes() - before;
            ++disk_.counters_.bits_flipped;
        }
    }
    if (inode_->broken_sectors.empty() || length == 0) return {};
    auto broken = inode_->broken_sectors.lower_bound(offset / kSectorBytes);
    if (broken == inode_->broken_sectors.end() || *broken * kSectorBytes >= offset + length)
        return {};
    ++disk_.counters_.read_errors;
    return Error(Code::Io, inode_->path + ": unreadable sector " + std::to_string(*broken));
}

Result<size_t> SimDisk::OpenFile::pread(Blocking& blocking, uint64_t offset, std::span<char> into) {
    if (is_dead()) return Code::Cancelled;
    State& state = *disk_.state_;
    const Instant at =
        state.look(active_body(disk_.blocking_, disk_.in_blocking_, blocking), inode_->changed_at);
    const uint64_t size = inode_->contents().size();
    const size_t count = offset >= size ? 0 : std::min<uint64_t>(into.size(), size - offset);
    if (auto shown = show_read_faults(offset, count); !shown.ok()) {
        state.note(DiskOp::Read, inode_->path_hash, at,
                   {offset, count, static_cast<uint64_t>(Code::Io)});
        return shown.error();
    }
    inode_->contents().read(offset, into.first(count));
    disk_.counters_.read_bytes += count;
    state.note(DiskOp::Read, inode_->path_hash, at,
               {offset, count, hash_bytes({into.data(), count})});
    return count;
}

std::optional<uint64_t> SimDisk::OpenFile::other_place(uint64_t offset, uint64_t length) const {
    const uint64_t size = std::max(inode_->contents().size(), offset + length);
    if (length == 0 || offset % kSectorBytes != 0 || length % kSectorBytes != 0)
        return std::nullopt;
    // Places lie at multiples of the length from this one, so that they never overlap it.
    const uint64_t below = offset / length;
    const uint64_t above = (size - offset - length) / length;
    if (below + above == 0) return std::nullopt;
    const uint64_t pick = disk_.state_->fault_draws("disk.misdirect.to").below(below + above);
    return pick < below ? offset - (pick + 1) * length : offset + (pick - below + 1) * length;
}

void SimDisk::OpenFile::write(Instant at, uint64_t offset, ByteView bytes) {
    State& state = *disk_.state_;
    const uint64_t before = inode_->contents().allocated_bytes();
    inode_->write(at, offset, bytes);
    inode_->write_back(disk_.timeline_.now());
    state.allocated_bytes += inode_->contents().allocated_bytes() - before;
    state.mark_dirty(inode_);
    disk_.counters_.written_bytes += bytes.size();
}

Result<void> SimDisk::OpenFile::pwrite(Blocking& blocking, uint64_t offset, ByteView bytes) {
    if (is_dead()) return Code::Cancelled;
    SimBlocking& body = active_body(disk_.blocking_, disk_.in_blocking_, blocking);
    State& state = *disk_.state_;
    if (!may_write_) return Error(Code::Invalid, inode_->path + ": opened for reading");
    if (offset > kFileBytesMax || bytes.size() > kFileBytesMax - offset)
        return Error(Code::NoSpace, inode_->path + ": file too large");

    const Instant at =
        state.place(body, DiskOp::Write, state.options.latency.write, floor(), inode_->path);
    placed(at, true);
    state.note(DiskOp::Write, inode_->path_hash, at, {offset, bytes.size(), hash_bytes(bytes)});
    if (bytes.empty()) return {};
    if (state.strikes(State::Trigger::WriteFailure, inode_->path, disk_.faults.write_failure,
                      "disk.write_eio")) {
        ++disk_.counters_.write_failures;
        return Error(Code::Io, inode_->path + ": write failed");
    }
    // The kernel would have to read the rest of an unreadable sector before it could change a part.
    for (const uint64_t edge : {offset, offset + bytes.size()}) {
        if (edge % kSectorBytes != 0 && inode_->broken_sectors.contains(edge / kSectorBytes)) {
            ++disk_.counters_.read_errors;
            return Error(Code::Io, inode_->path + ": unreadable sector " +
                                       std::to_string(edge / kSectorBytes));
        }
    }
    if (const auto elsewhere = state.armed.empty() && disk_.faults.misdirect.chance == 0
                                   ? std::nullopt
                                   : other_place(offset, bytes.size())) {
        if (state.strikes(State::Trigger::Misdirect, inode_->path, disk_.faults.misdirect,
                          "disk.misdirect")) {
            ++disk_.counters_.misdirected;
            if (offset + bytes.size() > inode_->contents().size())
                inode_->resize(at, offset + bytes.size());
            write(at, *elsewhere, bytes);
            return {};
        }
    }
    const uint64_t room_pages = state.room() / kPageBytes;
    uint64_t fits = bytes.size();
    if (inode_->contents().holes_in(offset, fits) > room_pages) {
        // A short write, up to the first page that cannot be had.
        uint64_t missing = 0;
        for (fits = 0; fits < bytes.size();) {
            missing += !inode_->contents().is_allocated(offset + fits);
            if (missing > room_pages) break;
            fits =
                std::min<uint64_t>(bytes.size(), fits + kPageBytes - (offset + fits) % kPageBytes);
        }
    }
    if (fits > 0) write(at, offset, bytes.substr(0, fits));
    if (fits == bytes.size()) return {};
    ++disk_.counters_.no_space;
    return Error(Code::NoSpace, inode_->path);
}

Result<void> SimDisk::OpenFile::sync(Blocking& blocking) {
    if (is_dead()) return Code::Cancelled;
    SimBlocking& body = active_body(disk_.blocking_, disk_.in_blocking_, blocking);
    State& state = *disk_.state_;
    const Instant at =
        state.place(body, DiskOp::Sync, state.options.latency.sync, floor(), inode_->path);
    placed(at, false);
    state.note(DiskOp::Sync, inode_->path_hash, at, {.length = inode_->contents().size()});
    if (state.strikes(State::Trigger::SyncFailure, inode_->path, disk_.faults.sync_failure,
                      "disk.sync_eio")) {
        ++disk_.counters_.sync_failures;
        inode_->sync_failed(at);
        state.mark_made(inode_, at);
        return Error(Code::Io, inode_->path + ": sync failed");
    }
    if (state.strikes(State::Trigger::LyingSync, inode_->path, disk_.faults.lying_sync,
                      "disk.lying_sync")) {
        ++disk_.counters_.lying_syncs;
        return {};
    }
    if (inode_->records().empty()) return {};
    inode_->synced(at);
    state.mark_made(inode_, at);
    return {};
}

Result<void> SimDisk::OpenFile::truncate(Blocking& blocking, uint64_t size_bytes) {
    if (is_dead()) return Code::Cancelled;
    SimBlocking& body = active_body(disk_.blocking_, disk_.in_blocking_, blocking);
    State& state = *disk_.state_;
    if (!may_write_) return Error(Code::Invalid, inode_->path + ": opened for reading");
    if (size_bytes > kFileBytesMax) return Error(Code::NoSpace, inode_->path + ": file too large");
    const Instant at =
        state.place(body, DiskOp::Truncate, state.options.latency.write, floor(), inode_->path);
    placed(at, true);
    state.note(DiskOp::Truncate, inode_->path_hash, at, {.offset = size_bytes});
    const uint64_t before = inode_->contents().allocated_bytes();
    inode_->resize(at, size_bytes);
    state.allocated_bytes += inode_->contents().allocated_bytes() - before;
    state.mark_dirty(inode_);
    return {};
}

Result<uint64_t> SimDisk::OpenFile::size(Blocking& blocking) {
    if (is_dead()) return Code::Cancelled;
    State& state = *disk_.state_;
    const Instant at =
        state.look(active_body(disk_.blocking_, disk_.in_blocking_, blocking), inode_->changed_at);
    state.note(DiskOp::Stat, inode_->path_hash, at, {.length = inode_->contents().size()});
    return inode_->contents().size();
}

}  // namespace orrery::sim
