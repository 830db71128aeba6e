// Injector: carries out a fault plan on a world, and tells which of its events fired and which
// changed something.
//
// It strikes between two steps, never inside a fiber. Faults that last end by themselves or at
// heal(). Who is who, how a host starts, and what leadership is, the Cast knows: the injector knows
// hosts and disks only.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "sim/core/world.h"
#include "sim/fault/fault_plan.h"

namespace orrery::sim {

enum class MemberOrder : uint8_t { Add, AddLearner, Remove, Transfer };

class Cast {
 public:
    virtual ~Cast() = default;
    /// The hosts of the group, in the order of their numbers.
    virtual const std::vector<Host*>& members() const = 0;
    /// Clients and operators.
    virtual const std::vector<Host*>& others() const = 0;
    /// "leader(kv)": the member that leads the highest term; "follower(kv,i)": the i-th of the
    /// other members; "any" and "any(kv)": by draw; "all", "all(kv)"; or a host's name. Empty when nobody is meant
    /// now.
    virtual std::vector<Host*> resolve(const NodeName& name, RandomStream& draws) = 0;
    virtual void start(Host& host) = 0;
    /// Hands leadership to `to`. False: nobody could.
    virtual bool transfer(Host& to) = 0;
    /// An operator gives that order and waits for its end at most `within`; `done` hears what came of it, perhaps never.
    virtual void order(MemberOrder, Host&, Duration /*within*/,
                       std::function<void(const std::string& what, bool effective)> done) {
        done("there is no operator", false);
    }
    /// Whether the group owes survival if that host's disk is emptied now.
    virtual bool may_lose(Host& /*host*/) { return true; }
    /// Places on that host's disk whose damage nobody could tell from a torn write (class N): not to be damaged now.
    virtual SimDisk::Spared beyond_detection(Host& /*host*/) { return {}; }
    /// Called before a host dies or loses its disk by the injector's hand.
    virtual void dies(Host& /*host*/, bool /*wiped*/) {}
    /// A node that stopped by itself is started again after a while; this one asks not to (it is
    /// the injector's).
    virtual void keeps_down(Host& /*host*/, bool /*down*/) {}
};

struct Fired {
    size_t event = 0;
    Instant at;
    std::string what;
    bool effective = false;
};

class Injector : public TraceObserver {
 public:
    /// All outlive the injector, which outlives the world's run. Adds itself as an observer when
    /// the plan has `when` triggers.
    Injector(World& world, Cast& cast, const std::vector<PlannedFault>& events);

    /// The chaos phase begins now: `at` triggers count from here.
    void begin();
    /// Nothing strikes any more and everything that lasts ends: links, pauses, stalls, full disks,
    /// latencies, drift. Hosts that are down are started, but for those that shall stay down for
    /// good (`keep_down`).
    void heal();
    /// Latest instant at which an `at` event is due; begin() if there is none.
    Instant last_due() const { return last_due_; }

    /// In order of time; `effective` is final after heal().
    const std::vector<Fired>& fired() const { return fired_; }
    std::vector<size_t> never_fired() const;

    void on_event(Host& host, const TraceEvent& event) override;
    Duration on_checkpoint(Host& host, const TraceEvent& event) override;

    /// Told of each fault as it strikes.
    std::function<void(const Fired&)> on_fired;

 private:
    struct Strike {
        size_t event;
        Host* self;  // who reached the trigger, or null
        RandomStream draws;
        std::vector<Host*> hosts(Injector& injector, const NodeName& name);
    };
    using Probe = std::function<bool()>;

    void strike(size_t event, Host* self);
    void done(size_t event, std::string what, bool effective, Probe probe = {});
    void arm_followers(size_t event);
    bool matches(const TriggerWhen& when, Host& host, const TraceEvent& event);
    void after(Duration delay, std::function<void()> action);

    void apply(Strike& strike, const NetPartition& fault);
    void apply(Strike& strike, const NetClog& fault);
    void apply(Strike& strike, const NetReset& fault);
    void apply(Strike& strike, const NetPortReuse& fault);
    void apply(Strike& strike, const NetChange& fault);
    void apply(Strike& strike, const DiskLatencyChange& fault);
    void apply(Strike& strike, const DiskStall& fault);
    void apply(Strike& strike, const DiskSyncFailure& fault);
    void apply(Strike& strike, const DiskWriteFailure& fault);
    void apply(Strike& strike, const DiskReadError& fault);
    void apply(Strike& strike, const DiskBitRot& fault);
    void apply(Strike& strike, const DiskFull& fault);
    void apply(Strike& strike, const DiskWipe& fault);
    void apply(Strike& strike, const ProcCrash& fault);
    void apply(Strike& strike, const ProcRestart& fault);
    void apply(Strike& strike, const ProcPause& fault);
    void apply(Strike& strike, const ProcGraceful& fault);
    void apply(Strike& strike, const ClockDrift& fault);
    void apply(Strike& strike, const ClockJump& fault);
    void apply(Strike& strike, const AdminTransfer& fault);
    void apply(Strike& strike, const HoldCheckpoint& fault);
    void apply(Strike& strike, const MemberAdd& fault);
    void apply(Strike& strike, const MemberRemove& fault);
    void apply(Strike& strike, const MemberTransfer& fault);
    void apply(Strike& strike, const MemberReplace& fault);
    bool wipe(size_t event, Host& host);
    void expect_damage(Host& host);
    void expect_strangers();
    void order(Strike& strike, MemberOrder order, const NodeName& node, Duration within);

    using Link = std::pair<EndpointId, EndpointId>;
    void cut_for(size_t event, std::vector<Link> links, Duration for_time, std::string what);
    void crash(Host& host, const ProcCrash& fault);
    void start_later(Host& host, Duration delay);
    void resume(Host& host);

    World& world_;
    Cast& cast_;
    const std::vector<PlannedFault>& events_;
    NetOptions usual_net_;
    std::vector<DiskLatency> usual_latency_;  // of members
    Instant begun_ = Instant::never();
    Instant last_due_{};
    bool active_ = false;
    uint64_t epoch_ = 0;             // actions of an earlier epoch do nothing
    std::vector<uint64_t> matched_;  // of each event: trace points seen
    std::vector<bool> struck_;
    std::vector<Fired> fired_;
    std::vector<std::pair<size_t, Probe>>
        probes_;  // position in fired_, whether it changed something
    std::map<size_t, Duration> holds_;
    std::vector<Host*> down_order_;  // as they went down
    std::map<std::string, std::vector<size_t>, std::less<>> by_point_;
};

}  // namespace orrery::sim
