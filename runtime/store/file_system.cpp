#include "runtime/store/file_system.h"

#include <algorithm>

#include "runtime/store/rocks_env.h"
#include "runtime/store/status.h"

namespace orrery::store {

namespace {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;
using Life = DiskFileSystem::Life;

/// RocksDB joins paths with '/' and now and then doubles one; Disk's paths are relative and plain.
std::string plain(const std::string& path) {
    std::string out;
    out.reserve(path.size());
    for (char c : path) {
        if (c == '/' && (out.empty() || out.back() == '/')) continue;
        out.push_back(c);
    }
    while (!out.empty() && out.back() == '/') out.pop_back();
    return out;
}

std::string parent(const std::string& plain_path) {
    size_t slash = plain_path.rfind('/');
    return slash == std::string::npos ? std::string() : plain_path.substr(0, slash);
}

IOStatus dead() { return IOStatus::IOError("the node is stopping"); }

IOStatus status_of(const Result<void>& result) { return result.ok() ? IOStatus::OK() : to_io_status(result.error()); }

bool is_manifest(const std::string& path) {
    return path.find("/MANIFEST-") != std::string::npos || path.ends_with(".dbtmp") || path.ends_with("/CURRENT");
}

/// For changes of `path`: see DiskFileSystem::opened().
IOStatus change_status(const Life& life, const std::string& path, const Error& error) {
    if (error.code == Code::NoSpace && is_manifest(path) && life.opened.load(std::memory_order_acquire))
        return IOStatus::IOError("no space for " + path + ": " + error.context);
    return to_io_status(error.within(path));
}

constexpr size_t kReserveBytes = 64 << 10;  // records of a MANIFEST are some hundred bytes, a new one a few thousand

/// Does a change of `path`, once more from the reserve if that finds a full disk and may use it.
template <typename Change>
auto with_reserve(Life& life, const std::string& path, Change change) {
    auto done = change();
    if (done.ok() || done.code() != Code::NoSpace || !is_manifest(path) || !life.reserve.exchange(false)) return done;
    if (!life.disk.remove(life.disk.adopt_blocking(), life.reserve_path).ok()) return done;
    return change();
}

/// One file, opened for whatever RocksDB calls it.
class OpenFile {
 public:
    OpenFile(std::shared_ptr<Life> life, std::string path, std::unique_ptr<File> file)
        : life_(std::move(life)), path_(std::move(path)), file_(std::move(file)) {}

    IOStatus read(uint64_t offset, size_t n, Slice* result, char* scratch) {
        *result = Slice();
        if (life_->is_dead()) return dead();
        Result<size_t> got = file_->pread(life_->disk.adopt_blocking(), offset, {scratch, n});
        if (got.failed_with(Code::Io)) life_->read_failed.store(true, std::memory_order_relaxed);
        if (!got.ok()) return to_io_status(got.error().within(path_));
        *result = Slice(scratch, *got);
        return IOStatus::OK();
    }
    IOStatus write(uint64_t offset, const Slice& data) {
        if (life_->is_dead()) return dead();
        return changed(with_reserve(*life_, path_, [&] {
            return file_->pwrite(life_->disk.adopt_blocking(), offset, {data.data(), data.size()});
        }));
    }
    IOStatus sync() {
        if (life_->is_dead()) return dead();
        return changed(file_->sync(life_->disk.adopt_blocking()));
    }
    IOStatus truncate(uint64_t size_bytes) {
        if (life_->is_dead()) return dead();
        return changed(file_->truncate(life_->disk.adopt_blocking(), size_bytes));
    }
    void close() { file_.reset(); }
    bool is_open() const { return file_ != nullptr; }

 private:
    IOStatus changed(const Result<void>& result) const {
        return result.ok() ? IOStatus::OK() : change_status(*life_, path_, result.error());
    }

    std::shared_ptr<Life> life_;
    std::string path_;
    std::unique_ptr<File> file_;
};

class SequentialFile final : public rocksdb::FSSequentialFile {
 public:
    explicit SequentialFile(OpenFile file) : file_(std::move(file)) {}
    IOStatus Read(size_t n, const IOOptions&, Slice* result, char* scratch, IODebugContext*) override {
        IOStatus status = file_.read(offset_, n, result, scratch);
        offset_ += result->size();
        return status;
    }
    IOStatus Skip(uint64_t n) override {
        offset_ += n;
        return IOStatus::OK();
    }

 private:
    OpenFile file_;
    uint64_t offset_ = 0;
};

class RandomAccessFile final : public rocksdb::FSRandomAccessFile {
 public:
    explicit RandomAccessFile(OpenFile file) : file_(std::move(file)) {}
    IOStatus Read(uint64_t offset, size_t n, const IOOptions&, Slice* result, char* scratch,
                  IODebugContext*) const override {
        return file_.read(offset, n, result, scratch);
    }

