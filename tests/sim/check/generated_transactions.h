// Histories of lists, counters and transactions over them, made by simulating an atomic store under clients whose calls
// overlap at random: right by construction. And a judge that tries every order.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/check/history.h"

namespace orrery::check {

struct GeneratedTransactionsOptions {
    size_t operations = 100;
    size_t clients = 5;
    size_t lists = 2;
    size_t counters = 1;
    size_t operations_per_key_set = 0;  // after so many operations other keys are used; 0: never
    double p_txn = 0.5;
    double p_unknown = 0.1;  // half of them take effect
    double p_fail = 0.05;
    bool down = false;       // the counters go down
};
std::vector<Operation> generate_transactions(uint64_t seed, const GeneratedTransactionsOptions& options);

/// Changes the answer, the outcome or the times of one operation. What comes out may still be right.
void spoil(std::vector<Operation>& operations, uint64_t seed);

/// Tries every order of every subset of those of unknown outcome, over all keys together. For some six operations.
bool brute_force_serializable(const std::vector<Operation>& operations);

}  // namespace orrery::check
