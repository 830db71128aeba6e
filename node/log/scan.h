// Reading a log back: which batches lie in which segment, which of them count, and what their records add up to.
//
// The row of batches is walked from the newest good one down to the oldest that it calls live; every header names its
// predecessor. What stands above the newest is the torn tail, what is missing below it is damage, what a later epoch
// declared void is neither. Changes nothing on disk and knows no fibers.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "node/log/format.h"
#include "node/log/live_index.h"
#include "node/log/report.h"
#include "node/log/segment_files.h"

namespace orrery::log {

struct FoundBatch {
    BatchHeader header;
    uint32_t segment = 0;  // slot
    uint64_t offset = 0;
    bool whole = false;
};

struct Found {
    std::vector<FoundBatch> batches;  // every place with a header that fits it, also recycled and void ones
    std::vector<std::pair<uint32_t, uint64_t>> bad_headers;  // blocks that begin like a header and are none
};

/// Reads one segment and adds to `found`. Sectors that can not be read count as bad bytes. Errors: Io other than those.
Result<void> scan_segment(Blocking& blocking, const Segment& segment, uint32_t slot, const Identity& identity, Found& found);

/// One place of the row: a batch, or a gap of numbers whose batches are gone.
struct Link {
    uint64_t number = 0;   // highest of a gap
    uint64_t lowest = 0;   // == number for a batch
    std::optional<FoundBatch> batch;

    bool good() const { return batch && batch->whole; }
};

struct Chain {
    std::vector<Link> links;  // oldest first; the last is good, or there is none at all
    uint64_t highest_number = 0;  // of any header seen
    uint64_t highest_epoch = 0;
    std::optional<DamagedPlace> torn_tail;
};

Chain resolve(const Found& found, const SegmentTable& segments);

/// The state after the last link.
struct Replay {
    LiveIndex index;
    std::map<std::pair<uint32_t, uint64_t>, DamagedPlace> bad_bodies;  // by location of the record
};

/// Reads the links in order into `replay`; lost batches and records go into the report's unnamed and node damage.
Result<void> replay_chain(Blocking& blocking, const Chain& chain, const SegmentTable& segments, Replay& replay,
                          RecoveryReport& report);
/// Reads the links once more and fills the report's groups with what is live. Bad bodies stay empty.
Result<void> load_live(Blocking& blocking, const Chain& chain, const SegmentTable& segments, const Replay& replay,
                       RecoveryReport& report);

/// Reads one batch. Unreadable sectors come back as zeros.
Result<Bytes> read_batch(Blocking& blocking, const Segment& segment, const FoundBatch& batch);

}  // namespace orrery::log