 private:
    mutable OpenFile file_;  // reading moves nothing
};

/// Appends only. A write that failed leaves the end in doubt; RocksDB gives such a file up and so does this class.
class WritableFile final : public rocksdb::FSWritableFile {
 public:
    /// `record_by_record`: once it was synced, nothing is appended to what is not synced yet. The end of a MANIFEST may be torn by a
    /// power loss; a whole record behind a torn one would look like damage to what was durable (manifest_tail.h).
    WritableFile(OpenFile file, uint64_t size_bytes, bool record_by_record)
        : file_(std::move(file)), size_bytes_(size_bytes), record_by_record_(record_by_record) {}
    using rocksdb::FSWritableFile::Append;
    IOStatus Append(const Slice& data, const IOOptions&, IODebugContext*) override {
        if (!file_.is_open()) return IOStatus::IOError("append to a closed file");
        if (!failed_.ok()) return failed_;
        if (record_by_record_ && synced_bytes_ > 0 && synced_bytes_ < size_bytes_)
            if (IOStatus status = sync(); !status.ok()) return status;
        IOStatus status = file_.write(size_bytes_, data);
        if (status.ok())
            size_bytes_ += data.size();
        else
            failed_ = status;
        return status;
    }
    IOStatus Truncate(uint64_t size_bytes, const IOOptions&, IODebugContext*) override {
        if (!file_.is_open()) return IOStatus::IOError("truncate of a closed file");
        if (size_bytes == size_bytes_) return IOStatus::OK();
        IOStatus status = file_.truncate(size_bytes);
        if (status.ok()) size_bytes_ = size_bytes;
        return status;
    }
    IOStatus Close(const IOOptions&, IODebugContext*) override {
        file_.close();
        return IOStatus::OK();
    }
    IOStatus Flush(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
    IOStatus Sync(const IOOptions&, IODebugContext*) override {
        if (!file_.is_open()) return IOStatus::IOError("sync of a closed file");
        return sync();
    }
    bool IsSyncThreadSafe() const override { return true; }
    uint64_t GetFileSize(const IOOptions&, IODebugContext*) override { return size_bytes_; }

 private:
    IOStatus sync() {
        if (!failed_.ok()) return failed_;
        const uint64_t size_bytes = size_bytes_;
        IOStatus status = file_.sync();
        if (!status.ok()) failed_ = status;  // in doubt for good: what a second sync says means nothing
        if (status.ok()) synced_bytes_ = size_bytes;
        return status;
    }

    OpenFile file_;
    uint64_t size_bytes_;
    const bool record_by_record_;
    uint64_t synced_bytes_ = 0;  // by this object
    IOStatus failed_;
};

class Directory final : public rocksdb::FSDirectory {
 public:
    Directory(std::shared_ptr<Life> life, std::string path) : life_(std::move(life)), path_(std::move(path)) {}
    IOStatus Fsync(const IOOptions&, IODebugContext*) override {
        if (life_->is_dead()) return dead();
        return status_of(life_->disk.sync_dir(life_->disk.adopt_blocking(), path_));
    }
    IOStatus Close(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }

