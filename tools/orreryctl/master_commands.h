// orreryctl status, node, volume, partition: what they ask the masters and what they print.
#pragma once

#include <functional>
#include <optional>

#include "node/client/master_client.h"
#include "tools/orreryctl/cluster_check.h"
#include "tools/orreryctl/master_views.h"

namespace orrery::ctl {

/// Questions: printed on standard output once, or again and again until interrupted.
struct MasterViews {
    std::vector<Address> at;  // service addresses
    Duration timeout;         // for each time
    Form form = Form::Table;
    enum class Times : uint8_t { Once, Repeated } times = Times::Once;

    // Yield. Errors: as MasterClient::query(); NotReady (no master can answer now), Stale (the volume was made anew between two pages), Io.

    Result<void> status(Fiber& fiber, Env& env) const;
    Result<void> nodes(Fiber& fiber, Env& env) const;
    Result<void> volumes(Fiber& fiber, Env& env) const;
    Result<void> volume(Fiber& fiber, Env& env, const std::string& name) const;
    Result<void> partitions(Fiber& fiber, Env& env, const std::string& volume) const;
    Result<void> partition(Fiber& fiber, Env& env, PartitionId id) const;
    Result<void> node(Fiber& fiber, Env& env, NodeId id) const;
    Result<void> tasks(Fiber& fiber, Env& env) const;
    Result<void> task(Fiber& fiber, Env& env, TaskId id) const;
    /// Every anomaly, with what to do. `worst`: what was found the last time.
    Result<void> check(Fiber& fiber, Env& env, Health& worst) const;
    /// One line. With `wanted`, asked again until it is that or better, or `timeout` has passed; printed once.
    Result<void> health(Fiber& fiber, Env& env, std::optional<Health> wanted, Health& found) const;

 private:
    using Ask = std::function<Result<std::string>(Fiber&, client::MasterClient&, Instant deadline)>;
    Result<void> show(Fiber& fiber, Env& env, const Ask& ask) const;
};

struct NewVolume {
    std::string name;
    uint32_t replicas = 3;
    uint32_t partitions = 10;
    uint64_t capacity_bytes = 0;  // 0: no limit
    uint32_t max_partitions = 0;  // 0: as many as masters allow
};

/// Changes. A refusal of the masters is an error here, of its code and with its words.
struct MasterChanges {
    std::vector<Address> at;  // service addresses
    Duration timeout;

    // Print on standard output what came of it. Yield. Errors: of a refusal; as MasterClient::change().

    Result<void> create_volume(Fiber& fiber, Env& env, const NewVolume& volume) const;
    Result<void> delete_volume(Fiber& fiber, Env& env, const std::string& name) const;
    Result<void> extend_volume(Fiber& fiber, Env& env, const std::string& name, uint32_t partitions) const;
    /// `disk` 0: the whole node.
    Result<void> decommission(Fiber& fiber, Env& env, NodeId node, DiskId disk) const;
    Result<void> cancel_decommission(Fiber& fiber, Env& env, NodeId node, DiskId disk) const;

 private:
    /// `look`: the command of orreryctl that shows what came of it.
    Result<wire::MasterAnswer> change(Fiber& fiber, Env& env, wire::MasterCommand command, const std::string& look) const;
};

}  // namespace orrery::ctl
