#include "sim/scenario/workload_client.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace orrery::sim {

using check::Operation;
using check::OpKind;
using check::OpStatus;
using check::Output;
using resp::Reply;

Answer judge_answer(const Reply& reply, bool write) {
    if (!reply.is_error()) return Answer::Took;
    // Refusals that say so. Whatever else a server says of a write leaves its effect open.
    for (ByteView word : {"CLUSTERDOWN ", "BUSY ", "OOM ", "WRONGTYPE ", "LOADING "})
        if (ByteView(reply.text).starts_with(word)) return Answer::NoEffect;
    return write ? Answer::Unknown : Answer::NoEffect;
}

Workload::Workload(World& world, Cluster& cluster, Watcher& watcher, const Scenario& plan,
                   check::History& history, check::WaitChecker& waits, check::Liveness& liveness,
                   check::ExpiryChecker& expiry)
    : world_(world),
      cluster_(cluster),
      watcher_(watcher),
      spec_(plan.workload),
      history_(history),
      waits_(waits),
      liveness_(liveness),
      expiry_(expiry) {}

Workload::~Workload() = default;

void Workload::start() {
    for (size_t i = 0; i < spec_.clients; ++i) {
        Env& env = *cluster_.client(i).env();
        auto client = std::make_unique<Client>(env, world_.timeline().stream("workload", i));
        client->index = i;
        client->number = next_client_++;
        client->left = spec_.ops / spec_.clients + (i < spec_.ops % spec_.clients ? 1 : 0);
        clients_.push_back(std::move(client));
        ++running_;
        env.spawn("workload.client", [this, i](Fiber& fiber) {
            run_client(fiber, i);
            clients_[i]->resp.close();
            --running_;
        });
    }
}

// ---- what to do
// -------------------------------------------------------------------------------------------------

Operation Workload::draw_operation(Client& client) {
    RandomStream& draws = client.draws;
    const WorkloadMix& mix = spec_.mix;
    const double waits = client.may_wait ? mix.wait + mix.waitall : 0;
    double pick =
        draws.unit() * (mix.get + mix.set + mix.append + mix.incr + mix.del + mix.cas + waits);
    const uint64_t key_number = draws.below(spec_.keys);
    auto key = [&](const char* kind) { return Bytes(kind) + std::to_string(key_number); };
    auto value = [&] { return new_value(client.number); };
    auto below = [&](double share) {
        if (pick < share) return true;
        pick -= share;
        return false;
    };
    if (below(waits)) {
        const bool all = draws.chance(mix.waitall / std::max(waits, 1e-9));
        return draw_wait(client, all);
    }
    const uint64_t kind = draws.below(8);
    if (below(mix.get))
        return Operation::get(client.number, key(kind == 0 ? "a" : kind == 1 ? "n" : "s"));
    if (below(mix.append)) return Operation::append(client.number, key("a"), value());
    if (below(mix.incr)) return Operation::incr(client.number, key("n"), draws.between(1, 9));
    if (below(mix.del)) return Operation::del(client.number, key("s"));
    if (below(mix.cas)) return Operation::cas(client.number, key("s"), std::nullopt, value());
    return Operation::set(client.number, key("s"), value());
}

Operation Workload::draw_wait(Client& client, bool all) {
    const int64_t members = client.draws.between(1, static_cast<int64_t>(cluster_.size()));
    // Each wait of the run has a timeout of its own, by which the server's own trace names it.
    const int64_t timeout_ms = spec_.wait_timeout.as_millis() + static_cast<int64_t>(next_wait_++);
    return all ? Operation::wait_all(client.number, timeout_ms) : Operation::wait(client.number, members, timeout_ms);
}

Bytes Workload::new_value(uint64_t number) {
    Bytes text = "v" + std::to_string(number) + "." + std::to_string(next_value_++) + ".";
    if (text.size() < spec_.value_bytes) text.append(spec_.value_bytes - text.size(), 'x');
    return text;
}

