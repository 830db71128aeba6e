// Persistence of a group: outputs of the core, in order, into the node's log.
//
// A floor goes alone and may use the reserve of a full disk, since it is what frees space; so may hard states. Entries wait
// for their attachments, and what has to stay in order waits behind them.
//
// The bytes of an attachment may lie where those of a replaced entry do. So none is written before the truncation of whatever was
// replaced is durable (else a crash leaves a valid record whose bytes are another entry's), and they are written one after the other.
#include <algorithm>

#include "node/raft/group.h"
#include "node/raft/group_host.h"
#include "runtime/base/defect.h"

namespace orrery::raft {

namespace {
uint64_t bytes_of(const std::vector<Entry>& entries) {
    uint64_t bytes = 0;
    for (const Entry& entry : entries) bytes += entry.size_bytes();
    return bytes;
}
}  // namespace

void Group::persist(Output& output) {
    if (output.truncate_from) machine_->truncated(*output.truncate_from);
    if (output.sequence != 0) {
        auto item = std::make_shared<Persist>();
        item->sequence = output.sequence;
        item->hard_state = output.hard_state;
        item->truncate_from = output.truncate_from;
        item->entries = std::move(output.entries);
        item->fills = std::move(output.fills);
        for (const Entry& entry : item->entries) item->attachments_missing += entry.has_attachment;
        unlogged_bytes_ += bytes_of(item->entries);
        persisting_.push_back(item);
        if (item->attachments_missing > 0) store_attachments(std::move(item));
    }
    log_ready();
}

void Group::store_attachments(std::shared_ptr<Persist> item) {
    // A copy: a floor may take entries out of the item while one is being written.
    env_.spawn("raft.attachments", [this, item, entries = item->entries](Fiber& fiber) {
        Result<Mutex::Lock> order = attachment_order_.lock(fiber);
        if (!order.ok()) return;
        while (!stopped_ && !replaced_are_gone(*item))
            if (log_synced_.wait(fiber).failed_with(Code::Cancelled)) return;
        for (const Entry& entry : entries) {
            if (!entry.has_attachment) continue;
            Result<void> stored;
            while (!stopped_ && (stored = machine_->store_attachment(fiber, entry)).failed_with(Code::NoSpace)) {
                env_.tracer.warning("raft.attachment_waits_for_space", {{"group", id_}, {"index", entry.index}});
                host_.note_no_space();
                if (!env_.sleep(fiber, Duration::millis(500)).ok()) return;
            }
            if (stopped_) return;
            if (!stored.ok()) {
                if (stored.code() != Code::Cancelled) stop_group(stored.error().within("attachment of entry " + std::to_string(entry.index.value)));
                return;
            }
            --item->attachments_missing;
        }
        log_ready();
    });
}

/// Whether every truncation that comes before `item`, or with it, is durable.
bool Group::replaced_are_gone(const Persist& item) const {
    if (ORRERY_DEFECT(attachment_before_truncation)) return true;
    if (floor_cut_ || truncation_ticket_ > host_.log().synced()) return false;
    for (const std::shared_ptr<Persist>& one : persisting_) {
        if (one->truncate_from) return false;
        if (one.get() == &item) break;
    }
    return true;
}

void Group::queue_floor(Floor floor, std::optional<LogIndex> cut) {
    // What waits to be logged and lies at or below the floor is void with it. A truncation among that must still come
    // first, or the tail it voids would stand behind the floor.
    for (const std::shared_ptr<Persist>& item : persisting_) {
        if (item->truncate_from && *item->truncate_from <= floor.index) {
            cut = std::min(cut.value_or(*item->truncate_from), *item->truncate_from);
            item->truncate_from.reset();
        }
        unlogged_bytes_ -= bytes_of(item->entries);
        std::erase_if(item->entries, [&](const Entry& entry) { return entry.index <= floor.index; });
        unlogged_bytes_ += bytes_of(item->entries);
        std::erase_if(item->fills, [&](const Entry& entry) { return entry.index <= floor.index; });
    }
    if (cut) floor_cut_ = std::min(floor_cut_.value_or(*cut), *cut);
    floor_to_log_ = std::move(floor);
}

bool Group::append(const log::Batch& batch, log::Use use, log::Ticket& ticket) {
    Result<log::Ticket> appended = host_.log().append(id_, batch, use);
    if (appended.ok()) {
        ticket = *appended;
        return true;
    }
    if (appended.code() == Code::Overloaded || appended.code() == Code::NoSpace) {
        log_waits_ = true;  // looked at again with the next sync, or when space returns
        if (appended.code() == Code::NoSpace) host_.note_no_space();
    } else if (appended.code() != Code::Cancelled) {
        stop_group(appended.error().within("log"));
    }
    return false;
}

bool Group::log_floor() {
    log::Batch batch;
    if (floor_cut_) batch.truncate(std::max(*floor_cut_, log_floor_.next()));
    batch.floor(floor_to_log_->index, floor_to_log_->term);
    const Bytes configuration = floor_to_log_->configuration.empty() ? Bytes() : floor_to_log_->configuration.encode();
    batch.configuration(configuration);
    log::Ticket ticket;
    if (!append(batch, log::Use::Reserve, ticket)) return false;
    if (floor_cut_) truncation_ticket_ = ticket;
    log_floor_ = floor_to_log_->index;
    floor_to_log_.reset();
    floor_cut_.reset();
    return true;
}

bool Group::log_hard_state(Persist& item) {
    if (!item.hard_state || item.hard_state_logged) return true;
    log::Batch batch;
    Bytes vote_node;
    put_le<uint64_t>(vote_node, item.hard_state->vote.node.value);
    batch.hard_state(item.hard_state->term, item.hard_state->vote.replica, vote_node);
    log::Ticket ticket;
    if (!append(batch, log::Use::Reserve, ticket)) return false;
    item.hard_state_logged = true;
    logged_.push_back({ticket, item.sequence, false, item.hard_state});
    return true;
}

/// Of an item whose entries wait for attachments, which wait for this.
bool Group::log_truncation(Persist& item) {
    if (!item.truncate_from || ORRERY_DEFECT(attachment_before_truncation)) return true;
    log::Batch batch;
    batch.truncate(*item.truncate_from);
    if (!append(batch, log::Use::Reserve, truncation_ticket_)) return false;
    item.truncate_from.reset();
    return true;
}

/// Bodies of holes, before what this output truncates and adds: they lie below both.
bool Group::log_fills(Persist& item) {
    while (!item.fills.empty()) {
        log::Batch batch;
        size_t taken = 0;
        uint64_t bytes = 0;
        for (const Entry& entry : item.fills) {
            if (taken > 0 && bytes + entry.size_bytes() > host_.log_part_bytes()) break;
            bytes += entry.size_bytes();
            ++taken;
            batch.fill({entry.index, entry.term, static_cast<uint8_t>(entry.kind), entry.has_attachment, entry.body_view()});
        }
        log::Ticket ticket;
        if (!append(batch, log::Use::Reserve, ticket)) return false;
        item.fills.erase(item.fills.begin(), item.fills.begin() + static_cast<ptrdiff_t>(taken));
    }
    return true;
}

bool Group::log_item(Persist& item) {
    // Entries are cut into parts that fit a batch; the sequence counts as durable with the last of them.
    if (!log_fills(item)) return false;
    for (;;) {
        log::Batch batch;
        Bytes vote_node;
        const bool with_hard_state = item.hard_state && !item.hard_state_logged;
        if (with_hard_state) {
            put_le<uint64_t>(vote_node, item.hard_state->vote.node.value);
            batch.hard_state(item.hard_state->term, item.hard_state->vote.replica, vote_node);
        }
        if (item.truncate_from) batch.truncate(*item.truncate_from);
        size_t taken = 0;
        uint64_t bytes = 0;
        for (const Entry& entry : item.entries) {
            if (taken > 0 && bytes + entry.size_bytes() > host_.log_part_bytes()) break;
            bytes += entry.size_bytes();
            ++taken;
            batch.entry({entry.index, entry.term, static_cast<uint8_t>(entry.kind), entry.has_attachment, entry.body_view()});
        }
        log::Ticket ticket = host_.log().appended();  // of an item that a floor emptied: nothing more to wait for
        if (!batch.empty() && !append(batch, taken > 0 ? log::Use::Ordinary : log::Use::Reserve, ticket)) {
            // A full disk refuses entries; the vote of the same output may still use the reserve.
            if (!stopped_ && taken > 0 && host_.log().no_space()) (void)log_hard_state(item);
            return false;
        }
        item.hard_state_logged = true;
        if (item.truncate_from) truncation_ticket_ = ticket;
        item.truncate_from.reset();
        unlogged_bytes_ -= bytes;
        const bool last = taken == item.entries.size();
        item.entries.erase(item.entries.begin(), item.entries.begin() + static_cast<ptrdiff_t>(taken));
        if (!last) continue;
        logged_.push_back({ticket, item.sequence, true, item.hard_state});
        persisting_.pop_front();
        return true;
    }
}

void Group::log_ready() {
    while (!stopped_) {
        if (floor_to_log_) {
            if (!log_floor()) return;
            continue;
        }
        if (persisting_.empty()) break;
        if (persisting_.front()->attachments_missing == 0) {
            if (!log_item(*persisting_.front())) return;
            continue;
        }
        // Entries wait for their attachments, and all entries behind them wait too; hard states and the truncation never do. The term
        // goes first: with the truncation alone we would stand by what an old leader counts on and not have it.
        Persist& front = *persisting_.front();
        if (!log_hard_state(front) || !log_truncation(front)) return;
        for (const std::shared_ptr<Persist>& item : persisting_)
            if (!log_hard_state(*item)) return;
        break;
    }
    if (stopped_ || logged_.empty()) return;
    if (logged_.front().ticket <= host_.log().synced() || ORRERY_DEFECT(ack_before_sync)) on_log_synced();
}

void Group::on_log_synced() {
    if (stopped_) return;
    if (const auto& sealed = host_.log().sealed_error(); sealed) {
        stop_group(*sealed);
        return;
    }
    log_synced_.notify_all();
    const Instant now = env_.now();
    bool moved = false;
    while (!logged_.empty() && (logged_.front().ticket <= host_.log().synced() || ORRERY_DEFECT(ack_before_sync))) {
        const Logged& done = logged_.front();
        if (done.hard_state)
            env_.tracer.debug("raft.hard_state_durable",
                              {{"group", id_}, {"term", done.hard_state->term}, {"vote", done.hard_state->vote.node}});
        if (done.whole) {
            core_->persisted(now, done.sequence);
        } else {
            core_->hard_state_persisted(now, done.sequence);
        }
        note_election();  // the own vote counts when it is durable
        logged_.pop_front();
        moved = true;
    }
    if (env_.tracer.wants(Severity::Debug)) trace_progress();
    if (log_waits_) {
        log_waits_ = false;
        log_ready();
    }
    if (moved) wake();
}

}  // namespace orrery::raft
