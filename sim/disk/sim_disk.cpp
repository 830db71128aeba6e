// SimDisk: bodies, and the calls on names. Calls on files: open_file.cpp. Crashes: crash.cpp.
// Chosen faults and views: disk_faults.cpp, disk_views.cpp.
#include "sim/disk/sim_disk.h"

#include <algorithm>

#include "runtime/base/check.h"
#include "runtime/base/hash.h"
#include "sim/disk/disk_state.h"

namespace orrery::sim {

namespace {

Error missing(std::string_view path) {
    return Error(Code::NotFound, std::string(path));
}
Error invalid(std::string_view path, std::string_view why) {
    return Error(Code::Invalid, std::string(path) + ": " + std::string(why));
}

}  // namespace

std::string_view disk_op_name(DiskOp op) {
    switch (op) {
        case DiskOp::Open:
            return "open";
        case DiskOp::Read:
            return "read";
        case DiskOp::Stat:
            return "stat";
        case DiskOp::Write:
            return "write";
        case DiskOp::Truncate:
            return "truncate";
        case DiskOp::Sync:
            return "sync";
        case DiskOp::Create:
            return "create";
        case DiskOp::Rename:
            return "rename";
        case DiskOp::Remove:
            return "remove";
        case DiskOp::CreateDir:
            return "create_dir";
        case DiskOp::RemoveDir:
            return "remove_dir";
        case DiskOp::SyncDir:
            return "sync_dir";
    }
    UNREACHABLE(static_cast<int>(op));
}

class SimDisk::HeldLock final : public DirLock {
 public:
    HeldLock(SimDisk& disk, std::string path, uint64_t token)
        : disk_(disk), life_(disk.life_), path_(std::move(path)), token_(token) {}
    ~HeldLock() override {
        if (life_ != disk_.life_) return;
        auto& locks = disk_.state_->locks;
        if (auto held = locks.find(path_); held != locks.end() && held->second == token_)
            locks.erase(held);
    }