Bytes Workload::command_of(const Operation& operation) const {
    const Bytes value = operation.value.value_or(Bytes());
    switch (operation.kind) {
        case OpKind::Get:
            return encode_command({"GET", operation.key});
        case OpKind::Set:
            return encode_command({"SET", operation.key, value});
        case OpKind::Append:
            return encode_command({"APPEND", operation.key, value});
        case OpKind::Cas:
            return encode_command({"SET", operation.key, value, "NX"});
        case OpKind::Del:
            return encode_command({"DEL", operation.key});
        case OpKind::Incr:
            return encode_command({"INCRBY", operation.key, std::to_string(operation.number)});
        case OpKind::Wait:
            return encode_command(
                {"WAIT", std::to_string(operation.number), std::to_string(operation.timeout_ms)});
        case OpKind::WaitAll:
            return encode_command({"WAITALL", std::to_string(operation.timeout_ms)});
    }
    UNREACHABLE(static_cast<int>(operation.kind));
}

// ---- one client
// -------------------------------------------------------------------------------------------------

void Workload::connect(Fiber& fiber, Client& client) {
    if (spec_.target == "any") {
        client.member = client.draws.below(cluster_.size());
    } else {
        const std::vector<Host*> meant = cluster_.resolve(spec_.target, client.draws);
        client.member =
            meant.empty() ? client.draws.below(cluster_.size()) : meant.front()->index();
    }
    client.may_wait = false;
    client.written = client.bound = LogIndex();
    client.unknown.clear();
    if (client.resp
            .connect(fiber, cluster_.client_address(client.member),
                     client.env.now() + Duration::millis(300))
            .ok())
        return;
    (void)client.env.sleep(fiber, Duration::millis(client.draws.between(5, 50)));
}

void Workload::run_client(Fiber& fiber, size_t index) {
    Client& client = *clients_[index];
    while (client.left > 0 && !stopping_ && !fiber.cancelled()) {
        if (!client.resp.connected()) {
            connect(fiber, client);
            continue;
        }
        const double pause =
            client.draws.exponential(std::max(1.0, static_cast<double>(spec_.think.ns)));
        const bool burst = client.draws.chance(spec_.burst_p);
        const uint64_t burst_size = 2 + client.draws.below(7);
        if (!client.env.sleep(fiber, Duration::nanos(std::llround(std::min(pause, 60e9)))).ok())
            return;
        if (stopping_) return;
        if (spec_.mix.expire > 0 && client.draws.chance(spec_.mix.expire)) {
            --client.left;
            run_expiring(fiber, client);
            continue;
        }
        if (spec_.odd_waits_p > 0 && client.may_wait && client.draws.chance(spec_.odd_waits_p)) {
            --client.left;
            run_odd_wait(fiber, client);
            continue;
        }
        const uint64_t count = std::min<uint64_t>(burst ? burst_size : 1, client.left);
        client.left -= count;
        run_batch(fiber, client, count);
    }
}

check::ExpiryOp Workload::draw_expiring(Client& client) {
    using check::ExpiryKind;
    RandomStream& draws = client.draws;
    const double what = draws.unit();
    const Duration ttl = Duration::millis(std::llround(draws.log_uniform(50, 8000)));
    const size_t other = draws.below(clients_.size());
    check::ExpiryOp op;
    if (client.expiring.empty()) {
        client.expiring = "t" + std::to_string(client.index + 1) + "." +
                          std::to_string(++client.expiring_keys);
        op.kind = ExpiryKind::Set;
    } else if (what < 0.35) {
        op.kind = what < 0.2 ? ExpiryKind::Set : what < 0.3 ? ExpiryKind::Expire : ExpiryKind::Persist;
    } else {
        op.kind = what < 0.85 ? ExpiryKind::Get : ExpiryKind::TimeToLive;
    }
    op.key = client.expiring;
    // Reads go to anybody's key, so that they meet the writer's operations and each other.
    if (!op.writes() && !clients_[other]->expiring.empty() && draws.chance(0.5))
        op.key = clients_[other]->expiring;
    if (op.kind == ExpiryKind::Set)
        op.value = "v" + std::to_string(client.number) + "." + std::to_string(next_value_++);
    if (op.kind == ExpiryKind::Set || op.kind == ExpiryKind::Expire) op.ttl = ttl;
    return op;
}

