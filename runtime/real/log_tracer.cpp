#include "runtime/real/log_tracer.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <utility>
#include <vector>

#include "runtime/base/check.h"
#include "runtime/real/threads.h"

namespace orrery::real {

// ---- FlightRecorder -----------------------------------------------------------------------------------------------

void FlightRecorder::record(std::string_view line) {
    Slot& slot = slots_[next_.fetch_add(1, std::memory_order_relaxed) % kEvents];
    slot.length.store(0, std::memory_order_release);  // a dump in the middle of the copy skips this one
    const size_t length = std::min(line.size(), kEventBytes);
    std::memcpy(slot.text.data(), line.data(), length);
    slot.length.store(static_cast<uint32_t>(length), std::memory_order_release);
}

void FlightRecorder::dump(int descriptor) const {
    const uint64_t next = next_.load(std::memory_order_relaxed);
    for (uint64_t i = next < kEvents ? 0 : next - kEvents; i < next; ++i) {
        const Slot& slot = slots_[i % kEvents];
        const uint32_t length = slot.length.load(std::memory_order_acquire);
        if (length == 0) continue;
        if (::write(descriptor, slot.text.data(), length) < 0 || ::write(descriptor, "\n", 1) < 0) return;
    }
}

// ---- LogTracer ----------------------------------------------------------------------------------------------------

namespace {

/// A pipe or terminal that polls as writable takes this much without blocking (PIPE_BUF of Linux).
constexpr size_t kChunkBytes = 4096;
/// How often a writer whose reader does not read looks whether it is to end.
constexpr int kLookMs = 50;

bool takes_bytes_now(int descriptor, int wait_ms) {
    pollfd wanted{.fd = descriptor, .events = POLLOUT, .revents = 0};
    return ::poll(&wanted, 1, wait_ms) == 1 && (wanted.revents & (POLLOUT | POLLERR | POLLNVAL)) != 0;
}

}  // namespace

struct LogTracer::Sink {
    explicit Sink(int the_descriptor) : descriptor(the_descriptor) {}

    /// Body of the writing thread.
    void run() {
        std::unique_lock lock(mutex);
        for (;;) {
            filled.wait(lock, [this] { return stopping || !pending.empty(); });
            if (stopping) break;
            const std::string taken = std::exchange(pending, {});
            lock.unlock();
            write_lines(taken);
            lock.lock();
            unwritten_bytes = pending.size();
            if (pending.empty()) changed.notify_all();
        }
        ended = true;
        changed.notify_all();
    }

    /// Gives up when the tracer goes, and when the descriptor fails: nobody can be told, the log is what would have told it.
    void write_lines(std::string_view bytes) {
        while (!bytes.empty()) {
            if (!takes_bytes_now(descriptor, kLookMs)) {
                std::lock_guard lock(mutex);
                if (stopping) return;
                continue;
            }
            const ssize_t n = ::write(descriptor, bytes.data(), std::min(kChunkBytes, bytes.size()));
            if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
            if (n < 0) return;
            bytes.remove_prefix(static_cast<size_t>(n));
            std::lock_guard lock(mutex);
            unwritten_bytes -= static_cast<size_t>(n);
        }
    }

