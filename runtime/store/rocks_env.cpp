#include "runtime/store/rocks_env.h"

#include <cstdio>

#include "runtime/base/check.h"

namespace orrery::store {

RecentLog::~RecentLog() = default;

std::vector<std::string> RecentLog::lines() const {
    std::lock_guard lock(mutex_);
    return {lines_.begin(), lines_.end()};
}

void RecentLog::Logv(rocksdb::InfoLogLevel level, const char* format, va_list arguments) {
    if (level < rocksdb::InfoLogLevel::WARN_LEVEL || level == rocksdb::InfoLogLevel::HEADER_LEVEL) return;
    char line[kLineBytes];
    int length = std::vsnprintf(line, sizeof(line), format, arguments);
    if (length <= 0) return;
    std::lock_guard lock(mutex_);
    if (lines_.size() == kLines) lines_.pop_front();
    lines_.emplace_back(line);
}

RocksEnv::RocksEnv(std::shared_ptr<DiskFileSystem> files, std::shared_ptr<ThreadClock> clock,
                   std::shared_ptr<RecentLog> log, std::shared_ptr<JobQueue> jobs, std::string unique_id)
    : EnvWrapper(rocksdb::NewCompositeEnv(files)),
      clock_(clock),
      log_(std::move(log)),
      jobs_(std::move(jobs)),
      unique_id_(std::move(unique_id)) {
    file_system_ = std::move(files);
    system_clock_ = std::move(clock);
}

RocksEnv::~RocksEnv() = default;

void RocksEnv::Schedule(void (*run)(void*), void* argument, Priority priority, void* tag, void (*unscheduled)(void*)) {
    CHECK(priority == HIGH || priority == LOW, static_cast<int>(priority));
    jobs_->schedule({.run = run,
                     .argument = argument,
                     .tag = tag,
                     .unscheduled = unscheduled,
                     .priority = priority == HIGH ? orrery::Priority::High : orrery::Priority::Low});
}

int RocksEnv::UnSchedule(void* tag, Priority priority) {
    if (priority != HIGH && priority != LOW) return 0;  // nothing is ever scheduled there
    return jobs_->unschedule(tag, priority == HIGH ? orrery::Priority::High : orrery::Priority::Low);
}

void RocksEnv::StartThread(void (*)(void*), void*) { UNREACHABLE("RocksDB asked for a thread of its own"); }

rocksdb::Status RocksEnv::GetHostName(char* name, uint64_t size) {
    CHECK(size > 0);
    std::snprintf(name, size, "orrery");
    return rocksdb::Status::OK();
}

std::string RocksEnv::GenerateUniqueId() {
    uint64_t number = unique_ids_taken_.fetch_add(1, std::memory_order_relaxed);
    return unique_id_ + "-" + std::to_string(number);
}

}  // namespace orrery::store
