#include "runtime/store/version.h"

#include <rocksdb/convenience.h>
#include <rocksdb/version.h>

#include "runtime/base/hash.h"
#include "runtime/store/engine.h"

namespace orrery::store {

std::string rocksdb_version() { return rocksdb::GetRocksVersionAsString(); }

std::string rocksdb_header_version() {
    return std::to_string(ROCKSDB_MAJOR) + "." + std::to_string(ROCKSDB_MINOR) + "." + std::to_string(ROCKSDB_PATCH);
}

uint64_t rocksdb_option_hash() {
    uint64_t hash = 0;
    for (const Options& options : {Options{}, Options::small()}) {
        const rocksdb::Options full = rocksdb_options(options);
        std::string database, family;
        if (!rocksdb::GetStringFromDBOptions(&database, full).ok() || !rocksdb::GetStringFromColumnFamilyOptions(&family, full).ok())
            return 0;
        hash = hash_bytes(family, hash_bytes(database, hash));
    }
    return hash;
}

}  // namespace orrery::store
