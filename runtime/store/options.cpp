// The option set of RocksDB: what keeps it on our threads, our files and a small footprint, each with its reason.
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>

#include <algorithm>

#include "runtime/store/engine.h"
#include "runtime/store/memtable.h"

namespace orrery::store {

namespace {
constexpr uint64_t kSmallMemtable = 1ull << 20;  // up to here the footprint of one database matters more than its speed
constexpr int kNever = 1 << 30;
}  // namespace

Options Options::small() {
    return {.memtable_bytes = 128 << 10, .cache_bytes = 1 << 20, .file_bytes = 256 << 10};
}

rocksdb::Options rocksdb_options(const Options& options) {
    const bool small = options.memtable_bytes <= kSmallMemtable;
    rocksdb::Options out;
    out.create_if_missing = true;
    out.db_host_id = "orrery";

    // Memory. Only memtables may refuse a write; no compaction debt does (its size is in Stats).
    out.write_buffer_size = options.memtable_bytes;
    out.max_write_buffer_number = static_cast<int>(options.memtables_max);
    out.min_write_buffer_number_to_merge = 1;
    out.arena_block_size = small ? 4 << 10 : 0;
    out.memtable_factory = make_memtable_factory(options.key_prefix_bytes);
    out.allow_concurrent_memtable_write = false;  // one writer: the loop thread
    out.enable_write_thread_adaptive_yield = false;
    out.level0_file_num_compaction_trigger = 4;
    out.level0_slowdown_writes_trigger = kNever;
    out.level0_stop_writes_trigger = kNever;
    out.soft_pending_compaction_bytes_limit = 0;
    out.hard_pending_compaction_bytes_limit = 0;

    // Jobs: one flush and one compaction at a time, each on one thread, none retried by itself.
    out.max_background_jobs = 2;
    out.max_subcompactions = 1;
    out.max_file_opening_threads = 1;
    out.max_bgerror_resume_count = 0;
    out.avoid_unnecessary_blocking_io = true;  // reads of the loop thread never delete files
    out.avoid_flush_during_shutdown = true;    // Store::close flushes in the open
    out.stats_dump_period_sec = 0;
    out.stats_persist_period_sec = 0;
    out.ttl = 0;
    out.periodic_compaction_seconds = 0;

    // Opening.
    out.max_open_files = -1;  // every table stays open, so that get_cached() finds their indexes
    out.skip_stats_update_on_db_open = true;
    out.skip_checking_sst_file_sizes_on_db_open = true;
    out.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
    out.recycle_log_file_num = 0;
    out.paranoid_checks = true;

    // Shape.
    out.compression = rocksdb::kNoCompression;
    out.num_levels = small ? 4 : 6;
    out.target_file_size_base = options.file_bytes;
    out.max_bytes_for_level_base = std::max(4 * options.memtable_bytes, 4 * options.file_bytes);
    out.level_compaction_dynamic_level_bytes = true;
    out.writable_file_max_buffer_size = small ? 8 << 10 : 1 << 20;
    out.table_cache_numshardbits = small ? 0 : 6;
    out.max_manifest_file_size = 8 << 20;

    rocksdb::BlockBasedTableOptions table;
    rocksdb::LRUCacheOptions cache;
    cache.capacity = options.cache_bytes;
    cache.num_shard_bits = small ? 0 : 2;
    cache.metadata_charge_policy = rocksdb::kDontChargeCacheMetadata;
    table.block_cache = rocksdb::NewLRUCache(cache);
    table.cache_index_and_filter_blocks = false;
    // What was just flushed is what is read next, and the loop thread must find it without a read.
    table.prepopulate_block_cache = rocksdb::BlockBasedTableOptions::PrepopulateBlockCache::kFlushOnly;
    table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
    table.format_version = 5;
    out.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    return out;
}

}  // namespace orrery::store
