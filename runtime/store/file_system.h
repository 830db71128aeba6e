// DiskFileSystem: RocksDB's files are our Disk's. Every callback runs in the body of a blocking() or background() call of
// the same node and adopts that call's Blocking; there is no path to the host's own files.
//
// After die() no call reaches the Disk any more: calls that change fail with IOError, nothing exists. That is how a
// database is taken apart whose node has crashed or is stopped without being closed. Thread-safe, as Disk is.
#pragma once

#include <rocksdb/file_system.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "runtime/env/env.h"

namespace orrery::store {

class ThreadClock;
class RecentLog;

class DiskFileSystem final : public rocksdb::FileSystem {
 public:
    /// `directory`: the Store's, where the reserve lies.
    DiskFileSystem(Disk& disk, const std::string& directory, std::shared_ptr<ThreadClock> clock, std::shared_ptr<RecentLog> log);
    ~DiskFileSystem() override;

    void die() { life_->dead.store(true, std::memory_order_release); }
    /// From now on a full disk that hits the MANIFEST, or the switch to a new one, is told as IOError. RocksDB 7.8 cannot
    /// be trusted to resume from it: a flush job that was queued behind the failed one drops its request, and Resume()
    /// then waits for that flush for ever.
    void opened() { life_->opened.store(true, std::memory_order_release); }
    /// Room for the MANIFEST on a full disk: a file that is removed when a change of it finds none, which is then done again. A
    /// table that does not fit is refused and its flush repeated later; what the MANIFEST can not take is the end of a Store. Made
    /// here, if it is not there, as far as the disk has room; and again with every new table. Needs a Blocking.
    void keep_reserve() { keep_reserve(*life_); }
    /// Whether the last lock was refused because somebody else holds it.
    bool locked_by_other() const { return locked_by_other_.load(std::memory_order_relaxed); }

    /// Shared with open files, which may die after the file system.
    struct Life {
        Life(Disk& the_disk, std::string the_reserve_path) : disk(the_disk), reserve_path(std::move(the_reserve_path)) {}
        bool is_dead() const { return dead.load(std::memory_order_acquire); }
        Disk& disk;
        const std::string reserve_path;
        std::atomic<bool> reserve{false};  // it is there, and nobody is about to remove it
        std::atomic<bool> dead{false};
        std::atomic<bool> opened{false};
        std::atomic<bool> read_failed{false};
    };
    /// Bytes of some file could not be read: a latent sector error.
    bool read_failed() const { return life_->read_failed.load(std::memory_order_relaxed); }

    const char* Name() const override { return "OrreryDisk"; }
    rocksdb::IOStatus NewSequentialFile(const std::string& path, const rocksdb::FileOptions&,
                                        std::unique_ptr<rocksdb::FSSequentialFile>* file,
                                        rocksdb::IODebugContext*) override;
    rocksdb::IOStatus NewRandomAccessFile(const std::string& path, const rocksdb::FileOptions&,
                                          std::unique_ptr<rocksdb::FSRandomAccessFile>* file,
                                          rocksdb::IODebugContext*) override;
    rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions&,
                                      std::unique_ptr<rocksdb::FSWritableFile>* file,
                                      rocksdb::IODebugContext*) override;
    rocksdb::IOStatus ReopenWritableFile(const std::string& path, const rocksdb::FileOptions&,
                                         std::unique_ptr<rocksdb::FSWritableFile>* file,
                                         rocksdb::IODebugContext*) override;
    rocksdb::IOStatus NewDirectory(const std::string& path, const rocksdb::IOOptions&,
                                   std::unique_ptr<rocksdb::FSDirectory>* directory, rocksdb::IODebugContext*) override;
    rocksdb::IOStatus FileExists(const std::string& path, const rocksdb::IOOptions&, rocksdb::IODebugContext*) override;
    rocksdb::IOStatus GetChildren(const std::string& path, const rocksdb::IOOptions&, std::vector<std::string>* names,
                                  rocksdb::IODebugContext*) override;
    rocksdb::IOStatus DeleteFile(const std::string& path, const rocksdb::IOOptions&, rocksdb::IODebugContext*) override;
    rocksdb::IOStatus CreateDir(const std::string& path, const rocksdb::IOOptions&, rocksdb::IODebugContext*) override;
    rocksdb::IOStatus CreateDirIfMissing(const std::string& path, const rocksdb::IOOptions&,
                                         rocksdb::IODebugContext*) override;
    rocksdb::IOStatus DeleteDir(const std::string& path, const rocksdb::IOOptions&, rocksdb::IODebugContext*) override;
    rocksdb::IOStatus GetFileSize(const std::string& path, const rocksdb::IOOptions&, uint64_t* size_bytes,
                                  rocksdb::IODebugContext*) override;
    rocksdb::IOStatus GetFileModificationTime(const std::string& path, const rocksdb::IOOptions&, uint64_t* seconds,
                                              rocksdb::IODebugContext*) override;
    rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to, const rocksdb::IOOptions&,
                                 rocksdb::IODebugContext*) override;
    rocksdb::IOStatus LockFile(const std::string& path, const rocksdb::IOOptions&, rocksdb::FileLock** lock,
                               rocksdb::IODebugContext*) override;
    rocksdb::IOStatus UnlockFile(rocksdb::FileLock* lock, const rocksdb::IOOptions&, rocksdb::IODebugContext*) override;
    rocksdb::IOStatus GetTestDirectory(const rocksdb::IOOptions&, std::string* path, rocksdb::IODebugContext*) override;
    rocksdb::IOStatus NewLogger(const std::string& path, const rocksdb::IOOptions&,
                                std::shared_ptr<rocksdb::Logger>* logger, rocksdb::IODebugContext*) override;
    rocksdb::IOStatus GetAbsolutePath(const std::string& path, const rocksdb::IOOptions&, std::string* absolute,
                                      rocksdb::IODebugContext*) override;
    rocksdb::IOStatus IsDirectory(const std::string& path, const rocksdb::IOOptions&, bool* is_directory,
                                  rocksdb::IODebugContext*) override;

 private:
    static void keep_reserve(Life& life);
    rocksdb::IOStatus open_writable(const std::string& path, OpenMode mode,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file);

    std::shared_ptr<Life> life_;
    std::shared_ptr<ThreadClock> clock_;
    std::shared_ptr<RecentLog> log_;
    std::atomic<bool> locked_by_other_{false};
};

}  // namespace orrery::store
