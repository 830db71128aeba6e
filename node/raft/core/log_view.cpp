// Positions are counted from the floor; no subtraction below happens before the comparison that makes it safe.
#include "node/raft/core/log_view.h"

#include <algorithm>

namespace orrery::raft {

std::optional<Term> LogView::term_at(LogIndex index) const {
    if (index == floor_.index) return floor_.term;
    const Entry* entry = at(index);
    return entry ? std::optional(entry->term) : std::nullopt;
}

const Entry* LogView::at(LogIndex index) const {
    if (index <= floor_.index || index > last().index) return nullptr;
    return &entries_[index - floor_.index - 1];
}

std::vector<Entry> LogView::slice(LogIndex from, LogIndex up_to, uint64_t max_bytes, size_t max_count) const {
    CHECK(from > floor_.index, from, floor_.index);
    const LogIndex end = std::min(up_to, last().index);
    if (from > end) return {};
    const auto first = entries_.begin() + static_cast<ptrdiff_t>(from - floor_.index - 1);
    const size_t count = std::min<uint64_t>(std::max<size_t>(max_count, 1), end - from + 1);
    size_t taken = 1;
    for (uint64_t bytes = first->size_bytes(); taken < count; ++taken) {
        const uint64_t size = first[static_cast<ptrdiff_t>(taken)].size_bytes();
        if (size > max_bytes || bytes > max_bytes - size) break;
        bytes += size;
    }
    return {first, first + static_cast<ptrdiff_t>(taken)};
}

LogPosition LogView::last_not_above(LogIndex index, Term term) const {
    if (index <= floor_.index) return floor_.position();
    size_t count = std::min<uint64_t>(index - floor_.index, entries_.size());
    auto end = entries_.begin() + static_cast<ptrdiff_t>(count);
    auto after = std::partition_point(entries_.begin(), end,
                                      [&](const Entry& entry) { return entry.term <= term; });
    return after == entries_.begin() ? floor_.position() : std::prev(after)->position();
}

Result<void> LogView::append(Entry entry) {
    CHECK(entry.index == last().index.next() && entry.term >= last().term, entry.index, entry.term,
          last().index, last().term);
    if (entry.kind == EntryKind::Config && !entry.hole) {
        TRY(auto configuration, Configuration::decode(entry.body_view()));
        history_.push_back({entry.index, std::move(configuration)});
    }
    ends_.push_back((ends_.empty() ? floor_bytes_ : ends_.back()) + entry.size_bytes());
    entries_.push_back(std::move(entry));
    return {};
}

Result<void> LogView::fill(LogIndex index, std::shared_ptr<const Bytes> body) {
    CHECK(at(index) != nullptr && at(index)->hole, index);
    Entry& entry = entries_[index - floor_.index - 1];
    if (entry.kind == EntryKind::Config) {
        TRY(auto configuration, Configuration::decode(body ? ByteView(*body) : ByteView()));
        auto above = std::find_if(history_.begin(), history_.end(), [&](const History& item) { return item.index > index; });
        history_.insert(above, {index, std::move(configuration)});
    }
    entry.body = std::move(body);
    entry.hole = false;
    return {};
}

void LogView::truncate(LogIndex from) {
    CHECK(from > floor_.index, from, floor_.index);
    while (!entries_.empty() && entries_.back().index >= from) {
        entries_.pop_back();
        ends_.pop_back();
    }
    while (!history_.empty() && history_.back().index >= from) history_.pop_back();
}

void LogView::compact(LogIndex index) {
    if (index <= floor_.index) return;
    CHECK(index <= last().index, index, last().index);
    floor_.term = *term_at(index);
    while (!entries_.empty() && entries_.front().index <= index) {
        floor_bytes_ = ends_.front();
        entries_.pop_front();
        ends_.pop_front();
    }
    floor_.index = index;
    auto above = std::find_if(history_.begin(), history_.end(),
                              [&](const History& item) { return item.index > index; });
    if (above != history_.begin()) floor_.configuration = std::prev(above)->configuration;
    history_.erase(history_.begin(), above);
}

void LogView::restore(Floor floor) {
    if (floor.index >= floor_.index && term_at(floor.index) == floor.term) {
        compact(floor.index);
    } else {
        entries_.clear();
        ends_.clear();
        history_.clear();
    }
    floor_ = std::move(floor);
}

const Configuration& LogView::configuration() const {
    return history_.empty() ? floor_.configuration : history_.back().configuration;
}

LogIndex LogView::configuration_index() const {
    return history_.empty() ? floor_.index : history_.back().index;
}

const Configuration& LogView::configuration_at(LogIndex index) const {
    const Configuration* found = &floor_.configuration;
    for (const History& item : history_)
        if (item.index <= index) found = &item.configuration;
    return *found;
}

bool LogView::has_configuration_in(LogIndex low, LogIndex high) const {
    return std::any_of(history_.begin(), history_.end(), [&](const History& item) {
        return item.index > low && item.index <= high;
    });
}

uint64_t LogView::bytes_in(LogIndex low, LogIndex high) const {
    low = std::max(low, floor_.index);
    high = std::min(high, last().index);
    return high <= low ? 0 : bytes_up_to(high) - bytes_up_to(low);
}

}  // namespace orrery::raft
