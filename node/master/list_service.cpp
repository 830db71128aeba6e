#include "node/master/list_service.h"

#include <algorithm>

#include "node/master/master_service.h"
#include "runtime/base/defect.h"

namespace orrery::master {

namespace {

constexpr int kChangesTries = 3;  // of reading them while the list changes, before it is read as a whole

/// By the asker's clock too, which may run slower than ours by 6 percent: an age that comes out too high costs a question, one that is too low
/// is not true.
Duration surely(Duration held) { return held - held / 16; }

class Permit {
 public:
    explicit Permit(Semaphore& semaphore) : semaphore_(&semaphore) {}
    Permit(Permit&& other) noexcept : semaphore_(std::exchange(other.semaphore_, nullptr)) {}
    Permit& operator=(Permit&&) = delete;
    ~Permit() {
        if (semaphore_ != nullptr) semaphore_->release();
    }

 private:
    Semaphore* semaphore_;
};

}  // namespace

/// One question under way.
struct ListService::Asked {
    wire::MasterListRequest request;
    Instant arrived;          // by Clock::reading()
    Instant stamp;            // max_age 0: what is said must be of this instant, or later
    Instant hold_until;
    Instant deadline;
    int changes_tries = 0;
    std::optional<Permit> streaming;
};

/// What an answer is made of: none of it changes any more.
struct ListService::Content {
    wire::MasterListAnswer answer;
    Instant as_of;
    std::shared_ptr<const PartitionList> list;          // Full
    std::shared_ptr<const PartitionList::Delta> delta;  // Delta

