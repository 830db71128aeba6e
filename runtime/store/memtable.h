// The Store's memtable: what was written and not yet flushed, in order, in a B-tree.
//
// RocksDB's own, a skip list, meets about one line of memory that is not in the processor's cache for each level that a
// write goes down, and compares whole keys there; that was a fifth of what a durable write costs. Here nodes hold the
// eight bytes that tell keys apart beside the pointers, so that a write touches a few lines, and of other keys none but the same one's last version.
#pragma once

#include <rocksdb/memtablerep.h>

#include <cstddef>
#include <memory>

namespace orrery::store {

/// `prefix_bytes`: how many bytes at the start of a key are shared by many; the eight behind them tell keys apart. Any value
/// is right for any keys, a fitting one is fast. One writer; readers on any thread.
std::shared_ptr<rocksdb::MemTableRepFactory> make_memtable_factory(size_t prefix_bytes);

}  // namespace orrery::store
