// The main of every daemon that keeps a replica of a group: its flags, the configuration that all of them have, and the run.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "node/admin/metrics.h"
#include "node/replica/replica_process.h"
#include "runtime/real/daemon.h"

namespace orrery::daemon {

/// What one daemon is and another is not.
struct ReplicaDaemon {
    std::string name;            // "orrery-kv"
    std::string about;           // for --help
    std::string peer_listen;     // HOST:PORT by default
    std::string service_prefix;  // of the keys about its clients: "client" for client.listen
    std::string service_listen;  // HOST:PORT by default
    std::string service_doc;     // who connects there
    std::span<const admin::MetricInfo> metrics;
    /// Adds its own keys, and rules about them.
    std::function<void(real::ConfigSchema&)> add_keys;
    /// Requires: a configuration that passed all rules. `options` is what the shared keys say.
    std::function<std::unique_ptr<Process>(Env&, const real::Config&, const replica::ReplicaOptions& options)> make;
};

/// Everything from main() to the exit code.
int replica_main(int argc, char** argv, const ReplicaDaemon& daemon);

}  // namespace orrery::daemon
