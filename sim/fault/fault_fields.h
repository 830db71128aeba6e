// The parameters of every fault, named once: what the writer, the reader and `list` of faults walk
// over.
//
// visit_fields(fault, visit) calls visit("key", field) for each field in the order of the file.
// Kinds of field: text, texts, Duration, uint64_t, int64_t, double, bool, and enums with
// kEnumWords.
#pragma once

#include <array>
#include <string_view>
#include <type_traits>

#include "sim/fault/fault.h"

namespace orrery::sim {

template <typename E>
inline constexpr std::array<std::string_view, 0> kEnumWords{};
template <>
inline constexpr std::array<std::string_view, 3> kEnumWords<Direction>{"both", "send", "recv"};
template <>
inline constexpr std::array<std::string_view, 5> kEnumWords<PartitionShape>{
    "isolate", "halves", "bridge", "ring", "links"};
template <>
inline constexpr std::array<std::string_view, 2> kEnumWords<CrashDeath>{"kill", "power"};
template <>
inline constexpr std::array<std::string_view, 3> kEnumWords<RestartOrder>{"same", "reverse",
                                                                          "all-at-once"};

// F: a fault, const or not.
template <typename F, typename V>
void visit_fields(F& fault, V&& visit) {
    using T = std::remove_const_t<F>;
    if constexpr (requires { fault.shape; }) visit("shape", fault.shape);
    if constexpr (requires { fault.node; }) visit("target", fault.node);
    if constexpr (requires { fault.peer; }) visit("peer", fault.peer);
    if constexpr (requires { fault.direction; }) visit("side", fault.direction);
    if constexpr (std::is_same_v<T, NetPartition>) {
        visit("links", fault.links);
        visit("clients", fault.clients);
        visit("split", fault.split);
    } else if constexpr (std::is_same_v<T, NetReset>) {
        visit("keep_in_flight", fault.keep_in_flight);
        visit("half_open", fault.half_open);
    } else if constexpr (std::is_same_v<T, NetPortReuse>) {
        visit("by", fault.by);
    } else if constexpr (std::is_same_v<T, NetChange>) {
        visit("delay_min", fault.delay_min);
        visit("delay_mean", fault.delay_mean);
        visit("slow_p", fault.slow_p);
        visit("slow_max", fault.slow_max);
        visit("split_p", fault.split_p);
        visit("split_max_bytes", fault.split_max_bytes);
        visit("rate_bytes_per_second", fault.rate_bytes_per_second);
        visit("refuse_p", fault.refuse_p);
        visit("hang_p", fault.hang_p);
        visit("corrupt_p", fault.corrupt_p);
        visit("reset_p", fault.reset_p);
    } else if constexpr (std::is_same_v<T, DiskLatencyChange>) {
        visit("read_low", fault.read_low);
        visit("read_high", fault.read_high);
        visit("write_low", fault.write_low);
        visit("write_high", fault.write_high);
        visit("sync_low", fault.sync_low);
        visit("sync_high", fault.sync_high);
        visit("slow_p", fault.slow_p);
        visit("slow_max", fault.slow_max);
    } else if constexpr (std::is_same_v<T, DiskBitRot>) {
        visit("bits", fault.bits);
    } else if constexpr (std::is_same_v<T, DiskFull>) {
        visit("room_bytes", fault.room_bytes);
    } else if constexpr (std::is_same_v<T, ProcCrash>) {
        visit("death", fault.death);
        visit("at_disk_operation", fault.at_disk_operation);
        visit("before_operation", fault.before_operation);
        visit("when_unsynced", fault.when_unsynced);
        visit("restarts", fault.restarts);
    } else if constexpr (std::is_same_v<T, ProcRestart>) {
        visit("order", fault.order);
        visit("between", fault.delay);
    } else if constexpr (std::is_same_v<T, ClockDrift>) {
        visit("ppm", fault.ppm);
    } else if constexpr (std::is_same_v<T, ClockJump>) {
        visit("by", fault.by);
    }
    if constexpr (requires { fault.learner; }) visit("learner", fault.learner);
    if constexpr (requires { fault.within; }) visit("within", fault.within);
    if constexpr (requires { fault.zone; }) visit("zone", fault.zone);
    if constexpr (requires { fault.nth; }) visit("nth_operation", fault.nth);
    if constexpr (requires { fault.restart_after; }) visit("restart_after", fault.restart_after);
    if constexpr (requires { fault.for_time; }) visit("for", fault.for_time);
}

}  // namespace orrery::sim
