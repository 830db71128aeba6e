// Fault: one thing that goes wrong, as a typed value with explicit parameters, and what sets it
// off.
//
// A plan is a list of these; a seed expands to a plan (swarm.h), and the plan is what is saved,
// shrunk and replayed. Nodes are named symbolically ("leader(kv)", "follower(kv,1)", "any",
// "n2", "all") and resolved at the instant the fault strikes. Not here: how a fault is carried
// out (injector.h).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "runtime/base/time.h"

namespace orrery::sim {

/// A symbolic node: resolved by the injector's Cast when the fault strikes.
using NodeName = std::string;

enum class Direction : uint8_t {
    Both,
    From,
    To
};  // of what is cut: everything, what leaves, what arrives
enum class PartitionShape : uint8_t { Isolate, Halves, Bridge, Ring, Links };

/// Directed cuts between nodes, for a time. `for_time` zero: until heal.
struct NetPartition {
    PartitionShape shape = PartitionShape::Isolate;
    NodeName node = "any";  // Isolate: who; Bridge: who reaches both halves
    Direction direction = Direction::Both;
    std::vector<std::string> links;  // Links: "n1->n2"
    bool clients = false;            // Isolate: cuts the node from the clients too
    uint64_t split =
        0;  // Halves, Bridge, Ring: rotation of the order of nodes, so that halves differ
    Duration for_time;
    bool operator==(const NetPartition&) const = default;
};
/// One node, or one pair, is held back for a short time in the given direction.
struct NetClog {
    NodeName node = "any";
    NodeName peer;                          // empty: every other host
    Direction direction = Direction::Both;  // To: what the node receives
    Duration for_time = Duration::millis(500);
    bool operator==(const NetClog&) const = default;
};
/// Streams of a node, or of a pair, are reset.
struct NetReset {
    NodeName node = "any";
    NodeName peer;                // empty: every other host
    bool keep_in_flight = false;  // what was sent still arrives before the reset
    bool half_open = false;       // nobody is told: what is sent vanishes until somebody gives up
    bool operator==(const NetReset&) const = default;
};
/// The address of `node` belongs to another machine for a time: who connects to it meets `by`.
struct NetPortReuse {
    NodeName node = "n1";
    NodeName by = "n2";
    Duration for_time = Duration::seconds(1);
    bool operator==(const NetPortReuse&) const = default;
};
/// Standing parameters of the network; negative or zero duration fields stay as they are ("keep").
struct NetChange {
    Duration delay_min{-1};
    Duration delay_mean{-1};
    double slow_p = -1;
    Duration slow_max{-1};
    double split_p = -1;
    int64_t split_max_bytes = -1;
    int64_t rate_bytes_per_second = -1;
    double refuse_p = -1;
    double hang_p = -1;
    double corrupt_p = -1;
    double reset_p = -1;
    Duration for_time;  // zero: until heal
    bool operator==(const NetChange&) const = default;
};
/// Latency of a node's disk.
struct DiskLatencyChange {
    NodeName node = "all";
    Duration read_low = Duration::micros(20), read_high = Duration::micros(200);
    Duration write_low = Duration::micros(20), write_high = Duration::micros(200);
    Duration sync_low = Duration::micros(100), sync_high = Duration::millis(5);
    double slow_p = 0;
    Duration slow_max = Duration::seconds(1);
    Duration for_time;  // zero: until heal
    bool operator==(const DiskLatencyChange&) const = default;
};
struct DiskStall {
    NodeName node = "any";
    Duration for_time = Duration::seconds(1);
    bool operator==(const DiskStall&) const = default;
};
/// The nth sync (1: the next) below `zone` fails and its dirty pages are dropped: the node must
/// exit.
struct DiskSyncFailure {
    NodeName node = "any";
    std::string zone;
    uint64_t nth = 1;
    bool operator==(const DiskSyncFailure&) const = default;
};
/// The nth write below `zone` fails.
struct DiskWriteFailure {
    NodeName node = "any";
    std::string zone;
    uint64_t nth = 1;
    bool operator==(const DiskWriteFailure&) const = default;
};
/// A drawn durable sector below `zone` becomes unreadable. Class C.
struct DiskReadError {
    NodeName node = "any";
    std::string zone;
    bool operator==(const DiskReadError&) const = default;
};
/// Drawn durable bits below `zone` flip. Class C.
struct DiskBitRot {
    NodeName node = "any";
    std::string zone;
    uint64_t bits = 1;
    bool operator==(const DiskBitRot&) const = default;
};
/// The disk is full: `room_bytes` can still be allocated, until it is freed.
struct DiskFull {
    NodeName node = "any";
    uint64_t room_bytes = 0;
    Duration for_time = Duration::seconds(2);
    bool operator==(const DiskFull&) const = default;
};
/// The disk is emptied while the node is down; it comes back as another incarnation. Class B.
struct DiskWipe {
    NodeName node = "any";
    Duration restart_after = Duration::seconds(1);
    bool operator==(const DiskWipe&) const = default;
};
enum class CrashDeath : uint8_t { Kill, Power };
struct ProcCrash {
    NodeName node = "any";
    CrashDeath death = CrashDeath::Power;
    uint64_t at_disk_operation = 0;  // 0: now; n: at the n-th numbered disk operation from now
    bool before_operation = false;   // strikes before that operation happened, not after
    bool when_unsynced = false;      // now, or within 50 ms as soon as something is unsynced
    bool restarts = true;
    Duration restart_after = Duration::seconds(1);
    bool operator==(const ProcCrash&) const = default;
};
enum class RestartOrder : uint8_t { Same, Reverse, AllAtOnce };
/// Starts what is down. `delay` lies between two nodes (Same: as they went down; Reverse: the last
/// one first).
struct ProcRestart {
    NodeName node = "all";
    RestartOrder order = RestartOrder::Same;
    Duration delay = Duration::millis(100);
    bool operator==(const ProcRestart&) const = default;
};
struct ProcPause {
    NodeName node = "any";
    Duration for_time = Duration::seconds(1);
    bool operator==(const ProcPause&) const = default;
};
/// Drain and stop, then start again.
struct ProcGraceful {
    NodeName node = "any";
    Duration restart_after = Duration::seconds(1);
    bool operator==(const ProcGraceful&) const = default;
};
struct ClockDrift {
    NodeName node = "any";
    int64_t ppm = 0;  // both clocks; |ppm| <= 100,000
    bool operator==(const ClockDrift&) const = default;
};
/// The wall clock moves once; the monotonic one does not.
struct ClockJump {
    NodeName node = "any";
    Duration by;
    bool operator==(const ClockJump&) const = default;
};
/// The leader hands leadership to `node`.
struct AdminTransfer {
    NodeName node = "follower(kv,0)";
    bool operator==(const AdminTransfer&) const = default;
};
/// Holds the fiber that reaches the trigger's checkpoint (trigger `when` only).
struct HoldCheckpoint {
    Duration for_time = Duration::millis(100);
    bool operator==(const HoldCheckpoint&) const = default;
};

/// An operator takes that node in; of a wiped one the new life takes the old one's place.
struct MemberAdd {
    NodeName node = "any";
    bool learner = false;
    Duration within = Duration::seconds(10);  // the operator gives up then
    bool operator==(const MemberAdd&) const = default;
};
/// An operator takes that node out.
struct MemberRemove {
    NodeName node = "any";
    Duration within = Duration::seconds(10);
    bool operator==(const MemberRemove&) const = default;
};
/// An operator asks for that node to lead, through the nodes' own interface.
struct MemberTransfer {
    NodeName node = "follower(kv,0)";
    Duration within = Duration::seconds(5);
    bool operator==(const MemberTransfer&) const = default;
};
/// A node's machine is replaced: its disk is emptied, it starts as a new life, and an operator takes that in, in place of the
/// old one. Class B; spared while another replica is not back.
struct MemberReplace {
    NodeName node = "any";
    Duration restart_after = Duration::millis(500);
    Duration within = Duration::seconds(10);  // the operator gives up then
    bool operator==(const MemberReplace&) const = default;
};

using Fault = std::variant<NetPartition, NetClog, NetReset, NetPortReuse, NetChange, DiskLatencyChange, DiskStall,
                           DiskSyncFailure, DiskWriteFailure, DiskReadError, DiskBitRot, DiskFull,
                           DiskWipe, ProcCrash, ProcRestart, ProcPause, ProcGraceful, ClockDrift,
                           ClockJump, AdminTransfer, HoldCheckpoint, MemberAdd, MemberRemove,
                           MemberTransfer, MemberReplace>;

/// "net.partition", ...: the word behind `do`.
std::string_view fault_name(const Fault& fault);
/// A default one of that name; nullopt for another word.
std::optional<Fault> fault_by_name(std::string_view name);
struct FaultInfo {
    std::string_view name;
    char budget_class;      // 'A', 'B', 'C', 'N'
    std::string_view text;  // one line, for `list faults`
};
std::span<const FaultInfo> fault_catalogue();

/// At a virtual time of the chaos phase (0: when the cluster is founded and the clients begin).
struct TriggerAt {
    Duration at;
    bool operator==(const TriggerAt&) const = default;
};
/// At the nth trace point of that name, by `node` (empty: any), whose fields match `where` ("term=3
/// role='leader'").
struct TriggerWhen {
    std::string point;
    NodeName node;
    uint64_t nth = 1;
    std::string where;
    bool operator==(const TriggerWhen&) const = default;
};
/// `delay` after the event with that id (or, without such an id, the first with that fault name)
/// has fired.
struct TriggerAfter {
    std::string event;
    Duration delay;
    bool operator==(const TriggerAfter&) const = default;
};
using Trigger = std::variant<TriggerAt, TriggerWhen, TriggerAfter>;

struct PlannedFault {
    std::string id;  // unique in the plan; may be empty
    Trigger trigger;
    Fault fault;
    bool operator==(const PlannedFault&) const = default;
};

/// "500ms": the largest unit that is exact.
std::string duration_text(Duration duration);
/// ns us ms s min h, fractions allowed. nullopt when it is none of these.
std::optional<Duration> parse_duration(std::string_view text);

}  // namespace orrery::sim
