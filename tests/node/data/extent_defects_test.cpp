// Each seeded defect of extents is found by the runs that pass without it, or by what was made for it.
#include "tests/node/data/extent_chaos.h"

#include "sim/core/defects.h"
#include "tests/sanitized.h"

#include <doctest/doctest.h>

using namespace orrery;
using namespace orrery::test;
using sim::set_defects;

namespace {

/// The first seed whose run goes wrong with the defect, and in which way; without it the same run is right.
std::string found(Defect defect, ChaosPlan plan, uint64_t seeds) {
    ChaosTotals totals;
    for (plan.seed = 1; plan.seed <= seeds; ++plan.seed) {
        set_defects(only(defect));
        const std::string wrong = Chaos(plan, totals).run();
        set_defects({});
        if (wrong.empty()) continue;
        CHECK(Chaos(plan, totals).run() == "");
        return "seed " + std::to_string(plan.seed) + ": " + wrong.substr(0, wrong.find('\n'));
    }
    return "";
}

}  // namespace

TEST_CASE("data: seeded defects of extents are found (random runs)") {
    if (kSanitized) return;
    for (auto [defect, plan] : {std::pair<Defect, ChaosPlan>{Defect::overwrite_in_place_before_commit, {}},
                                {Defect::reserve_from_applied, {}},
                                {Defect::extent_bytes_after_store, {.flush_bytes = 4 << 10, .crash = 0.15}},
                                {Defect::extent_unlinked_before_tombstone, {.steps = 120, .crash = 0.12}}}) {
        const std::string_view name = kDefects[static_cast<size_t>(defect)].name;
        const std::string wrong = found(defect, plan, 600);
        CHECK_MESSAGE(!wrong.empty(), name << " was not found");
        MESSAGE(name << ": " << wrong);
    }
}
