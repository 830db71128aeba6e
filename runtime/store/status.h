// RocksDB's statuses and our Errors, both ways.
#pragma once

#include <rocksdb/io_status.h>
#include <rocksdb/status.h>

#include <string_view>

#include "runtime/base/result.h"

namespace orrery::store {

/// What RocksDB is told of a failed Disk call. Never retryable: RocksDB must not repeat a write or sync by itself.
rocksdb::IOStatus to_io_status(const Error& error);
/// What our callers are told. Requires: !status.ok().
Error to_error(const rocksdb::Status& status, std::string_view doing);

}  // namespace orrery::store
