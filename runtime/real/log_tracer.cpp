#include "runtime/real/log_tracer.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "runtime/base/check.h"
#include "runtime/real/system_clock.h"

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

/// A descriptor that polls as writable takes this much without blocking (PIPE_BUF of Linux).
constexpr size_t kChunkBytes = 4096;

bool takes_bytes_now(int descriptor, int wait_ms) {
    pollfd wanted{.fd = descriptor, .events = POLLOUT, .revents = 0};
    return ::poll(&wanted, 1, wait_ms) == 1 && (wanted.revents & POLLOUT) != 0;
}

}  // namespace

LogTracer::LogTracer(const Clock& clock, Options options)
    : clock_(clock),
      options_(std::move(options)),
      json_(options_.format == LogFormat::Json ||
            (options_.format == LogFormat::Auto && ::isatty(options_.descriptor) == 0)),
      least_(options_.least) {
    CHECK(options_.repeats_max > 0 && options_.window > Duration{});
}

LogTracer::~LogTracer() { flush(Duration::seconds(1)); }

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
    write_pending();
}

void LogTracer::put_line(const TraceEvent& event) {
    const auto format = json_ ? format_log_json : format_log_text;
    if (pending_.size() >= options_.pending_bytes_max) {
        ++dropped_;
        return;
    }
    if (dropped_ > dropped_reported_) {
        const TraceField what[] = {{"count", dropped_ - dropped_reported_}};
        dropped_reported_ = dropped_;
        pending_ += format(options_.node, clock_.wall(), {event.at, Severity::Warning, "log.lines_dropped", what}) + '\n';
    }
    pending_ += format(options_.node, clock_.wall(), event) + '\n';
}

void LogTracer::write_pending() {
    size_t done = 0;
    while (done < pending_.size() && takes_bytes_now(options_.descriptor, 0)) {
        const ssize_t n = ::write(options_.descriptor, pending_.data() + done, std::min(kChunkBytes, pending_.size() - done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) break;
        if (n < 0) {
            // Nobody can be told: the log is what would have told it.
            pending_.clear();
            return;
        }
        done += static_cast<size_t>(n);
    }
    pending_.erase(0, done);
}

void LogTracer::flush(Duration limit) {
    const Instant until = SystemClock::read_now() + limit;
    for (;;) {
        {
            std::lock_guard lock(mutex_);
            write_pending();
            if (pending_.empty()) return;
        }
        if (SystemClock::read_now() >= until) return;
        (void)takes_bytes_now(options_.descriptor, 10);
    }
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
