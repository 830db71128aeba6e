// Which RocksDB this is: the library that was linked, and the headers it was compiled against. Runs record it.
#pragma once

#include <string>

namespace orrery::store {

std::string rocksdb_version();
std::string rocksdb_header_version();

}  // namespace orrery::store