 private:
    std::shared_ptr<Life> life_;
    std::string path_;
};

struct HeldLock final : rocksdb::FileLock {
    explicit HeldLock(std::unique_ptr<DirLock> the_lock) : lock(std::move(the_lock)) {}
    std::unique_ptr<DirLock> lock;
};

}  // namespace

DiskFileSystem::DiskFileSystem(Disk& disk, const std::string& directory, std::shared_ptr<ThreadClock> clock, std::shared_ptr<RecentLog> log)
    : life_(std::make_shared<Life>(disk, directory + "/RESERVE")), clock_(std::move(clock)), log_(std::move(log)) {}

DiskFileSystem::~DiskFileSystem() = default;

void DiskFileSystem::keep_reserve(Life& life) {
    if (life.is_dead() || life.reserve.load()) return;
    Blocking& blocking = life.disk.adopt_blocking();
    Result<Disk::Entry> there = life.disk.stat(blocking, life.reserve_path);
    if (!there.ok() || there->size_bytes != kReserveBytes) {
        auto file = life.disk.open(blocking, life.reserve_path, OpenMode::CreateTruncate);
        if (!file.ok()) return;
        // Not synced: it need not outlive anything, only take up room.
        if (!(*file)->pwrite(blocking, 0, std::string(kReserveBytes, '\0')).ok()) {
            (void)life.disk.remove(blocking, life.reserve_path);
            return;
        }
    }
    life.reserve.store(true);
}

IOStatus DiskFileSystem::NewSequentialFile(const std::string& path, const rocksdb::FileOptions&,
                                           std::unique_ptr<rocksdb::FSSequentialFile>* file, IODebugContext*) {
    if (life_->is_dead()) return dead();
    auto opened = life_->disk.open(life_->disk.adopt_blocking(), plain(path), OpenMode::Read);
    if (!opened.ok()) return to_io_status(opened.error().within(path));
    *file = std::make_unique<SequentialFile>(OpenFile(life_, path, std::move(*opened)));
    return IOStatus::OK();
}

IOStatus DiskFileSystem::NewRandomAccessFile(const std::string& path, const rocksdb::FileOptions&,
                                             std::unique_ptr<rocksdb::FSRandomAccessFile>* file, IODebugContext*) {
    if (life_->is_dead()) return dead();
    auto opened = life_->disk.open(life_->disk.adopt_blocking(), plain(path), OpenMode::Read);
    if (!opened.ok()) return to_io_status(opened.error().within(path));
    *file = std::make_unique<RandomAccessFile>(OpenFile(life_, path, std::move(*opened)));
    return IOStatus::OK();
}

IOStatus DiskFileSystem::open_writable(const std::string& path, OpenMode mode,
                                       std::unique_ptr<rocksdb::FSWritableFile>* file) {
    if (life_->is_dead()) return dead();
    Blocking& blocking = life_->disk.adopt_blocking();
    if (!is_manifest(path) && life_->opened.load(std::memory_order_acquire)) keep_reserve(*life_);
    auto opened = with_reserve(*life_, path, [&] { return life_->disk.open(blocking, plain(path), mode); });
    if (!opened.ok()) return change_status(*life_, path, opened.error());
    uint64_t size_bytes = 0;
    if (mode != OpenMode::CreateTruncate) {
        Result<uint64_t> size = (*opened)->size(blocking);
        if (!size.ok()) return to_io_status(size.error().within(path));
        size_bytes = *size;
    }
    *file = std::make_unique<WritableFile>(OpenFile(life_, path, std::move(*opened)), size_bytes, is_manifest(path));
    return IOStatus::OK();
}

IOStatus DiskFileSystem::NewWritableFile(const std::string& path, const rocksdb::FileOptions&,
                                         std::unique_ptr<rocksdb::FSWritableFile>* file, IODebugContext*) {
    return open_writable(path, OpenMode::CreateTruncate, file);
}

IOStatus DiskFileSystem::ReopenWritableFile(const std::string& path, const rocksdb::FileOptions&,
                                            std::unique_ptr<rocksdb::FSWritableFile>* file, IODebugContext*) {
    return open_writable(path, OpenMode::Create, file);
}

IOStatus DiskFileSystem::NewDirectory(const std::string& path, const IOOptions&,
                                      std::unique_ptr<rocksdb::FSDirectory>* directory, IODebugContext*) {
    if (life_->is_dead()) return dead();
    auto entry = life_->disk.stat(life_->disk.adopt_blocking(), plain(path));
    if (!entry.ok()) return to_io_status(entry.error().within(path));
    if (!entry->is_dir) return IOStatus::IOError(path, "is not a directory");
    *directory = std::make_unique<Directory>(life_, plain(path));
    return IOStatus::OK();
}

// Answers OK or NotFound and nothing else: RocksDB's WalManager asserts on any third answer.
IOStatus DiskFileSystem::FileExists(const std::string& path, const IOOptions&, IODebugContext*) {
    if (life_->is_dead()) return IOStatus::NotFound();
    auto entry = life_->disk.stat(life_->disk.adopt_blocking(), plain(path));
    return entry.ok() ? IOStatus::OK() : IOStatus::NotFound();
}

IOStatus DiskFileSystem::GetChildren(const std::string& path, const IOOptions&, std::vector<std::string>* names,
                                     IODebugContext*) {
    names->clear();
    if (life_->is_dead()) return IOStatus::NotFound();
    auto entries = life_->disk.list(life_->disk.adopt_blocking(), plain(path));
    if (!entries.ok()) {
        if (entries.failed_with(Code::NotFound)) return IOStatus::NotFound();
        return to_io_status(entries.error().within(path));
    }
    for (Disk::Entry& entry : *entries) names->push_back(std::move(entry.name));
    return IOStatus::OK();
}

IOStatus DiskFileSystem::DeleteFile(const std::string& path, const IOOptions&, IODebugContext*) {
    if (life_->is_dead()) return dead();
    return status_of(life_->disk.remove(life_->disk.adopt_blocking(), plain(path)));
}

IOStatus DiskFileSystem::CreateDir(const std::string& path, const IOOptions&, IODebugContext*) {
    if (life_->is_dead()) return dead();
    return status_of(life_->disk.create_dir(life_->disk.adopt_blocking(), plain(path)));
}

IOStatus DiskFileSystem::CreateDirIfMissing(const std::string& path, const IOOptions&, IODebugContext*) {
    if (life_->is_dead()) return dead();
    Blocking& blocking = life_->disk.adopt_blocking();
    std::string at = plain(path);
    Result<void> created = life_->disk.create_dir(blocking, at);
    if (created.ok()) return status_of(life_->disk.sync_dir(blocking, parent(at)));
    if (!created.failed_with(Code::Exists)) return to_io_status(created.error().within(path));
    auto entry = life_->disk.stat(blocking, at);
    if (!entry.ok()) return to_io_status(entry.error().within(path));
    return entry->is_dir ? IOStatus::OK() : IOStatus::IOError(path, "is not a directory");
}

IOStatus DiskFileSystem::DeleteDir(const std::string& path, const IOOptions&, IODebugContext*) {
    if (life_->is_dead()) return dead();
    return status_of(life_->disk.remove_dir(life_->disk.adopt_blocking(), plain(path)));
}

IOStatus DiskFileSystem::GetFileSize(const std::string& path, const IOOptions&, uint64_t* size_bytes, IODebugContext*) {
    *size_bytes = 0;
    if (life_->is_dead()) return dead();
    auto entry = life_->disk.stat(life_->disk.adopt_blocking(), plain(path));
    if (!entry.ok()) return to_io_status(entry.error().within(path));
    *size_bytes = entry->size_bytes;
    return IOStatus::OK();
}

// Disk keeps no times. RocksDB asks only for archived logs, of which there are none, and for the age of tables, which no
// option in use looks at.
IOStatus DiskFileSystem::GetFileModificationTime(const std::string&, const IOOptions&, uint64_t* seconds,
                                                 IODebugContext*) {
    *seconds = static_cast<uint64_t>(clock_->wall_seconds());
    return IOStatus::OK();
}

// What a renamed file speaks of (CURRENT of its MANIFEST) must not be younger than the rename. RocksDB leaves that to file
// systems that keep directory changes in order; Disk promises no order before sync_dir().
IOStatus DiskFileSystem::RenameFile(const std::string& from, const std::string& to, const IOOptions&, IODebugContext*) {
    if (life_->is_dead()) return dead();
    Blocking& blocking = life_->disk.adopt_blocking();
    std::string source = plain(from);
    if (Result<void> synced = life_->disk.sync_dir(blocking, parent(source)); !synced.ok()) return status_of(synced);
    Result<void> renamed = life_->disk.rename(blocking, source, plain(to));
    return renamed.ok() ? IOStatus::OK() : change_status(*life_, to, renamed.error());
}

IOStatus DiskFileSystem::LockFile(const std::string& path, const IOOptions&, rocksdb::FileLock** lock, IODebugContext*) {
    *lock = nullptr;
    if (life_->is_dead()) return dead();
    auto held = life_->disk.lock(life_->disk.adopt_blocking(), parent(plain(path)));
    if (!held.ok()) {
        if (held.failed_with(Code::Exists)) locked_by_other_.store(true, std::memory_order_relaxed);
        return to_io_status(held.error());
    }
    *lock = new HeldLock(std::move(*held));  // RocksDB hands it back to UnlockFile()
    return IOStatus::OK();
}

IOStatus DiskFileSystem::UnlockFile(rocksdb::FileLock* lock, const IOOptions&, IODebugContext*) {
    delete static_cast<HeldLock*>(lock);
    return IOStatus::OK();
}

IOStatus DiskFileSystem::GetTestDirectory(const IOOptions&, std::string*, IODebugContext*) {
    return IOStatus::NotSupported("test directory");
}

IOStatus DiskFileSystem::NewLogger(const std::string&, const IOOptions&, std::shared_ptr<rocksdb::Logger>* logger,
                                   IODebugContext*) {
    *logger = log_;
    return IOStatus::OK();
}

IOStatus DiskFileSystem::GetAbsolutePath(const std::string& path, const IOOptions&, std::string* absolute,
                                         IODebugContext*) {
    *absolute = plain(path);  // relative to the data directory is as absolute as a path gets here
    return IOStatus::OK();
}

IOStatus DiskFileSystem::IsDirectory(const std::string& path, const IOOptions&, bool* is_directory, IODebugContext*) {
    if (life_->is_dead()) return dead();
    auto entry = life_->disk.stat(life_->disk.adopt_blocking(), plain(path));
    if (!entry.ok()) return to_io_status(entry.error().within(path));
    *is_directory = entry->is_dir;
    return IOStatus::OK();
}

}  // namespace orrery::store
