#include "kv/glob.h"

#include <algorithm>

#include "kv/text_case.h"

namespace orrery::kv {
namespace {

// One element of a pattern (not a star) against one letter.
struct GlobStep {
    bool matches;
    size_t next;  // place behind the element
};

GlobStep glob_class(ByteView pattern, size_t at, char letter) {
    const bool negated = at < pattern.size() && pattern[at] == '^';
    if (negated) ++at;
    const auto byte = [](char c) { return static_cast<unsigned char>(c); };
    bool found = false;
    // A class without its bracket ends with the pattern.
    while (at < pattern.size() && pattern[at] != ']') {
        if (pattern[at] == '\\' && at + 1 < pattern.size()) {
            found |= pattern[at + 1] == letter;
            at += 2;
        } else if (at + 2 < pattern.size() && pattern[at + 1] == '-') {
            const auto [low, high] = std::minmax({byte(pattern[at]), byte(pattern[at + 2])});
            found |= byte(letter) >= low && byte(letter) <= high;
            at += 3;
        } else {
            found |= pattern[at++] == letter;
        }
    }
    return {found != negated, std::min(at + 1, pattern.size())};
}

GlobStep glob_step(ByteView pattern, size_t at, char letter) {
    const char c = pattern[at];
    if (c == '?') return {true, at + 1};
    if (c == '[') return glob_class(pattern, at + 1, letter);
    if (c == '\\' && at + 1 < pattern.size()) return {pattern[at + 1] == letter, at + 2};
    return {c == letter, at + 1};
}

}  // namespace

bool glob_match(ByteView pattern, ByteView text, LetterCase letter_case) {
    if (letter_case == LetterCase::Ignore) return glob_match(lowered(pattern), lowered(text), LetterCase::Exact);
    // Only the last star may have to give more: earlier ones are settled by it. Time is bounded by the product.
    constexpr size_t kNone = ByteView::npos;
    size_t p = 0, t = 0, star = kNone, resume = 0;
    while (t < text.size()) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            resume = t;
            continue;
        }
        const GlobStep step = p < pattern.size() ? glob_step(pattern, p, text[t]) : GlobStep{false, p};
        if (step.matches) {
            p = step.next;
            ++t;
        } else if (star != kNone) {
            p = star + 1;
            t = ++resume;
        } else {
            return false;
        }
    }
    while (p < pattern.size() && pattern[p] == '*') ++p;
    return p == pattern.size();
}

}  // namespace orrery::kv
