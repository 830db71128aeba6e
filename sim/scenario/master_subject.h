// MasterSubject: a run about one group of masters: volumes, lists, data nodes that come and go. What every master shows is
// compared with a model that applies the same entries undisturbed.
#pragma once

#include "sim/check/durability.h"
#include "sim/check/list_checker.h"
#include "sim/scenario/data_stand_in.h"
#include "sim/scenario/master_model.h"
#include "sim/scenario/master_workload.h"
#include "sim/scenario/subject.h"

namespace orrery::sim {

class MasterSubject : public Subject, private TraceObserver {
 public:
    explicit MasterSubject(Stage& stage);

    void start() override;
    void stop() override;
    bool finished() const override { return workload_.finished(); }
    bool verify() override;
    bool violated() const override { return !found_.empty() || !lists_.violations().empty(); }
    void judge(bool verified, const std::vector<Fired>& fired, RunResult& result, std::vector<check::Verdict>& parts) override;
    uint64_t ok() const override { return workload_.ok(); }
    uint64_t unknown() const override { return workload_.unknown(); }

 private:
    void on_event(Host& host, const TraceEvent& event) override;
    void follow(size_t member, LogIndex index);
    bool read_everything();
    bool nobody_waits();
    bool compare_states();
    /// What that member's Store holds of its group, against the model. Yields.
    Result<void> compare_state(Fiber& fiber, size_t member);

    Stage& stage_;
    check::Violations found_;
    check::ListChecker lists_;
    MasterModel model_;
    MasterWorkload workload_;
    DataStandIn data_;
    check::DurabilityLedger ledger_;
    bool lost_track_ = false;  // an entry was not seen in any log: the model cannot go on
    // What harness fibers write: they may outlive the function that spawned them.
    std::optional<Result<void>> read_;
    size_t states_pending_ = 0, states_compared_ = 0;
};

}  // namespace orrery::sim
