// Metrics: one page of /metrics, made at the time of the request, in the Prometheus text format 0.0.4.
//
// What can be on it is a table (name, type, help) that --list-metrics prints as well. The text is prometheus-cpp's; its
// registry is not used: the node's counters live where they are counted, and the page reads them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "node/admin/duration_histogram.h"

namespace orrery::admin {

enum class MetricType : uint8_t { Counter, Gauge, Histogram };
/// "counter", "gauge", "histogram".
std::string_view metric_type_name(MetricType type);

/// One family. Base units in the name (seconds, bytes); counters end in _total.
struct MetricInfo {
    std::string_view name;
    MetricType type;
    std::string_view help;
};

class MetricsPage {
 public:
    using Labels = std::vector<std::pair<std::string, std::string>>;

    /// `known` must outlive the page.
    explicit MetricsPage(std::span<const MetricInfo> known);
    ~MetricsPage();

    /// One sample. Requires: a counter or gauge of the table; no sample of the same labels yet.
    void add(std::string_view name, double value, Labels labels = {});
    void add(std::string_view name, uint64_t value, Labels labels = {}) { add(name, static_cast<double>(value), std::move(labels)); }
    void add(std::string_view name, bool truth, Labels labels = {}) { add(name, truth ? 1.0 : 0.0, std::move(labels)); }
    /// Requires: a histogram of the table.
    void add(std::string_view name, const DurationHistogram& histogram, Labels labels = {});

    /// Families in the order of the table; those without a sample are left out.
    std::string text() const;

 private:
    struct Families;
    size_t family(std::string_view name, bool histogram) const;

    std::span<const MetricInfo> known_;
    std::unique_ptr<Families> families_;
};

/// What --list-metrics prints: one line a family.
std::string list_metrics(std::span<const MetricInfo> known);

}  // namespace orrery::admin
