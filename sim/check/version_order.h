// The order of one key's versions, as the answers tell it, for keys where they can: lists that are only appended to, and
// counters that only go one way.
//
// The version of a list is its length, that of a counter the distance from 0. Each answered write says where it ends, so
// it takes the place (begin, end]; each read says at which version it looked; the longest read of a list also shows where
// writes of unknown outcome lie. What is left to find out is whether the places fit together: none overlap, no read looks
// into the middle of a write, and what lies between two places is explained by writes of unknown outcome. Times are
// order.h's matter, but for one rule here: a write fills a gap only when it was called before what lies behind was answered.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sim/check/history.h"

namespace orrery::check {

/// What one operation, or one part of a transaction, did to a key or saw of it.
struct Touch {
    const Operation* operation = nullptr;
    uint32_t source = 0;  // position in the history
    uint32_t part = 0;    // of a transaction
    int64_t begin = -1;   // versions that it found and left; equal for a read; -1: not known
    int64_t end = -1;

    OpKind kind() const;
    const Bytes& text() const;  // Append
    int64_t by() const;         // Incr
    const Value& read() const;  // Get, Ok
    /// Append, Incr, Ok.
    std::optional<int64_t> answer() const;
    bool ok() const { return operation->status == OpStatus::Ok; }
    bool failed() const { return operation->status == OpStatus::Fail; }
};

/// Two operations that can not both be right, or one that can not be.
struct OrderProblem {
    std::string name;  // of the violation
    std::string text;  // one sentence
    uint32_t source = 0;  // the operation that it shows in
};

class VersionOrder {
 public:
    /// `touches` in the order of the history; those of one operation lie together, in the order of its parts. Reads of
    /// operations that are not Ok are left out by the caller. They outlive the order, as `key` does.
    VersionOrder(ByteView key, std::vector<Touch> touches) : key_(key), touches_(std::move(touches)) {}

    /// Finds the places. Errors: Invalid: the key's operations are none that tell their order.
    Result<void> place(uint64_t max_steps);

    const std::optional<OrderProblem>& problem() const { return problem_; }
    /// Why it could not be decided; empty when it was.
    const std::string& undecided() const { return undecided_; }

    ByteView key() const { return key_; }
    bool counter() const { return counter_; }
    const std::vector<Touch>& touches() const { return touches_; }
    /// Writes and reads with a place, by their ends; of one end the write first.
    const std::vector<uint32_t>& placed() const { return placed_; }
    /// Writes of unknown outcome that no read shows.
    const std::vector<uint32_t>& loose() const { return loose_; }
    /// Length of the longest read of a list: what is loose lies behind it, or took no effect.
    int64_t shown() const { return shown_; }
    /// "found 2 and left 4 bytes of 'k'", of all that the operation did to the key.
    std::string describe(uint32_t source) const;

 private:
    Result<void> check_touches();
    Result<void> place_list();
    Result<void> place_counter();
    void walk(const Touch& longest, const std::vector<std::pair<ByteView, uint32_t>>& tokens);
    void fit_together(uint64_t max_steps);
    void check_own_parts();
    bool is_write(const Touch& touch) const { return touch.kind() != OpKind::Get; }
    void report(const char* name, const Touch& where, std::string text);
    std::string name_of(const Touch& touch) const { return touch.operation->text(); }
    std::string amount(int64_t version) const;

    ByteView key_;
    std::vector<Touch> touches_;
    bool counter_ = false;
    int64_t sign_ = 1;
    std::vector<uint32_t> placed_, loose_;
    int64_t shown_ = 0;
    std::optional<OrderProblem> problem_;
    std::string undecided_;
};

}  // namespace orrery::check
