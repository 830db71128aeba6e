// Expiry in true time: no key goes before its TTL, none is readable long after it, and what was seen gone stays gone.
//
// Times are the world's, which no node can see. A key has one writer, whose operations do not overlap; anybody reads. From
// the writer's answers follows what the key holds behind each of its operations, and between which two instants it expires:
// a TTL begins between call and answer. A read must fit what held at some instant of its own; one that overlaps an
// operation of the writer may fit either side. Behind an unknown outcome nothing of the key is judged any more.
//
// The bound by which expiry may miss: `slack`, for messages on their way and changes of leader, plus `rate_ppb` of the time
// since the TTL began (drift of the clocks, slew). Where a leader went on by estimates after an outage, also what wall
// clocks were moved while those estimates grew; where it had only a wall clock, nothing is said of keys across it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/bytes.h"
#include "runtime/base/ids.h"
#include "sim/check/history.h"
#include "sim/check/verdict.h"

namespace orrery::check {

enum class ExpiryKind : uint8_t { Set, Expire, Persist, Get, TimeToLive };

/// One operation on a key that may expire.
struct ExpiryOp {
    ExpiryKind kind = ExpiryKind::Get;
    Bytes key;
    Value value;     // Set: what. Get, answered: what was read
    Duration ttl;    // Set, Expire: asked for. TimeToLive: answered, of a key that expires
    int64_t number = 0;  // Expire, Persist: 0 or 1. TimeToLive: -2 absent, -1 does not expire, 0 expires in `ttl`
    OpStatus status = OpStatus::Open;
    Stamp called;
    Stamp answered;

    bool writes() const { return kind == ExpiryKind::Set || kind == ExpiryKind::Expire || kind == ExpiryKind::Persist; }
    /// "set 't3' px 200 ms -> ok [1.2 s, 1.3 s]"
    std::string text() const;
};

struct ExpiryOptions {
    Duration slack = Duration::millis(500);
    int64_t rate_ppb = 0;
    size_t max_operations = 1'000'000;
};

class ExpiryChecker {
 public:
    using OpId = size_t;
    explicit ExpiryChecker(ExpiryOptions options = {}) : options_(options) {}

    /// nullopt: full; the caller must not send the operation then. Requires: the writer's earlier operations on the key
    /// have ended.
    std::optional<OpId> call(ExpiryOp op);
    void answer(OpId id, OpStatus status, Value value, int64_t number, Duration ttl, const Stamp& stamp);

    // What the world did to time. In order of time, within each kind.
    /// A member stored state-machine time beside the wall clock `wall_ns`, perhaps not durably.
    void time_stored(NodeId node, int64_t wall_ns, Instant at) { stored_[{node, wall_ns}] = at; }
    /// A member started, and found that pair.
    void time_found(NodeId node, int64_t wall_ns);
    /// A leader went on without a running value of anybody.
    void time_begun(bool by_estimate, Instant at) { begun_.push_back({at, by_estimate, found_}); }
    void wall_moved(NodeId node, Duration by, Instant at) { moves_.push_back({node, by, at}); }

    uint64_t judged() const { return judged_; }
    size_t operations() const { return operations_.size(); }
    /// Violated: expiry.too-early, expiry.too-late, expiry.came-back, expiry.wrong-time (of a TTL that was told),
    /// expiry.wrong-value. Inconclusive: nothing was judged, or operations were beyond the bound.
    Verdict judge();

 private:
    /// What a key holds behind an operation of its writer.
    struct State {
        const ExpiryOp* since = nullptr;
        bool known = true;       // false behind an unknown outcome
        Value value;             // nullopt: never written
        bool expires = false;
        Instant begins;          // of the TTL, at the earliest
        Instant earliest, latest;
        const ExpiryOp* gone = nullptr;  // the first that certainly saw it gone
    };
    struct Begun {
        Instant at;
        bool by_estimate;
        std::map<NodeId, Instant> stored;  // when, in true time, each member stored what it found at its last start
    };
    struct Move {
        NodeId node;
        Duration by;
        Instant at;
    };
    struct Misfit {
        std::string_view name;
        std::string text;
    };

    void judge_key(std::vector<const ExpiryOp*>& ops);
    State behind(const State& before, const ExpiryOp& op) const;
    std::optional<Misfit> misfit(const State& state, const ExpiryOp& op) const;
    /// nullopt: nothing is said of a TTL from `from` to `to`.
    std::optional<Duration> bound(Instant from, Instant to) const;

    ExpiryOptions options_;
    std::vector<ExpiryOp> operations_;
    std::map<std::pair<NodeId, int64_t>, Instant> stored_;
    std::map<NodeId, Instant> found_;
    std::vector<Begun> begun_;
    std::vector<Move> moves_;
    Violations violations_;
    uint64_t judged_ = 0;
    bool full_ = false;
};

}  // namespace orrery::check
