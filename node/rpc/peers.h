// Peers: the way from this node to the others: one session per peer and traffic class, made at first use, made again
// after a loss with growing, jittered pauses.
//
// A session that is lost takes its requests with it (they end as Unknown or Unreachable); nothing is repeated here.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "node/rpc/session.h"
#include "runtime/env/env.h"

namespace orrery::rpc {

enum class LinkChange : uint8_t { Up, Down };

struct PeersOptions {
    SessionOptions session{};
    Duration connect_timeout = Duration::seconds(2);
    /// First pause after a failed or lost connection; doubles up to the maximum; each is drawn from [half, whole].
    Duration backoff_min = Duration::millis(20);
    Duration backoff_max = Duration::seconds(2);
    /// How long a request waits for a session at most, within its own deadline.
    Duration wait_for_session = Duration::seconds(2);
    /// Told, atomically, when a session comes up or is lost. May be empty.
    std::function<void(NodeId, TrafficClass, LinkChange)> on_change{};
};

class Peers {
 public:
    /// `identity` is read at every handshake.
    Peers(Env& env, const Identity& identity, PeersOptions options);
    /// Requires: close() has returned, or nothing was ever started.
    ~Peers();
    Peers(const Peers&) = delete;
    Peers& operator=(const Peers&) = delete;

    /// Where a node listens; incarnation 0 accepts any life of it. A change shuts the sessions of the old one. Atomic.
    void set_address(NodeId node, const Address& address, Incarnation incarnation = Incarnation{});
    /// Shuts its sessions and forgets it. Atomic.
    void remove(NodeId node);
    std::optional<Address> address(NodeId node) const;
    /// Has a session begun, if there is none: the first message would be dropped for want of one. Atomic.
    void begin(NodeId node, TrafficClass traffic) { (void)want(node, traffic); }

    /// One-way message on the session of `traffic`. False when dropped (no session yet: one is begun). Atomic.
    bool send(NodeId node, Operation operation, GroupId group, uint64_t entity, TrafficClass traffic, Bytes payload);
    /// Request and answer. Yields. Errors: as Session::call(); Unreachable when no session could be had in time
    /// (context: why the last attempt failed, or that no address of the node is known).
    Result<Bytes> call(Fiber& fiber, NodeId node, const Target& target, Bytes body);
    /// A request with streams. Yields: until there is a session. Errors: as Session::open(), and as call().
    Result<Exchange> open(Fiber& fiber, NodeId node, const Target& target, Bytes body, Upload upload = Upload::None);
    /// The live session, waiting for one. Yields. Errors: as call().
    Result<std::shared_ptr<Session>> session(Fiber& fiber, NodeId node, TrafficClass traffic, Instant deadline);
    bool connected(NodeId node, TrafficClass traffic) const;

    /// Ends everything. Yields: until all fibers have ended. Errors: Timeout, Cancelled.
    Result<void> close(Fiber& fiber, Instant deadline = Instant::never());
    /// One-way messages dropped for want of a session or of room.
    uint64_t messages_dropped() const { return messages_dropped_; }
    /// Written to the others since the start, frames' headers included: of sessions that ended, and those there are.
    uint64_t bytes_sent() const;
    /// For /status: one line a link.
    std::string dump() const;

 private:
    struct Link;
    struct Node {
        Address address;
        Incarnation incarnation;
        std::shared_ptr<Link> links[wire::kTrafficClasses];
    };
    std::shared_ptr<Link> want(NodeId node, TrafficClass traffic);
    void keep(Fiber& fiber, NodeId node, TrafficClass traffic, const std::shared_ptr<Link>& link);
    Result<std::shared_ptr<Session>> connect(Fiber& fiber, NodeId node, TrafficClass traffic, const Link& link);
    static void abandon(Link& link, const char* why);

    Env& env_;
    const Identity& identity_;
    PeersOptions options_;
    std::map<NodeId, Node> nodes_;
    uint64_t messages_dropped_ = 0;
    uint64_t bytes_sent_ = 0;  // on sessions that have ended
    RandomStream nonces_;
    Gate gate_;
};

}  // namespace orrery::rpc
