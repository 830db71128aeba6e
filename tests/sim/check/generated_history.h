// Histories made by simulating an atomic store under clients whose calls overlap at random:
// linearizable by construction, since every operation takes effect at one instant between its call
// and its return.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/check/history.h"

namespace orrery::check {

struct GeneratedHistoryOptions {
    size_t operations = 100;
    size_t clients = 5;
    size_t keys = 2;
    uint64_t values = 4;     // how many different texts; few make accidental fits likely
    double p_unknown = 0.1;  // half of them take effect
    double p_fail = 0.05;
    bool only_sets = false;      // get and set, with unique values
    bool repeat_values = false;  // of only_sets: no, with `values` texts
};

std::vector<Operation> generate_history(uint64_t seed, const GeneratedHistoryOptions& options);

/// Tries every order of every subset of the unknown operations. For some seven operations of one
/// key.
bool brute_force_linearizable(const std::vector<Operation>& operations);

}  // namespace orrery::check
