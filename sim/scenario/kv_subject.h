// KvSubject: a run about one group of orrery-kv: clients that speak RESP, waits for replicas, keys that expire, equal states.
#pragma once

#include "sim/check/durability.h"
#include "sim/check/expiry.h"
#include "sim/check/wait_checker.h"
#include "sim/scenario/subject.h"
#include "sim/scenario/workload.h"

namespace orrery::sim {

class KvSubject : public Subject {
 public:
    KvSubject(Stage& stage, Watcher& watcher, check::ExpiryChecker& expiry, check::WaitChecker& waits);

    void start() override { workload_.start(); }
    void stop() override { workload_.stop(); }
    bool finished() const override { return workload_.finished(); }
    bool verify() override;
    bool violated() const override { return !waits_.violations().empty(); }
    void judge(bool verified, const std::vector<Fired>& fired, RunResult& result, std::vector<check::Verdict>& parts) override;
    uint64_t ok() const override { return workload_.ok(); }
    uint64_t unknown() const override { return workload_.unknown(); }

 private:
    using Ended = Stage::Ended;
    bool anyone_lost();
    bool verify_last_write();
    Ended verify_waits();
    bool read_everything();
    bool compare_states();
    void look_at_leases();
    void judge_history(RunResult& result, std::vector<check::Verdict>& parts);
    check::Verdict judge_expiry(const std::vector<Fired>& fired);

    Stage& stage_;
    const Scenario& plan_;
    Cluster& cluster_;
    Watcher& watcher_;
    check::ExpiryChecker& expiry_;
    check::WaitChecker& waits_;
    Workload workload_;
    check::ReplicaEquality replicas_;
    check::DurabilityLedger ledger_;
    // What harness fibers write: they may outlive the function that spawned them.
    std::optional<Result<Workload::Held>> held_;
    std::optional<Result<void>> read_;
    std::optional<Result<void>> idle_;
    std::optional<Result<size_t>> left_;
    std::vector<check::ReplicaState> states_;
    uint64_t digests_pending_ = 0;
};

}  // namespace orrery::sim
