// orreryctl kv members, add, remove, transfer, leases: what they ask and what they print.
#pragma once

#include "node/raft/operate_members.h"

namespace orrery::ctl {

enum class Form : uint8_t { Table, Json };

struct KvMembers {
    std::vector<Address> at;
    Duration timeout;

    // All print on standard output, progress on standard error. Yield. Errors: as operate_members.h.
    Result<void> show(Fiber& fiber, Env& env, Form form) const;
    Result<void> add(Fiber& fiber, Env& env, const Address& node, raft::AddAs as) const;
    Result<void> remove(Fiber& fiber, Env& env, NodeId node) const;
    Result<void> transfer(Fiber& fiber, Env& env, NodeId node) const;
    Result<void> leases(Fiber& fiber, Env& env, bool on, uint32_t drift_ppm) const;
};

}  // namespace orrery::ctl
