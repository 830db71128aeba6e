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
    DiskFileSystem(Disk& disk, std::shared_ptr<ThreadClock> clock, std::shared_ptr<RecentLog> log);
    ~DiskFileSystem() override;

    void die() { life_->dead.store(true, std::memory_order_release); }
    /// From now on a full disk that hits the MANIFEST, or the switch to a new one, is told as IOError. RocksDB 7.8 cannot
    /// be trusted to resume from it: a flush job that was queued behind the failed one drops its request, and Resume()
    /// then waits for that flush for ever.
    void opened() { life_->opened.store(true, std::memory_order_release); }
    /// Whether the last lock was refused because somebody else holds it.
    bool locked_by_other() const { return locked_by_other_.load(std::memory_order_relaxed); }

    /// Shared with open files, which may die after the file system.
    struct Life {
        explicit Life(Disk& the_disk) : disk(the_disk) {}
        bool is_dead() const { return dead.load(std::memory_order_acquire); }
        Disk& disk;
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
    rocksdb::IOStatus open_writable(const std::string& path, OpenMode mode,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file);

    std::shared_ptr<Life> life_;
    std::shared_ptr<ThreadClock> clock_;
    std::shared_ptr<RecentLog> log_;
    std::atomic<bool> locked_by_other_{false};
};

}  // namespace orrery::store
