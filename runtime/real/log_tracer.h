// LogTracer: structured events as a daemon's log, and the flight recorder that a crash prints.
//
// Text for people on a terminal, one JSON object a line otherwise. A reader that does not read (a full pipe, a stopped
// terminal) and a file whose disk stalls cost lines, never time: a thread of its own writes, because poll(2) calls every
// file writable and write(2) then waits for the disk. What it has not written is kept up to a bound and then dropped and
// counted. One name that repeats too often is cut to a bound per window, and how many were left out is said.
// Thread-safe; the loop thread is its usual caller.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "runtime/env/clock.h"
#include "runtime/env/tracer.h"

namespace orrery::real {

enum class LogFormat : uint8_t { Auto, Text, Json };  // Auto: text when the descriptor is a terminal

/// Appends `text` as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD.
void append_json_string(std::string& out, std::string_view text);
/// One line without its newline.
std::string format_log_json(std::string_view node, WallTime wall, const TraceEvent& event);
std::string format_log_text(std::string_view node, WallTime wall, const TraceEvent& event);

/// The last events, each cut to a fixed length, readable from a signal handler while a writer is in the middle of one.
class FlightRecorder {
 public:
    static constexpr size_t kEvents = 64;
    static constexpr size_t kEventBytes = 240;

    void record(std::string_view line);
    /// Writes them to `descriptor`, oldest first. Async-signal-safe.
    void dump(int descriptor) const;

 private:
    struct Slot {
        std::array<char, kEventBytes> text{};
        std::atomic<uint32_t> length{0};
    };
    std::array<Slot, kEvents> slots_;
    std::atomic<uint64_t> next_{0};
};

class LogTracer final : public Tracer {
 public:
    struct Options {
        std::string node;                     // a field of every line; empty for none
        int descriptor = 2;
        LogFormat format = LogFormat::Auto;
        Severity least = Severity::Info;
        uint32_t repeats_max = 50;            // of one name in a window; 1 or more
        Duration window = Duration::seconds(10);
        uint64_t pending_bytes_max = 256 * 1024;
    };

    /// The writing thread starts here, with every signal blocked.
    LogTracer(const Clock& clock, Options options);
    /// Tries to write what is pending, for at most a second. A thread whose write(2) does not return is left behind.
    ~LogTracer() override;

    bool wants(Severity severity) const override;
    void event(Severity severity, std::string_view name, std::initializer_list<TraceField> fields) override;
    Result<void> checkpoint(Fiber& fiber, std::string_view name, std::initializer_list<TraceField> fields) override;
    /// Counted, never written.
    void probe(std::string_view name) override;

    void set_least(Severity severity) { least_.store(severity, std::memory_order_relaxed); }
    /// Waits until everything is written, or `limit` has passed.
    void flush(Duration limit);
    uint64_t lines_dropped() const;
    /// How often a probe was reached.
    uint64_t probes(std::string_view name) const;
    FlightRecorder& recorder() { return recorder_; }

 private:
    struct Repeats {
        Instant window_start{};
        uint64_t in_window = 0;
        uint64_t left_out = 0;
    };

    bool admit(std::string_view name, Instant now, uint64_t& left_out);
    void put_line(const TraceEvent& event);

    /// What the writing thread shares with the others; it may outlive the tracer.
    struct Sink;

    const Clock& clock_;
    Options options_;
    bool json_;
    std::atomic<Severity> least_;
    FlightRecorder recorder_;
    std::shared_ptr<Sink> sink_;
    std::thread writer_;
    mutable std::mutex mutex_;
    // Guarded by mutex_.
    std::map<std::string, Repeats, std::less<>> repeats_;       // names are literals of the program
    std::map<std::string, uint64_t, std::less<>> probes_;
    uint64_t dropped_ = 0;
    uint64_t dropped_reported_ = 0;
};

}  // namespace orrery::real
