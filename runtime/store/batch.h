// What a Batch is made of; apart from store.h because it shows RocksDB.
#pragma once

#include <rocksdb/write_batch.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "runtime/store/store.h"

namespace orrery::store {

struct Batch::Rep {
    rocksdb::WriteBatch batch;
    std::vector<std::pair<uint64_t, uint64_t>> marks;  // (subject, value)
};

}  // namespace orrery::store
