// Is there one order of the operations that each client could have seen? Per key, after Wing & Gong
// and Lowe.
//
// A search over configurations (which operations are done, the state they lead to), by an explicit
// stack. What keeps it small: keys are independent; an operation that only looks and answers
// rightly is placed at once, with no alternative; an operation of unknown outcome is tried last and
// only where it has an effect; a configuration is dropped when one with the same answered
// operations, the same state and no more of the unknown ones was seen. Effort is bounded by counted
// steps and configurations, not by a clock; beyond it the answer is Inconclusive. Wait and WaitAll
// are left out (a history without its waits must still be linearizable: W16).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/check/history.h"
#include "sim/check/verdict.h"

namespace orrery::check {

enum class Model : uint8_t {
    Register,  // get, set, cas; absent at first
    Kv,  // every kind; absent at first; append to absent starts from "", incr from 0, cas to absent
         // deletes
    Append,  // get, set, append; every key is "" at first
    // Judged by order.h, in near-linear time:
    Counter,  // get, incr
    List,     // get, append of texts that differ
    Txn,      // get, append, incr, and transactions of them
};
std::string_view model_name(Model model);
/// Judged by the search of this header.
constexpr bool is_searched(Model model) {
    return model == Model::Register || model == Model::Kv || model == Model::Append;
}

struct LinearizabilityOptions {
    uint64_t max_steps = 40'000'000;          // tried placements over all keys; about 50 ns each
    uint64_t max_configurations = 4'000'000;  // remembered per key; about 50 bytes each
    size_t max_failures = 8;                  // keys explained; the others are counted
};

/// Why one key's operations have no order.
struct KeyFailure {
    Bytes key;
    std::vector<size_t> prefix;  // positions in `operations` of the longest order found
    size_t blocked = 0;          // the first operation that cannot be placed after it
    Value state;                 // the key's value before it
    std::string text;            // all of this to read, several lines
};

struct LinearizabilityReport {
    Verdict verdict;  // violations are named "linearizability"
    std::vector<KeyFailure> failures;
    uint64_t operations = 0;  // that counted: not failed, not a get without answer, not a wait
    uint64_t keys = 0;
    uint64_t keys_failed = 0;
    uint64_t keys_undecided = 0;
    uint64_t steps = 0;
};

/// A history without an operation is linearizable (whether a run was worth anything is its runner's
/// question). Requires: is_searched(model); sequences of `operations` are those of one history (unique, start before
/// end). Errors: Invalid when an operation is none of the model's, or its answer has the wrong
/// shape.
Result<LinearizabilityReport> check_linearizable(std::span<const Operation> operations, Model model,
                                                 const LinearizabilityOptions& options = {});

}  // namespace orrery::check
