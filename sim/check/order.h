// Is there one order of the operations and transactions that all could have seen, and that keeps to real time? For lists,
// counters and transactions over them, in near-linear time.
//
// The answers tell the order of each key's versions (version_order.h); so what must come before what is known outright: who
// wrote before whom, who saw whose write, who looked before which write, and who was answered before whom was called. The
// history is strictly serializable (for single operations: linearizable) if that graph has no cycle, after Adya and Elle;
// each cycle is a violation, told by two of its operations. An operation of unknown outcome counts where a read shows it,
// and where it must explain a gap; a transaction of which one part is seen counts whole. What a counter's transaction of
// unknown outcome did can not be located: it then orders nothing else.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "sim/check/history.h"
#include "sim/check/linearizability.h"
#include "sim/check/verdict.h"

namespace orrery::check {

struct OrderOptions {
    uint64_t max_steps = 4'000'000;  // of what is searched: gaps of one key, the shortest cycle
    size_t max_violations = 8;
};

struct OrderReport {
    Verdict verdict;   // violations: the folder's README, "order."
    std::string text;  // the whole explanation, several lines; empty when it passes
    uint64_t operations = 0;
    uint64_t keys = 0;
    uint64_t edges = 0;
};

/// Requires: as check_linearizable(); model is Counter, List or Txn. A counter that single operations move up and down is
/// judged by the search of linearizability.h.
/// Errors: Invalid when an operation is none of the model's, or a key's answers can not tell its order.
Result<OrderReport> check_order(std::span<const Operation> operations, Model model, const OrderOptions& options = {});

/// Which keys of a history check_order() can judge: only appended to, or only counted one way, and read. By name, in order.
/// Keys of transactions are among them or the history can not be judged.
std::vector<Bytes> ordered_keys(std::span<const Operation> operations);

}  // namespace orrery::check
