// Why what is skipped may be skipped. Let c be a configuration from which the rest can be placed,
// in some order.
// - An operation that may come next, fits, and changes nothing *wherever it stands*: moving it to
// the front of that
//   order keeps it an order. So it is placed without an alternative. (A set of the value that is
//   there already is no such operation: later in the order it may be what brings the value back.)
// - An unknown operation without effect in c: leaving it out keeps it an order. So it is not tried.
// - Of unknown operations that ask for the same, the one called first may stand for any. So it is
// used first.
// - An unknown operation whose effect nobody saw, followed by one that overwrites it: leaving it
// out keeps it an order,
//   and the configuration before it tries that. So right after an unknown operation nothing that
//   overwrites is tried. If a key is only set and read, an unknown set must therefore be followed
//   by a read of its value, one that may come next already: without such a read it is not tried.
// - A configuration with the same answered operations and state, but fewer unknown ones used, can
// follow the same
//   order. So the one with more is not visited. Trying unknown ones last makes the better one come
//   first, mostly.
#include "sim/check/key_search.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "runtime/base/hash.h"

namespace orrery::check {
namespace {

// Sets the value whatever it was, and fits whatever it was.
bool overwrites(const KeyOp& op) {
    if (op.kind == OpKind::Del) return !op.answered || !op.operation->output.number;
    return op.kind == OpKind::Set;
}

ConfigurationPrint print_of_op(uint32_t op) {
    return {mix64(uint64_t{op} * 2 + 1), mix64(~(uint64_t{op} * 2 + 1))};
}

}  // namespace

KeySearch::KeySearch(const std::vector<KeyOp>& ops, Model model)
    : state_(model),
      remaining_(0),
      seen_((static_cast<size_t>(std::count_if(ops.begin(), ops.end(),
                                               [](const KeyOp& op) { return !op.answered; })) +
             63) /
            64) {
    std::vector<std::pair<uint64_t, uint32_t>> by_sequence;
    for (const KeyOp& op : ops) {
        if (op.kind != OpKind::Get && op.kind != OpKind::Set) only_set_and_read_ = false;
        if (!op.answered) {
            unknown_.push_back(&op);
            continue;
        }
        auto index = static_cast<uint32_t>(answered_.size());
        by_sequence.push_back({op.operation->start_sequence, 2 * index + 1});
        by_sequence.push_back({op.operation->end_sequence, 2 * index + 2});
        answered_.push_back(&op);
    }
    remaining_ = answered_.size();
    used_.assign((unknown_.size() + 63) / 64, 0);
    std::sort(by_sequence.begin(), by_sequence.end());
    link(by_sequence);
    number_identical_unknowns();
}

void KeySearch::link(const std::vector<std::pair<uint64_t, uint32_t>>& by_sequence) {
    nodes_.resize(answered_.size() * 2 + 1);
    uint32_t last = 0;
    for (auto [sequence, node] : by_sequence) {
        nodes_[last].next = node;
        nodes_[node].previous = last;
        last = node;
    }
    nodes_[last].next = 0;
    nodes_[0].previous = last;
}

void KeySearch::number_identical_unknowns() {
    std::map<std::tuple<OpKind, Value, Value, int64_t>, int64_t> latest;
    for (size_t i = 0; i < unknown_.size(); ++i) {
        const Operation& operation = *unknown_[i]->operation;
        int64_t by = operation.kind == OpKind::Incr ? operation.number : 0;
        auto [it, is_new] =
            latest.try_emplace({operation.kind, operation.value, operation.expected, by}, -1);
        identical_before_.push_back(it->second);
        it->second = static_cast<int64_t>(i);
    }
}

void KeySearch::lift(uint32_t op) {
    for (uint32_t node : {2 * op + 1, 2 * op + 2}) {
        nodes_[nodes_[node].previous].next = nodes_[node].next;
        nodes_[nodes_[node].next].previous = nodes_[node].previous;
    }
}

void KeySearch::unlift(uint32_t op) {
    for (uint32_t node : {2 * op + 2, 2 * op + 1}) {
        nodes_[nodes_[node].previous].next = node;
        nodes_[nodes_[node].next].previous = node;
    }
}

void KeySearch::place_answered(uint32_t op, KeyState::Effect effect) {
    bool changes = effect == KeyState::Effect::Changes;
    stack_.push_back({.op = op,
                      .is_unknown = false,
                      .forced = answered_[op]->pure,
                      .changed = changes,
                      .undo = changes ? state_.perform(*answered_[op]) : KeyState::Undo()});
    lift(op);
    ConfigurationPrint print = print_of_op(op);
    done_.a ^= print.a;
    done_.b ^= print.b;
    --remaining_;
}

void KeySearch::place_unknown(uint32_t op) {
    stack_.push_back({.op = op,
                      .is_unknown = true,
                      .forced = false,
                      .changed = true,
                      .undo = state_.perform(*unknown_[op])});
    used_[op / 64] |= uint64_t{1} << (op % 64);
}

void KeySearch::pop() {
    Frame& frame = stack_.back();
    if (frame.is_unknown) {
        used_[frame.op / 64] &= ~(uint64_t{1} << (frame.op % 64));
    } else {
        unlift(frame.op);
        ConfigurationPrint print = print_of_op(frame.op);
        done_.a ^= print.a;
        done_.b ^= print.b;
        ++remaining_;
    }
    if (frame.changed) state_.undo(std::move(frame.undo));
    stack_.pop_back();
    unchanged_ = std::min(unchanged_, stack_.size());
}

ConfigurationPrint KeySearch::print() const {
    const TextPrint& text = state_.print();
    uint64_t present = state_.present() ? 1 : 0;
    return {combine64(done_.a, combine64(text.a, text.length * 2 + present)),
            combine64(done_.b, combine64(text.b, text.length * 2 + present))};
}

// One pass is enough: the state stays, so what did not fit before does not fit later; and a return
// that goes away with its call only lets the pass go on further.
void KeySearch::place_all_forced(uint64_t& steps) {
    for (uint32_t node = nodes_[0].next; node != 0 && !is_return(node);) {
        uint32_t op = (node - 1) / 2;
        ++steps;
        uint32_t next = nodes_[node].next;
        if (answered_[op]->pure && state_.effect(*answered_[op]) == KeyState::Effect::None) {
            place_answered(op, KeyState::Effect::None);
            if (next == 2 * op + 2) next = nodes_[next].next;  // its own return, lifted with it
        }
        node = next;
    }
}

uint32_t KeySearch::first_return() const {
    uint32_t node = nodes_[0].next;
    while (node != 0 && !is_return(node)) node = nodes_[node].next;
    return node;
}

// The values of the reads that may come next and do not fit yet. False: there is none.
bool KeySearch::find_wanted() {
    wanted_.clear();
    for (uint32_t node = nodes_[0].next; node != 0 && !is_return(node); node = nodes_[node].next) {
        const KeyOp& op = *answered_[(node - 1) / 2];
        if (op.kind == OpKind::Get && op.operation->output.value) wanted_.push_back(&op);
    }
    return !wanted_.empty();
}

bool KeySearch::is_wanted(const KeyOp& set) const {
    return std::any_of(wanted_.begin(), wanted_.end(),
                       [&](const KeyOp* read) { return read->output == set.value; });
}

// Places the next operation worth a try after `cursor`; false when there is none.
bool KeySearch::branch(Cursor& cursor, uint64_t& steps) {
    bool unseen = !stack_.empty() && stack_.back().is_unknown;
    if (!cursor.unknowns) {
        for (uint32_t node = nodes_[cursor.node].next; node != 0 && !is_return(node);
             node = nodes_[node].next) {
            uint32_t op = (node - 1) / 2;
            ++steps;
            KeyState::Effect effect = state_.effect(*answered_[op]);
            // Pure operations do not get here: those that fit are placed.
            if (effect == KeyState::Effect::Misfit || (unseen && overwrites(*answered_[op])))
                continue;
            place_answered(op, effect);
            return true;
        }
        cursor = {0, true};
    }
    if (only_set_and_read_ && !find_wanted()) return false;
    uint32_t limit = first_return();  // an answered operation is left, so there is one
    uint64_t limit_sequence = answered_[limit / 2 - 1]->operation->end_sequence;
    for (uint32_t op = cursor.node; op < unknown_.size(); ++op) {
        if (unknown_[op]->operation->start_sequence > limit_sequence) break;
        ++steps;
        auto used = [&](int64_t i) { return used_[static_cast<size_t>(i) / 64] >> (i % 64) & 1; };
        if (used(op) || (identical_before_[op] >= 0 && !used(identical_before_[op]))) continue;
        if (unseen && overwrites(*unknown_[op])) continue;
        if (only_set_and_read_ && !is_wanted(*unknown_[op])) continue;
        if (state_.effect(*unknown_[op]) != KeyState::Effect::Changes) continue;
        place_unknown(op);
        return true;
    }
    return false;
}

// Takes back the last branch with what it forced, and points behind it. False at the root.
bool KeySearch::backtrack(Cursor& cursor) {
    while (!stack_.empty() && stack_.back().forced) pop();
    if (stack_.empty()) return false;
    const Frame& frame = stack_.back();
    cursor = frame.is_unknown ? Cursor{frame.op + 1, true} : Cursor{2 * frame.op + 1, false};
    pop();
    return true;
}

void KeySearch::record() {
    size_t placed = answered_.size() - remaining_;
    if (deepest_.recorded && placed <= deepest_.answered_placed) return;
    deepest_.recorded = true;
    deepest_.answered_placed = placed;
    deepest_.order.resize(unchanged_);
    for (size_t i = unchanged_; i < stack_.size(); ++i) {
        const Frame& frame = stack_[i];
        deepest_.order.push_back((frame.is_unknown ? unknown_ : answered_)[frame.op]->source);
    }
    unchanged_ = stack_.size();
    deepest_.blocked = answered_[first_return() / 2 - 1]->source;
    deepest_.state = state_.value();
}

KeySearch::Answer KeySearch::run(uint64_t& steps, uint64_t max_steps, uint64_t max_configurations) {
    Cursor cursor;
    for (bool fresh = true;;) {
        if (steps >= max_steps || seen_.size() > max_configurations) return Answer::GaveUp;
        bool dead = false;
        if (fresh) {
            place_all_forced(steps);
            if (remaining_ == 0) return Answer::Linearizable;
            cursor = {};
            dead = !seen_.visit(print(), used_);
        }
        fresh = !dead && branch(cursor, steps);
        if (fresh) continue;
        record();
        if (!backtrack(cursor)) return Answer::Not;
    }
}

}  // namespace orrery::check
