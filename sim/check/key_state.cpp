// The sequential meaning of the operations; what Redis does for strings, minus expiry.
#include "sim/check/key_state.h"

#include <charconv>

#include "runtime/base/check.h"

namespace orrery::check {
namespace {

constexpr uint64_t kPrime = (uint64_t{1} << 61) - 1;
constexpr uint64_t kBaseA = 1'143'977'160'351'827'461u % kPrime;
constexpr uint64_t kBaseB = 2'044'897'763'203'178'613u % kPrime;

uint64_t times(uint64_t x, uint64_t y) {
    __extension__ using Wide = unsigned __int128;
    Wide product = static_cast<Wide>(x) * y;
    uint64_t folded =
        static_cast<uint64_t>(product & kPrime) + static_cast<uint64_t>(product >> 61);
    return folded >= kPrime ? folded - kPrime : folded;
}

uint64_t plus(uint64_t x, uint64_t y) {
    uint64_t sum = x + y;
    return sum >= kPrime ? sum - kPrime : sum;
}

// Only the form that the server itself writes: no sign '+', no leading zeros, no blanks.
std::optional<int64_t> counter_of(const Bytes& text) {
    int64_t number = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    if (std::to_string(number) != text) return std::nullopt;
    return number;
}

TextPrint print_of(const Value& value) {
    return value ? TextPrint::of(*value) : TextPrint();
}

// Not merely without effect in one state (a set of what is there already): wherever it stands, it
// changes nothing.
bool is_pure(const Operation& operation) {
    const std::optional<int64_t>& answer = operation.output.number;
    if (operation.status != OpStatus::Ok) return false;
    if (operation.kind == OpKind::Cas) return answer == 0 || operation.value == operation.expected;
    return operation.kind == OpKind::Get || (operation.kind == OpKind::Del && answer == 0);
}

}  // namespace

KeyOp prepare_key_op(const Operation& operation, size_t source) {
    return {.kind = operation.kind,
            .answered = operation.status == OpStatus::Ok,
            .pure = is_pure(operation),
            .source = source,
            .operation = &operation,
            .value = print_of(operation.value),
            .expected = print_of(operation.expected),
            .output = print_of(operation.output.value)};
}

TextPrint TextPrint::of(ByteView text) {
    TextPrint print;
    for (char c : text) {
        uint64_t byte = static_cast<unsigned char>(c) + uint64_t{1};
        print.a = plus(times(print.a, kBaseA), byte);
        print.b = plus(times(print.b, kBaseB), byte);
        print.scale_a = times(print.scale_a, kBaseA);
        print.scale_b = times(print.scale_b, kBaseB);
    }
    print.length = text.size();
    return print;
}

TextPrint TextPrint::followed_by(const TextPrint& tail) const {
    return {.a = plus(times(a, tail.scale_a), tail.a),
            .b = plus(times(b, tail.scale_b), tail.b),
            .scale_a = times(scale_a, tail.scale_a),
            .scale_b = times(scale_b, tail.scale_b),
            .length = length + tail.length};
}

bool KeyState::holds(const Value& value, const TextPrint& print) const {
    if (value.has_value() != present_) return false;
    return !present_ || (print_ == print && text_ == *value);
}

std::optional<int64_t> KeyState::incremented(int64_t by) const {
    std::optional<int64_t> number = present_ ? counter_of(text_) : 0;
    int64_t sum = 0;
    if (!number || __builtin_add_overflow(*number, by, &sum)) return std::nullopt;
    return sum;
}

KeyState::Effect KeyState::effect(const KeyOp& op) const {
    const Operation& operation = *op.operation;
    const std::optional<int64_t>& answer = operation.output.number;
    auto answers = [&](int64_t number) { return !op.answered || !answer || *answer == number; };
    switch (op.kind) {
        case OpKind::Get:
            return holds(operation.output.value, op.output) ? Effect::None : Effect::Misfit;
        case OpKind::Set:
            return holds(operation.value, op.value) ? Effect::None : Effect::Changes;
        case OpKind::Append:
            if (!answers(static_cast<int64_t>(text_.size() + operation.value->size())))
                return Effect::Misfit;
            return present_ && operation.value->empty() ? Effect::None : Effect::Changes;
        case OpKind::Cas: {
            bool matches = holds(operation.expected, op.expected);
            if (!answers(matches ? 1 : 0)) return Effect::Misfit;
            return !matches || operation.value == operation.expected ? Effect::None
                                                                     : Effect::Changes;
        }
        case OpKind::Del:
            if (!answers(present_ ? 1 : 0)) return Effect::Misfit;
            return present_ ? Effect::Changes : Effect::None;
        case OpKind::Incr: {
            std::optional<int64_t> sum = incremented(operation.number);
            if (!sum) return op.answered ? Effect::Misfit : Effect::None;
            if (!answers(*sum)) return Effect::Misfit;
            return present_ && operation.number == 0 ? Effect::None : Effect::Changes;
        }
        case OpKind::Wait:
        case OpKind::WaitAll:
        case OpKind::Txn:
            break;
    }
    UNREACHABLE(op_kind_name(op.kind));
}

KeyState::Undo KeyState::replace(Value value, const TextPrint& print) {
    Undo undo{.present = present_, .print = print_, .text = std::move(text_)};
    present_ = value.has_value();
    text_ = value ? std::move(*value) : Bytes();
    print_ = print;
    return undo;
}

KeyState::Undo KeyState::perform(const KeyOp& op) {
    const Operation& operation = *op.operation;
    switch (op.kind) {
        case OpKind::Set:
        case OpKind::Cas:
            return replace(operation.value, op.value);
        case OpKind::Del:
            return replace(std::nullopt, TextPrint());
        case OpKind::Append: {
            Undo undo{.truncates = true, .present = present_, .print = print_, .text = {}};
            present_ = true;
            text_ += *operation.value;
            print_ = print_.followed_by(op.value);
            return undo;
        }
        case OpKind::Incr: {
            Bytes sum = std::to_string(incremented(operation.number).value_or(0));
            TextPrint print = TextPrint::of(sum);
            return replace(std::move(sum), print);
        }
        case OpKind::Get:
        case OpKind::Wait:
        case OpKind::WaitAll:
        case OpKind::Txn:
            break;
    }
    UNREACHABLE(op_kind_name(op.kind));
}

void KeyState::undo(Undo&& undo) {
    present_ = undo.present;
    print_ = undo.print;
    if (undo.truncates)
        text_.resize(undo.print.length);
    else
        text_ = std::move(undo.text);
}

}  // namespace orrery::check
