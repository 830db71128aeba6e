// AdminServer: what an operator, a probe, a supervisor and Prometheus ask one daemon over HTTP/1.1: /livez,
// /readyz, /status, /metrics.
//
// It speaks over the node's own Listener and Conn, so that a scenario can ask a simulated node the
// same questions. It never waits for the node: checks and the status document are plain calls, so a
// node that is stuck in a fiber still answers. Whoever connects is untrusted: every buffer, wait
// and count here has a bound. Read-only; there is no way to change the node.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/env/env.h"

namespace orrery::admin {

struct AdminLimits {
    uint32_t header_bytes = 8 * 1024;  // request line and fields of one request; beyond it 431
    uint64_t body_bytes = 64 * 1024;   // bodies are read and thrown away; beyond it 413
    uint32_t connections =
        64;  // at once; beyond it the longest idle one is closed, else the new one
    Duration idle_timeout =
        Duration::seconds(60);  // without a first byte of the next request: closed
    Duration request_timeout = Duration::seconds(10);  // from its first byte to its last: 408
    Duration write_timeout =
        Duration::seconds(10);  // a reader that takes none of an answer: closed
};

struct AdminOptions {
    std::string name;  // the daemon's, in the events: "orrery-kv"
    AdminLimits limits{};
};

/// One named condition of /readyz. Atomic (no Fiber): it reports what the node knows. ok(), or why
/// not, for people.
using AdminCheck = std::function<Result<void>()>;
/// The document of /status: one complete JSON value. Atomic.
using AdminStatus = std::function<std::string()>;

struct AdminCounters {
    uint64_t accepted = 0;
    uint64_t refused = 0;    // connections over the limit
    uint64_t evicted = 0;    // idle connections that made room for a new one
    uint64_t requests = 0;   // answered, errors included
    uint64_t malformed = 0;  // 400, 408, 413, 431: the connection is closed after the answer
};

class AdminServer {
 public:
    AdminServer(Env& env, AdminOptions options);
    /// Requires: stop() has returned without error, all fibers of the node have ended, or start()
    /// was never called.
    ~AdminServer();
    AdminServer(const AdminServer&) = delete;
    AdminServer& operator=(const AdminServer&) = delete;

    /// Checks are asked and listed in order of their addition. Requires: before start(); the name
    /// is new, of [a-z0-9_.-].
    void add_check(std::string name, AdminCheck check);
    /// Without it, /status is 404.
    void set_status(AdminStatus status);
    /// The page of /metrics (metrics.h). Atomic. Without it, /metrics is 404.
    void set_metrics(std::function<std::string()> metrics);

    /// Listens and accepts. Atomic. Errors: Exists (address taken), Invalid.
    Result<void> start(const Address& at);
    /// Requires: started.
    Address local() const;
    /// No new connection and no new request; answers under way are finished.
    /// Yields: until all fibers of the server have ended, at most about write_timeout. Errors:
    /// Cancelled.
    Result<void> stop(Fiber& fiber);

    size_t connections() const { return connections_.size(); }
    const AdminCounters& counters() const { return counters_; }

 private:
    struct Connection {
        FiberId fiber;
        bool idle = true;  // between two requests
        Instant idle_since;
    };
    struct Check {
        std::string name;
        AdminCheck ask;
    };
    struct Reply;

    void accept_loop(Fiber& fiber);
    bool make_room();
    void serve(Fiber& fiber, uint64_t id, Conn& conn);
    Reply answer(std::string_view method, std::string_view target) const;
    Reply readyz(bool verbose) const;

    Env& env_;
    AdminOptions options_;
    std::vector<Check> checks_;
    AdminStatus status_;
    std::function<std::string()> metrics_;
    std::unique_ptr<Listener> listener_;
    std::map<uint64_t, Connection> connections_;
    uint64_t next_connection_ = 1;
    AdminCounters counters_;
    bool stopping_ = false;
    Gate gate_;
};

}  // namespace orrery::admin
