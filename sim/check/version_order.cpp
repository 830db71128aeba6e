// Places first, then whether they fit. Every step sorts or walks once; only gaps that several writes of unknown outcome
// may fill in several ways need a search, which counts its steps.
#include "sim/check/version_order.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <tuple>

#include "runtime/base/check.h"

namespace orrery::check {

namespace {

constexpr int64_t kVersionMax = int64_t{1} << 60;  // sums and differences stay in range

Error invalid_key(ByteView key, const std::string& why) {
    return Error(Code::Invalid, "key " + quote_value(Bytes(key)) + ": " + why);
}

std::optional<int64_t> number_of(ByteView text) {
    int64_t number = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return number;
}

struct Gap {
    int64_t size;
    uint64_t deadline;  // something behind it was answered then
    size_t before;      // position in placed() of what lies behind it
};

enum class Filled : uint8_t { Yes, No, GaveUp };

/// Whether every gap is filled exactly by writes of the given (size, call), each used once at most and only where it was
/// called in time. Writes of one size stand for each other: once one was called in time for a gap it is so for all later ones.
Filled fill_gaps(const std::vector<Gap>& gaps, const std::vector<std::pair<int64_t, uint64_t>>& writes, uint64_t max_steps, size_t& stuck) {
    std::map<int64_t, std::vector<uint64_t>, std::greater<>> calls_by_size;
    for (auto [size, call] : writes) calls_by_size[size].push_back(call);
    struct Kind {
        int64_t size;
        std::vector<uint64_t> calls;
        size_t used = 0;
    };
    std::vector<Kind> kinds;
    for (auto& [size, calls] : calls_by_size) {
        std::sort(calls.begin(), calls.end());
        kinds.push_back({size, std::move(calls)});
    }
    struct Pick {
        size_t kind, gap;
        int64_t left;  // of the gap, before it
    };
    std::vector<Pick> picks;
    size_t gap = 0, from = 0;
    int64_t left = gaps.empty() ? 0 : gaps[0].size;
    stuck = 0;
    for (uint64_t steps = 0; gap < gaps.size();) {
        size_t at = std::max(from, static_cast<size_t>(std::lower_bound(kinds.begin(), kinds.end(), left, [](const Kind& kind, int64_t room) { return kind.size > room; }) - kinds.begin()));
        for (; at < kinds.size(); ++at) {
            if (++steps > max_steps) return Filled::GaveUp;
            const std::vector<uint64_t>& calls = kinds[at].calls;
            const auto in_time = static_cast<size_t>(std::lower_bound(calls.begin(), calls.end(), gaps[gap].deadline) - calls.begin());
            if (kinds[at].used < in_time) break;
        }
        if (at < kinds.size()) {
            picks.push_back({at, gap, left});
            ++kinds[at].used;
            left -= kinds[at].size;
            from = at;  // the larger ones of a gap first: one order of each choice
            if (left > 0) continue;
            stuck = std::max(stuck, ++gap);
            if (gap < gaps.size()) left = gaps[gap].size;
            from = 0;
            continue;
        }
        if (picks.empty()) return Filled::No;
        const Pick last = picks.back();
        picks.pop_back();
        --kinds[last.kind].used;
        gap = last.gap;
        left = last.left;
        from = last.kind + 1;
    }
    return Filled::Yes;
}

}  // namespace

OpKind Touch::kind() const { return operation->kind == OpKind::Txn ? operation->parts[part].kind : operation->kind; }
const Bytes& Touch::text() const { return operation->kind == OpKind::Txn ? *operation->parts[part].value : *operation->value; }
int64_t Touch::by() const { return operation->kind == OpKind::Txn ? operation->parts[part].number : operation->number; }
const Value& Touch::read() const { return operation->kind == OpKind::Txn ? operation->output.answers[part].value : operation->output.value; }
std::optional<int64_t> Touch::answer() const {
    return operation->kind == OpKind::Txn ? operation->output.answers[part].number : operation->output.number;
}

std::string VersionOrder::amount(int64_t version) const { return std::to_string(counter_ ? sign_ * version : version); }

std::string VersionOrder::describe(uint32_t source) const {
    std::string out;
    for (const Touch& touch : touches_) {
        if (touch.source != source) continue;
        out += out.empty() ? "" : " and ";
        if (touch.end < 0) out += "wrote at a place that nobody saw";
        else if (is_write(touch)) out += "found " + amount(touch.begin) + " and left " + amount(touch.end);
        else out += "saw " + amount(touch.end);
    }
    return out + (counter_ ? " in " : " bytes of ") + quote_value(Bytes(key_));
}

void VersionOrder::report(const char* name, const Touch& where, std::string text) {
    if (!problem_) problem_ = OrderProblem{name, std::move(text), where.source};
}

Result<void> VersionOrder::check_touches() {
    bool lists = false, up = false, down = false;
    for (const Touch& touch : touches_) {
        lists |= touch.kind() == OpKind::Append;
        if (touch.kind() != OpKind::Incr) continue;
        counter_ = true;
        up |= touch.by() > 0;
        down |= touch.by() < 0;
        if (touch.by() > kVersionMax || touch.by() < -kVersionMax) return invalid_key(key_, "an increment beyond 2^60");
    }
    if (lists && counter_) return invalid_key(key_, "it is appended to and counted: its answers tell no order");
    if (up && down) return invalid_key(key_, "it is counted up and down: its answers tell no order");
    if (down) sign_ = -1;
    for (const Touch& touch : touches_) {
        if (touch.kind() == OpKind::Append && touch.text().empty()) return invalid_key(key_, "an append of nothing: " + name_of(touch));
        if (is_write(touch) && touch.ok() && !touch.answer())
            return invalid_key(key_, "a write that is ok must say what it answered: " + name_of(touch));
        if (is_write(touch) && touch.ok() && (*touch.answer() > kVersionMax || *touch.answer() < -kVersionMax))
            return invalid_key(key_, "an answer beyond 2^60: " + name_of(touch));
    }
    return {};
}

Result<void> VersionOrder::place(uint64_t max_steps) {
    TRY(check_touches());
    if (counter_) {
        TRY(place_counter());
    } else {
        TRY(place_list());
    }
    if (problem_) return {};
    std::stable_sort(placed_.begin(), placed_.end(), [this](uint32_t a, uint32_t b) {
        const Touch &x = touches_[a], &y = touches_[b];
        return std::tuple(x.end, !is_write(x), x.begin) < std::tuple(y.end, !is_write(y), y.begin);
    });
    check_own_parts();
    if (!problem_) fit_together(max_steps);
    return {};
}

Result<void> VersionOrder::place_counter() {
    for (uint32_t i = 0; i < touches_.size(); ++i) {
        Touch& touch = touches_[i];
        if (touch.failed()) continue;
        const bool write = is_write(touch);
        if (write && !touch.ok()) {
            if (touch.by() != 0) loose_.push_back(i);
            continue;
        }
        const std::optional<int64_t> number = write ? touch.answer() : touch.read() ? number_of(*touch.read()) : 0;
        if (!number || *number > kVersionMax || *number < -kVersionMax) {
            report("order.unexplained", touch, name_of(touch) + " is no number that increments of the key can give");
            continue;
        }
        touch.end = sign_ * *number;
        touch.begin = write ? touch.end - sign_ * touch.by() : touch.end;
        if (touch.begin < 0) report("order.unexplained", touch, name_of(touch) + " is less than its own increment from 0 gives");
        placed_.push_back(i);
    }
    return {};
}

Result<void> VersionOrder::place_list() {
    std::vector<std::pair<ByteView, uint32_t>> tokens;
    const Touch* longest = nullptr;
    for (uint32_t i = 0; i < touches_.size(); ++i) {
        Touch& touch = touches_[i];
        if (touch.kind() == OpKind::Append) {
            tokens.emplace_back(touch.text(), i);
        } else if (touch.ok() && touch.read() && (!longest || touch.read()->size() > longest->read()->size())) {
            longest = &touch;
        }
    }
    // A text that begins with no other can be taken apart in one way only.
    std::sort(tokens.begin(), tokens.end());
    for (size_t i = 1; i < tokens.size(); ++i)
        if (tokens[i].first.starts_with(tokens[i - 1].first))
            return invalid_key(key_, "appended texts must differ, none the beginning of another: " + name_of(touches_[tokens[i - 1].second]) + " and " + name_of(touches_[tokens[i].second]));
    if (longest) {
        shown_ = static_cast<int64_t>(longest->read()->size());
        walk(*longest, tokens);
    }
    if (problem_) return {};
    for (uint32_t i = 0; i < touches_.size(); ++i) {
        Touch& touch = touches_[i];
        if (touch.failed()) continue;
        if (!is_write(touch)) {
            const ByteView read = touch.read() ? ByteView(*touch.read()) : ByteView();
            touch.begin = touch.end = static_cast<int64_t>(read.size());
            const ByteView all = longest ? ByteView(*longest->read()) : ByteView();
            if (!all.starts_with(read)) {
                const size_t at = static_cast<size_t>(std::mismatch(read.begin(), read.end(), all.begin()).first - read.begin());
                report("order.diverged", touch, name_of(touch) + " and " + name_of(*longest) + " differ from byte " + std::to_string(at) + " on: neither is the beginning of the other");
            }
        } else if (touch.ok()) {
            const auto size = static_cast<int64_t>(touch.text().size());
            const int64_t told = *touch.answer();
            if (touch.end >= 0 && told != touch.end)
                report("order.misplaced", touch, name_of(touch) + " lies at bytes " + std::to_string(touch.begin) + " to " + std::to_string(touch.end) + " of what " + name_of(*longest) + " shows");
            if (told - size < 0) report("order.unexplained", touch, name_of(touch) + " is less than its own length");
            if (touch.end < 0 && longest && told - size >= 0 && told - size < shown_)
                report("order.lost", touch, name_of(touch) + " is not in what " + name_of(*longest) + " shows, which reaches beyond it");
            touch.end = told;
            touch.begin = told - size;
        } else if (touch.end < 0) {
            loose_.push_back(i);
            continue;
        }
        placed_.push_back(i);
    }
    return {};
}

void VersionOrder::walk(const Touch& longest, const std::vector<std::pair<ByteView, uint32_t>>& tokens) {
    const ByteView all = *longest.read();
    for (size_t at = 0; at < all.size();) {
        const ByteView rest = all.substr(at);
        // Of texts that do not begin with each other, only the last one not above the rest can be its beginning.
        auto after = std::upper_bound(tokens.begin(), tokens.end(), rest, [](ByteView text, const auto& token) { return text < token.first; });
        if (after == tokens.begin() || !rest.starts_with(std::prev(after)->first))
            return report("order.unexplained", longest, name_of(longest) + " shows " + quote_value(Bytes(rest.substr(0, 40))) + " at byte " + std::to_string(at) + ", which nobody appended there");
        Touch& touch = touches_[std::prev(after)->second];
        if (touch.failed())
            return report("order.failed-visible", longest, name_of(longest) + " shows what " + name_of(touch) + ", which was answered as certainly without effect, appended");
        if (touch.end >= 0)
            return report("order.duplicated", longest, name_of(longest) + " shows twice, at bytes " + std::to_string(touch.begin) + " and " + std::to_string(at) + ", what " + name_of(touch) + " appended once");
        touch.begin = static_cast<int64_t>(at);
        at += touch.text().size();
        touch.end = static_cast<int64_t>(at);
    }
}

// Nothing comes between the parts of a transaction: each finds the key as the one before it left it.
void VersionOrder::check_own_parts() {
    for (size_t i = 1; i < touches_.size(); ++i) {
        const Touch &before = touches_[i - 1], &after = touches_[i];
        if (before.source != after.source || before.end < 0 || after.end < 0 || after.begin == before.end) continue;
        std::string text = "in " + name_of(after) + " part " + std::to_string(after.part + 1) + " found " + amount(after.begin) + " in " + quote_value(Bytes(key_)) +
                           ", though part " + std::to_string(before.part + 1) + " before it left " + amount(before.end);
        auto between = std::find_if(placed_.begin(), placed_.end(), [&](uint32_t other) {
            return is_write(touches_[other]) && touches_[other].source != after.source && touches_[other].end > before.end && touches_[other].end <= after.begin;
        });
        if (between != placed_.end()) text += "; between them lies " + name_of(touches_[*between]);
        return report("order.torn-transaction", after, std::move(text));
    }
}

void VersionOrder::fit_together(uint64_t max_steps) {
    std::vector<uint64_t> answered(placed_.size() + 1, UINT64_MAX);  // the first answer from there on
    for (size_t i = placed_.size(); i-- > 0;) {
        const Operation& operation = *touches_[placed_[i]].operation;
        answered[i] = std::min(answered[i + 1], operation.status == OpStatus::Ok ? operation.end_sequence : UINT64_MAX);
    }
    std::vector<Gap> gaps;
    int64_t reached = 0;
    for (size_t i = 0; i < placed_.size(); ++i) {
        const Touch& touch = touches_[placed_[i]];
        if (touch.begin < reached) {
            const Touch& other = touches_[placed_[i - 1]];
            if (is_write(other))
                return report("order.overlap", touch, name_of(other) + " and " + name_of(touch) + " both take the place behind " + amount(touch.begin) + " in " + quote_value(Bytes(key_)));
            return report("order.torn-read", other, name_of(other) + " shows " + amount(other.end) + ", in the middle of what " + name_of(touch) + " did, which found " + amount(touch.begin) + " and left " + amount(touch.end));
        }
        if (touch.begin > reached) gaps.push_back({touch.begin - reached, answered[i], i});
        reached = touch.end;
    }
    std::vector<std::pair<int64_t, uint64_t>> writes;
    for (uint32_t i : loose_)
        writes.emplace_back(counter_ ? sign_ * touches_[i].by() : static_cast<int64_t>(touches_[i].text().size()), touches_[i].operation->start_sequence);
    size_t stuck = 0;
    const Filled filled = fill_gaps(gaps, writes, max_steps, stuck);
    if (filled == Filled::GaveUp)
        undecided_ = "key " + quote_value(Bytes(key_)) + ": what fills " + std::to_string(gaps.size()) + " gaps was not found in " + std::to_string(max_steps) + " steps";
    if (filled != Filled::No) return;
    const size_t at = gaps[std::min(stuck, gaps.size() - 1)].before;
    const Touch& touch = touches_[placed_[at]];
    const int64_t from = at == 0 ? 0 : touches_[placed_[at - 1]].end;
    report("order.unexplained", touch, name_of(touch) + " stands at " + amount(touch.begin) + " in " + quote_value(Bytes(key_)) + ", but " +
           (at == 0 ? "the key began" : name_of(touches_[placed_[at - 1]]) + " stands") + " at " + amount(from) + ", and nothing of unknown outcome fills what lies between");
}

}  // namespace orrery::check
