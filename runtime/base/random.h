// Addressed randomness: every draw is a pure function of (seed, stream, entity, counter).
//
// There is no shared generator whose state one more draw would shift. Removing one fault, one client or one message
// from a run therefore leaves every other draw where it was; shrinking, bisecting and stable regression files rest on
// this. A shrunk plan may pin single draws by address (Pins).
#pragma once

#include <cstdint>
#include <map>
#include <string_view>
#include <tuple>

#include "runtime/base/hash.h"
#include "runtime/base/time.h"

namespace orrery {

struct DrawAddress {
    uint64_t stream;   // hash_name("net.delay")
    uint64_t entity;   // a link, a node, a file: what the stream is about
    uint64_t counter;  // how many draws of this stream and entity came before
    auto operator<=>(const DrawAddress&) const = default;
};

/// Draws that a plan overrides.
using Pins = std::map<DrawAddress, uint64_t>;

/// A sequence of draws of one stream and entity. Copying copies the position.
class RandomStream {
 public:
    RandomStream(uint64_t seed, std::string_view stream, uint64_t entity, const Pins* pins = nullptr)
        : stream_(hash_name(stream)), entity_(entity), place_(combine64(combine64(seed, stream_), entity)), pins_(pins) {}

    uint64_t next() {
        const uint64_t drawn = combine64(place_, counter_);
        if (pins_ != nullptr) [[unlikely]]
            return pinned(drawn);
        ++counter_;
        return drawn;
    }
    /// Uniform in [0, bound). Requires: bound > 0.
    uint64_t below(uint64_t bound);
    /// Uniform in [low, high], both included.
    int64_t between(int64_t low, int64_t high);
    Duration between(Duration low, Duration high) { return {between(low.ns, high.ns)}; }
    /// Uniform in [0, 1).
    double unit() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
    /// True with probability p. A draw is made for p = 0 and p = 1 too, so that addresses do not depend on p.
    bool chance(double p) { return unit() < p; }
    /// Log-uniform in [low, high]. Requires: 0 < low <= high.
    double log_uniform(double low, double high);
    /// Exponential with this mean.
    double exponential(double mean);
    uint64_t counter() const { return counter_; }

 private:
    /// What the plan puts in the place of `drawn`, if anything.
    uint64_t pinned(uint64_t drawn);

    uint64_t stream_;
    uint64_t entity_;
    uint64_t place_;  // of seed, stream and entity; a draw mixes it with the counter
    const Pins* pins_;
    uint64_t counter_ = 0;
};

/// What an Env hands out: named streams of one seed. Real daemons seed it from the operating system.
class Random {
 public:
    explicit Random(uint64_t seed, const Pins* pins = nullptr) : seed_(seed), pins_(pins) {}
    /// Each call with the same arguments starts the same sequence anew: keep the stream, not the Random.
    RandomStream stream(std::string_view name, uint64_t entity = 0) const { return {seed_, name, entity, pins_}; }
    uint64_t seed() const { return seed_; }

 private:
    uint64_t seed_;
    const Pins* pins_;
};

}  // namespace orrery
