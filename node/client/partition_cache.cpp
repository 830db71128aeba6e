#include "node/client/partition_cache.h"

#include <algorithm>

#include "runtime/base/defect.h"

namespace orrery::client {

namespace {
constexpr Duration kPauseMin = Duration::millis(10), kPauseMax = Duration::seconds(2);
}  // namespace

struct PartitionCache::Volume {
    std::string name;
    std::shared_ptr<const VolumeList> list;  // null: none yet. The rest of this group is about it.
    Instant as_of{};                         // nothing was newer then, by our clock
    LogIndex applied;
    Term term;
    Instant used{};
    bool forgotten = false;
    bool doubted = false;  // an answer did not fit: the next question is for the whole list
    Mutex fetching;        // one get() at a time asks
    FiberId follower;
};

PartitionCache::PartitionCache(Env& env, uint64_t number, std::vector<Address> masters, Options options)
    : env_(env), options_(options), client_(env, number, std::move(masters), options.client), draws_(env.random.stream("client.partition_cache", number)) {
    CHECK(options.volumes_max > 0, options.volumes_max);
}

PartitionCache::~PartitionCache() = default;

Result<void> PartitionCache::close(Fiber& fiber) {
    closing_ = true;
    while (!volumes_.empty()) forget(volumes_.begin()->second);
    TRY(client_.close(fiber));  // who is being held back hears of it
    TRY(gate_.close(fiber));
    return client_.close(fiber);
}

// ---- volumes

PartitionCache::Held PartitionCache::volume_of(const std::string& name) {
    auto known = volumes_.find(name);
    if (known == volumes_.end()) {
        if (volumes_.size() >= options_.volumes_max) make_room();
        known = volumes_.emplace(name, std::make_shared<Volume>()).first;
        known->second->name = name;
    }
    known->second->used = env_.now();
    return known->second;
}

void PartitionCache::make_room() {
    const auto oldest = std::ranges::min_element(volumes_, {}, [](const auto& one) { return one.second->used; });
    forget(oldest->second);
}

void PartitionCache::forget(const Held& held) {
    const Held volume = held;
    if (volume->forgotten) return;
    volume->forgotten = true;
    volumes_.erase(volume->name);
    env_.scheduler.cancel(volume->follower);
}

// ---- asking

bool PartitionCache::satisfied(const Volume& volume, Instant oldest, LogIndex at_least) const {
    return volume.list && volume.as_of >= oldest && volume.applied >= at_least;
}

PartitionCache::View PartitionCache::view_of(const Volume& volume) const {
    return {volume.list, std::max(Duration(), env_.clock.reading() - volume.as_of), volume.applied, volume.term};
}

Result<PartitionCache::View> PartitionCache::get(Fiber& fiber, const std::string& name, Duration max_age, LogIndex at_least, Instant deadline) {
    if (name.empty() || name.size() > wire::MasterListRequest::kNameBytesMax) return Error(Code::Invalid, "a volume's name has 1 to 255 bytes");
    const std::optional<Gate::Pass> pass = gate_.enter();
    if (!pass || closing_) return Error(Code::Cancelled, "this cache is closed");
    const Instant called = env_.clock.reading();
    auto oldest = [&] { return max_age > Duration() ? env_.clock.reading() - max_age : called; };
    Duration pause = kPauseMin;
    // The way here adds to the age of an answer; what is asked for the second time is asked to be new.
    for (Duration wanted = max_age / 2;; wanted = Duration()) {
        const Held volume = volume_of(name);
        if (satisfied(*volume, oldest(), at_least)) return view_of(*volume);
        Result<wire::ListKind> fetched = Error(Code::Stale);
        {
            TRY(Mutex::Lock lock, volume->fetching.lock(fiber, deadline));
            if (satisfied(*volume, oldest(), at_least)) return view_of(*volume);
            fetched = fetch(fiber, *volume, wanted, at_least, Duration(), deadline);
        }
        if (closing_) return Error(Code::Cancelled, "this cache is closed");
        if (fetched.ok()) {
            if (!volume->follower.value && !volume->forgotten)
                volume->follower = env_.spawn("client.follow_list", [this, volume, inside = gate_.enter()](Fiber& own) { follow(own, volume); });
            if (satisfied(*volume, oldest(), at_least)) return view_of(*volume);
        } else if (fetched.failed_with(Code::NotFound)) {
            forget(volume);
            return fetched.error();
        } else if (fetched.code() != Code::Stale && fetched.code() != Code::Corrupt) {
            return fetched.error();
        }
        if (env_.now() + pause >= deadline)
            return fetched.ok() ? Error(Code::Timeout, "no answer is as new as it was asked to be when it arrives") : Error(Code::Timeout, fetched.error().text());
        TRY(env_.sleep(fiber, pause));
        pause = std::min(pause * 2, kPauseMax);
    }
}

/// The background of one volume: until it is forgotten.
void PartitionCache::follow(Fiber& fiber, const Held& volume) {
    Duration pause = kPauseMin;
    while (!volume->forgotten) {
        if (env_.now() - volume->used > options_.idle) return forget(volume);
        const Instant asked = env_.now();
        Result<wire::ListKind> fetched = fetch(fiber, *volume, options_.background_age, LogIndex(), options_.hold, asked + options_.hold + options_.client.attempt);
        if (volume->forgotten || fetched.failed_with(Code::Cancelled)) return;
        if (fetched.failed_with(Code::NotFound)) return forget(volume);
        Duration next = options_.refresh_min;
        if (!fetched.ok()) {
            next = pause / 2 + Duration::nanos(static_cast<int64_t>(draws_.below(static_cast<uint64_t>(pause.ns / 2) + 1)));
            pause = std::min(pause * 2, kPauseMax);
        } else {
            pause = kPauseMin;
            // A master that holds nothing back would be asked without end.
            if (*fetched == wire::ListKind::Unchanged && env_.now() - asked < options_.hold / 4) next = std::max(next, options_.background_age / 2);
        }
        if (!env_.sleep(fiber, next).ok()) return;
    }
}

/// One question, and what its answer changes. Yields. Errors: Stale (it was no use: ask again), those of MasterClient::list().
Result<wire::ListKind> PartitionCache::fetch(Fiber& fiber, Volume& volume, Duration max_age, LogIndex at_least, Duration wait, Instant deadline) {
    wire::MasterListRequest request;
    request.name = volume.name;
    request.since = volume.list && !volume.doubted ? volume.list->version : LogIndex();
    request.at_least = ORRERY_DEFECT(list_cache_takes_any_version) ? at_least : std::max(seen_, at_least);
    request.max_age = max_age;
    request.wait = request.since ? wait : Duration();
    ++counters_.asked;
    Result<MasterClient::ListReply> asked = client_.list(fiber, request, options_.list_bytes_max, deadline);
    if (!asked.ok()) {
        counters_.corrupt += asked.failed_with(Code::Corrupt);
        return asked.error();
    }
    const MasterClient::ListReply& reply = *asked;
    if (Result<void> taken = take(volume, request, reply); !taken.ok()) {
        ++counters_.refused;
        counters_.corrupt += taken.failed_with(Code::Corrupt);
        // What was asked since something newer came proves nothing against what is held.
        volume.doubted = volume.list && volume.list->version == request.since;
        if (reply.answer.term < seen_term_ || taken.failed_with(Code::Corrupt)) client_.try_next();
        return taken.error();
    }
    volume.doubted = false;
    return reply.answer.kind;
}

/// Atomic.
Result<void> PartitionCache::take(Volume& volume, const wire::MasterListRequest& request, const MasterClient::ListReply& reply) {
    const wire::MasterListAnswer& answer = reply.answer;
    if (answer.term < seen_term_) return Error(Code::Stale, "an answer of term " + std::to_string(answer.term.value) + " after one of " + std::to_string(seen_term_.value));
    if (answer.applied < request.at_least) return Error(Code::Stale, "an answer from below the version that was asked for");
    TRY(std::shared_ptr<const VolumeList> list, list_behind(volume.list, request.since, answer, reply.records));
    switch (answer.kind) {
        case wire::ListKind::Unchanged: ++counters_.unchanged; break;
        case wire::ListKind::Delta: ++counters_.deltas; break;
        case wire::ListKind::Full: ++counters_.fulls; break;
    }
    counters_.records_bytes += reply.records.size();
    seen_ = std::max(seen_, answer.applied);
    seen_term_ = std::max(seen_term_, answer.term);
    // It left the master no sooner than `held` after we asked, and was `age` old then. Asked to be new, it is of after we asked.
    Instant as_of = reply.sent + answer.held - answer.age;
    if (request.max_age == Duration()) as_of = std::max(as_of, reply.sent);
    volume.as_of = volume.list ? std::max(volume.as_of, as_of) : as_of;
    volume.applied = std::max(volume.applied, answer.applied);
    volume.term = std::max(volume.term, answer.term);
    volume.list = std::move(list);
    return {};
}

}  // namespace orrery::client
