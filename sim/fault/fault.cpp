#include "sim/fault/fault.h"

#include <charconv>
#include <cmath>

#include "runtime/base/check.h"

namespace orrery::sim {

namespace {
// In the order of the variant's alternatives.
constexpr FaultInfo kCatalogue[] = {
    {"net.partition", 'A', "directed cuts: isolate a node, halves, bridge, ring, or named links"},
    {"net.clog", 'A', "a node or a pair is held back for a short time, sending, receiving or both"},
    {"net.reset", 'A',
     "streams of a node or a pair are reset, bytes in flight kept or lost, or left half open"},
    {"net.port_reuse", 'A', "another machine has a node's address for a time"},
    {"net.change", 'A',
     "delay, splitting, rate, refused or hanging connects, flipped bits, resets by rate"},
    {"disk.latency", 'A', "how long reads, writes and syncs take, with a slow tail"},
    {"disk.stall", 'A', "no operation of the disk completes for a time"},
    {"disk.sync_failure", 'A', "a sync fails and its dirty pages are dropped"},
    {"disk.write_failure", 'A', "a write fails"},
    {"disk.read_error", 'C', "a durable sector becomes unreadable"},
    {"disk.bit_rot", 'C', "durable bits flip"},
    {"disk.full", 'A', "the disk is full, then freed"},
    {"disk.wipe", 'B', "the disk is emptied; the node returns as another incarnation"},
    {"proc.crash", 'A',
     "the process is killed or the machine loses power, now or at the n-th disk operation"},
    {"proc.restart", 'A', "what is down starts, in the same order, reversed, or all at once"},
    {"proc.pause", 'A', "all fibers of a node stop; its sockets stay open"},
    {"proc.graceful", 'A', "a node drains, stops and starts again"},
    {"clock.drift", 'A', "both clocks of a node run faster or slower"},
    {"clock.jump", 'A', "the wall clock of a node jumps"},
    {"admin.transfer", 'A', "leadership is handed to a node"},
    {"hold", 'A', "the fiber that reaches a checkpoint is held there"},
    {"member.add", 'A', "an operator takes a node in, or a wiped node's new life in place of the old"},
    {"member.remove", 'A', "an operator takes a node out of the group"},
    {"member.transfer", 'A', "an operator asks for a node to lead"},
    {"member.replace", 'B', "a node's disk is emptied, and an operator takes its new life in, in place of the old"},
};
}  // namespace

std::span<const FaultInfo> fault_catalogue() {
    return kCatalogue;
}

std::string_view fault_name(const Fault& fault) {
    return fault_catalogue()[fault.index()].name;
}

namespace {
template <size_t I = 0>
std::optional<Fault> make_fault(size_t index) {
    if constexpr (I < std::variant_size_v<Fault>) {
        if (index == I) return Fault(std::in_place_index<I>);
        return make_fault<I + 1>(index);
    } else {
        return std::nullopt;
    }
}
}  // namespace

std::optional<Fault> fault_by_name(std::string_view name) {
    CHECK(fault_catalogue().size() == std::variant_size_v<Fault>);
    for (size_t i = 0; i < fault_catalogue().size(); ++i)
        if (fault_catalogue()[i].name == name) return make_fault(i);
    return std::nullopt;
}

namespace {
struct Unit {
    std::string_view name;
    int64_t ns;
};
constexpr Unit kUnits[] = {{"h", 3'600'000'000'000}, {"min", 60'000'000'000}, {"s", 1'000'000'000},
                           {"ms", 1'000'000},        {"us", 1'000},           {"ns", 1}};
}  // namespace

std::string duration_text(Duration duration) {
    if (duration.ns == 0) return "0s";
    for (const Unit& unit : kUnits)
        if (duration.ns % unit.ns == 0)
            return std::to_string(duration.ns / unit.ns) + std::string(unit.name);
    UNREACHABLE(duration);
}

std::optional<Duration> parse_duration(std::string_view text) {
    const size_t unit_at = text.find_first_not_of("+-.0123456789");
    if (unit_at == std::string_view::npos || unit_at == 0) return std::nullopt;
    const std::string_view unit_text = text.substr(unit_at);
    for (const Unit& unit : kUnits) {
        if (unit.name != unit_text) continue;
        const char* number_end = text.data() + unit_at;
        int64_t whole = 0;
        if (auto [at, error] = std::from_chars(text.data(), number_end, whole);
            error == std::errc() && at == number_end) {
            if (whole > INT64_MAX / unit.ns || whole < -(INT64_MAX / unit.ns)) return std::nullopt;
            return Duration{whole * unit.ns};
        }
        double value = 0;
        auto [at, error] = std::from_chars(text.data(), number_end, value);
        if (error != std::errc() || at != number_end ||
            !(std::fabs(value) * static_cast<double>(unit.ns) < 9e18))
            return std::nullopt;
        return Duration{std::llround(value * static_cast<double>(unit.ns))};
    }
    return std::nullopt;
}

}  // namespace orrery::sim
