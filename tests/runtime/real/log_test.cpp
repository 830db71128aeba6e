#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>

#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/runtime/real/harness.h"

namespace {

std::atomic<int> stalled_descriptor{-1};

}  // namespace

/// Stands before libc's in this program: a file whose disk does not answer, for as long as a test says so.
extern "C" ssize_t write(int descriptor, const void* bytes, size_t count) {
    for (int i = 0; i < 1000 && descriptor == stalled_descriptor.load(); ++i) ::usleep(10'000);
    return ::syscall(SYS_write, descriptor, bytes, count);
}

namespace orrery::real::test {
namespace {

std::vector<std::string> lines_of(int descriptor) {
    std::string all;
    char buffer[65536];
    for (ssize_t got; (got = ::read(descriptor, buffer, sizeof(buffer))) > 0;) all.append(buffer, static_cast<size_t>(got));
    std::vector<std::string> out;
    std::istringstream in(all);
    for (std::string line; std::getline(in, line);) out.push_back(line);
    return out;
}

struct Pipe {
    Pipe() { CHECK(pipe2(ends, O_NONBLOCK) == 0); }
    ~Pipe() {
        for (int end : ends) ::close(end);
    }
    int ends[2];
};

TEST_CASE("log: a JSON line is one JSON object, whatever bytes a field holds") {
    RandomStream draws(3, "test.log", 0);
    for (int round = 0; round < 300; ++round) {
        Bytes text(draws.below(40), '\0');
        for (char& c : text) c = static_cast<char>(draws.chance(0.5) ? draws.below(256) : 0xc0 + draws.below(64));
        const TraceField fields[] = {{"text", text}, {"number", int64_t{-5}}, {"event", "taken"}};
        const std::string line = format_log_json("n\"1", WallTime{1'795'298'664'123'456'000}, {{17}, Severity::Warning, "peer.lost", fields});
        const auto parsed = nlohmann::json::parse(line, nullptr, false);
        CHECK(!parsed.is_discarded());
        if (parsed.is_discarded()) continue;
        CHECK(line.find('\n') == std::string::npos);
        CHECK(parsed["event"] == "peer.lost");
        CHECK(parsed["field.event"] == "taken");
        CHECK(parsed["node"] == "n\"1");
        CHECK(parsed["number"] == -5);
        CHECK(parsed["severity"] == "warning");
        CHECK(parsed["time"] == "2026-11-21T22:04:24.123456Z");
    }
}

TEST_CASE("log: text that is valid UTF-8 passes as it is, and everything else stays one line") {
    std::string out;
    append_json_string(out, "gr\xc3\xbc\xc3\x9f \"x\"\n\x01\\");
    CHECK(out == "\"gr\xc3\xbc\xc3\x9f \\\"x\\\"\\n\\u0001\\\\\"");
    out.clear();
    append_json_string(out, "\xc0\xaf|\xed\xa0\x80|\xf5");  // overlong, surrogate, beyond Unicode
    CHECK(nlohmann::json::parse(out).get<std::string>() ==
          "\xef\xbf\xbd\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|\xef\xbf\xbd");
    const TraceField fields[] = {{"who", "a\x1b[31m\nerror forged"}, {"plain", "abc"}, {"n", 3}};
    const std::string line = format_log_text("kv", WallTime{0}, {{0}, Severity::Info, "peer.said", fields});
    CHECK(line == "1970-01-01T00:00:00.000000Z info    kv peer.said who=\"a\\u001b[31m\\nerror forged\" plain=abc n=3");
}

TEST_CASE("log: ids of 64 bits print unsigned in every form, and what is signed keeps its sign") {
    const uint64_t high = 0xfedc'ba98'7654'3210;
    const TraceField fields[] = {{"cluster", ClusterId(high)}, {"term", Term(UINT64_MAX)},  {"bytes", high},
                                 {"low", uint64_t{7}},         {"offset", int64_t{-5}},     {"n", -6},
                                 {"max", UINT32_MAX},          {"late", Duration::nanos(-8)}};
    const TraceEvent event{{17}, Severity::Info, "node.founded", fields};
    const std::string plain = "cluster=18364758544493064720 term=18446744073709551615 bytes=18364758544493064720 low=7 offset=-5 "
                              "n=-6 max=4294967295 late=-8";
    CHECK(event.format() == "node.founded " + plain);
    CHECK(format_log_text("kv", WallTime{0}, event) == "1970-01-01T00:00:00.000000Z info    kv node.founded " + plain);
    const std::string json = format_log_json("kv", WallTime{0}, event);
    const auto parsed = nlohmann::json::parse(json);
    CHECK(parsed["cluster"].get<uint64_t>() == high);
    CHECK(parsed["term"].get<uint64_t>() == UINT64_MAX);
    CHECK(parsed["bytes"].is_number_unsigned());
    CHECK(parsed["offset"] == -5);
    CHECK(json.find("\"cluster\":18364758544493064720,") != std::string::npos);
    // Who reads an event gets the 64 bits as they are.
    CHECK(static_cast<uint64_t>(event.number("cluster")) == high);
}

TEST_CASE("log: severities below the least are not written but stay in the flight recorder") {
    Pipe pipe;
    SystemClock clock;
    LogTracer log(clock, {.descriptor = pipe.ends[1], .format = LogFormat::Text, .least = Severity::Warning});
    log.info("quiet.event");
    log.warning("loud.event");
    log.flush(Duration::seconds(5));
    const auto lines = lines_of(pipe.ends[0]);
    CHECK(lines.size() == 1);
    CHECK(lines[0].find("loud.event") != std::string::npos);
    log.recorder().dump(pipe.ends[1]);
    const auto recorded = lines_of(pipe.ends[0]);
    CHECK(recorded.size() == 2);
    CHECK(recorded[0].find("quiet.event") != std::string::npos);
}

TEST_CASE("log: a name that repeats is cut to its bound, and the rest is counted in the next window") {
    class HandClock final : public Clock {
     public:
        Instant now() const override { return at; }
        Instant reading() const override { return at; }
        WallTime wall() const override { return {at.ns}; }
        Instant at{};
    } clock;
    Pipe pipe;
    LogTracer log(clock, {.descriptor = pipe.ends[1], .format = LogFormat::Json, .repeats_max = 5});
    for (int i = 0; i < 100; ++i) log.error("disk.failed", {{"i", i}});
    log.info("other.event");
    log.flush(Duration::seconds(5));
    CHECK(lines_of(pipe.ends[0]).size() == 6);
    clock.at = clock.at + Duration::seconds(11);
    log.error("disk.failed", {{"i", 100}});
    log.flush(Duration::seconds(5));
    const auto lines = lines_of(pipe.ends[0]);
    CHECK(lines.size() == 2);
    if (lines.size() != 2) return;
    CHECK(nlohmann::json::parse(lines[0])["event"] == "log.repeats_left_out");
    CHECK(nlohmann::json::parse(lines[0])["count"] == 95);
    CHECK(nlohmann::json::parse(lines[1])["i"] == 100);
}

TEST_CASE("log: a reader that does not read costs lines and no time, and every line that comes is whole") {
    int ends[2];
    CHECK(::pipe(ends) == 0);  // blocking: a write that would block would hang this test
    SystemClock clock;
    {
        LogTracer log(clock, {.descriptor = ends[1], .format = LogFormat::Json, .repeats_max = 1'000'000,
                              .pending_bytes_max = 64 * 1024});
        const Instant start = SystemClock::read_now();
        for (int i = 0; i < 20'000; ++i) log.warning("peer.lost", {{"i", i}});
        CHECK(log.lines_dropped() > 1'000);
        CHECK(SystemClock::read_now() - start < Duration::seconds(20));
        CHECK(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
        size_t whole = 0;
        uint64_t told = 0;
        std::string rest;
        for (int round = 0; round < 50; ++round) {
            log.warning("peer.back");
            log.flush(Duration::millis(20));
            char buffer[65536];
            for (ssize_t got; (got = ::read(ends[0], buffer, sizeof(buffer))) > 0;) rest.append(buffer, static_cast<size_t>(got));
        }
        std::istringstream in(rest);
        for (std::string line; std::getline(in, line); ++whole) {
            const auto parsed = nlohmann::json::parse(line, nullptr, false);
            CHECK(!parsed.is_discarded());
            if (parsed["event"] == "log.lines_dropped") told += parsed["count"].get<uint64_t>();
        }
        CHECK(whole > 500);
        CHECK(told == log.lines_dropped());
    }
    for (int end : ends) ::close(end);
}

TEST_CASE("log: a file whose write does not return costs lines and no time, and does not hold up the end") {
    char name[] = "/tmp/orrery-log-test-XXXXXX";
    const int file = ::mkstemp(name);
    CHECK(file >= 0);
    SystemClock clock;
    const Instant start = SystemClock::read_now();
    stalled_descriptor = file;
    {
        LogTracer log(clock, {.descriptor = file, .format = LogFormat::Json, .repeats_max = 1'000'000, .pending_bytes_max = 64 * 1024});
        for (int i = 0; i < 2'000; ++i) log.warning("disk.slow", {{"i", i}});
        CHECK(SystemClock::read_now() - start < Duration::seconds(3));
        CHECK(log.lines_dropped() > 500);
    }
    // A second for what is pending, and a little for the thread.
    CHECK(SystemClock::read_now() - start < Duration::seconds(6));
    CHECK(::lseek(file, 0, SEEK_END) == 0);
    stalled_descriptor = -1;
    // The thread that was left behind still writes what it had taken; the descriptor is its own until then.
    Instant until = SystemClock::read_now() + Duration::seconds(5);
    while (::lseek(file, 0, SEEK_END) == 0 && SystemClock::read_now() < until) ::usleep(10'000);
    CHECK(::lseek(file, 0, SEEK_END) > 0);
    ::usleep(200'000);
    ::close(file);
    ::unlink(name);
}

TEST_CASE("log: a file gets every line once and in order, when it stalls for a while too") {
    char name[] = "/tmp/orrery-log-test-XXXXXX";
    const int file = ::mkstemp(name);
    CHECK(file >= 0);
    SystemClock clock;
    {
        LogTracer log(clock, {.descriptor = file, .format = LogFormat::Json, .repeats_max = 1'000'000});
        for (int i = 0; i < 1'000; ++i) {
            if (i % 300 == 100) stalled_descriptor = file;
            if (i % 300 == 200) stalled_descriptor = -1;
            log.warning("disk.slow", {{"i", i}});
        }
        log.flush(Duration::seconds(10));
        CHECK(log.lines_dropped() == 0);
    }
    CHECK(::lseek(file, 0, SEEK_SET) == 0);
    const auto lines = lines_of(file);
    CHECK(lines.size() == 1'000);
    for (size_t i = 0; i < lines.size(); ++i) CHECK(nlohmann::json::parse(lines[i])["i"] == i);
    ::close(file);
    ::unlink(name);
}

}  // namespace
}  // namespace orrery::real::test
