// The waits of a workload that are out of the common: between two writes of one pipeline, WAITAOF, inside MULTI, by a
// client that leaves; and those at the end of a run, in the idle group.
#include "sim/scenario/workload_client.h"

#include <algorithm>
#include <cmath>

namespace orrery::sim {

using check::Operation;
using check::OpStatus;
using resp::Reply;

void Workload::run_odd_wait(Fiber& fiber, Client& client) {
    switch (client.draws.below(5)) {
        case 0: return run_between_writes(fiber, client);
        case 1: return run_wait_aof(fiber, client);
        case 2: return run_in_transaction(fiber, client);
        case 3: return run_unblocked(fiber, client);
        default: return run_and_leave(fiber, client);
    }
}

void Workload::run_between_writes(Fiber& fiber, Client& client) {
    const Bytes first = "s" + std::to_string(client.draws.below(spec_.keys)), second = "s" + std::to_string(client.draws.below(spec_.keys));
    const Bytes behind = draw_value(client);
    std::vector<Sent> sent;
    if (!begin(client, Operation::set(client.number, first, draw_value(client)), sent)) return;
    if (!begin(client, draw_wait(client, client.draws.chance(0.5)), sent)) return give_up(client, sent, 0);
    if (!begin(client, Operation::set(client.number, second, behind), sent)) return give_up(client, sent, 0);
    watcher_.comes_after(sent[1].wait_timeout, behind);
    send_and_settle(fiber, client, sent);
}

void Workload::run_wait_aof(Fiber& fiber, Client& client) {
    const int64_t local = client.draws.between(0, 1), members = client.draws.between(0, static_cast<int64_t>(cluster_.size()));
    const Duration timeout = spec_.wait_timeout + Duration::millis(static_cast<int64_t>(next_wait_++));
    const Instant deadline = client.env.now() + spec_.op_timeout + timeout;
    const Bytes bytes = encode_command({"WAITAOF", std::to_string(local), std::to_string(members), std::to_string(timeout.as_millis())});
    Result<Reply> reply = Error(Code::Unreachable);
    if (client.resp.send(fiber, bytes, deadline).ok()) reply = client.resp.receive(fiber, deadline);
    if (!reply.ok()) {
        if (reply.failed_with(Code::Corrupt)) world_.fail("resp.bad-reply", reply.error().context);
        client.resp.close();
        return;
    }
    if (reply->is_error()) return;
    const bool fits = reply->kind == Reply::Kind::Array && reply->items.size() == 2 && reply->items[0].kind == Reply::Kind::Integer &&
                      reply->items[1].kind == Reply::Kind::Integer;
    if (!fits) world_.fail("resp.wrong-reply", "the answer to WAITAOF is '" + reply->text.substr(0, 80) + "'");
}

void Workload::run_in_transaction(Fiber& fiber, Client& client) {
    std::vector<Sent> sent;
    const Bytes key = "s" + std::to_string(client.draws.below(spec_.keys));
    if (!begin(client, Operation::set(client.number, key, draw_value(client)), sent)) return;
    if (!begin(client, draw_wait(client, client.draws.chance(0.5)), sent)) return give_up(client, sent, 0);
    sent[1].may_block = false;
    const Bytes bytes = encode_command({"MULTI"}) + command_of(sent[0].operation) + command_of(sent[1].operation) + encode_command({"EXEC"});
    const Instant deadline = deadline_of(client, sent);
    if (!client.resp.send(fiber, bytes, deadline).ok()) return give_up(client, sent, 0);
    Result<Reply> reply = Error(Code::Unreachable);
    for (int i = 0; i < 4; ++i) {
        reply = client.resp.receive(fiber, deadline);
        if (!reply.ok()) {
            if (reply.failed_with(Code::Corrupt)) world_.fail("resp.bad-reply", reply.error().context);
            return give_up(client, sent, 0);
        }
    }
    const bool done = reply->kind == Reply::Kind::Array && reply->items.size() == 2;
    if (!done && !reply->is_error()) {
        world_.fail("resp.wrong-reply", "the answer to EXEC is '" + reply->text.substr(0, 80) + "'");
        return give_up(client, sent, 0);
    }
    // The wait is about what came before the transaction.
    settle_wait(client, sent[1], done ? reply->items[1] : *reply);
    settle(client, sent[0], done ? reply->items[0] : *reply);
}

void Workload::run_and_leave(Fiber& fiber, Client& client) {
    const bool limited = client.draws.chance(0.5), all = client.draws.chance(0.5);
    const Bytes time = limited ? std::to_string(spec_.wait_timeout.as_millis() + static_cast<int64_t>(next_wait_++)) : "0";
    const Bytes bytes = all ? encode_command({"WAITALL", time}) : encode_command({"WAIT", std::to_string(cluster_.size()), time});
    const Duration stays = Duration::micros(client.draws.between(50, 200'000));
    if (client.resp.send(fiber, bytes, client.env.now() + spec_.op_timeout).ok()) (void)client.env.sleep(fiber, stays);
    client.resp.close();
}

// A second connection unblocks the first. Whoever was told that it did so must be right, and the wait has one answer. Many of one
// go off about when the count or the time ends the wait, or wait in the queue of a paused node together with what ends it.
void Workload::run_unblocked(Fiber& fiber, Client& client) {
    RespClient other(client.env);
    const Duration timeout = spec_.wait_timeout + Duration::millis(static_cast<int64_t>(next_wait_++));
    const Instant by = client.env.now() + spec_.op_timeout + timeout;
    const bool all = client.draws.chance(0.5), as_error = client.draws.chance(0.5), at_the_end = client.draws.chance(0.3);
    const Duration drawn = Duration::micros(std::llround(client.draws.log_uniform(50, 50'000)));
    auto ask = [&](RespClient& one, const std::vector<Bytes>& words) -> Result<Reply> {
        TRY(one.send(fiber, encode_command(words), by));
        return one.receive(fiber, by);
    };
    auto give_up = [&](const Error& error) {
        if (error.code == Code::Corrupt) world_.fail("resp.bad-reply", error.context);
        client.resp.close();
    };
    if (Result<void> made = other.connect(fiber, cluster_.client_address(client.member), client.env.now() + Duration::millis(300)); !made.ok()) return;
    Result<Reply> id = ask(client.resp, {"CLIENT", "ID"});
    if (!id.ok()) return give_up(id.error());
    if (id->is_error()) return;
    const Bytes time = std::to_string(timeout.as_millis());
    const Bytes wait = all ? encode_command({"WAITALL", time}) : encode_command({"WAIT", std::to_string(cluster_.size()), time});
    if (Result<void> sent = client.resp.send(fiber, wait, by); !sent.ok()) return give_up(sent.error());
    if (!client.env.sleep(fiber, at_the_end ? timeout : drawn).ok()) return;
    client.env.tracer.debug("client.unblock", {{"client", id->number}});
    const Result<Reply> took = ask(other, {"CLIENT", "UNBLOCK", std::to_string(id->number), as_error ? "ERROR" : "TIMEOUT"});
    Result<Reply> reply = client.resp.receive(fiber, by);
    if (!reply.ok()) return give_up(reply.error());
    const bool unblocked = ByteView(reply->text).starts_with("UNBLOCKED client");
    if (took.ok() && took->kind == Reply::Kind::Integer) {
        if (took->number == 1) watcher_.reached("wait.unblocked");
        if (unblocked != (as_error && took->number == 1))
            world_.fail("resp.wrong-reply", "CLIENT UNBLOCK was answered " + std::to_string(took->number) + ", and the wait '" + reply->text.substr(0, 80) + "'");
    }
    // One answer, and no more: what comes next belongs to what is asked next.
    const Result<Reply> next = ask(client.resp, {"ECHO", time});
    if (!next.ok()) return give_up(next.error());
    if (!next->is_error() && next->text != time) world_.fail("resp.wrong-reply", "behind an unblocked wait ECHO was answered '" + next->text.substr(0, 80) + "'");
}

// ---- at the end of a run

namespace {

/// A connection to that member and a write over it. Errors: what failed, and Cancelled.
Result<void> connect_and_write(Fiber& fiber, Env& env, RespClient& client, const Address& to, const Bytes& value, Instant by) {
    TRY(client.connect(fiber, to, by));
    TRY(client.send(fiber, encode_command({"SET", "idle", value}), by));
    TRY(Reply reply, client.receive(fiber, by));
    if (reply.is_error()) return Error(Code::Unreachable, reply.text);
    (void)env;
    return {};
}

}  // namespace

Result<void> Workload::idle_rounds(Fiber& fiber, Env& env, Duration heartbeat, size_t voters, Instant deadline) {
    // What a heartbeat would bring must not be needed; a round trip or two and a sync have to fit well below it.
    if (heartbeat < Duration::millis(100)) return Error(Code::Invalid, "heartbeats come too often to tell");
    std::vector<Duration> took;
    for (int round = 0; round < 6; ++round) {
        RespClient client(env);
        const std::optional<size_t> leader = cluster_.leader();
        if (!leader) return Error(Code::Timeout, "no leader");
        const Instant by = std::min(deadline, env.now() + spec_.op_timeout);
        Result<void> wrote = connect_and_write(fiber, env, client, cluster_.client_address(*leader), "idle" + std::to_string(round), by);
        if (!wrote.ok()) return wrote.error().code == Code::Cancelled ? wrote.error() : Error(Code::Timeout, wrote.error().context);
        const Instant asked = world_.now();
        const Bytes command = round % 3 == 2 ? encode_command({"WAITALL", "5000"}) : encode_command({"WAIT", std::to_string(voters - 1), "5000"});
        TRY(client.send(fiber, command, env.now() + Duration::seconds(8)));
        TRY(Reply reply, client.receive(fiber, env.now() + Duration::seconds(8)));
        if (reply.is_error()) return Error(Code::Timeout, reply.text);
        watcher_.reached("wait.idle_group");
        if (voters > 1 && cluster_.leader() == leader) took.push_back(world_.now() - asked);
        client.close();
        TRY(env.sleep(fiber, heartbeat * (round + 1) / 5));
    }
    // One may have met a link between members that was just being made anew.
    std::ranges::sort(took);
    if (took.size() > 1) waits_.idle_round(stamp(), took[took.size() - 2], heartbeat * 3 / 4);
    return {};
}

Result<size_t> Workload::leave_while_waiting(Fiber& fiber, Env& env, std::vector<size_t> members, Instant deadline) {
    std::vector<std::unique_ptr<RespClient>> clients;
    for (size_t member : members) {
        auto client = std::make_unique<RespClient>(env);
        Result<void> wrote = connect_and_write(fiber, env, *client, cluster_.client_address(member), "leaves", deadline);
        if (wrote.failed_with(Code::Cancelled)) return Code::Cancelled;
        if (wrote.ok() && client->send(fiber, encode_command({"WAITALL", "0"}), deadline).ok()) clients.push_back(std::move(client));
    }
    TRY(env.sleep(fiber, Duration::millis(100)));
    for (auto& client : clients) client->close();
    TRY(env.sleep(fiber, Duration::millis(1200)));  // a node that forwards looks twice a second
    return clients.size();
}

}  // namespace orrery::sim
