// Engine: one open database with everything its threads may touch. What the loop thread alone may touch is Store's.
//
// Lifetime is the point of this class: RocksDB's jobs and our posted notices outlive any single call, so all they use is
// shared and none of it refers to the Store: the listener's notices find it on the loop thread, or find it gone.
#pragma once

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/listener.h>
#include <rocksdb/options.h>

#include <memory>
#include <vector>

#include "runtime/env/env.h"
#include "runtime/store/file_system.h"
#include "runtime/store/job_queue.h"
#include "runtime/store/rocks_call.h"
#include "runtime/store/rocks_env.h"
#include "runtime/store/store.h"

namespace orrery::store {

/// `options` with everything that a node needs and nothing that waits, sleeps, starts threads or reads the clock.
rocksdb::Options rocksdb_options(const Options& options);

class Engine {
 public:
    /// `listener` is called on any thread.
    Engine(Env& env, const Options& options, std::shared_ptr<rocksdb::EventListener> listener);
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    /// Disk work.
    Result<void> open(Blocking& blocking);
    /// What open() cut from a MANIFEST that a power loss had torn; 0: nothing.
    uint64_t manifest_bytes_cut() const { return manifest_bytes_cut_; }
    /// Bytes of some file could not be read since it was opened. Any thread.
    bool read_failed() const { return files_->read_failed(); }
    /// Disk work: closes the files; what is not flushed is lost. Afterwards db() is null.
    void close(Blocking& blocking);
    /// The same without touching a file: as a crash does. Needs no Blocking. Idempotent.
    void discard();

    rocksdb::DB* db() const { return db_.get(); }
    RocksCall& call() const { return *call_; }
    const JobQueue& jobs() const { return *jobs_; }
    const std::shared_ptr<JobQueue>& shared_jobs() const { return jobs_; }
    ThreadClock& clock() const { return *clock_; }
    const RecentLog& log() const { return *log_; }
    uint64_t cache_used_bytes() const { return cache_->GetUsage(); }

    // Of the loop thread only.
    const rocksdb::Snapshot* take_snapshot();
    /// Harmless for one that closing has released already.
    void release_snapshot(const rocksdb::Snapshot* snapshot);
    void release_all_snapshots();
    uint64_t snapshots() const { return snapshots_.size(); }

 private:
    void take_apart();

    Disk& disk_;
    uint64_t manifest_bytes_cut_ = 0;
    std::string path_;
    std::shared_ptr<RocksCall> call_;
    std::shared_ptr<JobQueue> jobs_;
    std::shared_ptr<ThreadClock> clock_;
    std::shared_ptr<RecentLog> log_;
    std::shared_ptr<DiskFileSystem> files_;
    std::unique_ptr<RocksEnv> rocks_env_;
    std::shared_ptr<rocksdb::Cache> cache_;
    rocksdb::Options options_;
    std::vector<const rocksdb::Snapshot*> snapshots_;
    std::unique_ptr<rocksdb::DB> db_;
};

}  // namespace orrery::store