void Workload::run_expiring(Fiber& fiber, Client& client) {
    using check::ExpiryKind;
    check::ExpiryOp op = draw_expiring(client);
    const ExpiryKind kind = op.kind;
    const bool write = op.writes();
    const std::string ttl = std::to_string(op.ttl.as_millis());
    const Bytes bytes = kind == ExpiryKind::Set ? encode_command({"SET", op.key, *op.value, "PX", ttl})
                        : kind == ExpiryKind::Expire  ? encode_command({"PEXPIRE", op.key, ttl})
                        : kind == ExpiryKind::Persist ? encode_command({"PERSIST", op.key})
                        : kind == ExpiryKind::Get     ? encode_command({"GET", op.key})
                                                      : encode_command({"PTTL", op.key});
    op.called = stamp();
    const std::optional<check::ExpiryChecker::OpId> id = expiry_.call(std::move(op));
    if (!id) return;  // full: nothing is sent that it would not judge
    const Instant deadline = client.env.now() + spec_.op_timeout;
    Result<Reply> reply = Error(Code::Unreachable);
    if (client.resp.send(fiber, bytes, deadline).ok())
        reply = client.resp.receive(fiber, deadline);
    if (reply.failed_with(Code::Corrupt)) world_.fail("resp.bad-reply", reply.error().context);
    const Answer answer = reply.ok() ? judge_answer(*reply, write)
                          : write    ? Answer::Unknown
                                     : Answer::NoEffect;
    OpStatus status = answer == Answer::Took       ? OpStatus::Ok
                      : answer == Answer::NoEffect ? OpStatus::Fail
                                                   : OpStatus::Unknown;
    check::Value value;
    int64_t number = 0;
    Duration left;
    if (status == OpStatus::Ok) {
        const bool number_fits = reply->kind == Reply::Kind::Integer;
        const bool fits =
            kind == ExpiryKind::Set   ? reply->kind == Reply::Kind::Simple && reply->text == "OK"
            : kind == ExpiryKind::Get ? reply->kind == Reply::Kind::Bulk || reply->kind == Reply::Kind::Null
                                      : number_fits;
        if (!fits) {
            world_.fail("resp.wrong-reply", "the answer to a command on a key that expires is '" +
                                                reply->text.substr(0, 80) + "'");
            status = OpStatus::Unknown;
        }
        if (kind == ExpiryKind::Get && reply->kind == Reply::Kind::Bulk) value = reply->text;
        if (number_fits) number = reply->number;
        if (kind == ExpiryKind::TimeToLive && number >= 0) {
            left = Duration::millis(number);
            number = 0;
        }
    }
    expiry_.answer(*id, status, std::move(value), number, left, stamp());
    (status == OpStatus::Ok ? ok_ : status == OpStatus::Fail ? failed_ : unknown_) += 1;
    world_.timeline().note(Step::Client, *id, static_cast<uint64_t>(status));
    // On the same connection as everything else, so a wait's target may lie as high as what this saw.
    if (status == OpStatus::Ok) client.bound = std::max(client.bound, watcher_.applied_anywhere());
    if (status == OpStatus::Unknown) client.expiring.clear();
    if (!reply.ok()) client.resp.close();
}

void Workload::run_batch(Fiber& fiber, Client& client, size_t count) {
    std::vector<Sent> sent;
    for (size_t i = 0; i < count; ++i) {
        Operation operation = draw_operation(client);
        // A wait judges what this connection is known to have done: it is the last of its batch.
        const bool wait = check::is_wait(operation.kind);
        if (wait && i > 0) break;
        if (!begin(client, std::move(operation), sent)) return;
        if (wait) break;
    }
    send_and_settle(fiber, client, sent);
}

