// What is wrong in a cluster, by the masters' records, and what to do about it. Pure.
#pragma once

#include <string>
#include <vector>

#include "node/wire/master.h"
#include "tools/orreryctl/form.h"

namespace orrery::ctl {

/// All that the masters keep, read page by page: each page is of one moment, all together need not be.
struct ClusterRecords {
    wire::MasterView counts;  // who leads, and the version of the first page
    std::vector<wire::NodeRecord> nodes;
    std::vector<wire::VolumeRecord> volumes;
    std::vector<wire::PartitionRecord> partitions;  // of all volumes
    std::vector<wire::TaskRecord> tasks;
};

enum class Health : uint8_t {
    Healthy,      // everything that is asked for is there
    Degraded,     // something is missing that the cluster, or an operator, should bring back; all data can be used
    Unavailable,  // a partition has not enough live members to write
};
/// "healthy", "degraded", "unavailable".
std::string_view health_name(Health health);

struct Anomaly {
    Health severity = Health::Degraded;
    std::string what;  // "node 3 is silent"
    std::string next;  // what happens by itself, or what to do
};
/// The worst first, else in the order nodes, partitions, tasks. A member is live when its node is active, its disk not bad, and it was reported.
std::vector<Anomaly> find_anomalies(const ClusterRecords& records);
/// The worst of them.
Health health_of(const std::vector<Anomaly>& anomalies);

/// One line, or one object: the verdict and counts.
std::string health_text(const ClusterRecords& records, const std::vector<Anomaly>& anomalies, Form form);
/// Every anomaly; of more than `kShownMax` a table shows the first and says how many there are.
inline constexpr size_t kShownMax = 100;
std::string check_text(const ClusterRecords& records, const std::vector<Anomaly>& anomalies, Form form);

}  // namespace orrery::ctl
