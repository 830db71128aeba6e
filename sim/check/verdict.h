// What a checker answers: violations, each with a stable name, and a verdict that cannot be read as
// a pass by accident.
//
// A violation's *signature* is what failures are deduplicated, shrunk and replayed by: the
// invariant's name and the site with every number and quoted text taken out, so that node 3 at
// index 812 and node 1 at index 17 are one finding. A verdict has three values; Inconclusive
// (nothing was checked, a bound was reached) is never a pass.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/time.h"

namespace orrery::check {

/// When an event was seen: virtual time for people, the run's global sequence number for order.
struct Stamp {
    Instant at;
    uint64_t sequence = 0;
};

struct Violation {
    std::string name;  // stable: "raft.log-matching"; the list stands in the folder's README
    std::string text;  // one sentence with the values
    Instant at;
    uint64_t sequence = 0;
    std::string site;  // where it showed ("append", "election"); the runner may add roles

    /// "name@site", the site normalised; only the name when there is no site.
    std::string signature() const;
};

/// Digit runs become '#', texts in single or double quotes '*', runs of blanks one blank.
std::string normalise_site(std::string_view site);

enum class Outcome : uint8_t { Pass, Violated, Inconclusive };
std::string_view outcome_name(Outcome outcome);

struct Verdict {
    Outcome outcome = Outcome::Inconclusive;
    std::vector<Violation> violations;  // in the order found; empty unless Violated
    std::string reason;                 // why Inconclusive, else empty

    /// 0 pass, 1 violated, 3 inconclusive.
    int exit_code() const;
    /// One line a violation, or the reason.
    std::string text() const;
};

/// Violated if any part is; else Inconclusive if any part is, or if there is no part; else Pass.
Verdict combine(std::vector<Verdict> parts);

/// Collects violations of one checker: keeps the first `limit`, counts the rest.
class Violations {
 public:
    explicit Violations(size_t limit = 64) : limit_(limit) {}

    void add(std::string_view name, std::string_view site, const Stamp& stamp, std::string text);
    const std::vector<Violation>& list() const { return list_; }
    uint64_t total() const { return total_; }
    bool empty() const { return total_ == 0; }

 private:
    size_t limit_;
    uint64_t total_ = 0;
    std::vector<Violation> list_;
};

}  // namespace orrery::check
