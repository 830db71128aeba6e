#include "sim/rocksdb/memory_disk.h"

#include <algorithm>

#include "runtime/base/check.h"
#include "runtime/base/hash.h"

namespace orrery::sim {

namespace {
constexpr uint64_t kSector = 512;
constexpr uint64_t kCapacity = 1ull << 30;
}  // namespace

class MemoryDisk::OpenFile final : public File {
 public:
    OpenFile(MemoryDisk& disk, std::shared_ptr<Inode> inode, std::string path, bool writable)
        : disk_(disk), inode_(std::move(inode)), path_(std::move(path)), writable_(writable) {}

    Result<size_t> pread(Blocking&, uint64_t offset, std::span<char> into) override {
        TRY(disk_.begin(Op::Read, path_, offset + (static_cast<uint64_t>(into.size()) << 40)));
        if (offset >= inode_->bytes.size()) return size_t{0};
        size_t count = std::min<size_t>(into.size(), inode_->bytes.size() - offset);
        std::copy_n(inode_->bytes.data() + offset, count, into.data());
        return count;
    }
    Result<void> pwrite(Blocking&, uint64_t offset, ByteView bytes) override {
        CHECK(writable_, path_);
        TRY(disk_.begin(Op::Write, path_, offset, bytes));
        change({.offset = offset, .bytes = std::string(bytes)});
        return {};
    }
    Result<void> sync(Blocking&) override {
        TRY(disk_.begin(Op::Sync, path_));
        inode_->synced = inode_->bytes;
        inode_->unsynced.clear();
        return {};
    }
    Result<void> truncate(Blocking&, uint64_t size_bytes) override {
        CHECK(writable_, path_);
        TRY(disk_.begin(Op::Truncate, path_, size_bytes));
        change({.truncates = true, .offset = size_bytes});
        return {};
    }
    Result<uint64_t> size(Blocking&) override {
        TRY(disk_.begin(Op::Size, path_));
        return static_cast<uint64_t>(inode_->bytes.size());
    }

 private:
    void change(Change change) {
        apply(inode_->bytes, change);
        inode_->unsynced.push_back(std::move(change));
    }

    MemoryDisk& disk_;
    std::shared_ptr<Inode> inode_;
    std::string path_;
    bool writable_;
};

namespace {
class HeldLock final : public DirLock {
 public:
    explicit HeldLock(std::shared_ptr<uint64_t> locks) : locks_(std::move(locks)) { ++*locks_; }
    ~HeldLock() override { --*locks_; }