    const int descriptor;
    std::mutex mutex;
    std::condition_variable filled;   // what the writer waits for
    std::condition_variable changed;  // what others wait for: all is written, or the writer has ended
    // Guarded by mutex.
    std::string pending;
    size_t unwritten_bytes = 0;  // pending, and what the writer has taken and not written yet
    bool stopping = false;
    bool ended = false;
};

LogTracer::LogTracer(const Clock& clock, Options options)
    : clock_(clock),
      options_(std::move(options)),
      json_(options_.format == LogFormat::Json ||
            (options_.format == LogFormat::Auto && ::isatty(options_.descriptor) == 0)),
      least_(options_.least),
      sink_(std::make_shared<Sink>(options_.descriptor)) {
    CHECK(options_.repeats_max > 0 && options_.window > Duration{});
    writer_ = start_thread_without_signals([sink = sink_] { sink->run(); });
}

LogTracer::~LogTracer() {
    flush(Duration::seconds(1));
    {
        std::unique_lock lock(sink_->mutex);
        sink_->stopping = true;
        sink_->filled.notify_all();
        sink_->changed.wait_for(lock, std::chrono::milliseconds(4 * kLookMs), [this] { return sink_->ended; });
        if (!sink_->ended) writer_.detach();  // inside a write(2) that waits for its disk
    }
    if (writer_.joinable()) writer_.join();
}

bool LogTracer::wants(Severity severity) const { return severity >= least_.load(std::memory_order_relaxed); }

bool LogTracer::admit(std::string_view name, Instant now, uint64_t& left_out) {
    auto found = repeats_.find(name);
    if (found == repeats_.end()) found = repeats_.emplace(std::string(name), Repeats{.window_start = now}).first;
    Repeats& repeats = found->second;
    if (now - repeats.window_start >= options_.window) {
        left_out = std::exchange(repeats.left_out, 0);
        repeats.window_start = now;
        repeats.in_window = 0;
    }
    if (++repeats.in_window <= options_.repeats_max) return true;
    ++repeats.left_out;
    return false;
}

void LogTracer::event(Severity severity, std::string_view name, std::initializer_list<TraceField> fields) {
    const TraceEvent event{clock_.now(), severity, name, {fields.begin(), fields.size()}};
    recorder_.record(std::to_string(event.at.ns) + ' ' + std::string(severity_name(severity)) + ' ' + event.format());
    if (!wants(severity)) return;
    std::lock_guard lock(mutex_);
    uint64_t left_out = 0;
    const bool admitted = admit(name, event.at, left_out);
    if (left_out > 0) {
        const TraceField what[] = {{"name", name}, {"count", left_out}};
        put_line({event.at, Severity::Warning, "log.repeats_left_out", what});
    }
    if (admitted) put_line(event);
}

void LogTracer::put_line(const TraceEvent& event) {
    const auto format = json_ ? format_log_json : format_log_text;
    std::string lines;
    if (dropped_ > dropped_reported_) {
        const TraceField what[] = {{"count", dropped_ - dropped_reported_}};
        lines = format(options_.node, clock_.wall(), {event.at, Severity::Warning, "log.lines_dropped", what}) + '\n';
    }
    lines += format(options_.node, clock_.wall(), event) + '\n';
    {
        std::lock_guard lock(sink_->mutex);
        if (sink_->unwritten_bytes >= options_.pending_bytes_max) {
            ++dropped_;
            return;
        }
        sink_->pending += lines;
        sink_->unwritten_bytes += lines.size();
    }
    dropped_reported_ = dropped_;
    sink_->filled.notify_one();
}

void LogTracer::flush(Duration limit) {
    std::unique_lock lock(sink_->mutex);
    sink_->changed.wait_for(lock, std::chrono::nanoseconds(limit.ns), [this] { return sink_->unwritten_bytes == 0 || sink_->ended; });
}

Result<void> LogTracer::checkpoint(Fiber& fiber, std::string_view name, std::initializer_list<TraceField> fields) {
    // Checkpoints stand on hot paths: without a reader for them, the flight recorder gets the bare name.
    if (wants(Severity::Debug))
        event(Severity::Debug, name, fields);
    else
        recorder_.record(name);
    return fiber.maybe_yield();
}

void LogTracer::probe(std::string_view name) {
    std::lock_guard lock(mutex_);
    auto found = probes_.find(name);
    if (found == probes_.end()) found = probes_.emplace(std::string(name), 0).first;
    ++found->second;
}

uint64_t LogTracer::lines_dropped() const {
    std::lock_guard lock(mutex_);
    return dropped_;
}

uint64_t LogTracer::probes(std::string_view name) const {
    std::lock_guard lock(mutex_);
    const auto found = probes_.find(name);
    return found == probes_.end() ? 0 : found->second;
}

}  // namespace orrery::real
