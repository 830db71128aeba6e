// NodeDirectory: who this node is, on disk. An identity {node id, random incarnation} made at the first start, and at
// most one cluster in its life: the one it founded with others, or the one whose leader took it in (join).
//
// A wiped directory makes a new incarnation, so the cluster that knew the old one never takes the new one for it: its
// replica ids differ, its sessions are refused, and it answers nothing but its identity and init.
//
// A directory whose replicas lost what they had promised (their log is damaged where nothing can tell what is missing) takes
// a new incarnation too, in place: retire(). The old one is never used again, what belonged to it is kept aside until a
// committed configuration is without it, and the node takes part again only once its cluster has taken in the new one.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

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
    /// The life before this one, whose replica may not go on.
    struct Retired {
        wire::FoundingRecord founding;  // of the cluster that it was in
        GroupId group;
        ReplicaId replica;
        LogIndex since;
        Bytes configuration;  // encoded: where the others were when it ended
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
    /// Set from retire() until drop_retired(): the cluster still has to put this life in the place of that one.
    const std::optional<Retired>& retired() const { return retired_; }
    /// Every incarnation that this directory had and may never have again, oldest first: the tombstones of their replicas.
    const std::vector<Incarnation>& tombstones() const { return tombstones_; }
    /// Waits until it belongs to a cluster. Yields. Errors: Cancelled.
    Result<void> wait_founded(Fiber& fiber);
    /// Takes a founding record, durably. The same one again is fine. Yields. Errors: Exists (founded otherwise), Invalid
    /// (does not name this incarnation), Io, NoSpace, Cancelled.
    Result<void> found(Fiber& fiber, const wire::FoundingRecord& record);
    /// Joins a cluster, durably. The same cluster again is fine and changes nothing. Yields. Errors: Exists (in another
    /// cluster), Invalid (does not name this very life of this node), Io, NoSpace, Cancelled.
    Result<void> join(Fiber& fiber, const wire::JoinRequest& request);

    /// Ends the present life and begins another: tombstone and new incarnation first, durably, then everything else in the
    /// data directory goes to `retired/<incarnation>/`. The node belongs to no cluster afterwards, and takes the word of that
    /// very cluster only. A crash anywhere is gone on with by open(). An Error event `replica.retired` says it, with `why`. Yields.
    /// Requires: it is in a cluster; log and Store are not open. Errors: Io, NoSpace, Cancelled; Exists (more lives than the file
    /// of the identity can name).
    Result<void> retire(Fiber& fiber, Retired ending, const std::string& why);
    /// Removes what is kept of retired lives. Requires: a committed configuration names this life, and none of those. Yields.
    /// Errors: Io, Cancelled.
    Result<void> drop_retired(Fiber& fiber);

 private:
    NodeDirectory(Env& env, Options options) : env_(env), options_(std::move(options)) {}
    Result<void> begin_new_life(Fiber& fiber, const std::string& why);
    Result<void> put_aside(Fiber& fiber, Incarnation ended, std::vector<std::string> files);

    Env& env_;
    Options options_;
    rpc::Identity identity_;
    std::vector<Incarnation> tombstones_;
    std::optional<wire::FoundingRecord> founding_;
    std::optional<Joined> joined_;
    std::optional<Retired> retired_;
    Notify founded_;
    Mutex writing_;
};

}  // namespace orrery::raft