bool Workload::begin(Client& client, Operation operation, std::vector<Sent>& sent) {
    Sent one{.operation = std::move(operation), .at = world_.now()};
    const bool wait = check::is_wait(one.operation.kind);
    if (wait) {
        one.wait_timeout = Duration::millis(one.operation.timeout_ms);
        raft::Group* group = cluster_.group(client.member);
        if (group != nullptr && group->leads()) {
            one.member_changes = watcher_.member_changes();
            one.contact_leader = NodeId(client.member + 1);
            one.contact = watcher_.begin_contact(*one.contact_leader);
        }
    }
    Result<check::History::OpId> id = history_.invoke(one.operation, world_.now());
    if (!id.ok()) return false;  // nothing is sent that the history would not hold
    one.id = *id;
    if (!wait && one.operation.kind != OpKind::Get) written_[one.operation.key] = true;
    liveness_.started(one.id,
                      std::string(check::op_kind_name(one.operation.kind)) + " of client " +
                          std::to_string(client.index + 1),
                      stamp());
    sent.push_back(std::move(one));
    return true;
}

Instant Workload::deadline_of(const Client& client, const std::vector<Sent>& sent) const {
    Instant deadline = client.env.now() + spec_.op_timeout;
    for (const Sent& one : sent) deadline = deadline + one.wait_timeout;
    return deadline;
}

void Workload::send_and_settle(Fiber& fiber, Client& client, std::vector<Sent>& sent) {
    Bytes bytes;
    for (const Sent& one : sent) bytes += command_of(one.operation);
    const Instant deadline = deadline_of(client, sent);
    if (!client.resp.send(fiber, bytes, deadline).ok()) return give_up(client, sent, 0);
    for (size_t i = 0; i < sent.size(); ++i) {
        Result<Reply> reply = client.resp.receive(fiber, deadline);
        if (!reply.ok()) {
            if (reply.failed_with(Code::Corrupt))
                world_.fail("resp.bad-reply", reply.error().context);
            return give_up(client, sent, i);
        }
        if (check::is_wait(sent[i].operation.kind)) {
            settle_wait(client, sent[i], *reply);
        } else {
            settle(client, sent[i], *reply);
        }
    }
}

void Workload::end(Sent& sent, OpStatus status, Output output) {
    history_.complete(sent.id, status, std::move(output), world_.now());
    liveness_.finished(sent.id, stamp());
    (status == OpStatus::Ok ? ok_ : status == OpStatus::Fail ? failed_ : unknown_) += 1;
    world_.timeline().note(Step::Client, sent.id, static_cast<uint64_t>(status));
}

void Workload::give_up(Client& client, std::vector<Sent>& sent, size_t from) {
    client.resp.close();
    for (size_t i = from; i < sent.size(); ++i) {
        if (sent[i].contact != 0) watcher_.end_contact(sent[i].contact);
        // A read told nothing and had no effect; a write may take effect at any time from now on.
        const bool harmless =
            sent[i].operation.kind == OpKind::Get || check::is_wait(sent[i].operation.kind);
        end(sent[i], harmless ? OpStatus::Fail : OpStatus::Unknown, {});
    }
    client.number = next_client_++;
}

void Workload::settle(Client& client, Sent& sent, const Reply& reply) {
    const Operation& operation = sent.operation;
    const bool write = operation.kind != OpKind::Get;
    const Answer answer = judge_answer(reply, write);
    if (answer != Answer::Took) {
        end(sent, answer == Answer::NoEffect ? OpStatus::Fail : OpStatus::Unknown, {});
        if (answer == Answer::Unknown) {
            client.number = next_client_++;
            client.unknown = operation.value.value_or(Bytes());
        }
        return;
    }
    Output output;
    bool fits = true;
    switch (operation.kind) {
        case OpKind::Get:
            fits = reply.kind == Reply::Kind::Bulk || reply.kind == Reply::Kind::Null;
            output = Output::of_value(reply.kind == Reply::Kind::Null ? check::Value()
                                                                      : check::Value(reply.text));
            break;
        case OpKind::Set:
            fits = reply.kind == Reply::Kind::Simple && reply.text == "OK";
            break;
        case OpKind::Cas:
            fits = reply.kind == Reply::Kind::Null ||
                   (reply.kind == Reply::Kind::Simple && reply.text == "OK");
            output = Output::of_number(reply.kind == Reply::Kind::Null ? 0 : 1);
            break;
        default:
            fits = reply.kind == Reply::Kind::Integer;
            output = Output::of_number(reply.number);
            break;
    }
    if (!fits) {
        world_.fail("resp.wrong-reply",
                    "the answer to " + operation.text() + " is '" + reply.text.substr(0, 80) + "'");
        return end(sent, OpStatus::Unknown, {});
    }
    const bool wrote = write && !(operation.kind == OpKind::Cas && output.number == 0) &&
                       !(operation.kind == OpKind::Del && output.number == 0);
    end(sent, OpStatus::Ok, std::move(output));
    client.bound = std::max(client.bound, watcher_.applied_anywhere());
    if (!wrote) return;
    client.may_wait = true;
    if (!operation.value) return;
    if (auto index = watcher_.find_entry(*operation.value))
        client.written = std::max(client.written, *index);
}

