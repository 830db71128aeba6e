// What a log should hold, kept naively, and one life of a log under a random workload to compare with it.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "fake_disk.h"
#include "node/log/segmented_log.h"

namespace orrery::log::test {

struct GroupModel {
    std::optional<HardState> hard_state;
    Floor floor;
    std::optional<Bytes> configuration;
    std::vector<Entry> entries;

    LogIndex last() const { return entries.empty() ? floor.index : entries.back().index; }
    bool empty() const { return !hard_state && floor == Floor{} && !configuration && entries.empty(); }
    bool operator==(const GroupModel&) const = default;
};

struct Model {
    std::map<GroupId, GroupModel> groups;
    std::map<GroupId, std::set<uint64_t>> tombstones;

    void apply(GroupId group, const Batch& records);
    uint64_t digest() const;
    std::string text() const;
    static Model of(const RecoveryReport& report);
};

Options small_options();

struct LifeOptions {
    uint64_t seed = 1;
    int appends = 60;
    uint64_t groups = 3;
    uint64_t max_body = 2500;
    bool tombstones = true;
    bool stop = false;  // gracefully, at the end
    int slow_slices = 3;
    int64_t crash_at = -1;
    int64_t fail_sync_at = -1;
    int64_t fail_write_at = -1;
};

/// What a life left behind.
struct Life {
    Result<void> opened;
    RecoveryReport report;
    std::vector<uint64_t> digests;  // [t]: the state once ticket t is durable; [0]: as recovered
    uint64_t synced = 0;            // what the log had confirmed
    Model last;                     // everything appended
    Status status;
    std::optional<Error> sealed;
    std::vector<std::string> errors;
    Result<void> stopped;
    int64_t operations = 0;
};

Life live(FakeDisk& disk, const LifeOptions& options);

}  // namespace orrery::log::test
