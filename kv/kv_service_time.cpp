// State-machine time as people see it: when it is off, and an operator's step forward.
#include <algorithm>
#include <charconv>

#include "kv/kv_service.h"
#include "kv/time_report.h"

namespace orrery::kv {

namespace {
/// The difference of state-machine time to wall time from which on somebody has to look at it.
constexpr Duration kTimeOff = Duration::seconds(10);
constexpr LogTime kLatestTime{int64_t{1} << 62};  // what members take of each other ends here
}  // namespace

void KvService::watch_time(Fiber& fiber) {
    while (env_.sleep(fiber, Duration::seconds(1)).ok()) {
        const KvMachine::TimeView view = machine_.time_view();
        const Duration off = std::max(view.ahead(), Duration{} - view.ahead());
        if (off <= kTimeOff) time_off_told_ = {};
        // Each doubling is told once: a clock that runs away is news again, one that stays off is not.
        if (!group_.leads() || off <= kTimeOff || off < time_off_told_ * 2) continue;
        time_off_told_ = off;
        env_.tracer.error("kv.time_off", {{"state_time_ns", view.time.ns},
                                          {"wall_ns", view.wall.ns},
                                          {"ahead_ms", view.ahead().as_millis()},
                                          {"source", time_origin_name(view.origin)},
                                          {"do", view.ahead().ns > 0 ? "check this node's clock; time never goes back, so keys expire that much late by "
                                                                       "the calendar until it has been slewed (500 ppm)"
                                                                     : "check this node's clock; if it is right, `orreryctl kv time --set now` moves time "
                                                                       "forward, and keys expire earlier by that step"}});
    }
}

Result<LogTime> KvService::set_time(Fiber& fiber, LogTime to, Instant deadline) {
    if (!group_.leads()) return Error(Code::NotLeader, "this node does not lead");
    if (to >= kLatestTime) return Error(Code::Invalid, "state-machine time ends in the year 2116");
    const Stamp stamp = machine_.stamp();
    const LogTime from = stamp.time;
    if (to <= from) {
        const int64_t back_ms = (from.ns - to.ns) / 1'000'000;
        return Error(Code::Invalid, "state-machine time is " + std::to_string(back_ms) + " ms beyond the time asked for, and never goes back; it is slewed "
                                        "towards wall time by at most 500 ppm, which takes " + std::to_string(back_ms * 2) +
                                        " s: wait. Nothing was changed");
    }
    TRY(std::unique_ptr<raft::Group::Proposal> proposal, group_.begin(encode_set_time(from, {to, stamp.epoch}), nullptr, raft::SpaceUse::Frees));
    // At once, not when it is applied: an expiry that is stamped in between would lie in the past when its entry is.
    machine_.advance_time(to);
    TRY(raft::Committed done, group_.finish(fiber, *proposal, deadline));
    env_.tracer.warning("kv.time_set", {{"from_ns", from.ns}, {"to_ns", to.ns}, {"index", done.index}});
    return from;
}

void KvService::handle_time(Fiber& fiber, const wire::ForwardedCommand& command, Instant deadline, rpc::Responder& responder) {
    auto answer = [&](const Reply& reply) {
        Bytes bytes;
        resp::put_reply(bytes, reply);
        responder.reply(wire::encode_forwarded_reply({group_.core().term(), LogIndex(), bytes}));
    };
    if (group_.stopped()) return responder.fail(Error(Code::NotReady, "the group has stopped on this node: " + group_.stopped()->context));
    if (command.argv.size() == 1) return answer(time_report_reply({group_.self().node, group_.leader().node, machine_.time_view()}));
    int64_t to = 0;
    const ByteView word = command.argv[1];
    auto [end, failure] = std::from_chars(word.data(), word.data() + word.size(), to);
    if (command.argv.size() != 2 || failure != std::errc() || end != word.data() + word.size() || to < 0)
        return responder.fail(Error(Code::Invalid, "a time is nanoseconds since 1970"));
    if (!group_.leads() && command.hops == 0 && group_.leader().node) {
        // An operator may ask any node; from the leader it comes back or is refused, as with any command.
        wire::ForwardedCommand onward{.hops = 1, .argv = command.argv};
        const rpc::Target target{wire::Operation::KvForward, kKvGroup, 0, wire::TrafficClass::Foreground, {deadline}};
        Result<Bytes> done = host_.peers().call(fiber, group_.leader().node, target, wire::encode_forwarded_command(onward));
        if (!done.ok()) return responder.fail(done.error());
        return responder.reply(std::move(*done));
    }
    Result<LogTime> from = set_time(fiber, {to}, deadline);
    if (!from.ok()) return responder.fail(from.error());
    answer(Reply::array({Reply::integer(from->ns), Reply::integer(to)}));
}

}  // namespace orrery::kv