void Workload::settle_wait(Client& client, Sent& sent, const Reply& reply) {
    const Operation& operation = sent.operation;
    const bool all = operation.kind == OpKind::WaitAll;
    const LogIndex told = watcher_.told_target(sent.wait_timeout);
    check::WaitCall call;
    call.kind = all ? check::WaitCall::Kind::WaitAll : check::WaitCall::Kind::Wait;
    call.members = operation.number;
    call.may_block = sent.may_block;
    if (!client.unknown.empty() && watcher_.find_entry(client.unknown)) watcher_.reached("wait.after_unknown_outcome");
    // The server's clock may run faster than the world's, by the stress bound at most.
    call.timeout = sent.wait_timeout * 9 / 10;
    call.target = client.bound;
    call.called = {sent.at, history_.mark()};
    check::WaitTruth truth;
    const std::optional<std::vector<NodeId>> voters = watcher_.settled_voters();
    // Whom an answer had to count is certain only while nobody changed that.
    const bool judged = (voters && sent.member_changes == watcher_.member_changes()) || !cluster_.changes_members();
    if (voters) truth.required = *voters;
    else for (size_t i = 0; i < cluster_.founders(); ++i) truth.required.push_back(NodeId(i + 1));
    truth.holders = watcher_.holders(client.written);
    raft::Group* group = cluster_.group(client.member);
    const bool leads = group != nullptr && group->leads();
    // Who answered is certain only when the node that was asked led at both ends; else every holder
    // may count.
    const bool certain =
        leads && watcher_.told_leader(sent.wait_timeout) == NodeId(client.member + 1);
    truth.leader = NodeId(certain ? client.member + 1 : UINT64_MAX);
    truth.quorum_since_call = true;
    if (sent.contact != 0 && !watcher_.end_contact(sent.contact) && leads &&
        sent.contact_leader == NodeId(client.member + 1))
        truth.quorum_since_call = false;

    check::WaitReply answer;
    answer.answered = stamp();
    answer.target = told;
    Output output;
    if (reply.is_error()) {
        answer.ending = ByteView(reply.text).starts_with("UNBLOCKED")
                            ? check::WaitReply::Ending::Unblocked
                            : check::WaitReply::Ending::Refused;
    } else if (!all && reply.kind == Reply::Kind::Integer) {
        answer.acked = reply.number;
        output.number = reply.number;
    } else if (all && reply.kind == Reply::Kind::Array && reply.items.size() == 3 &&
               reply.items[2].kind == Reply::Kind::Array) {
        answer.acked = reply.items[0].number;
        answer.required = reply.items[1].number;
        output.number = answer.acked;
        output.required = answer.required;
        for (const Reply& item : reply.items[2].items) {
            uint64_t node = 0;
            std::from_chars(item.text.data(), item.text.data() + item.text.size(), node);
            if (item.kind == Reply::Kind::Integer) node = static_cast<uint64_t>(item.number);
            answer.missing.push_back(NodeId(node));
            output.missing.push_back(node);
        }
    } else {
        world_.fail("resp.wrong-reply",
                    "the answer to " + operation.text() + " is '" + reply.text.substr(0, 80) + "'");
    }
    if (judged) waits_.answered(waits_.called(call), answer, truth);
    end(sent, reply.is_error() ? OpStatus::Fail : OpStatus::Ok, std::move(output));
}

