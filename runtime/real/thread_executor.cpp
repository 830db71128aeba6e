#include "runtime/real/thread_executor.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include "runtime/base/check.h"
#include "runtime/real/crash.h"
#include "runtime/real/threads.h"

namespace orrery::real {

namespace {
// Nice levels by which compactions stand behind what clients wait for, here and in neighbouring processes: a tenth of a core's share
// where all are busy, all of it where nobody else is. An install of a snapshot brings compactions for as long as it runs.
constexpr int kLowNice = 10;

/// On Linux a nice level is a thread's own. Where it is refused, threads are as they were.
void be_nicer(int by) {
    const auto thread = static_cast<id_t>(gettid());
    (void)setpriority(PRIO_PROCESS, thread, getpriority(PRIO_PROCESS, thread) + by);
}
}  // namespace

class ThreadExecutor::Crew {
 public:
    Crew(const char* name, uint32_t threads, int nicer_by = 0) {
        CHECK(threads > 0);
        for (uint32_t i = 0; i < threads; ++i) {
            threads_.push_back(start_thread_without_signals([this, nicer_by] {
                if (nicer_by != 0) be_nicer(nicer_by);
                work();
            }));
            (void)pthread_setname_np(threads_.back().native_handle(), name);
        }
    }
    ~Crew() { stop(); }

    void push(UniqueFunction<void(Blocking&)> job) {
        {
            std::lock_guard lock(mutex_);
            if (stopping_) return;
            jobs_.push_back(std::move(job));
        }
        changed_.notify_one();
    }

    void stop() {
        std::deque<UniqueFunction<void(Blocking&)>> dropped;  // destroyed outside the lock
        {
            std::lock_guard lock(mutex_);
            stopping_ = true;
            dropped.swap(jobs_);
        }
        changed_.notify_all();
        for (std::thread& thread : threads_) thread.join();
        threads_.clear();
    }

 private:
    void work() {
        SignalStack signal_stack;
        ThreadBlocking blocking;
        std::unique_lock lock(mutex_);
        for (;;) {
            changed_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
            if (stopping_) return;
            {
                UniqueFunction<void(Blocking&)> job = std::move(jobs_.front());
                jobs_.pop_front();
                lock.unlock();
                job(blocking);
            }  // the job's captures die here, outside the lock
            lock.lock();
        }
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    // Guarded by mutex_. Bounded by who calls: one a fiber, or RocksDB's few jobs of each kind.
    std::deque<UniqueFunction<void(Blocking&)>> jobs_;
    bool stopping_ = false;
    std::vector<std::thread> threads_;
};

ThreadExecutor::ThreadExecutor(Loop& loop, Options options)
    : loop_(loop), blocking_(std::make_unique<Crew>("disk", options.blocking_threads)) {
    background_[static_cast<size_t>(Priority::High)] =
        std::make_unique<Crew>("background.high", options.background_threads_high);
    background_[static_cast<size_t>(Priority::Low)] =
        std::make_unique<Crew>("background.low", options.background_threads_low, kLowNice);
}

ThreadExecutor::~ThreadExecutor() { stop(); }

void ThreadExecutor::stop() {
    CHECK(blocking_under_way_ == 0, blocking_under_way_);
    blocking_->stop();
    for (auto& crew : background_) crew->stop();
}

Result<void> ThreadExecutor::run_blocking(Fiber& fiber, FunctionRef<void(Blocking&)> work) {
    TRY(fiber.maybe_yield());
    Call call{.work = work, .completion = {}};
    ++blocking_under_way_;
    blocking_->push([this, &call](Blocking& blocking) {
        call.work(blocking);
        loop_.complete(call.completion);  // `call` may be gone after this
    });
    while (!call.completion.done) fiber.wait_uncancellable(call.completion.waiter);
    --blocking_under_way_;
    return {};
}

void ThreadExecutor::background(Priority priority, UniqueFunction<void(Blocking&)> work) {
    background_[static_cast<size_t>(priority)]->push(std::move(work));
}

}  // namespace orrery::real
