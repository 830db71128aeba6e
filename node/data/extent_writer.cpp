#include "node/data/extent_writer.h"

#include "node/rpc/redirect.h"
#include "runtime/base/defect.h"

namespace orrery::data {

using wire::ExtentCommand;
using wire::ExtentCommandKind;
using wire::kImageBytes;

namespace {

ExtentCommand command_of(ExtentCommandKind kind, ExtentId extent) {
    ExtentCommand out;
    out.kind = kind;
    out.extent = extent;
    return out;
}

}  // namespace

/// Whether the log is known from here on: this leads, and has applied an entry of its term. Atomic.
Result<void> ExtentWriter::ready() {
    const raft::Core& core = group_.core();
    if (!group_.leads()) {
        const raft::Member leader = group_.leader();
        return rpc::redirect_error({leader.node == group_.self().node ? NodeId() : leader.node, core.term(), {}});
    }
    if (term_ != core.term()) {
        tails_.clear();
        term_ = core.term();
    }
    if (core.log().term_at(group_.applied()) != core.term()) return Error(Code::NotReady, "the leader has not applied its log yet");
    return {};
}

/// Null when nothing is known of it in this term. Valid until the next yield.
ExtentWriter::Tail* ExtentWriter::known(ExtentId extent) {
    auto found = tails_.find(extent);
    return found == tails_.end() ? nullptr : &found->second;
}

Result<void> ExtentWriter::make_room() {
    if (tails_.size() < options_.tails_max) return {};
    // Whatever is applied can be read again. Some other each time.
    auto at = tails_.lower_bound(next_to_forget_);
    for (size_t looked = 0; looked < tails_.size(); ++looked) {
        if (at == tails_.end()) at = tails_.begin();
        if (at->second.changed <= machine_.applied_index()) {
            at = tails_.erase(at);
            next_to_forget_ = at == tails_.end() ? ExtentId() : at->first;
            ++forgotten_;
            return {};
        }
        ++at;
    }
    return Error(Code::Overloaded, "too many extents are written at once");
}

/// After it nothing has yielded: whatever is proposed now comes right behind what the tail says.
Result<ExtentWriter::Tail*> ExtentWriter::tail(Fiber& fiber, ExtentId extent, Instant deadline) {
    TRY(fiber.maybe_yield());
    for (int tries = 0; tries < options_.tries_max; ++tries) {
        TRY(ready());
        if (Tail* found = known(extent); found != nullptr) {
            if (!found->broken) {
                std::erase_if(found->images, [this](const auto& item) { return item.second.index <= machine_.applied_index(); });
                return found;
            }
            const LogIndex changed = found->changed;
            if (changed <= machine_.applied_index()) {
                tails_.erase(extent);
                ++forgotten_;
            } else {
                TRY(machine_.wait_applied(fiber, changed, deadline));
            }
            continue;
        }
        // Nobody has proposed anything about it in this term, and all of before is applied: its record is what the log says.
        const Term term = term_;
        const uint64_t forgotten = forgotten_;
        TRY(const std::optional<ExtentRecord> record, machine_.extent(fiber, extent));
        TRY(ready());
        if (term_ != term || forgotten_ != forgotten || known(extent) != nullptr) continue;
        TRY(make_room());
        Tail& made = tails_[extent];
        if (record) {
            made.state = record->state == ExtentState::Live ? Tail::State::Live : Tail::State::Deleted;
            made.end = record->size_bytes;
            made.changed = record->changed;
            made.overwritten = record->overwritten;
        }
        return &made;
    }
    return Error(Code::Overloaded, extent_name(extent) + " is being changed by others");
}

/// Where another state than `state` is the reason of a refusal: that state is applied then, it can not turn out otherwise any more.
Result<ExtentWriter::Tail*> ExtentWriter::settled_unless(Tail::State state, Fiber& fiber, ExtentId extent, Instant deadline) {
    for (;;) {
        TRY(Tail* const found, tail(fiber, extent, deadline));
        const LogIndex changed = found->changed;
        if (found->state == state || changed <= machine_.applied_index()) return found;
        TRY(machine_.wait_applied(fiber, changed, deadline));
    }
}

Result<ExtentWriter::Tail*> ExtentWriter::live_tail(Fiber& fiber, ExtentId extent, Instant deadline) {
    TRY(Tail* const found, settled_unless(Tail::State::Live, fiber, extent, deadline));
    if (found->state == Tail::State::None) return Error(Code::NotFound, extent_name(extent) + " does not exist");
    if (found->state == Tail::State::Deleted) return Error(Code::NotFound, extent_name(extent) + " was deleted");
    return found;
}

Result<ExtentWriter::Begun> ExtentWriter::begin(const ExtentCommand& command, std::shared_ptr<const Bytes> attachment, raft::SpaceUse space) {
    TRY(std::unique_ptr<raft::Group::Proposal> proposal, group_.begin(wire::encode_extent_command(command), std::move(attachment), space));
    return Begun{std::move(proposal), command.extent, {group_.core().log().last().index, command.offset}};
}

Result<Written> ExtentWriter::finish(Fiber& fiber, Begun begun, Instant deadline) {
    const Term term = term_;
    TRY(const raft::Committed committed, group_.finish(fiber, *begun.proposal, deadline));
    TRY(const wire::ExtentAnswer answer, wire::decode_extent_answer(committed.reply));
    if (answer.code == 0) return begun.written;
    if (Tail* found = known(begun.extent); found != nullptr && term == term_) found->broken = true;
    return Error(code_from_number(answer.code).value_or(Code::Corrupt), answer.context);
}

Result<Written> ExtentWriter::create(Fiber& fiber, ExtentId extent, Instant deadline) {
    if (!extent) return Error(Code::Invalid, "extent 0 is none");
    TRY(group_.admit(fiber, 0, deadline));
    TRY(Tail* const tail, settled_unless(Tail::State::None, fiber, extent, deadline));
    if (tail->state == Tail::State::Live) return Error(Code::Exists, extent_name(extent) + " exists");
    if (tail->state == Tail::State::Deleted) return Error(Code::Exists, extent_name(extent) + " was deleted, its id never comes back");
    TRY(Begun begun, begin(command_of(ExtentCommandKind::Create, extent), nullptr, raft::SpaceUse::Takes));
    tail->state = Tail::State::Live;
    tail->changed = begun.written.index;
    return finish(fiber, std::move(begun), deadline);
}

Result<Written> ExtentWriter::append(Fiber& fiber, ExtentId extent, std::shared_ptr<const Bytes> payload, Instant deadline) {
    if (payload == nullptr || payload->empty() || payload->size() > wire::kAppendBytesMax) return Error(Code::Invalid, "an append of no bytes, or of too many");
    TRY(group_.admit(fiber, payload->size(), deadline));
    std::optional<ExtentRecord> applied;
    if (ORRERY_DEFECT(reserve_from_applied)) {
        TRY(applied, machine_.extent(fiber, extent));
    }
    TRY(Tail* const tail, live_tail(fiber, extent, deadline));
    const uint64_t offset = whole_images(applied ? applied->size_bytes : tail->end);
    if (offset + payload->size() > wire::kExtentBytesMax) return Error(Code::Invalid, extent_name(extent) + " has no room for it");
    const ExtentCommand command = wire::append_command(extent, offset, *payload);
    TRY(Begun begun, begin(command, std::move(payload), raft::SpaceUse::Takes));
    tail->end = command.offset + command.length;
    tail->changed = begun.written.index;
    return finish(fiber, std::move(begun), deadline);
}

Result<Written> ExtentWriter::punch(Fiber& fiber, ExtentId extent, uint64_t offset, uint64_t length, Instant deadline) {
    if (offset % kImageBytes != 0 || length % kImageBytes != 0 || length == 0) return Error(Code::Invalid, "what is freed are whole blocks of 4096 bytes");
    TRY(group_.admit(fiber, 0, deadline));
    TRY(Tail* const tail, live_tail(fiber, extent, deadline));
    if (offset > wire::kExtentBytesMax || length > whole_images(tail->end) || offset > whole_images(tail->end) - length)
        return Error(Code::Invalid, extent_name(extent) + " ends at " + std::to_string(tail->end));
    ExtentCommand command = command_of(ExtentCommandKind::Punch, extent);
    command.offset = offset;
    command.length = length;
    TRY(Begun begun, begin(command, nullptr, raft::SpaceUse::Frees));
    tail->changed = tail->overwritten = tail->punched = begun.written.index;
    return finish(fiber, std::move(begun), deadline);
}

Result<Written> ExtentWriter::remove(Fiber& fiber, ExtentId extent, Instant deadline) {
    TRY(Tail* const tail, live_tail(fiber, extent, deadline));
    TRY(Begun begun, begin(command_of(ExtentCommandKind::Delete, extent), nullptr, raft::SpaceUse::Frees));
    tail->state = Tail::State::Deleted;
    tail->end = 0;
    tail->images.clear();
    tail->changed = tail->overwritten = begun.written.index;
    return finish(fiber, std::move(begun), deadline);
}

}  // namespace orrery::data
