#include "sim/check/member_log.h"

#include <algorithm>

namespace orrery::check {

void MemberLog::append(LogIndex index, Term term) {
    terms_.erase(terms_.lower_bound(index.value), terms_.end());
    terms_[index.value] = term;
    last_ = index;
    if (terms_.size() > kKept) terms_.erase(terms_.begin());
}

void MemberLog::truncate(LogIndex from) {
    terms_.erase(terms_.lower_bound(from.value), terms_.end());
    last_ = std::min(last_, from.previous());
}

void MemberLog::installed(LogIndex index, Term term) {
    const auto covered = terms_.find(index.value);
    if (covered == terms_.end() || covered->second != term) terms_.clear();
    terms_.erase(terms_.begin(), terms_.upper_bound(index.value));
    last_ = terms_.empty() ? index : LogIndex(terms_.rbegin()->first);
}

void MemberLog::recovered(LogIndex last) {
    terms_.erase(terms_.upper_bound(last.value), terms_.end());
    last_ = last;
}

bool MemberLog::has_other(LogIndex index, Term term) const {
    const auto at = terms_.find(index.value);
    return at != terms_.end() && at->second != term;
}

}  // namespace orrery::check
