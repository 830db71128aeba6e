// JobQueue: RocksDB's background jobs, between its Schedule/UnSchedule and our Env::background.
//
// Every job sits here until somebody runs it: the executor's thread or event that was asked for on its behalf, or
// run_one(), for who has to wait for jobs and has no thread to wait on. A job runs once; a turn of the executor that
// finds its job gone does nothing. Thread-safe.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>

#include "runtime/base/function.h"
#include "runtime/env/env.h"

namespace orrery::store {

struct RocksCall;

class JobQueue : public std::enable_shared_from_this<JobQueue> {
 public:
    struct Job {
        void (*run)(void*) = nullptr;
        void* argument = nullptr;
        void* tag = nullptr;                   // what unschedule() matches
        void (*unscheduled)(void*) = nullptr;  // called instead of run, may be null
        Priority priority = Priority::Low;
    };

    /// `executor` outlives every call of schedule(). Jobs run in the scope of `call`.
    JobQueue(Executor& executor, std::shared_ptr<RocksCall> call) : executor_(executor), call_(std::move(call)) {}

    /// Called after each job, on the thread that ran it. Set before the first job.
    void set_after_job(UniqueFunction<void()> after_job) { after_job_ = std::move(after_job); }
    void schedule(Job job);
    /// Takes back the queued jobs of this tag and priority. Returns how many.
    int unschedule(void* tag, Priority priority);
    /// Runs the oldest queued job, High before Low, on the calling thread. False when there is none.
    bool run_one();
    /// Leaves Low jobs (compactions) where they are until release(): RocksDB schedules one that failed again at once. Only
    /// run_one() takes them still.
    void hold_low();
    void release();
    /// Runs what is queued, once each, on the calling thread, after the jobs of other threads and before returning with none
    /// of theirs under way. Jobs that RocksDB schedules meanwhile stay queued.
    void run_down();
    uint64_t queued() const;
    uint64_t run_count() const;

 private:
    struct Entry {
        uint64_t number;
        Job job;
        bool has_turn = true;  // with the executor
    };
    void ask_for_turn(Priority priority, uint64_t number);
    void run_numbered(uint64_t number);
    void run(const Job& job);

    Executor& executor_;
    std::shared_ptr<RocksCall> call_;
    UniqueFunction<void()> after_job_;
    mutable std::mutex mutex_;
    // Guarded by mutex_.
    std::deque<Entry> jobs_;  // bounded by RocksDB: one or two of each kind a database
    uint64_t next_number_ = 1;
    uint64_t run_count_ = 0;
    uint64_t running_ = 0;
    bool low_held_ = false;
    std::condition_variable job_ended_;
};

}  // namespace orrery::store
