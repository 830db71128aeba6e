// NodeDirectory: who this node is, on disk. An identity {node id, random incarnation} made at the first start, and at
// most one cluster in its life: the one it founded with others, or the one whose leader took it in (join).
//
// A wiped directory makes a new incarnation, so the cluster that knew the old one never takes the new one for it: its
// replica ids differ, its sessions are refused, and it answers nothing but its identity and init.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "node/rpc/options.h"
#include "node/wire/membership.h"
#include "runtime/env/env.h"

namespace orrery::raft {

class NodeDirectory {
 public:
    /// How a node came into a cluster that was there before it.
    struct Joined {
        LogIndex since;      // index of the configuration that names it: an earlier one says nothing of it
        Bytes configuration;  // encoded; where the others are, until the log says
    };
    struct Options {
        NodeId node;                  // configured; must equal the one on disk
        std::string peer_address;     // HOST:PORT that others reach us at
        std::string service_address;
    };
    /// Reads the directory, or makes the identity and syncs it. Yields. Errors: Invalid (the directory belongs to another
    /// node id), Corrupt (file, what to do), Io, NoSpace, Cancelled. Requires: no other process has the directory (the
    /// Env's owner holds its lock).
    static Result<std::unique_ptr<NodeDirectory>> open(Fiber& fiber, Env& env, Options options);

    const rpc::Identity& identity() const { return identity_; }
    wire::NodeIdentity node_identity() const;
    /// Of the cluster this node belongs to, whether it founded it or joined later; nullopt: none yet.
    const std::optional<wire::FoundingRecord>& founding() const { return founding_; }
    /// Set when it joined.
    const std::optional<Joined>& joined() const { return joined_; }
    /// Waits for a founding record. Yields. Errors: Cancelled.
    Result<void> wait_founded(Fiber& fiber) { return founded_.wait(fiber); }
    /// Takes a founding record, durably. The same one again is fine. Yields. Errors: Exists (founded otherwise), Invalid
    /// (does not name this incarnation), Io, NoSpace, Cancelled.
    Result<void> found(Fiber& fiber, const wire::FoundingRecord& record);
    /// Joins a cluster, durably. The same cluster again is fine and changes nothing. Yields. Errors: Exists (in another
    /// cluster), Invalid (does not name this very life of this node), Io, NoSpace, Cancelled.
    Result<void> join(Fiber& fiber, const wire::JoinRequest& request);

 private:
    NodeDirectory(Env& env, Options options) : env_(env), options_(std::move(options)) {}
    Env& env_;
    Options options_;
    rpc::Identity identity_;
    std::optional<wire::FoundingRecord> founding_;
    std::optional<Joined> joined_;
    Event founded_;
    Mutex writing_;
};

}  // namespace orrery::raft
