// The value of one key as the linearizability search steps through it: change in place, undo,
// compare by fingerprint.
//
// The fingerprint of a text is a polynomial over two primes' worth of bits, so that an append
// extends it without reading what is there: a key that is appended to ten thousand times is
// searched without ten thousand copies of it.
#pragma once

#include <cstdint>

#include "sim/check/history.h"
#include "sim/check/linearizability.h"

namespace orrery::check {

/// 122 bits, plus the length. Equal texts have equal fingerprints; the other way but for a chance
/// of 2^-100.
struct TextPrint {
    uint64_t a = 0, b = 0;
    uint64_t scale_a = 1, scale_b = 1;  // base^length: what a text in front is multiplied by
    uint64_t length = 0;

    static TextPrint of(ByteView text);
    TextPrint followed_by(const TextPrint& tail) const;
    bool operator==(const TextPrint&) const = default;
};

/// An operation of one key, prepared for the search.
struct KeyOp {
    OpKind kind;
    bool answered;  // Ok: must be placed, and its answer must fit
    bool pure;  // answered, and changes no state that its answer fits: a get, a cas that did not
                // match
    size_t source;  // position in the history
    const Operation* operation;
    TextPrint value, expected, output;  // of the operation's texts, where it has them
};

/// `operation` outlives the answer.
KeyOp prepare_key_op(const Operation& operation, size_t source);

class KeyState {
 public:
    explicit KeyState(Model model) : present_(model == Model::Append) {}

    enum class Effect : uint8_t {
        Misfit,   // its answer cannot come from this state
        None,     // fits, and leaves the state as it is
        Changes,  // fits
    };
    Effect effect(const KeyOp& op) const;

    struct Undo {
        bool truncates = false;
        bool present = false;
        TextPrint print;
        Bytes text;  // the text before, unless `truncates`
    };
    /// Requires: effect(op) == Changes.
    Undo perform(const KeyOp& op);
    void undo(Undo&& undo);

    bool present() const { return present_; }
    const TextPrint& print() const { return print_; }
    Value value() const { return present_ ? Value(text_) : Value(); }

 private:
    bool holds(const Value& value, const TextPrint& print) const;
    /// What Incr makes of this state; nullopt when it is refused (no integer, or out of range).
    std::optional<int64_t> incremented(int64_t by) const;
    Undo replace(Value value, const TextPrint& print);

    bool present_;
    Bytes text_;
    TextPrint print_;
};

}  // namespace orrery::check
