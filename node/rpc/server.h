// Server: one listener and the sessions it accepted, all served by one Service. A node has two: peer and service.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "node/rpc/session.h"
#include "runtime/env/env.h"

namespace orrery::rpc {

struct ServerOptions {
    std::string name = "peer";  // in events: "peer" or "service"
    SessionOptions session{};
    /// Connections at once, those still in their handshake included; beyond it new ones are closed with a warning.
    uint32_t max_sessions = 1024;
    Session::Admission admission{};  // may be empty: all of the cluster
};

class Server {
 public:
    /// `service` is complete before start(). `identity` is read at every handshake.
    Server(Env& env, const Identity& identity, const Service& service, ServerOptions options);
    /// Requires: stop() has returned, or start() was never called.
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    /// Listens and accepts. Atomic. Errors: Exists (address taken), Invalid.
    Result<void> start(const Address& at);
    /// Requires: started.
    Address local() const;
    /// No new connection, no new request; what runs may end until `drain`, then sessions are shut.
    /// Yields: until all fibers have ended. Errors: Cancelled.
    Result<void> stop(Fiber& fiber, Instant drain);
    /// At once and atomic: listener and sessions are closed; stop() still has to be called.
    void shut();
    size_t sessions() const { return sessions_.size(); }
    uint64_t refused() const { return refused_; }  // handshakes that failed, garbage included
    /// For /status: one line a session.
    std::string dump() const;

 private:
    void accept_loop(Fiber& fiber);
    void serve(Fiber& fiber, uint64_t connection, std::unique_ptr<Conn> conn);

    Env& env_;
    const Identity& identity_;
    const Service& service_;
    ServerOptions options_;
    std::unique_ptr<Listener> listener_;
    std::map<SessionId, std::shared_ptr<Session>> sessions_;
    std::map<uint64_t, FiberId> handshakes_;  // connections without a session yet
    uint64_t next_connection_ = 0;
    uint64_t refused_ = 0;
    bool stopping_ = false;
    RandomStream nonces_;
    Gate gate_;
};

}  // namespace orrery::rpc
