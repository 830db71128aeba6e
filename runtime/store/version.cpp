#include "runtime/store/version.h"

#include <rocksdb/version.h>

namespace orrery::store {

std::string rocksdb_version() { return rocksdb::GetRocksVersionAsString(); }

std::string rocksdb_header_version() {
    return std::to_string(ROCKSDB_MAJOR) + "." + std::to_string(ROCKSDB_MINOR) + "." + std::to_string(ROCKSDB_PATCH);
}

}  // namespace orrery::store
