// MemberLog: which entries one member has in its log, by their terms, as its trace told: so that a checker knows whether what stands at
// an index there is what was applied. Pure.
#pragma once

#include <cstdint>
#include <map>

#include "runtime/base/ids.h"

namespace orrery::check {

class MemberLog {
 public:
    /// What stood at `index` and behind it is void.
    void append(LogIndex index, Term term);
    /// Entries from `from` on are gone.
    void truncate(LogIndex from);
    /// A snapshot of everything up to `index` took the place of what was there; a tail that goes on from its last entry is kept.
    void installed(LogIndex index, Term term);
    /// A restart found entries up to `last`.
    void recovered(LogIndex last);

    LogIndex last() const { return last_; }
    /// Another entry than that of `term` stands there. False also where nothing is known: far back, or below a snapshot, where only what
    /// was committed can have stood.
    bool has_other(LogIndex index, Term term) const;

 private:
    static constexpr size_t kKept = 20'000;  // the newest
    std::map<uint64_t, Term> terms_;
    LogIndex last_;
};

}  // namespace orrery::check