 private:
    std::shared_ptr<uint64_t> locks_;
};
}  // namespace

MemoryDisk::MemoryDisk() : locks_(std::make_shared<uint64_t>(0)) {
    auto root = std::make_shared<Inode>();
    root->is_dir = true;
    names_.emplace("", root);
    synced_.emplace("", root);
}

MemoryDisk::~MemoryDisk() = default;

bool MemoryDisk::changes(Op op) {
    switch (op) {
        case Op::Open: case Op::Write: case Op::Sync: case Op::Truncate: case Op::Rename: case Op::Remove:
        case Op::CreateDir: case Op::RemoveDir: case Op::SyncDir:
            return true;
        case Op::Read: case Op::Size: case Op::List: case Op::Stat: case Op::Space: case Op::Lock:
            return false;
    }
    UNREACHABLE(static_cast<int>(op));
}

Result<void> MemoryDisk::begin(Op op, std::string_view path, uint64_t a, std::string_view bytes) {
    CHECK(section_ != nullptr, path);
    ++operations_;
    digest_ = combine64(digest_, combine64(hash_bytes(path, static_cast<uint64_t>(op)), combine64(a, hash_bytes(bytes))));
    if (hook_) return hook_(op, path, operations_);
    return {};
}

uint64_t MemoryDisk::content_digest() const {
    uint64_t digest = 0;
    for (const auto& [path, inode] : names_)
        digest = combine64(digest, combine64(hash_bytes(path), hash_bytes(inode->bytes)));
    return digest;
}

std::string MemoryDisk::parent(std::string_view path) {
    size_t slash = path.rfind('/');
    return slash == std::string_view::npos ? std::string() : std::string(path.substr(0, slash));
}

void MemoryDisk::apply(Names& names, const DirChange& change) {
    if (!change.removed.empty()) names.erase(change.removed);
    if (!change.added.empty()) names[change.added] = change.inode;
}

void MemoryDisk::apply(std::string& bytes, const Change& change) {
    if (change.truncates) {
        bytes.resize(change.offset);
        return;
    }
    if (bytes.size() < change.offset + change.bytes.size()) bytes.resize(change.offset + change.bytes.size());
    std::copy(change.bytes.begin(), change.bytes.end(), bytes.begin() + static_cast<ptrdiff_t>(change.offset));
}

void MemoryDisk::change_names(DirChange change) {
    apply(names_, change);
    unsynced_.push_back(std::move(change));
}

std::unique_ptr<MemoryDisk> MemoryDisk::power_loss(RandomStream& random, DirectoryOrder order) const {
    auto after = std::make_unique<MemoryDisk>();
    Names names = synced_;
    const uint64_t names_mode = random.below(3);  // all, none, some
    std::map<std::string, bool> ended;            // directories whose prefix is over
    for (const DirChange& change : unsynced_) {
        bool survives = names_mode == 0 || (names_mode == 2 && random.chance(0.6));
        if (order == DirectoryOrder::Prefix) {
            bool& over = ended[change.directory];
            over = over || !survives;
            survives = !over;
        }
        if (survives) apply(names, change);
    }
    for (const auto& [path, inode] : names) {
        if (!path.empty() && !names.contains(parent(path))) continue;
        auto copy = std::make_shared<Inode>();
        copy->is_dir = inode->is_dir;
        copy->synced = inode->synced;
        const uint64_t mode = random.below(3);
        for (const Change& change : inode->unsynced) {
            if (mode == 1) break;
            if (mode == 0 || change.truncates) {
                apply(copy->synced, change);
                continue;
            }
            for (uint64_t at = 0; at < change.bytes.size();) {
                uint64_t end = std::min<uint64_t>(change.bytes.size(), (change.offset + at) / kSector * kSector + kSector - change.offset);
                if (random.chance(0.7)) apply(copy->synced, {.offset = change.offset + at, .bytes = change.bytes.substr(at, end - at)});
                at = end;
            }
        }
        copy->bytes = copy->synced;
        after->names_[path] = copy;
        after->synced_[path] = copy;
    }
    return after;
}

Result<std::unique_ptr<File>> MemoryDisk::open(Blocking&, std::string_view path, OpenMode mode) {
    auto at = names_.find(path);
    const bool exists = at != names_.end();
    const bool writable = mode != OpenMode::Read;
    if (!exists && (mode == OpenMode::Read || mode == OpenMode::ReadWrite)) {
        TRY(begin(Op::Stat, path, static_cast<uint64_t>(mode)));
        return Error(Code::NotFound, std::string(path));
    }
    TRY(begin(writable && (!exists || mode == OpenMode::CreateTruncate) ? Op::Open : Op::Stat, path, static_cast<uint64_t>(mode)));
    if (exists && at->second->is_dir) return Error(Code::Invalid, std::string(path) + " is a directory");
    if (exists && mode == OpenMode::CreateNew) return Error(Code::Exists, std::string(path));
    if (!exists) {
        if (!names_.contains(parent(path))) return Error(Code::NotFound, parent(path));
        change_names({.directory = parent(path), .added = std::string(path), .inode = std::make_shared<Inode>()});
        at = names_.find(path);
    } else if (mode == OpenMode::CreateTruncate) {
        Change cut{.truncates = true};
        apply(at->second->bytes, cut);
        at->second->unsynced.push_back(cut);
    }
    return std::unique_ptr<File>(new OpenFile(*this, at->second, std::string(path), writable));
}

Result<void> MemoryDisk::rename(Blocking&, std::string_view from, std::string_view to) {
    TRY(begin(Op::Rename, from, 0, to));
    auto at = names_.find(from);
    if (at == names_.end()) return Error(Code::NotFound, std::string(from));
    CHECK(parent(from) == parent(to), from, to);  // RocksDB renames within its directory
    change_names({.directory = parent(from), .removed = std::string(from), .added = std::string(to), .inode = at->second});
    return {};
}

Result<void> MemoryDisk::remove(Blocking&, std::string_view path) {
    TRY(begin(Op::Remove, path));
    auto at = names_.find(path);
    if (at == names_.end() || at->second->is_dir) return Error(Code::NotFound, std::string(path));
    change_names({.directory = parent(path), .removed = std::string(path)});
    return {};
}

Result<void> MemoryDisk::create_dir(Blocking&, std::string_view path) {
    TRY(begin(Op::CreateDir, path));
    if (names_.contains(path)) return Error(Code::Exists, std::string(path));
    if (!names_.contains(parent(path))) return Error(Code::NotFound, parent(path));
    auto inode = std::make_shared<Inode>();
    inode->is_dir = true;
    change_names({.directory = parent(path), .added = std::string(path), .inode = inode});
    return {};
}

Result<void> MemoryDisk::remove_dir(Blocking&, std::string_view path) {
    TRY(begin(Op::RemoveDir, path));
    auto at = names_.find(path);
    if (at == names_.end()) return Error(Code::NotFound, std::string(path));
    auto next = std::next(at);
    if (!at->second->is_dir || (next != names_.end() && next->first.starts_with(std::string(path) + "/")))
        return Error(Code::Invalid, std::string(path));
    change_names({.directory = parent(path), .removed = std::string(path)});
    return {};
}

Result<void> MemoryDisk::sync_dir(Blocking&, std::string_view path) {
    TRY(begin(Op::SyncDir, path));
    if (!names_.contains(path)) return Error(Code::NotFound, std::string(path));
    std::erase_if(unsynced_, [&](const DirChange& change) {
        if (change.directory != path) return false;
        apply(synced_, change);
        return true;
    });
    return {};
}

Result<std::vector<Disk::Entry>> MemoryDisk::list(Blocking&, std::string_view path) {
    TRY(begin(Op::List, path));
    auto at = names_.find(path);
    if (at == names_.end() || !at->second->is_dir) return Error(Code::NotFound, std::string(path));
    std::vector<Entry> entries;
    for (const auto& [name, inode] : names_) {
        if (name.empty() || parent(name) != path) continue;
        entries.push_back({name.substr(path.empty() ? 0 : path.size() + 1), inode->is_dir, inode->bytes.size()});
    }
    return entries;
}

Result<Disk::Entry> MemoryDisk::stat(Blocking&, std::string_view path) {
    TRY(begin(Op::Stat, path));
    auto at = names_.find(path);
    if (at == names_.end()) return Error(Code::NotFound, std::string(path));
    size_t slash = path.rfind('/');
    return Entry{std::string(slash == std::string_view::npos ? path : path.substr(slash + 1)), at->second->is_dir,
                 at->second->bytes.size()};
}

Result<Disk::Space> MemoryDisk::space(Blocking&) {
    TRY(begin(Op::Space, {}));
    uint64_t used = 0;
    for (const auto& [name, inode] : names_) used += inode->bytes.size();
    return Space{kCapacity, kCapacity - std::min(used, kCapacity)};
}

Result<std::unique_ptr<DirLock>> MemoryDisk::lock(Blocking&, std::string_view path) {
    TRY(begin(Op::Lock, path));
    if (*locks_ != 0) return Error(Code::Exists, std::string(path) + " is locked");
    return std::unique_ptr<DirLock>(new HeldLock(locks_));
}

Blocking& MemoryDisk::adopt_blocking() {
    CHECK(section_ != nullptr);
    return *section_;
}

}  // namespace orrery::sim
