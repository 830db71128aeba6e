// Subject: what a run is about. It drives the clients of one kind of cluster, looks at the state when all faults have ended,
// and judges; the run itself founds the cluster, strikes, heals, and keeps time.
//
// Kinds: kv_subject.h, master_subject.h.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sim/check/convergence.h"
#include "sim/check/history.h"
#include "sim/fault/injector.h"
#include "sim/scenario/cluster.h"
#include "sim/scenario/run.h"
#include "sim/scenario/watcher.h"

namespace orrery::sim {

/// What a subject has of its run. All outlives the subject.
class Stage {
 public:
    Stage(World& the_world, Cluster& the_cluster, const Scenario& the_plan, check::History& the_history, check::Liveness& the_liveness)
        : world(the_world), cluster(the_cluster), plan(the_plan), history(the_history), liveness(the_liveness) {}
    virtual ~Stage() = default;

    enum class Ended : uint8_t { Yes, No };
    /// Runs until `done`, at most until `by`. No: the run is over, or time was.
    virtual Ended run_until(Instant by, const std::function<bool()>& done) = 0;
    virtual bool over() = 0;
    /// A violation that the run itself found.
    virtual void add(std::string_view name, std::string_view site, std::string text) = 0;
    /// What was not checked, and why.
    virtual void note(std::string text) = 0;
    check::Stamp stamp() { return {world.now(), history.mark()}; }
    /// A harness fiber on a host. Its body uses only what outlives the world's steps.
    static void spawn(Host& host, std::string_view name, std::function<void(Fiber&, Env&)> body) {
        host.env()->spawn(name, [env = host.env(), body = std::move(body)](Fiber& fiber) { body(fiber, *env); });
    }

    World& world;
    Cluster& cluster;
    const Scenario& plan;
    check::History& history;
    check::Liveness& liveness;
};

class Subject {
 public:
    virtual ~Subject() = default;

    /// The cluster serves: clients begin.
    virtual void start() = 0;
    /// Clients begin no new operation; those under way end.
    virtual void stop() = 0;
    virtual bool finished() const = 0;
    /// All faults have ended and all clients too: what must hold now. True: it was all looked at.
    virtual bool verify() = 0;
    /// A checker that looks at every event has found something.
    virtual bool violated() const = 0;
    /// Adds the verdicts of its checkers. `verified`: verify() was called and said so.
    virtual void judge(bool verified, const std::vector<Fired>& fired, RunResult& result, std::vector<check::Verdict>& parts) = 0;

    /// Operations of clients, by outcome.
    virtual uint64_t ok() const = 0;
    virtual uint64_t unknown() const = 0;
};

}  // namespace orrery::sim
