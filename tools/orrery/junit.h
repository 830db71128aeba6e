// A campaign as JUnit XML: a suite per scenario; a test case per kind of failure, one for "nothing else failed", one for
// determinism. The failure's text is the replay command.
#pragma once

#include <string>

#include "tools/orrery/campaign.h"

namespace orrery::cli {

struct CampaignReport {
    CampaignTotals totals;
    std::vector<const KnownFailure*> failures;
    std::vector<std::string> determinism_failures;  // "scenario seed S: ..."
    std::vector<std::string> scenarios;             // names, also of those that no seed met
    Duration wall{};
};

std::string junit_xml(const CampaignReport& report);

}  // namespace orrery::cli
