// ListChecker: how old the answers of masters are, in true simulated time, and whether anybody is ever shown less than before.
//
// A master's answer is of one version (an applied index). What it owes its asker: everything that was committed when it was asked,
// less the age that the asker allows, and less the age that the answer itself admits; the version that was asked for; and never less than
// that master has shown anybody before. Ages are measured by masters on their own clocks: a bound in ppm says how
// wrong those may be. What the answer contains is another checker's.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "runtime/base/ids.h"
#include "sim/check/verdict.h"

namespace orrery::check {

struct ListCheckerOptions {
    int64_t slow_ppm = 0;  // most drift of any clock against true time
    size_t max_events = 1'000'000;  // answers, and commits; what comes behind them is not judged
    size_t max_violations = 64;
};

/// One answered question.
struct ListAnswer {
    std::string what;  // for people: "client 3 asked m2 for the volumes"
    NodeId master;
    LogIndex version;
    Duration age;       // that the answer admits
    Duration max_age;   // that was allowed; zero: none
    LogIndex at_least;  // that was asked for
    Stamp asked;
    Stamp answered;
};

class ListChecker {
 public:
    explicit ListChecker(ListCheckerOptions options = {}) : options_(options), violations_(options.max_violations) {}

    /// Somebody knows that everything up to `index` is committed. In the order of time.
    void committed(LogIndex index, Instant at);
    /// list.too-old: of an earlier state than it was allowed to be; list.younger-than-true: it admits less age than it has;
    /// list.behind-token: below the version that was asked for; list.version-fell: below what this master has shown before.
    /// In the order of the answers.
    void answered(const ListAnswer& answer);

    /// More came than is remembered: no verdict can be a pass.
    bool full() const { return full_; }
    uint64_t answers() const { return answers_; }
    const std::vector<Violation>& violations() const { return violations_.list(); }

 private:
    /// The highest index that was known to be committed at that instant.
    LogIndex committed_by(Instant at) const;
    /// As long as a clock that is slow by the bound may take for `age`.
    Duration true_age(Duration age) const;

    struct Committed {
        Instant at;
        LogIndex index;
    };
    struct Shown {
        uint64_t sequence = 0;  // when the answer had arrived
        LogIndex highest;       // of it and all before
    };

    ListCheckerOptions options_;
    Violations violations_;
    std::vector<Committed> committed_;              // both rise
    std::map<NodeId, std::vector<Shown>> shown_;    // both rise
    uint64_t answers_ = 0;
    bool full_ = false;
};

}  // namespace orrery::check
