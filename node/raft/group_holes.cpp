// Holes of a group's log: entries whose bodies the disk lost and whose (index, term) is still known. Any member that has
// an entry of the same position has the same body, leader or not, holes elsewhere or not; it is fetched from whoever
// answers first. What everybody has compacted comes with a snapshot of the leader.
#include <algorithm>

#include "node/raft/group.h"
#include "node/raft/group_host.h"
#include "node/wire/messages.h"

namespace orrery::raft {

namespace {
constexpr size_t kHolesARound = 64;
constexpr Duration kFetchTimeout = Duration::seconds(2);
constexpr Duration kFetchPauseMin = Duration::millis(50);
constexpr Duration kFetchPauseMax = Duration::seconds(2);
}  // namespace

void Group::fill_holes(Fiber& fiber) {
    const uint64_t found = core_->status(env_.now()).holes;
    Duration pause = kFetchPauseMin;
    while (!stopped_ && core_->status(env_.now()).holes > 0) {
        bool got_on = false;
        for (const LogPosition& hole : core_->missing(kHolesARound)) {
            Result<bool> filled = fetch_body(fiber, hole);
            if (filled.failed_with(Code::Cancelled)) return;
            if (stopped_) return;
            got_on |= filled.ok() && *filled;
        }
        pause = got_on ? kFetchPauseMin : std::min(pause * 2, kFetchPauseMax);
        if (!env_.sleep(fiber, pause).ok()) return;
    }
    if (!stopped_) env_.tracer.info("raft.log_whole", {{"group", id_}, {"holes", found}});
}

Result<bool> Group::fetch_body(Fiber& fiber, LogPosition hole) {
    for (const Member& member : core_->log().configuration().members()) {
        if (member == self()) continue;
        const rpc::Target target{wire::Operation::FetchEntryBody, id_, member.replica.value, wire::TrafficClass::Foreground,
                                 rpc::Deadline::after(env_.clock, kFetchTimeout)};
        Result<Bytes> body = host_.peers().call(fiber, member.node, target, wire::encode_entry_name({id_, hole.index, hole.term}));
        if (body.failed_with(Code::Cancelled)) return body.error();
        if (!body.ok()) continue;
        if (stopped_ || !core_->fill(hole, std::make_shared<const Bytes>(std::move(*body)))) return false;
        env_.tracer.info("raft.hole_filled", {{"group", id_}, {"index", hole.index}, {"term", hole.term}, {"from", member.node}});
        env_.tracer.probe("raft.hole_filled");
        wake();
        return true;
    }
    return false;
}

/// The state up to the floor is lost, the log is whole: nobody else can see that, so the leader is told.
void Group::fetch_state(Fiber& fiber) {
    Duration pause = kFetchPauseMin;
    while (!stopped_ && core_->stateless()) {
        const Member from = leader();
        if (from && from != self() && !receiving_ && !installing_) {
            const rpc::Target target{wire::Operation::WantSnapshot, id_, from.replica.value, wire::TrafficClass::Foreground,
                                     rpc::Deadline::after(env_.clock, kFetchTimeout)};
            Result<Bytes> asked = host_.peers().call(fiber, from.node, target, {});
            if (asked.failed_with(Code::Cancelled)) return;
        }
        if (!env_.sleep(fiber, pause).ok()) return;
        pause = std::min(pause * 2, kFetchPauseMax);
    }
    if (stopped_) return;
    env_.tracer.info("raft.state_back", {{"group", id_}, {"applied", applied_.applied.index}});
    env_.tracer.probe("raft.state_back");
}

void Group::handle_want_snapshot(const rpc::Request& request, rpc::Responder& responder) {
    if (stopped_) return responder.fail(Error(Code::NotReady, "the group has stopped here"));
    if (request.entity() != self().replica.value) return responder.fail(Error(Code::Stale, "another replica id than ours"));
    if (!leads()) return responder.fail(not_leader());
    core_->want_snapshot(request.peer().node);
    wake();
    responder.reply();
}

void Group::handle_fetch(const rpc::Request& request, rpc::Responder& responder) {
    Result<wire::EntryName> name = wire::decode_entry_name(request.body());
    if (!name.ok()) return responder.fail(name.error());
    if (stopped_) return responder.fail(Error(Code::NotReady, "the group has stopped here"));
    if (request.entity() != self().replica.value) return responder.fail(Error(Code::Stale, "another replica id than ours"));
    const LogView& log = core_->log();
    if (name->index <= log.floor().index) {
        // It is in the state, not in the log: who leads gives the state.
        if (leads()) {
            core_->want_snapshot(request.peer().node);
            wake();
        }
        return responder.fail(Error(Code::NotFound, "compacted here; a snapshot has it"));
    }
    const Entry* entry = log.at(name->index);
    if (entry == nullptr || entry->term != name->term || entry->hole)
        return responder.fail(Error(Code::NotFound, "no such entry here"));
    responder.reply(Bytes(entry->body_view()));
}

}  // namespace orrery::raft
