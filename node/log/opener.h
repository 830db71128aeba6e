// Opener: the steps of SegmentedLog::open(). Reads everything, judges it, and only then writes: the first batch of the
// new epoch, which voids all from the last good batch on and repeats that batch's records, because the last good batch
// may have been seen in the page cache only.
#pragma once

#include <memory>

#include "node/log/scan.h"
#include "node/log/segmented_log.h"

namespace orrery::log {

class Opener {
 public:
    Opener(Env& env, Options options, const SegmentedLog::DurableAppliedLookup& durable_applied, const HolesLookup& fetchable,
           RecoveryReport& report)
        : env_(env), options_(std::move(options)), durable_applied_(durable_applied), fetchable_(fetchable), report_(report) {}

    /// Yields. Errors: as SegmentedLog::open().
    Result<std::unique_ptr<SegmentedLog>> run(Fiber& fiber);

 private:
    Result<void> check_options() const;
    Result<void> prepare_directory(Blocking& blocking);
    Result<void> open_segments(Blocking& blocking);
    Result<void> read_all(Blocking& blocking);
    void cut_at_damage();
    void judge();
    void bound_holes();
    void judge_group(GroupId id, GroupReport& group);
    Error refusal() const;
    void adopt(SegmentedLog& log);
    Result<void> fill_free(Blocking& blocking, SegmentedLog& log, uint64_t count);
    Bytes first_batch(SegmentedLog& log);

    Env& env_;
    Options options_;
    const SegmentedLog::DurableAppliedLookup& durable_applied_;
    const HolesLookup& fetchable_;
    RecoveryReport& report_;
    uint64_t fresh_log_id_ = 0;
    Identity identity_;
    SegmentTable segments_;
    Found found_;
    Chain chain_;
    Replay replay_;
    Bytes newest_bytes_;
    std::map<GroupId, Floor> raised_;  // floors that move above damage nobody misses
};

}  // namespace orrery::log