 private:
    SimDisk& disk_;
    const uint64_t life_;
    const std::string path_;
    const uint64_t token_;
};

SimDisk::SimDisk(Timeline& timeline, uint64_t entity, DiskOptions options)
    : timeline_(timeline),
      entity_(entity),
      state_(std::make_unique<State>(*this, std::move(options))) {}

SimDisk::~SimDisk() = default;

SimBlocking& SimDisk::begin(Instant start) {
    CHECK(!in_blocking_);
    CHECK(start >= timeline_.now(), start, timeline_.now());
    state_->settle();
    in_blocking_ = true;
    blocking_.cursor_ = start;
    return blocking_;
}

Instant SimDisk::end(SimBlocking& blocking) {
    CHECK(in_blocking_ && &blocking == &blocking_);
    in_blocking_ = false;
    return blocking.cursor_;
}

Blocking& SimDisk::adopt_blocking() {
    // A frozen disk refuses every call anyway; the destructors of a crashed node's libraries come
    // here outside any body.
    CHECK(in_blocking_ || frozen_);
    return blocking_;
}

Result<std::unique_ptr<File>> SimDisk::open(Blocking& blocking, std::string_view path,
                                            OpenMode mode) {
    if (frozen_) return Code::Cancelled;
    SimBlocking& body = active_body(blocking_, in_blocking_, blocking);
    if (path.empty() || !NameTree::is_valid(path)) return invalid(path, "not a file path");
    State& state = *state_;
    const NameTree::Found found = state.names.find(path);
    const bool creates =
        mode == OpenMode::Create || mode == OpenMode::CreateNew || mode == OpenMode::CreateTruncate;
    if (found.inode || !creates || !found.dir || !state.has_room_for(kInodeBytes)) {
        Instant seen = found.dir ? found.dir->changed_at : Instant{};
        if (found.inode) seen = std::max(seen, found.inode->changed_at);
        const Instant at = state.look(body, seen);
        state.note(DiskOp::Open, hash_name(path), at,
                   {.offset = static_cast<uint64_t>(mode), .length = found.inode != nullptr});
        if (!found.inode) {
            if (!creates || !found.dir) return missing(path);
            ++counters_.no_space;
            return Error(Code::NoSpace, std::string(path));
        }
        if (found.inode->is_dir) return invalid(path, "is a directory");
        if (mode == OpenMode::CreateNew) return Error(Code::Exists, std::string(path));
        auto file = std::make_unique<OpenFile>(*this, found.inode, mode != OpenMode::Read);
        if (mode == OpenMode::CreateTruncate) TRY(file->truncate(blocking, 0));
        return std::unique_ptr<File>(std::move(file));
    }
    const Instant floor = std::max(found.dir->domain->tail, found.dir->changed_at);
    const Instant at = state.place(body, DiskOp::Create, state.options.latency.write, floor, path);
    state.note(DiskOp::Create, hash_name(path), at, {});
    auto inode = std::make_shared<Inode>(false, nullptr);
    inode->tail = inode->changed_at = found.dir->changed_at = found.dir->domain->tail = at;
    state.link(inode, path, found.dir);
    state.allocated_bytes += kInodeBytes;
    state.names.change(at, {{.dir = found.dir, .name = std::string(found.name), .after = inode}});
    return std::unique_ptr<File>(std::make_unique<OpenFile>(*this, std::move(inode), true));
}

Result<void> SimDisk::rename(Blocking& blocking, std::string_view from, std::string_view to) {
    if (frozen_) return Code::Cancelled;
    SimBlocking& body = active_body(blocking_, in_blocking_, blocking);
    if (from.empty() || to.empty() || !NameTree::is_valid(from) || !NameTree::is_valid(to))
        return invalid(from, "not a path to rename");
    State& state = *state_;
    const NameTree::Found source = state.names.find(from);
    const NameTree::Found target = state.names.find(to);
    if (!source.inode || !target.dir) {
        const Instant at = state.look(body, source.dir ? source.dir->changed_at : Instant{});
        state.note(DiskOp::Stat, hash_name(from), at, {});
        return missing(source.inode ? to : from);
    }
    const bool into_itself =
        to.size() > from.size() && to.starts_with(from) && to[from.size()] == '/';
    if (into_itself) return invalid(from, "cannot be moved into itself");
    if (source.inode == target.inode) return {};
    if (target.inode &&
        (target.inode->is_dir != source.inode->is_dir || !target.inode->entries.empty()))
        return invalid(to, "cannot be replaced");

    Instant floor = std::max({source.dir->domain->tail, target.dir->domain->tail,
                              source.dir->changed_at, target.dir->changed_at, source.inode->tail});
    if (target.inode) floor = std::max(floor, target.inode->tail);
    const Instant at = state.place(body, DiskOp::Rename, state.options.latency.write, floor, from);
    state.note(DiskOp::Rename, hash_name(from), at, {.content = hash_name(to)});
    for (const InodePtr& dir : {source.dir, target.dir}) dir->changed_at = dir->domain->tail = at;
    source.inode->tail = source.inode->changed_at = at;
    if (target.inode) state.unlink(target.inode);
    state.names.change(
        at, {{.dir = source.dir, .name = std::string(source.name), .before = source.inode},
             {.dir = target.dir,
              .name = std::string(target.name),
              .before = target.inode,
              .after = source.inode}});
    state.link(source.inode, to, target.dir);
    return {};
}

Result<void> SimDisk::remove(Blocking& blocking, std::string_view path) {
    if (frozen_) return Code::Cancelled;
    return take_away(blocking, path, DiskOp::Remove);
}

Result<void> SimDisk::remove_dir(Blocking& blocking, std::string_view path) {
    if (frozen_) return Code::Cancelled;
    return take_away(blocking, path, DiskOp::RemoveDir);
}

Result<void> SimDisk::take_away(Blocking& blocking, std::string_view path, DiskOp op) {
    SimBlocking& body = active_body(blocking_, in_blocking_, blocking);
    if (path.empty() || !NameTree::is_valid(path)) return invalid(path, "not a path to remove");
    State& state = *state_;
    const NameTree::Found found = state.names.find(path);
    const bool dir = op == DiskOp::RemoveDir;
    if (!found.inode || found.inode->is_dir != dir || !found.inode->entries.empty()) {
        const Instant at = state.look(body, found.dir ? found.dir->changed_at : Instant{});
        state.note(DiskOp::Stat, hash_name(path), at, {});
        if (!found.inode) return missing(path);
        return invalid(path, found.inode->is_dir != dir ? "is of the other kind" : "is not empty");
    }
    Instant floor = std::max({found.dir->domain->tail, found.dir->changed_at, found.inode->tail});
    if (dir) floor = std::max({floor, found.inode->domain->tail, found.inode->changed_at});
    const Instant at = state.place(body, op, state.options.latency.write, floor, path);
    state.note(op, hash_name(path), at, {});
    found.dir->changed_at = found.dir->domain->tail = at;
    state.unlink(found.inode);
    state.names.change(
        at, {{.dir = found.dir, .name = std::string(found.name), .before = found.inode}});
    return {};
}

Result<void> SimDisk::create_dir(Blocking& blocking, std::string_view path) {
    if (frozen_) return Code::Cancelled;
    SimBlocking& body = active_body(blocking_, in_blocking_, blocking);
    if (!NameTree::is_valid(path)) return invalid(path, "not a path");
    State& state = *state_;
    const NameTree::Found found = state.names.find(path);
    if (found.inode || !found.dir || !state.has_room_for(kInodeBytes)) {
        const Instant at = state.look(body, found.dir ? found.dir->changed_at : Instant{});
        state.note(DiskOp::Stat, hash_name(path), at, {});
        if (found.inode) return Error(Code::Exists, std::string(path));
        if (!found.dir) return missing(path);
        ++counters_.no_space;
        return Error(Code::NoSpace, std::string(path));
    }
    const Instant floor = std::max(found.dir->domain->tail, found.dir->changed_at);
    const Instant at =
        state.place(body, DiskOp::CreateDir, state.options.latency.write, floor, path);
    state.note(DiskOp::CreateDir, hash_name(path), at, {});
    auto inode = std::make_shared<Inode>(true, std::make_shared<Domain>());
    inode->tail = inode->changed_at = inode->domain->tail = at;
    found.dir->changed_at = found.dir->domain->tail = at;
    state.link(inode, path, found.dir);
    state.allocated_bytes += kInodeBytes;
    state.names.change(at, {{.dir = found.dir, .name = std::string(found.name), .after = inode}});
    return {};
}

Result<void> SimDisk::sync_dir(Blocking& blocking, std::string_view path) {
    if (frozen_) return Code::Cancelled;
    SimBlocking& body = active_body(blocking_, in_blocking_, blocking);
    if (!NameTree::is_valid(path)) return invalid(path, "not a path");
    State& state = *state_;
    const NameTree::Found found = state.names.find(path);
    if (!found.inode || !found.inode->is_dir) {
        const Instant at = state.look(body, found.dir ? found.dir->changed_at : Instant{});
        state.note(DiskOp::Stat, hash_name(path), at, {});
        if (!found.inode) return missing(path);
        return invalid(path, "is not a directory");
    }
    const Instant floor = std::max(found.inode->domain->tail, found.inode->changed_at);
    const Instant at = state.place(body, DiskOp::SyncDir, state.options.latency.sync, floor, path);
    found.inode->domain->tail = at;
    state.note(DiskOp::SyncDir, hash_name(path), at, {});
    if (state.strikes(State::Trigger::LyingSync, path, faults.lying_sync, "disk.lying_sync")) {
        ++counters_.lying_syncs;
        return {};
    }
    state.names.sync_dir(found.inode, at);
    return {};
}

Result<std::vector<Disk::Entry>> SimDisk::list(Blocking& blocking, std::string_view path) {
    if (frozen_) return Code::Cancelled;
    SimBlocking& body = active_body(blocking_, in_blocking_, blocking);
    if (!NameTree::is_valid(path)) return invalid(path, "not a path");
    State& state = *state_;
    const NameTree::Found found = state.names.find(path);
    Instant seen = found.dir ? found.dir->changed_at : Instant{};
    if (found.inode) seen = std::max(seen, found.inode->changed_at);
    std::vector<Entry> out;
    if (found.inode && found.inode->is_dir) {
        out.reserve(found.inode->entries.size());
        for (const auto& [name, inode] : found.inode->entries) {
            seen = std::max(seen, inode->is_dir ? seen : inode->changed_at);
            out.push_back(
                {.name = name, .is_dir = inode->is_dir, .size_bytes = inode->contents().size()});
        }
    }
    const Instant at = state.look(body, seen);
    state.note(DiskOp::Stat, hash_name(path), at, {.length = out.size()});
    if (!found.inode) return missing(path);
    if (!found.inode->is_dir) return invalid(path, "is not a directory");
    return out;
}

Result<Disk::Entry> SimDisk::stat(Blocking& blocking, std::string_view path) {
    if (frozen_) return missing(path);
    SimBlocking& body = active_body(blocking_, in_blocking_, blocking);
    State& state = *state_;
    if (!NameTree::is_valid(path)) return missing(path);
    const NameTree::Found found = state.names.find(path);
    Instant seen = found.dir ? found.dir->changed_at : Instant{};
    if (found.inode && !found.inode->is_dir) seen = std::max(seen, found.inode->changed_at);
    const Instant at = state.look(body, seen);
    const uint64_t size = found.inode ? found.inode->contents().size() : 0;
    state.note(DiskOp::Stat, hash_name(path), at,
               {.offset = found.inode != nullptr, .length = size});
    if (!found.inode) return missing(path);
    return Entry{
        .name = std::string(found.name), .is_dir = found.inode->is_dir, .size_bytes = size};
}

Result<Disk::Space> SimDisk::space(Blocking& blocking) {
    if (frozen_) return Code::Cancelled;
    SimBlocking& body = active_body(blocking_, in_blocking_, blocking);
    const Instant at = state_->look(body, Instant{});
    state_->note(DiskOp::Stat, 0, at, {state_->options.capacity_bytes, state_->allocated_bytes});
    return Space{.total_bytes = state_->options.capacity_bytes, .free_bytes = state_->room()};
}

Result<std::unique_ptr<DirLock>> SimDisk::lock(Blocking& blocking, std::string_view path) {
    if (frozen_) return Code::Cancelled;
    SimBlocking& body = active_body(blocking_, in_blocking_, blocking);
    if (!NameTree::is_valid(path)) return invalid(path, "not a path");
    State& state = *state_;
    const NameTree::Found found = state.names.find(path);
    const Instant at = state.look(body, found.dir ? found.dir->changed_at : Instant{});
    state.note(DiskOp::Stat, hash_name(path), at,
               {.offset = 1, .length = state.locks.contains(path)});
    if (!found.inode) return missing(path);
    if (!found.inode->is_dir) return invalid(path, "is not a directory");
    const auto [held, is_new] = state.locks.try_emplace(std::string(path), state.lock_tokens + 1);
    if (!is_new) return Error(Code::Exists, std::string(path) + ": locked");
    return std::unique_ptr<DirLock>(
        std::make_unique<HeldLock>(*this, held->first, ++state.lock_tokens));
}

void SimDisk::set_operation_hook(std::function<void(const DiskOperation&)> hook) {
    state_->hook = std::move(hook);
}

void SimDisk::crash_at_operation(uint64_t nth, std::function<void(const DiskOperation&)> callback) {
    CHECK(nth > 0);
    state_->at_operations.push_back(
        {.number = operation_number_ + nth, .callback = std::move(callback)});
}

}  // namespace orrery::sim
