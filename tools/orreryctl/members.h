// orreryctl kv|master init, members, add, remove, transfer, and kv leases: what they ask and what they print. The same for every
// group whose members are nodes of their own.
#pragma once

#include "node/raft/operate_members.h"
#include "tools/orreryctl/form.h"

namespace orrery::ctl {

struct Members {
    std::vector<Address> at;  // peer addresses
    GroupId group;
    Duration timeout;

    // All print on standard output, progress on standard error. Yield. Errors: as operate_members.h.

    /// `at` are all founding members. Errors: as found_cluster.h.
    Result<void> found(Fiber& fiber, Env& env) const;
    Result<void> show(Fiber& fiber, Env& env, Form form) const;
    Result<void> add(Fiber& fiber, Env& env, const Address& node, raft::AddAs as) const;
    Result<void> remove(Fiber& fiber, Env& env, NodeId node) const;
    Result<void> transfer(Fiber& fiber, Env& env, NodeId node) const;
    Result<void> leases(Fiber& fiber, Env& env, bool on, uint32_t drift_ppm) const;
};

}  // namespace orrery::ctl
