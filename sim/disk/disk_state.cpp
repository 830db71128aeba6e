#include "sim/disk/disk_state.h"

#include <algorithm>

#include "runtime/base/check.h"
#include "runtime/base/hash.h"

namespace orrery::sim {

namespace {

Duration draw_latency(RandomStream& draws, const DiskLatency& latency,
                      const DiskLatency::Range& range) {
    // One draw per operation: its place in the stream must not depend on whether slow operations
    // are on.
    const uint64_t draw = draws.next();
    const uint64_t second = mix64(draw);
    if (latency.slow_chance > 0 &&
        static_cast<double>(second >> 11) * 0x1.0p-53 < latency.slow_chance) {
        const Duration slow{latency.slow_max.ns >> (second % 7)};
        if (slow > range.high) return slow;
    }
    const auto width = static_cast<uint64_t>(range.high.ns - range.low.ns) + 1;
    return {range.low.ns +
            static_cast<int64_t>((static_cast<unsigned __int128>(draw) * width) >> 64)};
}

Step step_of(DiskOp op) {
    switch (op) {
        case DiskOp::Open:
        case DiskOp::Read:
        case DiskOp::Stat:
            return Step::DiskRead;
        case DiskOp::Write:
        case DiskOp::Truncate:
            return Step::DiskWrite;
        case DiskOp::Sync:
        case DiskOp::SyncDir:
            return Step::DiskSync;
        case DiskOp::Create:
        case DiskOp::Rename:
        case DiskOp::Remove:
        case DiskOp::CreateDir:
        case DiskOp::RemoveDir:
            return Step::DiskName;
    }
    UNREACHABLE(static_cast<int>(op));
}

}  // namespace

SimBlocking& active_body(SimBlocking& active, bool in_blocking, Blocking& given) {
    CHECK(in_blocking && &given == &active);
    return active;
}

Instant SimDisk::State::look(SimBlocking& blocking, Instant seen) {
    ++looks;
    const Instant start = std::max({blocking.cursor_, stalled_until, seen});
    blocking.cursor_ = start + draw_latency(latency_draws, options.latency, options.latency.read);
    return blocking.cursor_;
}

Instant SimDisk::State::place(SimBlocking& blocking, DiskOp op, const DiskLatency::Range& range,
                              Instant floor, std::string_view path) {
    const Instant start = std::max({blocking.cursor_, stalled_until, floor});
    // At least 1 ns, so that there is an instant just before it that is not in the past.
    const Instant at =
        start + std::max(draw_latency(latency_draws, options.latency, range), Duration::nanos(1));
    blocking.cursor_ = at;
    const DiskOperation operation{
        .number = ++disk.operation_number_, .at = at, .kind = op, .path = path};
    if (hook) hook(operation);
    for (size_t i = 0; i < at_operations.size();) {
        if (at_operations[i].number != operation.number) {
            ++i;
            continue;
        }
        auto callback = std::move(at_operations[i].callback);
        at_operations.erase(at_operations.begin() + static_cast<ptrdiff_t>(i));
        callback(operation);
    }
    return at;
}

void SimDisk::State::note(DiskOp op, uint64_t path_hash, Instant at, const Noted& noted) {
    ++disk.counters_.operations[static_cast<size_t>(op)];
    const uint64_t where = combine64(path_hash + static_cast<uint64_t>(op), noted.offset);
    const uint64_t what = combine64(noted.length ^ noted.content, static_cast<uint64_t>(at.ns));
    disk.timeline_.note(step_of(op), disk.entity_, combine64(where, what));
}

void SimDisk::State::settle() {
    const Instant now = disk.timeline_.now();
    while (!due.empty() && due.front().at <= now) {
        std::pop_heap(due.begin(), due.end());
        const MarkDue top = std::move(due.back());
        due.pop_back();
        top.inode->retire_until_mark(top.mark);
        if (top.inode->records().empty() && top.inode->dirty_slot != SIZE_MAX)
            forget_dirty(top.inode->dirty_slot);
    }
    if (!names.settle(now)) return;
    // Files whose removal has become durable and that nobody has open: nothing can bring them back.
    for (size_t slot = dirty.size(); slot-- > 0;)
        if (dirty[slot].use_count() == 1) forget_dirty(slot);
}

void SimDisk::State::forget_dirty(size_t slot) {
    dirty[slot]->dirty_slot = SIZE_MAX;
    if (slot + 1 != dirty.size()) {
        dirty[slot] = std::move(dirty.back());
        dirty[slot]->dirty_slot = slot;
    }
    dirty.pop_back();
}

bool SimDisk::State::is_own_domain(std::string_view path) const {
    const std::string& dir = options.per_file_domain_dir;
    return !dir.empty() && path.size() > dir.size() + 1 && path.starts_with(dir) &&
           path[dir.size()] == '/';
}

void SimDisk::State::link(const InodePtr& inode, std::string_view path, const InodePtr& dir) {
    inode->linked = true;
    inode->path = path;
    inode->path_hash = hash_name(path);
    if (!inode->is_dir) {
        inode->domain = is_own_domain(path) ? std::make_shared<Domain>() : dir->domain;
        return;
    }
    for (const auto& [name, child] : inode->entries) link(child, inode->path + "/" + name, inode);
}

void SimDisk::State::unlink(const InodePtr& inode) {
    inode->linked = false;
    if (inode->open_files == 0)
        allocated_bytes -= inode->contents().allocated_bytes() + kInodeBytes;
}

void SimDisk::State::closed(const InodePtr& inode) {
    if (--inode->open_files == 0 && !inode->linked)
        allocated_bytes -= inode->contents().allocated_bytes() + kInodeBytes;
}

void SimDisk::State::mark_dirty(const InodePtr& inode) {
    if (inode->dirty_slot != SIZE_MAX) return;
    inode->dirty_slot = dirty.size();
    dirty.push_back(inode);
}

void SimDisk::State::mark_made(const InodePtr& inode, Instant at) {
    mark_dirty(inode);
    due.push_back(
        {.at = at, .sequence = ++due_sequence, .inode = inode, .mark = inode->marks_made()});
    std::push_heap(due.begin(), due.end());
}

void SimDisk::State::recount(Instant now) {
    allocated_bytes = kInodeBytes;
    names.root()->domain->tail = std::min(names.root()->domain->tail, now);
    names.walk([&](const std::string& path, const InodePtr& inode) {
        const InodePtr dir = names.find(path).dir;
        inode->linked = true;
        inode->open_files = 0;
        inode->path = path;
        inode->path_hash = hash_name(path);
        if (!inode->is_dir)
            inode->domain = is_own_domain(path) ? std::make_shared<Domain>() : dir->domain;
        inode->domain->tail = std::min(inode->domain->tail, now);
        inode->tail = std::min(inode->tail, now);
        inode->changed_at = std::min(inode->changed_at, now);
        allocated_bytes += inode->contents().allocated_bytes() + kInodeBytes;
    });
}

RandomStream SimDisk::State::fault_draws(std::string_view stream) const {
    return disk.timeline_.stream(
        stream, combine64(disk.entity_, disk.operation_number_ * 0x100000001ull + looks));
}

bool SimDisk::State::strikes(Trigger trigger, std::string_view path, const DiskFaults::Rate& rate,
                             std::string_view stream) {
    bool struck = false;
    for (size_t i = 0; i < armed.size();) {
        Armed& one = armed[i];
        if (one.trigger == trigger && path.starts_with(one.zone) && --one.remaining == 0) {
            struck = true;
            armed.erase(armed.begin() + static_cast<ptrdiff_t>(i));
        } else {
            ++i;
        }
    }
    if (rate.chance > 0 && path.starts_with(rate.zone))
        struck |= fault_draws(stream).chance(rate.chance);
    return struck;
}

std::vector<std::pair<std::string, InodePtr>> SimDisk::State::files_below(
    std::string_view zone) const {
    std::vector<std::pair<std::string, InodePtr>> out;
    names.walk([&](const std::string& path, const InodePtr& inode) {
        if (!inode->is_dir && path.starts_with(zone)) out.emplace_back(path, inode);
    });
    return out;
}

}  // namespace orrery::sim
