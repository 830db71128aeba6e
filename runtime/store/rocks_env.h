// RocksDB's Env on ours: its clock, log, jobs and names. Files are DiskFileSystem's.
//
// RocksDB reads the clock from its own threads, and a node's Clock belongs to the loop thread. So the loop thread leaves
// the time in two atomics whenever it calls the Store, and RocksDB reads those: its time is right to within the Store's
// idleness, which is all that its statistics need. No option in use lets time decide anything.
#pragma once

#include <rocksdb/env.h>
#include <rocksdb/system_clock.h>

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/env/env.h"
#include "runtime/store/file_system.h"
#include "runtime/store/job_queue.h"

namespace orrery::store {

/// Thread-safe to read; refresh() is the loop thread's.
class ThreadClock final : public rocksdb::SystemClock {
 public:
    void refresh(const Clock& clock) {
        now_ns_.store(clock.now().ns, std::memory_order_relaxed);
        wall_ns_.store(clock.wall().ns, std::memory_order_relaxed);
    }
    int64_t wall_seconds() const { return wall_ns_.load(std::memory_order_relaxed) / 1'000'000'000; }

    const char* Name() const override { return "OrreryClock"; }
    uint64_t NowMicros() override { return NowNanos() / 1000; }
    uint64_t NowNanos() override { return static_cast<uint64_t>(now_ns_.load(std::memory_order_relaxed)); }
    /// Nothing in use sleeps to wait for anything, so that not sleeping is right in both worlds.
    void SleepForMicroseconds(int) override {}
    rocksdb::Status GetCurrentTime(int64_t* seconds) override {
        *seconds = wall_seconds();
        return rocksdb::Status::OK();
    }
    std::string TimeToString(uint64_t seconds) override { return std::to_string(seconds); }

 private:
    std::atomic<int64_t> now_ns_{0};
    std::atomic<int64_t> wall_ns_{0};
};

/// Keeps the last warnings and errors for a status page. Their text holds times and addresses and must not reach a trace.
class RecentLog final : public rocksdb::Logger {
 public:
    static constexpr size_t kLines = 64;
    static constexpr size_t kLineBytes = 512;

    RecentLog() : rocksdb::Logger(rocksdb::InfoLogLevel::WARN_LEVEL) {}
    ~RecentLog() override;
    std::vector<std::string> lines() const;

    using rocksdb::Logger::Logv;
    void LogHeader(const char*, va_list) override {}
    void Logv(rocksdb::InfoLogLevel level, const char* format, va_list arguments) override;
    void Logv(const char* format, va_list arguments) override {
        Logv(rocksdb::InfoLogLevel::INFO_LEVEL, format, arguments);
    }

 private:
    mutable std::mutex mutex_;
    std::deque<std::string> lines_;  // guarded by mutex_
};

class RocksEnv final : public rocksdb::EnvWrapper {
 public:
    RocksEnv(std::shared_ptr<DiskFileSystem> files, std::shared_ptr<ThreadClock> clock, std::shared_ptr<RecentLog> log,
             std::shared_ptr<JobQueue> jobs, std::string unique_id);
    ~RocksEnv() override;

    const char* Name() const override { return "OrreryEnv"; }
    void Schedule(void (*run)(void*), void* argument, Priority priority, void* tag,
                  void (*unscheduled)(void*)) override;
    int UnSchedule(void* tag, Priority priority) override;
    /// Nothing in use starts a thread; a change that does must not pass unseen in either world.
    void StartThread(void (*run)(void*), void* argument) override;
    void WaitForJoin() override {}
    unsigned int GetThreadPoolQueueLen(Priority) const override { return 0; }
    int ReserveThreads(int, Priority) override { return 0; }
    int ReleaseThreads(int, Priority) override { return 0; }
    void SetBackgroundThreads(int, Priority) override {}
    int GetBackgroundThreads(Priority priority) override { return priority == HIGH || priority == LOW ? 1 : 0; }
    void IncBackgroundThreadsIfNeeded(int, Priority) override {}
    void LowerThreadPoolIOPriority(Priority) override {}
    rocksdb::Status LowerThreadPoolCPUPriority(Priority, rocksdb::CpuPriority) override { return rocksdb::Status::OK(); }
    void LowerThreadPoolCPUPriority(Priority) override {}
    rocksdb::Status GetThreadList(std::vector<rocksdb::ThreadStatus>*) override {
        return rocksdb::Status::NotSupported("thread list");
    }
    rocksdb::ThreadStatusUpdater* GetThreadStatusUpdater() const override { return nullptr; }
    uint64_t GetThreadID() const override { return 0; }

    uint64_t NowMicros() override { return clock_->NowMicros(); }
    uint64_t NowNanos() override { return clock_->NowNanos(); }
    uint64_t NowCPUNanos() override { return 0; }
    void SleepForMicroseconds(int micros) override { clock_->SleepForMicroseconds(micros); }
    rocksdb::Status GetCurrentTime(int64_t* seconds) override { return clock_->GetCurrentTime(seconds); }
    std::string TimeToString(uint64_t seconds) override { return clock_->TimeToString(seconds); }

    rocksdb::Status GetTestDirectory(std::string*) override { return rocksdb::Status::NotSupported("test directory"); }
    rocksdb::Status NewLogger(const std::string&, std::shared_ptr<rocksdb::Logger>* logger) override {
        *logger = log_;
        return rocksdb::Status::OK();
    }
    rocksdb::Status GetHostName(char* name, uint64_t size) override;
    std::string GenerateUniqueId() override;

 private:
    std::shared_ptr<ThreadClock> clock_;
    std::shared_ptr<RecentLog> log_;
    std::shared_ptr<JobQueue> jobs_;
    std::string unique_id_;
    std::atomic<uint64_t> unique_ids_taken_{0};
};

}  // namespace orrery::store
