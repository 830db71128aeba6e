// The torn tail of RocksDB's MANIFEST, cut before RocksDB sees it.
//
// RocksDB takes a record of its MANIFEST that a power loss tore for corruption. A MANIFEST is synced before another record is
// appended (RocksDB does so but for several that it has at once, DiskFileSystem then too). So the last record, and only that,
// may be bad without harm: nothing that was told as durable rests on it. A bad place with the beginning of a record behind it is
// damage, and stays for RocksDB to refuse.
#pragma once

#include <string>

#include "runtime/env/disk.h"

namespace orrery::store {

/// Looks at the MANIFEST that CURRENT names below `directory`; cuts a torn tail and syncs. Does nothing when there is no
/// CURRENT, or nothing to cut. Answers how many bytes were cut. Errors: Io, NoSpace.
Result<uint64_t> cut_torn_manifest_tail(Blocking& blocking, Disk& disk, const std::string& directory);

}  // namespace orrery::store
