#include "kv/time_report.h"

#include "node/rpc/operator_call.h"
#include "node/wire/messages.h"

namespace orrery::kv {
namespace {

Result<Reply> ask(Fiber& fiber, Env& env, const Address& peer, std::vector<ByteView> words, Instant deadline) {
    wire::ForwardedCommand command;
    command.argv = std::move(words);
    TRY(Bytes answer, rpc::operator_call(fiber, env, peer, {wire::Operation::KvForward, GroupId(1), 0, wire::TrafficClass::Control, {deadline}},
                                         wire::encode_forwarded_command(command)));
    TRY(wire::ForwardedReply reply, wire::decode_forwarded_reply(answer));
    ByteReader reader(reply.reply);
    return resp::take_reply(reader);
}

}  // namespace

Reply time_report_reply(const TimeReport& report) {
    return Reply::array({Reply::integer(static_cast<int64_t>(report.node.value)), Reply::integer(static_cast<int64_t>(report.leader.value)),
                         Reply::integer(static_cast<int64_t>(report.view.origin)), Reply::integer(report.view.time.ns),
                         Reply::integer(report.view.wall.ns)});
}

Result<TimeReport> time_report_of(const Reply& reply) {
    const Error corrupt(Code::Corrupt, "a node's report of state-machine time makes no sense");
    if (reply.kind != Reply::Kind::Array || reply.items.size() != 5) return corrupt;
    for (const Reply& item : reply.items)
        if (item.kind != Reply::Kind::Integer) return corrupt;
    const auto number = [&](size_t i) { return reply.items[i].number; };
    if (number(0) <= 0 || number(1) < 0 || number(2) < 0 || number(2) > static_cast<int64_t>(TimeOrigin::Wall) || number(3) < 0) return corrupt;
    return TimeReport{NodeId(static_cast<uint64_t>(number(0))), NodeId(static_cast<uint64_t>(number(1))),
                      {static_cast<TimeOrigin>(number(2)), {number(3)}, {number(4)}}};
}

Result<TimeReport> ask_time(Fiber& fiber, Env& env, const Address& peer, Instant deadline) {
    TRY(Reply reply, ask(fiber, env, peer, {kTimeWord}, deadline));
    return time_report_of(reply);
}

Result<LogTime> set_time(Fiber& fiber, Env& env, const Address& peer, LogTime to, Instant deadline) {
    const Bytes word = std::to_string(to.ns);
    TRY(Reply reply, ask(fiber, env, peer, {kTimeWord, word}, deadline));
    if (reply.kind != Reply::Kind::Array || reply.items.size() != 2 || reply.items[0].kind != Reply::Kind::Integer)
        return Error(Code::Corrupt, "the leader's answer to a change of time makes no sense");
    return LogTime{reply.items[0].number};
}

}  // namespace orrery::kv
