// Priorities: probabilistic concurrency testing (PCT) for fibers. Every fiber has a drawn priority and the highest ready
// one runs; at few drawn slices the fiber that would run is put below all others. A bug that needs d orderings shows with
// a probability that falls with the number of slices to the power of d-1, whatever else goes on, where uniform choice
// makes long delays of one fiber all but impossible. A run has no known length, so the change points are drawn anew for
// every window of slices.
// Source: Burckhardt, Kothari, Musuvathi, Nagarakatte, "A Randomized Scheduler with Probabilistic Guarantees of Finding
// Bugs", ASPLOS 2010.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "runtime/base/random.h"

namespace orrery::sim {

class Priorities {
 public:
    /// `depth` orderings: depth - 1 change points a window. Requires: depth >= 1, window > 0.
    Priorities(RandomStream changes, uint64_t seed, uint64_t depth, uint64_t window_slices)
        : changes_(std::move(changes)), seed_(seed), depth_(depth), window_(window_slices) {}

    /// Of a fiber of a host's life; higher runs first. Drawn ones lie above all that were lowered.
    uint64_t of(uint64_t host, uint64_t fiber) const;
    /// Before a slice of that fiber, the highest there is: true when it is lowered now, and another may run instead.
    bool lower(uint64_t host, uint64_t fiber);

 private:
    RandomStream changes_;
    uint64_t seed_;
    uint64_t depth_;
    uint64_t window_;
    uint64_t slice_ = 0;                  // within the window
    std::vector<uint64_t> change_at_;     // falling
    std::map<std::pair<uint64_t, uint64_t>, uint64_t> lowered_;  // of this window
};

}  // namespace orrery::sim