    uint64_t bytes() const { return list ? list->bytes() : delta ? delta->records.size() : 0; }
};

ListService::ListService(Env& env, raft::Group& group, MasterService& master, ListServiceOptions options)
    : env_(env), group_(group), master_(master), machine_(static_cast<MasterMachine&>(group.machine())), cache_(machine_.lists()), options_(options),
      streams_(options.streams_max) {
    cache_.configure(options_.cache);
}

void ListService::handle(Fiber& fiber, rpc::Request& request, rpc::Responder& responder) {
    Result<wire::MasterListRequest> decoded = wire::decode_master_list_request(request.body());
    if (!decoded.ok()) return responder.fail(Error(Code::Invalid, decoded.error().context));
    Asked asked{.request = std::move(*decoded), .arrived = env_.clock.reading(), .stamp = master_.stamp_now(), .hold_until = {}, .deadline = {}, .streaming = {}};
    const Duration wait = std::min(asked.request.wait, options_.wait_max);
    // As for other questions a sixteenth is left for the way back; behind the holding back there is time for a word of the leader.
    const Duration time = std::min(request.deadline().remaining(env_.now()), master_.options().request_timeout + wait);
    asked.deadline = env_.now() + (time - time / 16);
    asked.hold_until = std::min(env_.now() + wait, asked.deadline - std::min(time / 8, master_.options().confirm_timeout * 2));
    if (Result<void> done = answer(fiber, asked, responder); !done.ok() && !responder.ended()) responder.fail(done.error());
}

/// Whatever may yield ends a round: the next one looks at everything again, until one goes through without.
Result<void> ListService::answer(Fiber& fiber, Asked& asked, rpc::Responder& responder) {
    for (;;) {
        if (env_.now() >= asked.deadline) return Error(Code::Overloaded, "the list could not be read in time");
        TRY(master_.wait_fresh(fiber, master_.oldest(asked.request.max_age, asked.stamp), asked.request.at_least, asked.deadline));
        TRY(ListCache::Held entry, find(fiber, asked.request));
        Content content;
        TRY(bool ready, prepare(fiber, asked, *entry, content));
        if (!ready || entry->gone || !master_.vouched(master_.oldest(asked.request.max_age, asked.stamp), asked.request.at_least)) continue;
        if (content.answer.kind == wire::ListKind::Unchanged) {
            TRY(bool held, hold(fiber, asked, *entry));
            if (held) continue;
        }
        if (content.bytes() > options_.inline_bytes_max && !asked.streaming) {
            const bool free = streams_.try_acquire();
            if (!free) TRY(streams_.acquire(fiber, 1, asked.deadline));
            asked.streaming.emplace(streams_);
            if (!free) continue;
        }
        return send(fiber, asked, entry, content, responder);
    }
}

// ---- the volume

/// In memory, or read. Yields only in the second case. Errors: NotFound.
Result<ListCache::Held> ListService::find(Fiber& fiber, const wire::MasterListRequest& request) {
    const bool by_name = !request.name.empty();
    for (;;) {
        if (ListCache::Held known = by_name ? cache_.find(request.name) : cache_.find(request.volume)) return known;
        const Error none(Code::NotFound, by_name ? "there is no volume '" + request.name + "'" : "there is no volume " + std::to_string(request.volume.value));
        if (!by_name && cache_.ended(request.volume)) return none;
        const std::shared_ptr<const raft::StateSpace> space = group_.space();
        std::optional<std::string> name(request.name);
        const bool given = request.volume.value < machine_.counters().next_volume;
        if (!by_name) {
            TRY(name, machine_.volume_name(fiber, request.volume));
        }
        if (!name) {
            if (given) cache_.remember_ended(request.volume);
            return none;
        }
        Result<ListCache::Held> found = Error(Code::Stale);
        {
            ListCache::Reading reading(cache_, *name);
            TRY(std::optional<Bytes> record, machine_.volume_record(fiber, *name));
            found = reading.finish(std::move(record));
        }
        if (found.failed_with(Code::Stale)) continue;
        if (!found.ok()) return found;
        // A name may have gone to another volume between the two.
        if (*found == nullptr || (!by_name && (*found)->volume.volume != request.volume)) return none;
        return found;
    }
}

// ---- holding back

/// True: it was held back, and things may be different now. Yields then.
Result<bool> ListService::hold(Fiber& fiber, Asked& asked, ListCache::Entry& entry) {
    if (env_.now() >= asked.hold_until) return false;
    if (held_ >= options_.held_max) {
        ++counters_.not_held;
        return false;
    }
    struct Count {
        explicit Count(size_t& the_held) : held(the_held) { ++held; }
        ~Count() { --held; }
        size_t& held;
    } count(held_);
    ++counters_.held;
    asked.streaming.reset();  // others may have it meanwhile
    const Result<void> waited = entry.moved.wait(fiber, asked.hold_until);
    // That nothing came is said of now, not of when it was asked.
    if (waited.failed_with(Code::Timeout)) {
        asked.hold_until = {};
        asked.stamp = master_.stamp_now();
        return true;
    }
    TRY(waited);
    return true;
}

// ---- what is sent

/// Fills in the answer. False: something had to be read, and things may be different now. Yields only then.
Result<bool> ListService::prepare(Fiber& fiber, Asked& asked, ListCache::Entry& entry, Content& content) {
    const wire::VolumeRecord& volume = entry.volume;
    wire::MasterListAnswer& answer = content.answer;
    if (asked.request.since == volume.modified) {
        answer.kind = wire::ListKind::Unchanged;
    } else {
        const ListCache::Changes changes = cache_.changes(entry, asked.request.since);
        if (!changes.known && asked.changes_tries < kChangesTries) {
            TRY(read_changes(fiber, asked, entry));
            return false;
        }
        content.delta = changes.delta;
        answer.kind = content.delta ? wire::ListKind::Delta : wire::ListKind::Full;
        if (!content.delta) {
            content.list = cache_.list(entry);
            if (!content.list) {
                TRY(fill(fiber, entry, asked.deadline));
                return false;
            }
        }
        answer.volume_record = entry.record;
        answer.partitions = content.list ? content.list->partitions() : content.delta->partitions;
    }
    answer.volume = volume.volume;
    answer.version = volume.modified;
    answer.applied = group_.applied();
    answer.term = master_.vouched_term();
    answer.server = group_.self().node;
    content.as_of = master_.as_of();
    return true;
}

/// Into the cache, if the list has not changed meanwhile. Yields.
Result<void> ListService::read_changes(Fiber& fiber, Asked& asked, ListCache::Entry& entry) {
    TRY(Mutex::Lock lock, entry.reading.lock(fiber, asked.deadline));
    if (entry.gone || cache_.changes(entry, asked.request.since).known) return {};
    const std::shared_ptr<const raft::StateSpace> space = group_.space();
    const LogIndex version = entry.volume.modified;
    TRY(std::shared_ptr<const PartitionList::Delta> delta, machine_.read_changes(fiber, entry.volume, asked.request.since));
    if (!delta) {
        asked.changes_tries = kChangesTries;  // too much changed: the whole list is read
    } else if (!cache_.remember(entry, version, asked.request.since, std::move(delta))) {
        ++asked.changes_tries;
    }
    return {};
}

/// Yields.
Result<void> ListService::fill(Fiber& fiber, ListCache::Entry& entry, Instant deadline) {
    TRY(Mutex::Lock lock, entry.reading.lock(fiber, deadline));
    if (entry.gone || cache_.list(entry)) return {};
    const std::shared_ptr<const raft::StateSpace> space = group_.space();
    cache_.begin_fill(entry);
    Result<std::shared_ptr<const PartitionList>> list = machine_.read_list(fiber, entry.volume);
    cache_.end_fill(entry, list.ok() ? *list : nullptr);
    return list.ok() ? Result<void>() : Result<void>(list.error());
}

/// Yields where it streams. What it sends was taken before.
Result<void> ListService::send(Fiber& fiber, const Asked& asked, const ListCache::Held& entry, Content& content, rpc::Responder& responder) {
    wire::MasterListAnswer& answer = content.answer;
    if (content.bytes() > options_.inline_bytes_max) {
        answer.stream_bytes = content.bytes();
        TRY(stream(fiber, asked, entry, content, responder));
    } else if (content.list) {
        for (const auto& page : content.list->pages()) answer.records.append(page->records);
    } else if (content.delta) {
        answer.records = content.delta->records;
    }
    answer.age = std::max(Duration(), env_.clock.reading() - content.as_of);
    answer.held = surely(std::max(Duration(), env_.clock.reading() - asked.arrived));
    // Whoever took its time to take the list gets none that is older than it wants.
    if (asked.request.max_age > Duration() && answer.age > asked.request.max_age && answer.stream_bytes > 0) return master_.too_old();
    Bytes body = wire::encode_master_list_answer(answer);
    counters_.bytes += body.size() + answer.stream_bytes;
    ++(answer.kind == wire::ListKind::Unchanged ? counters_.unchanged : answer.kind == wire::ListKind::Delta ? counters_.delta : counters_.full);
    responder.reply(std::move(body));
    return {};
}

/// Page by page, each copied when there is room for it.
Result<void> ListService::stream(Fiber& fiber, const Asked& asked, const ListCache::Held& entry, const Content& content, rpc::Responder& responder) {
    if (responder.max_data_bytes() == 0) return Error(Code::Invalid, "a list of " + std::to_string(content.bytes()) + " bytes is streamed, and the asker takes no stream");
    auto send = [&](ByteView bytes) -> Result<void> {
        while (!bytes.empty()) {
            const ByteView piece = bytes.substr(0, responder.max_data_bytes());
            TRY(responder.send(fiber, Bytes(piece), asked.deadline));
            bytes.remove_prefix(piece.size());
        }
        return {};
    };
    if (content.delta) return send(content.delta->records);
    for (size_t i = 0; i < content.list->pages().size(); ++i) {
        if (i > 0) TRY(env_.tracer.checkpoint(fiber, "master.list.page", {{"page", i}}));
        const std::shared_ptr<const PartitionList> now = ORRERY_DEFECT(list_torn_by_apply) ? cache_.list(*entry) : content.list;
        if (now != nullptr && i < now->pages().size()) TRY(send(now->pages()[i]->records));
    }
    return {};
}

}  // namespace orrery::master
