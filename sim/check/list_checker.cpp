#include "sim/check/list_checker.h"

#include <algorithm>

namespace orrery::check {

namespace {
std::string milliseconds(Duration duration) { return std::to_string(duration.as_millis()) + " ms"; }
}  // namespace

void ListChecker::committed(LogIndex index, Instant at) {
    if (committed_.size() >= options_.max_events) return void(full_ = true);
    if (committed_.empty() || index > committed_.back().index) committed_.push_back({at, index});
}

LogIndex ListChecker::committed_by(Instant at) const {
    const auto behind = std::ranges::upper_bound(committed_, at, {}, &Committed::at);
    return behind == committed_.begin() ? LogIndex() : std::prev(behind)->index;
}

Duration ListChecker::true_age(Duration age) const {
    return age + Duration::nanos(static_cast<int64_t>(static_cast<__int128>(age.ns) * options_.slow_ppm / 1'000'000) + 1);
}

void ListChecker::answered(const ListAnswer& answer) {
    if (answers_ >= options_.max_events) return void(full_ = true);
    ++answers_;
    auto owes = [&](LogIndex version, std::string_view name, const std::string& why) {
        if (answer.version >= version) return;
        violations_.add(name, "answer", answer.answered,
                        answer.what + " and was shown version " + std::to_string(answer.version.value) + ", not " + std::to_string(version.value) + ": " + why);
    };
    owes(committed_by(answer.asked.at - true_age(answer.max_age)), "list.too-old",
         "that was committed " + milliseconds(answer.max_age) + " before it was asked, and no more age was allowed");
    owes(committed_by(answer.asked.at - true_age(answer.age)), "list.younger-than-true",
         "that was committed before it was asked by more than the age of " + milliseconds(answer.age) + " that the answer admits");
    owes(answer.at_least, "list.behind-token", "that was asked for");
    std::vector<Shown>& shown = shown_[answer.master];
    const auto later = std::ranges::lower_bound(shown, answer.asked.sequence, {}, &Shown::sequence);
    if (later != shown.begin()) owes(std::prev(later)->highest, "list.version-fell", "this master had shown it before");
    shown.push_back({answer.answered.sequence, std::max(answer.version, shown.empty() ? LogIndex() : shown.back().highest)});
}

}  // namespace orrery::check
