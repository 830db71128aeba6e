#include "runtime/store/engine.h"

#include <rocksdb/convenience.h>
#include <rocksdb/table.h>

#include <algorithm>

#include "runtime/store/manifest_tail.h"
#include "runtime/store/status.h"

namespace orrery::store {

namespace {

std::shared_ptr<RocksCall> make_call(const Random& random) {
    RandomStream draws = random.stream("store.rocksdb");
    auto call = std::make_shared<RocksCall>();
    call->random_state = static_cast<uint32_t>(1 + draws.below(0x7ffffffe));
    call->id_seed = draws.next();
    return call;
}

std::string make_unique_id(const Random& random) {
    RandomStream draws = random.stream("store.identity");
    return std::to_string(draws.next()) + "-" + std::to_string(draws.next());
}

}  // namespace

Engine::Engine(Env& env, const Options& options, std::shared_ptr<rocksdb::EventListener> listener)
    : disk_(env.disk),
      path_(options.path),
      call_(make_call(env.random)),
      jobs_(std::make_shared<JobQueue>(env.executor, call_)),
      clock_(std::make_shared<ThreadClock>()),
      log_(std::make_shared<RecentLog>()),
      files_(std::make_shared<DiskFileSystem>(env.disk, options.path, clock_, log_)),
      rocks_env_(std::make_unique<RocksEnv>(files_, clock_, log_, jobs_, make_unique_id(env.random))),
      options_(rocksdb_options(options)) {
    call_->jobs = jobs_.get();
    clock_->refresh(env.clock);
    options_.env = rocks_env_.get();
    options_.info_log = log_;
    options_.listeners.push_back(std::move(listener));
    cache_ = options_.table_factory->GetOptions<rocksdb::BlockBasedTableOptions>()->block_cache;
}

Engine::~Engine() { discard(); }

void Engine::discard() {
    if (!db_) return;
    files_->die();
    take_apart();
}

Result<void> Engine::open(Blocking& blocking) {
    TRY(manifest_bytes_cut_, cut_torn_manifest_tail(blocking, disk_, path_));
    const bool was_there = disk_.stat(blocking, path_ + "/CURRENT").ok();
    RocksScope scope(*call_);
    rocksdb::DB* db = nullptr;
    rocksdb::Status status = rocksdb::DB::Open(options_, path_, &db);
    db_.reset(db);
    if (status.ok()) {
        files_->opened();
        files_->keep_reserve();
        return {};
    }
    Error error = to_error(status, "opening the store at '" + path_ + "'");
    if (files_->locked_by_other()) error.code = Code::Exists;
    // A missing table is looked for under LevelDB's suffix last, and then reported under that name.
    for (size_t at; (at = error.context.find(".ldb")) != std::string::npos;) error.context.replace(at, 4, ".sst");
    if (status.IsPathNotFound()) error.code = Code::Corrupt;  // a file that another one of them names is gone
    // Our own options are right: what contradicts them was written otherwise than it reads now.
    if (was_there && (status.IsInvalidArgument() || status.IsNotSupported() || (error.code == Code::Io && read_failed()))) error.code = Code::Corrupt;
    if (error.code == Code::Corrupt)
        error.context += "; it cannot be repaired in place: a node whose groups have other members sets the directory '" + path_ +
                         "' aside and has their state sent, else restore it from a backup";
    return error;
}

void Engine::close(Blocking&) { take_apart(); }

void Engine::take_apart() {
    RocksScope scope(*call_);
    release_all_snapshots();
    // From here on RocksDB schedules nothing. What is still queued ends at once when it is run, and running it here means
    // that nobody has to wait for a thread of the executor, which may have stopped already.
    rocksdb::CancelAllBackgroundWork(db_.get(), /*wait=*/false);
    while (jobs_->run_one()) {}
    db_.reset();
}

const rocksdb::Snapshot* Engine::take_snapshot() {
    RocksScope scope(*call_);
    snapshots_.push_back(db_->GetSnapshot());
    return snapshots_.back();
}

void Engine::release_snapshot(const rocksdb::Snapshot* snapshot) {
    auto at = std::find(snapshots_.begin(), snapshots_.end(), snapshot);
    if (at == snapshots_.end()) return;
    snapshots_.erase(at);
    RocksScope scope(*call_);
    db_->ReleaseSnapshot(snapshot);
}

void Engine::release_all_snapshots() {
    for (const rocksdb::Snapshot* snapshot : snapshots_) db_->ReleaseSnapshot(snapshot);
    snapshots_.clear();
}

}  // namespace orrery::store
