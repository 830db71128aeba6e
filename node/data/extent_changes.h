// What commands do to the records of extents: computation only. Bytes are not needed for it, since checksums of blocks are derived
// from the old ones and from what the command carries.
//
// The last line of defence is here: an append that does not begin at the extent's end, images made of an older state, an id that was
// there before are refused, on every replica alike, and change nothing.
#pragma once

#include <map>
#include <optional>

#include "node/data/extent_format.h"

namespace orrery::data {

/// The records as the next entry sees them.
class ExtentView {
 public:
    virtual ~ExtentView() = default;
    /// By key (extent_format.h); nullopt: there is none. May yield. Errors: Io, Corrupt, Cancelled.
    virtual Result<std::optional<Bytes>> get(ByteView key) = 0;
};

/// Key -> value, or nothing where the record is erased.
using ExtentChanges = std::map<Bytes, std::optional<Bytes>>;

struct ExtentOutcome {
    std::optional<Error> refused;  // nothing is changed then
    ExtentChanges changes;
};

/// Deterministic in (command, index, view). May yield as the view does. Errors: the view's, Corrupt (a record).
Result<ExtentOutcome> change_extent(const wire::ExtentCommand& command, LogIndex index, ExtentView& view);

/// nullopt: there never was one. Errors: the view's, Corrupt.
Result<std::optional<ExtentRecord>> read_extent(ExtentView& view, ExtentId extent);
Result<std::optional<BlockRecord>> read_block(ExtentView& view, ExtentId extent, uint64_t block);

}  // namespace orrery::data
