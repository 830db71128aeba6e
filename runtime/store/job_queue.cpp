#include "runtime/store/job_queue.h"

#include <algorithm>
#include <vector>

#include "runtime/base/check.h"
#include "runtime/store/rocks_call.h"

namespace orrery::store {

void JobQueue::schedule(Job job) {
    uint64_t number = 0;
    {
        std::lock_guard lock(mutex_);
        number = next_number_++;
        jobs_.push_back({number, job});
    }
    ask_for_turn(job.priority, number);
}

void JobQueue::ask_for_turn(Priority priority, uint64_t number) {
    // The turn keeps the queue alive, not what its jobs point to: those are taken back before the database goes.
    executor_.background(priority, [self = shared_from_this(), number](Blocking&) { self->run_numbered(number); });
}

void JobQueue::hold_low() {
    std::lock_guard lock(mutex_);
    low_held_ = true;
}

void JobQueue::release() {
    std::vector<uint64_t> without_turn;
    {
        std::lock_guard lock(mutex_);
        low_held_ = false;
        for (Entry& entry : jobs_) {
            if (!entry.has_turn) without_turn.push_back(entry.number);
            entry.has_turn = true;
        }
    }
    for (uint64_t number : without_turn) ask_for_turn(Priority::Low, number);
}

int JobQueue::unschedule(void* tag, Priority priority) {
    std::vector<Job> taken;
    {
        std::lock_guard lock(mutex_);
        std::erase_if(jobs_, [&](const Entry& entry) {
            if (entry.job.tag != tag || entry.job.priority != priority) return false;
            taken.push_back(entry.job);
            return true;
        });
    }
    for (const Job& job : taken)
        if (job.unscheduled != nullptr) job.unscheduled(job.argument);
    return static_cast<int>(taken.size());
}

bool JobQueue::run_one() {
    Job job;
    {
        std::lock_guard lock(mutex_);
        if (jobs_.empty()) return false;
        auto high = std::find_if(jobs_.begin(), jobs_.end(),
                                 [](const Entry& entry) { return entry.job.priority == Priority::High; });
        auto at = high != jobs_.end() ? high : jobs_.begin();
        job = at->job;
        jobs_.erase(at);
        ++run_count_;
        ++running_;
    }
    run(job);
    return true;
}

void JobQueue::run_numbered(uint64_t number) {
    Job job;
    {
        std::lock_guard lock(mutex_);
        auto at = std::find_if(jobs_.begin(), jobs_.end(), [&](const Entry& entry) { return entry.number == number; });
        if (at == jobs_.end()) return;
        if (low_held_ && at->job.priority == Priority::Low) {
            at->has_turn = false;
            return;
        }
        job = at->job;
        jobs_.erase(at);
        ++run_count_;
        ++running_;
    }
    run(job);
}

void JobQueue::run(const Job& job) {
    {
        RocksScope scope(*call_);
        job.run(job.argument);
    }
    if (after_job_) after_job_();
    std::lock_guard lock(mutex_);
    --running_;
    job_ended_.notify_all();
}

void JobQueue::run_down() {
    // With one thread nothing is ever under way here, and nothing waits.
    auto wait_for_others = [this] {
        std::unique_lock lock(mutex_);
        while (running_ != 0) job_ended_.wait(lock);
        return jobs_.size();
    };
    for (size_t left = wait_for_others(); left > 0; --left) run_one();
    wait_for_others();
}

uint64_t JobQueue::queued() const {
    std::lock_guard lock(mutex_);
    return jobs_.size();
}

uint64_t JobQueue::run_count() const {
    std::lock_guard lock(mutex_);
    return run_count_;
}

}  // namespace orrery::store