// ---- after the faults
// -------------------------------------------------------------------------------------------

std::vector<Bytes> Workload::keys() const {
    std::vector<Bytes> out;
    for (const auto& [key, was_written] : written_) out.push_back(key);
    return out;
}

Result<void> Workload::read_all(
    Fiber& fiber, Env& env, Instant deadline,
    const std::function<void(const Bytes&, const check::Value&)>& on_value) {
    RespClient client(env);
    const uint64_t number = next_client_++;
    size_t member = 0;
    for (const Bytes& key : keys()) {
        for (;;) {
            if (env.now() >= deadline)
                return Error(Code::Timeout, "key '" + key + "' could not be read after heal");
            if (!client.connected()) {
                if (client
                        .connect(fiber, cluster_.client_address(member++ % cluster_.size()),
                                 env.now() + Duration::millis(500))
                        .failed_with(Code::Cancelled))
                    return Code::Cancelled;
                if (!client.connected()) {
                    TRY(env.sleep(fiber, Duration::millis(20)));
                    continue;
                }
            }
            TRY(check::History::OpId id,
                history_.invoke(Operation::get(number, key), world_.now()));
            const Instant by = env.now() + spec_.op_timeout;
            Result<Reply> reply = Error(Code::Unreachable);
            if (client.send(fiber, encode_command({"GET", key}), by).ok())
                reply = client.receive(fiber, by);
            if (!reply.ok() || reply->is_error()) {
                history_.complete(id, OpStatus::Fail, {}, world_.now());
                client.close();
                TRY(env.sleep(fiber, Duration::millis(20)));
                continue;
            }
            const check::Value value =
                reply->kind == Reply::Kind::Bulk ? check::Value(reply->text) : check::Value();
            history_.complete(id, OpStatus::Ok, Output::of_value(value), world_.now());
            on_value(key, value);
            break;
        }
    }
    return {};
}

Result<Workload::Held> Workload::write_and_wait_all(Fiber& fiber, Env& env, Duration idle,
                                                    Duration timeout, Instant deadline) {
    RespClient client(env);
    size_t member = 0;
    const Bytes key = "final";
    while (env.now() < deadline) {
        // Whoever is outside may not know it yet, and would only wait.
        const size_t chosen = member++ % cluster_.size();
        if (member % cluster_.size() != 0 && cluster_.standing(chosen) != Cluster::Standing::Member) continue;
        const Address to = cluster_.client_address(chosen);
        const Instant by = env.now() + spec_.op_timeout;
        if (client.connect(fiber, to, std::min(by, env.now() + Duration::millis(500)))
                .failed_with(Code::Cancelled))
            return Code::Cancelled;
        const uint64_t number = next_client_++;
        const Bytes value = "final" + std::to_string(number);
        TRY(check::History::OpId id,
            history_.invoke(Operation::set(number, key, value), world_.now()));
        written_[key] = true;
        Result<Reply> reply = Error(Code::Unreachable);
        if (client.connected() && client.send(fiber, encode_command({"SET", key, value}), by).ok())
            reply = client.receive(fiber, by);
        const bool took = reply.ok() && !reply->is_error();
        history_.complete(id, took ? OpStatus::Ok : OpStatus::Unknown, {}, world_.now());
        if (!took) {
            TRY(env.sleep(fiber, Duration::millis(50)));
            continue;
        }
        TRY(env.sleep(fiber, idle));
        const Instant wait_by = env.now() + timeout + spec_.op_timeout;
        reply = Error(Code::Unreachable);
        if (client
                .send(fiber, encode_command({"WAITALL", std::to_string(timeout.as_millis())}),
                      wait_by)
                .ok())
            reply = client.receive(fiber, wait_by);
        if (reply.ok() && reply->kind == Reply::Kind::Array && reply->items.size() == 3)
            return Held{reply->items[0].number, reply->items[1].number};
    }
    return Error(Code::Timeout, "no write was taken after heal");
}

}  // namespace orrery::sim
