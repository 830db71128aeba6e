#include "fake_disk.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "runtime/base/defect.h"

namespace orrery {

namespace {
DefectSet g_defects;
}

const DefectSet& active_defects() { return g_defects; }

void check_failed(const char* file, int line, const std::string& text) {
    std::fprintf(stderr, "%s:%d: check failed: %s\n", file, line, text.c_str());
    std::abort();
}

}  // namespace orrery

namespace orrery::log::test {

void set_defects(const DefectSet& set) { g_defects = set; }

namespace {

constexpr uint64_t kSector = 512;

std::string parent_of(std::string_view path) {
    size_t slash = path.rfind('/');
    return std::string(slash == std::string_view::npos ? "" : path.substr(0, slash));
}

void write_at(Bytes& into, uint64_t offset, ByteView bytes) {
    if (into.size() < offset + bytes.size()) into.resize(offset + bytes.size(), '\0');
    std::copy(bytes.begin(), bytes.end(), into.begin() + static_cast<int64_t>(offset));
}

/// What a power loss leaves of one unsynced write.
void tear(Bytes& into, uint64_t offset, ByteView bytes, RandomStream& draws) {
    uint64_t fate = draws.below(4);  // all, none, a prefix, any subset with garbage
    uint64_t cut = draws.below(bytes.size() / kSector + 2) * kSector;
    for (uint64_t at = 0; at < bytes.size(); at += kSector) {
        ByteView sector = bytes.substr(at, kSector);
        if (fate == 1 || (fate == 2 && at >= cut)) break;
        uint64_t draw = fate == 3 ? draws.below(8) : 0;
        if (draw >= 1 && draw <= 3) continue;
        if (draw == 4) {
            Bytes garbage(sector.size(), static_cast<char>(draws.next()));
            write_at(into, offset + at, garbage);
        } else {
            write_at(into, offset + at, sector);
        }
    }
}

class FakeFile final : public File {
 public:
    FakeFile(FakeDisk& disk, std::string path, std::shared_ptr<Inode> inode)
        : disk_(disk), path_(std::move(path)), inode_(std::move(inode)) {}

    Result<size_t> pread(Blocking&, uint64_t offset, std::span<char> into) override {
        ++disk_.reads;
        if (disk_.frozen) return Code::Io;
        for (const auto& [path, block] : disk_.unreadable)
            if (path == path_ && offset < block + 4096 && offset + into.size() > block) return Code::Io;
        if (offset >= inode_->seen.size()) return size_t{0};
        size_t count = std::min<size_t>(into.size(), inode_->seen.size() - offset);
        std::copy_n(inode_->seen.begin() + static_cast<int64_t>(offset), count, into.begin());
        return count;
    }
    Result<void> pwrite(Blocking&, uint64_t offset, ByteView bytes) override {
        bool up = disk_.begin_change();
        if (!up && disk_.operations != disk_.crash_at + 1) return Code::Io;
        // A write cut off by the crash is as volatile as any other.
        uint64_t grows = offset + bytes.size() > inode_->seen.size() ? offset + bytes.size() - inode_->seen.size() : 0;
        if (up && grows > 0 && disk_.used() + grows > disk_.capacity_bytes) return Code::NoSpace;
        if (disk_.frozen && !up && disk_.operations > disk_.crash_at + 1) return Code::Io;
        write_at(inode_->seen, offset, bytes);
        inode_->unsynced.emplace_back(offset, Bytes(bytes));
        if (!up) return Code::Io;
        if (disk_.writes++ == disk_.fail_write_at) return Error(Code::Io, "planted");
        return {};
    }
    Result<void> sync(Blocking&) override {
        if (!disk_.begin_change()) return Code::Io;
        if (disk_.syncs++ == disk_.fail_sync_at) {
            inode_->unsynced.clear();  // the pages count as clean from now on, and never were written
            return Error(Code::Io, "planted");
        }
        for (const auto& [offset, bytes] : inode_->unsynced) write_at(inode_->durable, offset, bytes);
        inode_->unsynced.clear();
        return {};
    }
    Result<void> truncate(Blocking&, uint64_t) override { return Code::Unsupported; }
    Result<uint64_t> size(Blocking&) override { return inode_->seen.size(); }

