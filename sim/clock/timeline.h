// Timeline: virtual time, the queue of events to come, and the rolling hash of all that happened. The lowest layer of
// the simulator: sim/net and sim/disk know it, and nothing above it.
//
// Events at the same instant fire in the order in which they were scheduled. An event cannot be taken back: a target
// that no longer wants one tells by its argument (a generation) and ignores it. Targets outlive the timeline.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/base/hash.h"
#include "runtime/base/random.h"
#include "runtime/base/time.h"

namespace orrery::sim {

class EventTarget {
 public:
    virtual ~EventTarget() = default;
    virtual void fire(uint64_t argument) = 0;
};

/// What kind of thing a hashed step was; the numbers enter the hash, so never renumber.
enum class Step : uint8_t {
    Event = 1,
    Slice = 2,
    Trace = 3,
    NetSend = 4,
    NetDeliver = 5,
    NetControl = 6,
    DiskRead = 7,
    DiskWrite = 8,
    DiskSync = 9,
    DiskName = 10,
    Fault = 11,
    Host = 12,
    Client = 13,
};

/// The rolling hash over every step of a run, with a checkpoint every kEvery steps so that two runs that differ can be
/// bisected to the first step that differs.
class TraceHash {
 public:
    static constexpr uint64_t kEvery = 4096;

    void add(Step step, Instant at, uint64_t entity, uint64_t payload) {
        // One multiply-rotate round over the four words: about 2 ns, and order matters.
        const uint64_t word = (static_cast<uint64_t>(step) << 56) ^ static_cast<uint64_t>(at.ns) ^ (entity * 0x9e3779b97f4a7c15ull);
        value_ = mix64(value_ ^ word) + (payload * 0xff51afd7ed558ccdull ^ (payload >> 32));
        if (++steps_ % kEvery == 0) checkpoints_.push_back(value_);
        if (steps_ == watched_step_) watched_value_ = value_;
    }
    uint64_t value() const { return mix64(value_); }
    uint64_t steps() const { return steps_; }
    /// checkpoints()[i] is the value after step (i + 1) * kEvery.
    const std::vector<uint64_t>& checkpoints() const { return checkpoints_; }
    /// Remembers the value after that step, for bisection inside a checkpoint interval.
    void watch_step(uint64_t step) { watched_step_ = step; }
    uint64_t watched_value() const { return watched_value_; }

 private:
    uint64_t value_ = 0;
    uint64_t steps_ = 0;
    uint64_t watched_step_ = 0;
    uint64_t watched_value_ = 0;
    std::vector<uint64_t> checkpoints_;
};

class Timeline {
 public:
    /// `pins` may be null and outlives the timeline.
    explicit Timeline(uint64_t seed, const Pins* pins = nullptr) : random_(seed, pins) {}

    Instant now() const { return now_; }
    /// Requires: at >= now().
    void schedule(Instant at, EventTarget& target, uint64_t argument);
    bool empty() const { return heap_.empty(); }
    /// Instant::never() when nothing is to come.
    Instant next_at() const { return heap_.empty() ? Instant::never() : heap_.front().at; }
    /// Moves time to the next event and fires it. Requires: !empty().
    void fire_next();
    /// Moves time forward without an event. Requires: no event before `to`.
    void advance_to(Instant to);

    const Random& random() const { return random_; }
    RandomStream stream(std::string_view name, uint64_t entity = 0) const { return random_.stream(name, entity); }
    TraceHash& hash() { return hash_; }
    void note(Step step, uint64_t entity, uint64_t payload) { hash_.add(step, now_, entity, payload); }
    uint64_t events_fired() const { return fired_; }
    size_t pending() const { return heap_.size(); }

 private:
    struct Pending {
        Instant at;
        uint64_t sequence;
        EventTarget* target;
        uint64_t argument;
        bool later_than(const Pending& other) const {
            return at != other.at ? at > other.at : sequence > other.sequence;
        }
    };
    Instant now_{};
    uint64_t sequence_ = 0;
    uint64_t fired_ = 0;
    std::vector<Pending> heap_;
    Random random_;
    TraceHash hash_;
};

}  // namespace orrery::sim
