// The page of /metrics: its text, its histograms, and that nothing is on it that the table does not name.
#include "node/admin/metrics.h"

#include <doctest/doctest.h>

using namespace orrery;
using namespace orrery::admin;

namespace {

constexpr MetricInfo kTable[] = {
    {"a_total", MetricType::Counter, "Counts."},
    {"b_bytes", MetricType::Gauge, "Is so much."},
    {"c_seconds", MetricType::Histogram, "Took so long."},
    {"d_unused", MetricType::Gauge, "Not there just now."},
};

}  // namespace

TEST_CASE("metrics: families come in the order of the table with type and help, without those that have no sample") {
    MetricsPage page(kTable);
    page.add("b_bytes", uint64_t{12}, {{"node", "7"}});
    page.add("b_bytes", 0.5, {{"node", "with \"quotes\"\nand a line"}});
    page.add("a_total", uint64_t{3});
    CHECK(page.text() ==
          "# HELP a_total Counts.\n# TYPE a_total counter\na_total 3\n"
          "# HELP b_bytes Is so much.\n# TYPE b_bytes gauge\nb_bytes{node=\"7\"} 12\n"
          "b_bytes{node=\"with \\\"quotes\\\"\\nand a line\"} 0.5\n");
}

TEST_CASE("metrics: a histogram's buckets are cumulative, end at infinity, and include their bounds") {
    DurationHistogram took;
    took.record(Duration{});
    took.record(Duration::micros(64));
    took.record(Duration::micros(64) + Duration::nanos(1));
    took.record(DurationHistogram::bound(20));
    took.record(DurationHistogram::bound(20) + Duration::nanos(1));
    took.record(Duration::nanos(-5));  // a clock that a node was moved under: counts as nothing
    CHECK(took.in_bucket(0) == 3);
    CHECK(took.in_bucket(1) == 1);
    CHECK(took.in_bucket(20) == 1);
    CHECK(took.count() == 6);
    MetricsPage page(kTable);
    page.add("c_seconds", took);
    const std::string text = page.text();
    CHECK(text.find("c_seconds_bucket{le=\"6.4e-05\"} 3\n") != std::string::npos);
    CHECK(text.find("c_seconds_bucket{le=\"0.000128\"} 4\n") != std::string::npos);
    CHECK(text.find("c_seconds_bucket{le=\"+Inf\"} 6\n") != std::string::npos);
    CHECK(text.find("c_seconds_count 6\n") != std::string::npos);
}

TEST_CASE("metrics: every duration falls into the first bucket whose bound is not below it") {
    for (size_t bucket = 0; bucket < DurationHistogram::kBuckets; ++bucket)
        for (int64_t off : {-1, 0, 1}) {
            const Duration at{DurationHistogram::bound(bucket).ns + off};
            DurationHistogram one;
            one.record(at);
            size_t expected = 0;
            while (expected < DurationHistogram::kBuckets && DurationHistogram::bound(expected) < at) ++expected;
            CHECK(one.in_bucket(expected) == 1);
        }
}
