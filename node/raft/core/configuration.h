// Who is a member, and what a majority is.
//
// A configuration is simple (voters) or joint (voters and outgoing voters: every decision needs a majority of both).
// It takes effect when its entry is appended, not when it commits; the log view keeps the history that this needs.
// Learners receive everything and count for nothing. A *promoting* learner is to become a voter as soon as it has caught
// up: that intention is replicated, so that whoever leads then goes on with it.
//
// A node appears once in a list. Across lists it may have two replica ids: the new one of a replaced node beside the old
// one, which stays a voter that never answers until the new one takes its place; so replacing never lowers a majority.
//
// A *contact* is what the driver needs to reach a member (opaque here); it travels wherever the configuration does.
#pragma once

#include <map>
#include <memory>
#include <string>

#include <vector>

#include "node/raft/core/entry.h"
#include "runtime/base/function.h"
#include "runtime/base/result.h"
#include "runtime/base/time.h"

namespace orrery::raft {

enum class VoteResult : uint8_t { Pending, Won, Lost };
std::string_view vote_result_name(VoteResult result);

/// An answer to a vote request, as far as it is known.
enum class VoteAnswer : uint8_t { Unknown, Yes, No };

/// Reads under a lease, agreed on by the log: for so long after it has answered a round of its leader a member neither grants a
/// vote to another nor campaigns, and the leader may count on that, less what its clock may differ from theirs.
/// Source: the Raft thesis, 6.4.1, with promises of the members in place of their election timers.
struct Lease {
    Duration promise;        // zero: no leases
    uint32_t drift_ppm = 0;  // bound on the difference of rate between any two members' clocks; below kMaxDriftPpm

    static constexpr Duration kMaxPromise = Duration::seconds(3600);
    static constexpr uint32_t kMaxDriftPpm = 500'000;
    bool on() const { return promise.ns > 0; }
    /// How long a round that a majority has answered lasts, from before it was sent, by the leader's clock.
    Duration lasts() const { return promise - Duration{promise.ns * drift_ppm / 1'000'000 + 1}; }
    bool operator==(const Lease&) const = default;
};

class Configuration {
 public:
    /// Most members one list may name.
    static constexpr size_t kMaxMembers = 64;
    static constexpr size_t kMaxContactBytes = 1024;

    struct Parts {
        std::vector<Member> voters, outgoing, learners;  // in any order
        std::vector<Member> promoting{};                 // of the learners
        std::map<Member, Bytes> contacts{};              // of members; others are left out
        Lease lease{};
        bool operator==(const Parts&) const = default;
    };

    /// The empty configuration: of a replica that has not been told yet. It decides nothing.
    Configuration();
    // A move is a copy: whoever was moved from is a configuration still.
    Configuration(const Configuration&) = default;
    Configuration& operator=(const Configuration&) = default;
    /// Lists in any order.
    /// Errors: Invalid (no voter; a zero id; a node twice in one list; three replica ids of one node; a learner that
    /// is a voter; a promoting one that is no learner; more than kMaxMembers; a contact too long; a lease out of range).
    static Result<Configuration> make(Parts parts);
    static Result<Configuration> make(std::vector<Member> voters, std::vector<Member> outgoing = {},
                                      std::vector<Member> learners = {});
    /// The form that encode() writes. Errors: Corrupt (anything make() refuses, other order, other length or version).
    static Result<Configuration> decode(ByteView bytes);
    Bytes encode() const;

    bool empty() const { return parts_->voters.empty(); }
    bool joint() const { return !parts_->outgoing.empty(); }
    // Each list sorted by node id.
    const std::vector<Member>& voters() const { return parts_->voters; }
    const std::vector<Member>& outgoing() const { return parts_->outgoing; }
    const std::vector<Member>& learners() const { return parts_->learners; }
    const std::vector<Member>& promoting() const { return parts_->promoting; }
    const std::map<Member, Bytes>& contacts() const { return parts_->contacts; }
    const Lease& lease() const { return parts_->lease; }
    Parts parts() const { return *parts_; }
    /// Every member once, by node id; of a node that is being replaced both replicas.
    std::vector<Member> members() const;
    /// The replica that `node` has now (of a replaced one the new); nothing when the node is no member.
    std::optional<Member> find(NodeId node) const;
    /// The replica that its node has now: only such are talked to.
    bool is_member(Member member) const;
    /// In any list, also the old replica of a node that is being replaced.
    bool names(Member member) const;
    /// A voter of either half.
    bool is_voter(Member member) const;
    bool is_promoting(Member member) const;
    /// Empty: none is known.
    ByteView contact(Member member) const;

    /// The highest value that a majority (of both halves when joint) has reached. `reached` is asked once or twice for
    /// each voter. Zero for the empty configuration.
    uint64_t quorum_value(FunctionRef<uint64_t(Member)> reached) const;
    /// Lost when either half can no longer win. Won for the empty configuration's missing halves never: Pending.
    VoteResult vote_result(FunctionRef<VoteAnswer(Member)> answer) const;

    /// Whether `next` may follow this one directly: majorities of the two must overlap. Allowed are: learners and lease only; one
    /// voter added or removed between two simple ones; into a joint one whose outgoing half is our voters; out of a
    /// joint one with its voters. Errors: Invalid with the reason.
    Result<void> check_successor(const Configuration& next) const;

    /// "v1,v2,v3", joint "v1,v2/v2,v3 l4 p5": l a learner, p a promoting one; " lease 1000ms" where there are leases.
    std::string text() const;
    bool operator==(const Configuration& other) const { return parts_ == other.parts_ || *parts_ == *other.parts_; }

 private:
    explicit Configuration(std::shared_ptr<const Parts> parts) : parts_(std::move(parts)) {}

    // Never null. Copies share it: a driver compares configurations at every turn, and they hardly ever change.
    std::shared_ptr<const Parts> parts_;
};

}  // namespace orrery::raft
