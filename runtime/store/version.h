// Which RocksDB this is: the library that was linked, and the headers it was compiled against. Runs record it.
#pragma once

#include <cstdint>
#include <string>

namespace orrery::store {

std::string rocksdb_version();
std::string rocksdb_header_version();
/// Over every option that a node sets, at the default and at the small footprint; 0 when RocksDB can not name them.
uint64_t rocksdb_option_hash();

}  // namespace orrery::store
