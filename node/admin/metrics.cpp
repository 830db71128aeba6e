#include "node/admin/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <limits>
#include <sstream>

#include "runtime/base/check.h"

namespace orrery::admin {

namespace {

prometheus::MetricType type_of(MetricType type) {
    switch (type) {
        case MetricType::Counter: return prometheus::MetricType::Counter;
        case MetricType::Gauge: return prometheus::MetricType::Gauge;
        case MetricType::Histogram: return prometheus::MetricType::Histogram;
    }
    UNREACHABLE();
}

prometheus::ClientMetric labelled(MetricsPage::Labels labels) {
    prometheus::ClientMetric metric;
    for (auto& [name, value] : labels) metric.label.push_back({std::move(name), std::move(value)});
    return metric;
}

}  // namespace

std::string_view metric_type_name(MetricType type) {
    switch (type) {
        case MetricType::Counter: return "counter";
        case MetricType::Gauge: return "gauge";
        case MetricType::Histogram: return "histogram";
    }
    return "?";
}

struct MetricsPage::Families {
    std::vector<prometheus::MetricFamily> list;  // in the order of the table
};

MetricsPage::MetricsPage(std::span<const MetricInfo> known) : known_(known), families_(std::make_unique<Families>()) {
    for (const MetricInfo& info : known) families_->list.push_back({std::string(info.name), std::string(info.help), type_of(info.type), {}});
}

MetricsPage::~MetricsPage() = default;

size_t MetricsPage::family(std::string_view name, bool histogram) const {
    for (size_t i = 0; i < known_.size(); ++i)
        if (known_[i].name == name) {
            CHECK((known_[i].type == MetricType::Histogram) == histogram, "metric of another type", std::string(name));
            return i;
        }
    CHECK(false, "metric that is not in the table", std::string(name));
    UNREACHABLE();
}

void MetricsPage::add(std::string_view name, double value, Labels labels) {
    const size_t at = family(name, false);
    prometheus::ClientMetric metric = labelled(std::move(labels));
    if (known_[at].type == MetricType::Counter) {
        metric.counter.value = value;
    } else {
        metric.gauge.value = value;
    }
    families_->list[at].metric.push_back(std::move(metric));
}

void MetricsPage::add(std::string_view name, const DurationHistogram& histogram, Labels labels) {
    prometheus::ClientMetric metric = labelled(std::move(labels));
    metric.histogram.sample_count = histogram.count();
    metric.histogram.sample_sum = histogram.sum_seconds();
    uint64_t up_to = 0;
    for (size_t i = 0; i < DurationHistogram::kBuckets; ++i) {
        up_to += histogram.in_bucket(i);
        metric.histogram.bucket.push_back({up_to, DurationHistogram::bound(i).as_seconds()});
    }
    metric.histogram.bucket.push_back({histogram.count(), std::numeric_limits<double>::infinity()});
    families_->list[family(name, true)].metric.push_back(std::move(metric));
}

std::string MetricsPage::text() const {
    std::vector<prometheus::MetricFamily> shown;
    for (const prometheus::MetricFamily& family : families_->list)
        if (!family.metric.empty()) shown.push_back(family);
    std::ostringstream out;
    prometheus::TextSerializer().Serialize(out, shown);
    return out.str();
}

std::string list_metrics(std::span<const MetricInfo> known) {
    std::string text;
    for (const MetricInfo& info : known) text += std::string(info.name) + "  " + std::string(metric_type_name(info.type)) + "\n    " + std::string(info.help) + "\n";
    return text;
}

}  // namespace orrery::admin
