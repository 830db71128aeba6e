// LocalNode: what commands of Route::Local may ask of the node and change in it. KvNode is one; tests have another.
#pragma once

#include "kv/acl.h"
#include "kv/client_state.h"
#include "kv/cluster_view.h"
#include "kv/server_facts.h"
#include "kv/settings.h"
#include "runtime/base/function.h"

namespace orrery::kv {

class LocalNode {
 public:
    virtual ~LocalNode() = default;
    virtual Instant now() const = 0;
    virtual WallTime wall() const = 0;
    virtual ServerFacts facts() const = 0;
    virtual ClientFace face() const = 0;
    /// The members as this node knows them.
    virtual ClusterView cluster() const = 0;

    virtual const Settings& settings() const = 0;
    virtual const Acl& acl() const = 0;
    /// Both take effect for every connection at once. Connections of users that are no more are closed.
    virtual void change_settings(const Settings& settings) = 0;
    virtual void change_acl(Acl acl) = 0;
    /// A wrong user or password was tried: counted.
    virtual void auth_failed() = 0;
    /// CONFIG RESETSTAT.
    virtual void reset_statistics() = 0;

    /// The connections of this node, by id.
    virtual void for_each_client(FunctionRef<void(const ClientState&)> visit) = 0;
    /// Closes it, whatever it is at. Not for the caller's own connection: that has ClientState::closing.
    virtual void kill_client(uint64_t id) = 0;
    /// False: it is not blocked, or is about to be answered.
    virtual bool unblock_client(uint64_t id, Unblock how) = 0;
};

}  // namespace orrery::kv
