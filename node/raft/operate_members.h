// Members of a group: the operator's side, for orreryctl and for the operator of a simulated cluster.
//
// All changes say what shall be so, so repeating one is harmless: what nobody answered is asked again until the deadline.
#pragma once

#include <functional>
#include <vector>

#include "node/raft/core/membership.h"
#include "node/wire/membership.h"
#include "runtime/env/env.h"

namespace orrery::raft {

struct OperatedGroup {
    std::vector<Address> at;  // peer addresses of any members; asked in turn, each asks the leader
    GroupId group;
};

/// Who is there. Repeats until it answers. Yields. Errors: Timeout, Invalid, Cancelled.
Result<wire::IdentityReply> ask_identity(Fiber& fiber, Env& env, const Address& node, Instant deadline);
/// The leader's view if one can be had by the deadline, else that of some member. Yields. Errors: Timeout (who did not
/// answer), Cancelled.
Result<wire::GroupMembersReply> ask_members(Fiber& fiber, Env& env, const OperatedGroup& group, Instant deadline);
/// Yields. Errors: Invalid (refused, with the reason), NotReady (did not begin by the deadline), Unknown (may still take
/// effect), Timeout (nobody answered), Cancelled.
Result<wire::GroupChangeReply> change_members(Fiber& fiber, Env& env, const OperatedGroup& group, const wire::GroupChange& change,
                                              Instant deadline);
/// Takes in the node at that peer address, and waits until it is what it shall be: a voter, or a learner that answers.
/// `progress` hears how it gets on. Yields. Errors: as change_members; Exists (it belongs to another cluster, or was removed
/// from this one); Timeout: it is named, but not there yet (it goes on by itself).
Result<wire::GroupMember> add_member(Fiber& fiber, Env& env, const OperatedGroup& group, const Address& node, AddAs as, Instant deadline,
                                     const std::function<void(const std::string&)>& progress);

}  // namespace orrery::raft
