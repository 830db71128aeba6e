// The steps by which members change, as pure functions from one configuration to the next.
//
// What an operator wants is one entry: a learner that is to be promoted, or a joint configuration without the removed
// voter. What follows from it (promotion once caught up, the end of a joint configuration) is next_step(): it needs
// nothing but the configuration in force, so any leader goes on with it, after any crash.
//
// Copies: a voter is added or replaced by a joint configuration that is entered only when the newcomer holds the log, and
// until then counts for nothing; so at every instant a commit needs as many synced copies as before the change.
#pragma once

#include "node/raft/core/configuration.h"

namespace orrery::raft {

enum class AddAs : uint8_t { Voter, Learner };

/// The configuration in which `member` is, or will be by next_step(), what is asked. nullopt: it is so already. A node that
/// is a voter under another replica id is replaced: the old one stays until the new one has caught up.
/// Errors: NotReady (joint: a change is under way), Invalid (a voter cannot become a learner; too many).
Result<std::optional<Configuration>> with_member(const Configuration& now, Member member, AddAs as, ByteView contact);
/// The configuration that takes `node` out, or begins to. nullopt: it is no member.
/// Errors: NotReady (joint), Invalid (the last voter).
Result<std::optional<Configuration>> without_node(const Configuration& now, NodeId node);
/// The configuration with these leases (a zero promise: none). nullopt: it is so already.
/// Errors: NotReady (joint), Invalid (out of range).
Result<std::optional<Configuration>> with_lease(const Configuration& now, const Lease& lease);
/// What follows from `now` once it is committed: the end of a joint configuration, or the promotion of learners that are
/// caught up. nullopt: nothing (yet).
std::optional<Configuration> next_step(const Configuration& now, FunctionRef<bool(Member)> caught_up);

}  // namespace orrery::raft
