// Strong integer ids and counters: a Term is not a LogIndex. Glossary of the words: node/README.md.
#pragma once

#include <compare>
#include <cstdint>
#include <ostream>

namespace orrery {

template <typename Tag, typename Rep = uint64_t>
struct StrongId {
    Rep value = 0;

    constexpr StrongId() = default;
    constexpr explicit StrongId(Rep the_value) : value(the_value) {}
    constexpr auto operator<=>(const StrongId&) const = default;
    constexpr explicit operator bool() const { return value != 0; }
};

/// An id that also counts: next, previous, distance.
template <typename Tag, typename Rep = uint64_t>
struct Counter : StrongId<Tag, Rep> {
    using StrongId<Tag, Rep>::StrongId;
    constexpr Counter next() const { return Counter(this->value + 1); }
    /// Requires: value > 0 (unsigned 0 - 1 is how indexes wrap).
    constexpr Counter previous() const { return Counter(this->value - 1); }
    constexpr Counter operator+(Rep n) const { return Counter(this->value + n); }
    constexpr Rep operator-(Counter other) const { return this->value - other.value; }
    constexpr auto operator<=>(const Counter&) const = default;
};

template <typename Tag, typename Rep>
std::ostream& operator<<(std::ostream& out, StrongId<Tag, Rep> id) {
    return out << id.value;
}

using NodeId = StrongId<struct NodeIdTag>;            // given at first start, never reused; 0 = none
using ReplicaId = StrongId<struct ReplicaIdTag>;      // one life of a replica in one group; never used twice; 0 = none
using GroupId = StrongId<struct GroupIdTag>;          // a Raft group; 0 = the node itself (no group)
using ClusterId = StrongId<struct ClusterIdTag>;      // hash of the founding record
using Incarnation = StrongId<struct IncarnationTag>;  // random; one life of a data directory
using Term = Counter<struct TermTag>;
using LogIndex = Counter<struct LogIndexTag>;         // first entry is 1; 0 = before the log
using Epoch = Counter<struct EpochTag>;               // of a log: one per start
using Generation = Counter<struct GenerationTag>;     // of a group's state in the Store: one per snapshot install
using RequestId = Counter<struct RequestIdTag>;       // within one rpc session and direction
using SessionId = StrongId<struct SessionIdTag>;

}  // namespace orrery
