// What a crash, a wipe and a restored image do to the disk.
#include <algorithm>

#include "runtime/base/check.h"
#include "runtime/base/hash.h"
#include "sim/disk/disk_image.h"
#include "sim/disk/disk_state.h"

namespace orrery::sim {

CrashReport SimDisk::crash(CrashKind kind) {
    CHECK(!in_blocking_);
    CrashReport report;
    if (frozen_ && kind == CrashKind::Kill) return report;
    State& state = *state_;
    const Instant now = timeline_.now();
    const uint64_t number = ++counters_.crashes;
    const auto draws = [&](uint64_t about) {
        return timeline_.stream("disk.crash", combine64(combine64(entity_, number), about));
    };

    // First what never happened, on both levels; then what the medium had not got.
    for (const InodePtr& inode : state.dirty) report.undone += inode->undo_after(now);
    report.undone += state.names.undo_after(now);
    if (kind == CrashKind::Power) {
        state.names.lose_power(state.options.power_loss, draws(0), report);
        for (const InodePtr& inode : state.dirty)
            inode->lose_power(state.options.power_loss, draws(inode->path_hash), report);
        state.names.walk([&](const std::string&, const InodePtr& inode) {
            if (inode->has_lost())
                inode->lose_power(state.options.power_loss, draws(inode->path_hash), report);
        });
    }
    state.due.clear();
    std::vector<InodePtr> still_dirty;
    for (InodePtr& inode : state.dirty) {
        inode->dirty_slot = SIZE_MAX;
        if (inode->records().empty()) continue;
        inode->dirty_slot = still_dirty.size();
        still_dirty.push_back(std::move(inode));
    }
    state.dirty = std::move(still_dirty);
    end_life();
    const uint64_t kept = combine64(report.sectors_kept, report.sectors_lost);
    const uint64_t rest = combine64(report.undone + (report.sectors_garbage << 20),
                                    report.names_kept + (report.names_lost << 20));
    timeline_.note(Step::Fault, entity_,
                   combine64(static_cast<uint64_t>(kind), combine64(kept, rest)));
    return report;
}

void SimDisk::end_life() {
    ++life_;
    frozen_ = true;
    state_->locks.clear();
    state_->recount(timeline_.now());
}

void SimDisk::thaw() {
    CHECK(!in_blocking_);
    frozen_ = false;
}

void SimDisk::wipe() {
    CHECK(!in_blocking_);
    restore(DiskImage{});
}

std::shared_ptr<const DiskImage> SimDisk::durable_image() const {
    state_->settle();
    auto image = std::make_shared<DiskImage>();
    const Instant now = timeline_.now();
    state_->names.walk_durable(now, [&](const std::string& path, const InodePtr& inode) {
        image->entries.push_back({.path = path, .is_dir = inode->is_dir});
        if (!inode->is_dir) image->entries.back().contents = inode->durable(now);
    });
    return image;
}

void SimDisk::restore(const DiskImage& image) {
    CHECK(!in_blocking_);
    State& state = *state_;
    state.names = NameTree();
    state.dirty.clear();
    state.due.clear();
    for (const DiskImage::Entry& entry : image.entries) {  // parents come first
        const NameTree::Found found = state.names.find(entry.path);
        InodePtr inode = entry.is_dir ? std::make_shared<Inode>(true, std::make_shared<Domain>())
                                      : Inode::from_image(entry.contents, nullptr);
        found.dir->entries[std::string(found.name)] = std::move(inode);
    }
    end_life();
    timeline_.note(Step::Fault, entity_, combine64(hash_name("restore"), image.entries.size()));
}

}  // namespace orrery::sim
