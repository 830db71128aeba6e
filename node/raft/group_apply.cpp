// The applier: committed entries into the Store, in order, the applied index in the same batch.
#include <algorithm>

#include "node/raft/group.h"
#include "node/raft/group_host.h"
#include "runtime/base/defect.h"

namespace orrery::raft {

void Group::apply_loop(Fiber& fiber) {
    while (!stopped_) {
        if (core_->applicable() <= applied_.applied.index || installing_) {
            if (applicable_changed_.wait(fiber).failed_with(Code::Cancelled)) return;
            continue;
        }
        Result<void> done = apply_some(fiber);
        if (done.ok()) continue;
        if (done.code() == Code::Cancelled) return;
        if (done.code() == Code::NoSpace) {
            // A read of the state found no descriptor or memory for a file: nothing was changed, it is computed anew.
            env_.tracer.warning("raft.apply_waits_for_space", {{"group", id_}, {"applied", applied_.applied.index}, {"error", done.error().text()}});
            if (!env_.sleep(fiber, Duration::millis(500)).ok()) return;
            continue;
        }
        stop_group(done.error().within("apply"));
    }
}

Result<void> Group::apply_some(Fiber& fiber) {
    TRY(Mutex::Lock lock, applying_.lock(fiber));
    TRY(env_.tracer.checkpoint(fiber, "raft.apply.begin", {{"group", id_}, {"index", applied_.applied.index}}));
    const LogIndex limit = core_->applicable();
    if (stopped_ || limit <= applied_.applied.index || installing_) return {};

    // The entries are held by pointer: whatever happens to the log while we yield, their bytes stay.
    std::vector<Entry> entries = core_->log().slice(applied_.applied.index.next(), limit, options_.apply_batch_bytes, options_.apply_batch_entries);
    CHECK(!entries.empty() && entries.front().index == applied_.applied.index.next(), applied_.applied.index, limit);

    AppliedRecord next = applied_;
    std::vector<ApplyItem> items;
    items.reserve(entries.size());
    auto wanted = [&](LogIndex index) {
        const auto [first, last] = waiters_at(index);
        return first != last;
    };
    for (const Entry& entry : entries) {
        next.applied = entry.position();
        if (entry.kind == EntryKind::Config) {
            TRY(next.configuration, Configuration::decode(entry.body_view()));
        } else if (entry.kind == EntryKind::Data) {
            items.push_back({entry.index, entry.term, entry.body_view(), wanted(entry.index), {}});
        }
    }
    store::Batch batch;
    TRY(machine_->apply(fiber, items, batch));
    if (ORRERY_DEFECT(applied_index_apart)) {
        store::Batch apart;
        apart.put(applied_key(*space_), encode_applied(next));
        TRY(host_.store().write_when_possible(fiber, apart));
        TRY(host_.store().flush(fiber));
    }
    batch.put(applied_key(*space_), encode_applied(next));
    batch.mark(id_.value, next.applied.index.value);
    TRY(write_applied(fiber, batch));

    // From here to the end nothing yields: readers see all of the batch or nothing.
    machine_->applied(next.applied.index);
    if (env_.tracer.wants(Severity::Debug)) {
        trace_progress();
        for (const Entry& entry : entries)
            env_.tracer.debug("raft.apply", {{"group", id_},
                                             {"index", entry.index},
                                             {"term", entry.term},
                                             {"hash", hash_bytes(entry.body_view(), static_cast<uint64_t>(entry.kind))}});
    }
    applied_ = std::move(next);
    for (ApplyItem& item : items) {
        if (!item.reply_wanted) continue;
        const auto [first, last] = waiters_at(item.index);
        for (auto waiter = first; waiter != last; ++waiter) {
            if (waiter->proposal->term_ == item.term) {
                waiter->proposal->end(Committed{item.index, item.term, std::move(item.reply)});
            } else {
                waiter->proposal->end(Error(Code::Stale, "another entry took its place; it had no effect"));
            }
        }
        waiters_.erase(first, last);
    }
    finish_waiters(applied_.applied.index);
    core_->applied(env_.now(), applied_.applied.index);
    host_.note_applied(batch.size_bytes());
    if (partial_ && !receiving_ && partial_->floor.index <= applied_.applied.index) {
        drop_later(partial_->space);  // the log was faster than the snapshot
        partial_.reset();
    }
    wake();
    return {};
}

Result<void> Group::write_applied(Fiber& fiber, store::Batch& batch) {
    for (;;) {
        Result<void> written = host_.store().write_when_possible(fiber, batch);
        if (!written.failed_with(Code::NoSpace)) return written;
        // The Store could not flush for want of space. What it holds is served; the same batch is tried until space returns:
        // the state machine has computed it and would not compute it again.
        env_.tracer.warning("raft.apply_waits_for_space", {{"group", id_}, {"applied", applied_.applied.index}});
        TRY(env_.sleep(fiber, Duration::millis(500)));
        if (host_.store().try_resume(fiber).failed_with(Code::Cancelled)) return Code::Cancelled;
    }
}

void Group::finish_waiters(LogIndex up_to) {
    // A waiter that is left at an applied index waits for an entry that something else replaced (a no-op, say), or that
    // came in with a snapshot: then nobody knows its reply.
    while (!waiters_.empty() && waiters_.front().index <= up_to) {
        const Waiter waiter = waiters_.front();
        const std::optional<Term> term = core_->log().term_at(waiter.index);
        if (term && *term != waiter.proposal->term_) {
            waiter.proposal->end(Error(Code::Stale, "another entry took its place; it had no effect"));
        } else {
            waiter.proposal->end(Error(Code::Unknown, "the entry's outcome came in with a snapshot"));
        }
        waiters_.pop_front();
    }
    while (!barriers_to_apply_.empty() && barriers_to_apply_.begin()->first <= up_to) {
        std::shared_ptr<Barrier> barrier = std::move(barriers_to_apply_.begin()->second);
        barrier->outcome = barriers_to_apply_.begin()->first;
        barriers_to_apply_.erase(barriers_to_apply_.begin());
        barrier->done.notify_all();
    }
}

}  // namespace orrery::raft
