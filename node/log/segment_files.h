// The files of a log: `identity` and `segment-<number>`, each segment written full of zeros once, then only overwritten.
//
// Overwriting allocated blocks needs neither space nor a size update, so a batch costs one write and one fdatasync. A
// new file is filled under a temporary name, synced, renamed, and the directory synced: a segment that is listed is whole.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/env/disk.h"

namespace orrery::log {

struct Segment {
    uint64_t number = 0;  // of the file; never reused, part of every batch header in it
    std::string path;
    std::unique_ptr<File> file;
    uint64_t first_batch = 0;  // of its present use; 0 while free
    uint64_t used_bytes = 0;   // batches lie end to end below
    uint32_t pins = 0;         // reads under way: not free before they end
    bool dead = false;         // becomes free when its last pin goes
};

/// Slots are stable: segments are never removed while the log is open.
using SegmentTable = std::vector<Segment>;

std::string segment_path(const std::string& directory, uint64_t number);
/// nullopt for any other file name.
std::optional<uint64_t> segment_number(std::string_view name);

/// Creates a zero-filled, synced, named segment. A failure leaves no segment behind, at most a file that ends in `.new`.
/// Errors: NoSpace, Io.
Result<Segment> create_segment(Blocking& blocking, Disk& disk, const std::string& directory, uint64_t number,
                               uint64_t segment_bytes);

struct Identity {
    uint64_t log_id = 0;
    uint64_t segment_bytes = 0;
};

/// NotFound when there is no identity file; Corrupt when both of its copies are bad.
Result<Identity> read_identity(Blocking& blocking, Disk& disk, const std::string& directory);
/// Durable on return. Errors: NoSpace, Io.
Result<void> write_identity(Blocking& blocking, Disk& disk, const std::string& directory, const Identity& identity);

}  // namespace orrery::log