 private:
    FakeDisk& disk_;
    std::string path_;
    std::shared_ptr<Inode> inode_;
};

}  // namespace

bool FakeDisk::begin_change() {
    if (frozen) {
        ++operations;
        return false;
    }
    if (operations++ == crash_at) frozen = true;
    return !frozen;
}

uint64_t FakeDisk::used() const {
    uint64_t sum = 0;
    for (const auto& [path, inode] : names_) sum += inode->seen.size();
    return sum;
}

void FakeDisk::apply(Names& names, const NameChange& change) {
    if (!change.removed.empty()) names.erase(change.removed);
    if (!change.added.empty()) names[change.added] = change.inode;
}

void FakeDisk::change(NameChange change) {
    apply(names_, change);
    unsynced_names_.push_back(std::move(change));
}

void FakeDisk::restart(Loss loss, RandomStream& draws) {
    if (loss == Loss::Power) {
        std::map<std::string, uint64_t> kept;
        for (const NameChange& change : unsynced_names_) ++kept[change.parent];
        for (auto& [parent, count] : kept) count = draws.below(count + 1);
        for (const NameChange& change : unsynced_names_)
            if (kept[change.parent] > 0) {
                --kept[change.parent];
                apply(durable_names_, change);
            }
        unsynced_names_.clear();
        names_ = durable_names_;
        for (auto& [path, inode] : names_) {
            for (const auto& [offset, bytes] : inode->unsynced) tear(inode->durable, offset, bytes, draws);
            inode->unsynced.clear();
            inode->seen = inode->durable;
        }
    }
    crash_at = fail_sync_at = fail_write_at = -1;
    operations = syncs = writes = reads = 0;
    frozen = false;
}

void FakeDisk::copy_from(const FakeDisk& other) {
    names_.clear();
    durable_names_.clear();
    unsynced_names_.clear();
    std::map<const Inode*, std::shared_ptr<Inode>> copies;
    auto copy_of = [&](const std::shared_ptr<Inode>& inode) {
        auto& made = copies[inode.get()];
        if (!made) made = std::make_shared<Inode>(*inode);
        return made;
    };
    for (const auto& [path, inode] : other.names_) names_[path] = copy_of(inode);
    for (const auto& [path, inode] : other.durable_names_) durable_names_[path] = copy_of(inode);
    for (NameChange change : other.unsynced_names_) {
        if (change.inode) change.inode = copy_of(change.inode);
        unsynced_names_.push_back(std::move(change));
    }
}

std::vector<std::string> FakeDisk::paths() const {
    std::vector<std::string> out;
    for (const auto& [path, inode] : names_)
        if (!inode->is_dir) out.push_back(path);
    return out;
}

Result<std::unique_ptr<File>> FakeDisk::open(Blocking&, std::string_view path, OpenMode mode) {
    if (frozen) return Code::Io;
    std::string name(path);
    auto at = names_.find(name);
    if (at == names_.end()) {
        if (mode == OpenMode::Read || mode == OpenMode::ReadWrite) return Error(Code::NotFound, name);
        if (!begin_change()) return Code::Io;
        change({parent_of(path), "", name, std::make_shared<Inode>()});
        at = names_.find(name);
    } else if (mode == OpenMode::CreateTruncate) {
        if (!begin_change()) return Code::Io;
        change({parent_of(path), name, name, std::make_shared<Inode>()});
        at = names_.find(name);
    }
    return std::unique_ptr<File>(new FakeFile(*this, name, at->second));
}

Result<void> FakeDisk::rename(Blocking&, std::string_view from, std::string_view to) {
    if (!begin_change()) return Code::Io;
    auto at = names_.find(std::string(from));
    if (at == names_.end()) return Error(Code::NotFound, std::string(from));
    change({parent_of(to), std::string(from), std::string(to), at->second});
    return {};
}

Result<void> FakeDisk::remove(Blocking&, std::string_view path) {
    if (!begin_change()) return Code::Io;
    if (!names_.contains(std::string(path))) return Error(Code::NotFound, std::string(path));
    change({parent_of(path), std::string(path), "", nullptr});
    return {};
}

Result<void> FakeDisk::create_dir(Blocking&, std::string_view path) {
    if (names_.contains(std::string(path))) return Code::Exists;
    if (!begin_change()) return Code::Io;
    auto inode = std::make_shared<Inode>();
    inode->is_dir = true;
    change({parent_of(path), "", std::string(path), inode});
    return {};
}

Result<void> FakeDisk::sync_dir(Blocking&, std::string_view path) {
    if (!begin_change()) return Code::Io;
    std::erase_if(unsynced_names_, [&](const NameChange& change) {
        if (change.parent != path) return false;
        apply(durable_names_, change);
        return true;
    });
    return {};
}

Result<std::vector<Disk::Entry>> FakeDisk::list(Blocking&, std::string_view path) {
    if (frozen) return Code::Io;
    std::vector<Entry> out;
    for (const auto& [name, inode] : names_)
        if (parent_of(name) == path)
            out.push_back({name.substr(path.empty() ? 0 : path.size() + 1), inode->is_dir, inode->seen.size()});
    return out;
}

Result<Disk::Entry> FakeDisk::stat(Blocking&, std::string_view path) {
    auto at = names_.find(std::string(path));
    if (at == names_.end()) return Error(Code::NotFound, std::string(path));
    return Entry{at->first, at->second->is_dir, at->second->seen.size()};
}

namespace {
// Stacks are mapped once for the whole program: worlds come and go by the thousand.
StackPool& shared_stacks() {
    static StackPool pool;
    return pool;
}
}  // namespace

FakeWorld::FakeWorld(FakeDisk& disk, uint64_t seed, Instant start)
    : env{scheduler_, *this, *this, disk, Random(seed), tracer, *this},
      disk_(disk),
      stacks_(shared_stacks()),
      scheduler_(*this, stacks_),
      draws_(seed, "fake.schedule", 0),
      now_(start) {}

FakeWorld::~FakeWorld() {
    scheduler_.cancel_all();
    while (scheduler_.has_ready()) scheduler_.run_one();
    ORRERY_CHECK(scheduler_.live() == 0, scheduler_.live());
}

bool FakeWorld::step(Instant until) {
    if (scheduler_.has_ready()) {
        now_.ns += 1000;
        scheduler_.run_one();
        return true;
    }
    Instant next = scheduler_.next_timer();
    if (next > until || next == Instant::never()) return false;
    now_ = std::max(now_, next);
    scheduler_.fire_timers(now_);
    return true;
}

bool FakeWorld::run(FiberBody body) {
    bool ended = false;
    scheduler_.spawn("test", [&](Fiber& fiber) {
        body(fiber);
        ended = true;
    });
    while (!ended && !disk_.frozen && step(Instant::never())) {
    }
    if (!ended) {
        scheduler_.cancel_all();  // `body` borrows from the caller: it must not outlive this call
        while (!ended && scheduler_.has_ready()) scheduler_.run_one();
        ORRERY_CHECK(ended, "a fiber waits for ever and ignores cancellation");
        return false;
    }
    return !disk_.frozen;
}

void FakeWorld::settle(Duration duration) {
    Instant until = now_ + duration;
    while (now_ < until && step(until)) {
    }
    now_ = std::max(now_, until);
}

Result<void> FakeWorld::run_blocking(Fiber& fiber, FunctionRef<void(Blocking&)> work) {
    if (fiber.cancelled()) return Code::Cancelled;
    for (uint64_t i = draws_.below(static_cast<uint64_t>(slow_slices) + 1); i > 0; --i) TRY(fiber.yield());
    work(disk_.permission);
    if (disk_.frozen) return Code::Cancelled;
    for (uint64_t i = draws_.below(static_cast<uint64_t>(slow_slices) + 1); i > 0; --i) TRY(fiber.yield());
    return {};
}

}  // namespace orrery::log::test
