// Times as operators write them.
#include "tools/orreryctl/calendar.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

namespace orrery::ctl {
namespace {

TEST_CASE("calendar: a time comes back as it was written, to the millisecond (any time)") {
    CHECK(rc::check([] {
        const int64_t ns = *rc::gen::inRange<int64_t>(0, int64_t{1} << 62) / 1'000'000 * 1'000'000;
        RC_ASSERT(parse_rfc3339(rfc3339(ns)) == (ns / 1'000'000'000 < (int64_t{1} << 62) / 1'000'000'000 ? std::optional(ns) : std::nullopt));
    }));
}

TEST_CASE("calendar: zones, fractions and small letters are understood") {
    CHECK(parse_rfc3339("1970-01-01T00:00:00Z") == 0);
    CHECK(parse_rfc3339("2026-11-27T12:00:00Z") == 1'795'780'800'000'000'000);
    CHECK(parse_rfc3339("2026-11-27t12:00:00.5z") == 1'795'780'800'500'000'000);
    CHECK(parse_rfc3339("2026-11-27 13:30:00+01:30") == 1'795'780'800'000'000'000);
    CHECK(parse_rfc3339("2026-11-26T23:00:00-13:00") == 1'795'780'800'000'000'000);
    CHECK(rfc3339(1'795'780'800'500'000'000) == "2026-11-27T12:00:00.500Z");
}

TEST_CASE("calendar: what is no time, or none that the calendar has, is refused") {
    for (const char* text : {"", "now", "2026-11-27", "2026-11-27T12:00:00", "2026-02-29T12:00:00Z", "2026-13-01T12:00:00Z", "2026-11-27T24:00:00Z",
                             "2026-11-27T12:60:00Z", "2026-11-27T12:00:00Zx", "2026-11-27T12:00:00.Z", "1969-12-31T23:59:59Z", "2117-01-01T00:00:00Z",
                             "2026-11-27T12:00:00+24:00", "2026-11-27T12:00:00.1234567890Z", "+026-11-27T12:00:00Z"})
        CHECK_MESSAGE(!parse_rfc3339(text).has_value(), text);
}

TEST_CASE("calendar: any text is a time or is refused, never worse") {
    CHECK(rc::check([](const std::string& text) { (void)parse_rfc3339(text); }));
}

}  // namespace
}  // namespace orrery::ctl
