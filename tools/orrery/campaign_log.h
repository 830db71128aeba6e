// The log of a shard of a campaign, read back, so that `fuzz --resume` goes on where it ended, however it ended.
//
// A line is written in one piece; what can not be read (the last line of a full disk, say) is a line that was never
// written: its seed runs again. Of a seed that was written twice the later line counts. Pure: text in, values out.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "tools/orrery/campaign.h"
#include "tools/orrery/console.h"

namespace orrery::cli {

/// A seed that was run.
struct LoggedSeed {
    RunRecord record;  // what the sums and the known failures need of it
    uint64_t plan_bytes = 0;
    std::optional<bool> equal_again;  // its repetition, where it had one
    std::string place;                // run directory, or the command that runs it again; "" where none was kept
    bool captured = false;            // it was run again with everything written down
};

struct CampaignLog {
    uint64_t base = 0;
    std::string shard;          // "0/4"
    std::string scenario_hash;
    std::string build_id;
    std::string commit;
    std::map<uint64_t, LoggedSeed> seeds;  // by k
    std::map<uint64_t, std::string> differences;  // k -> how its repetition differed
    Duration elapsed{};                    // wall time used, as far as is known
    uint64_t unreadable = 0;               // lines
};

/// The log's last campaign; nullopt: none has begun there.
std::optional<CampaignLog> read_campaign_log(ByteView text);

/// The line of a seed. `elapsed`: wall time of the campaign so far.
Json seed_line(uint64_t k, const RunRecord& record, std::string_view verdict, uint64_t plan_bytes, Duration wall, Duration elapsed);

/// Of scenarios with their settings and defects, in order: equal when every seed means the same run.
std::string scenario_set_hash(const std::vector<std::string>& plans);

/// Which seeds of the log are finished: with their repetition and their run directory, where they were owed one. Puts them
/// into the sums and the known failures, in the order of k. `file_of` says which file a scenario came from.
std::map<uint64_t, bool> take_finished(const CampaignLog& log, Shard shard, const std::map<std::string, std::string>& file_of, CampaignTotals& totals, KnownFailures& failures);

}  // namespace orrery::cli
