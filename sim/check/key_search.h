// The search for one key's order. See linearizability.h for the idea; this is its mechanics.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/check/key_state.h"
#include "sim/check/seen_configurations.h"

namespace orrery::check {

/// How far the best order got; an explanation is made of it.
struct Deepest {
    std::vector<size_t> order;  // positions in the history
    size_t blocked = 0;         // position in the history
    size_t answered_placed = 0;
    Value state;
    bool recorded = false;
};

class KeySearch {
 public:
    enum class Answer : uint8_t { Linearizable, Not, GaveUp };

    /// `ops` in the order of their calls; those not answered have unknown outcome. They outlive the
    /// search.
    KeySearch(const std::vector<KeyOp>& ops, Model model);

    /// Counts its steps into `steps` and gives up when they reach `max_steps`.
    Answer run(uint64_t& steps, uint64_t max_steps, uint64_t max_configurations);
    const Deepest& deepest() const { return deepest_; }

 private:
    // The answered operations' calls and returns in order, as a list with removal. Node 0 is the
    // head; operation i of answered_ has its call at 2i + 1 and its return at 2i + 2.
    struct Node {
        uint32_t next, previous;
    };
    struct Frame {
        uint32_t op;  // in answered_ or unknown_
        bool is_unknown;
        bool forced;   // pure: no alternative to it
        bool changed;  // the state, and `undo` takes it back
        KeyState::Undo undo;
    };
    // Where the search for the next branch of a configuration goes on.
    struct Cursor {
        uint32_t node = 0;  // after this call node; once `unknowns`, from unknown_[node] on
        bool unknowns = false;
    };

    void link(const std::vector<std::pair<uint64_t, uint32_t>>& by_sequence);
    void number_identical_unknowns();
    void lift(uint32_t op);
    void unlift(uint32_t op);
    void place_answered(uint32_t op, KeyState::Effect effect);
    void place_unknown(uint32_t op);
    void place_all_forced(uint64_t& steps);
    bool find_wanted();
    bool is_wanted(const KeyOp& set) const;
    bool branch(Cursor& cursor, uint64_t& steps);
    bool backtrack(Cursor& cursor);
    void pop();
    void record();
    ConfigurationPrint print() const;
    bool is_return(uint32_t node) const { return node != 0 && node % 2 == 0; }
    uint32_t first_return() const;

    std::vector<const KeyOp*> answered_, unknown_;
    std::vector<Node> nodes_;
    std::vector<int64_t>
        identical_before_;        // unknown_[i]: the latest identical one before it, or -1
    std::vector<uint64_t> used_;  // bit set over unknown_
    std::vector<Frame> stack_;
    bool only_set_and_read_ = true;
    std::vector<const KeyOp*> wanted_;  // of one branch(); a member to save its allocation
    KeyState state_;
    ConfigurationPrint done_;  // of the answered operations placed
    size_t remaining_;
    SeenConfigurations seen_;
    Deepest deepest_;
    size_t unchanged_ = 0;  // frames of the stack that deepest_.order still agrees with
};

}  // namespace orrery::check
