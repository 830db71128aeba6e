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
    for (ByteView word : {"CLUSTERDOWN ", "BUSY ", "OOM ", "WRONGTYPE ", "LOADING ", "EXECABORT "})
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
      expiry_(expiry),
      readers_read_(plan.phases.chaos) {}

Workload::~Workload() = default;

void Workload::start() {
    const uint64_t writers = spec_.clients - spec_.readers;
    readers_until_ = world_.now() + readers_read_;
    for (size_t i = 0; i < spec_.clients; ++i) {
        Env& env = *cluster_.client(i).env();
        auto client = std::make_unique<Client>(env, world_.timeline().stream("workload", i));
        client->index = i;
        client->number = next_client_++;
        for (const std::string& line : spec_.script)
            if (Result<ScriptStep> step = parse_step(line, spec_.clients); step.ok() && step->client == i) client->steps.push_back(std::move(*step));
        client->reads_only = i >= writers;
        if (!client->reads_only) client->left = spec_.ops / writers + (i < spec_.ops % writers ? 1 : 0);
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

// No two are equal, and none is the beginning of another.
Bytes Workload::draw_value(const Client& client) {
    Bytes text = "v" + std::to_string(client.number) + "." + std::to_string(next_value_++) + ".";
    if (text.size() < spec_.value_bytes) text.append(spec_.value_bytes - text.size(), 'x');
    return text;
}

// Lists are left for new ones before every read of them is large: the history keeps what was read.
Bytes Workload::list_key(uint64_t number) const {
    const uint64_t appends = std::max<uint64_t>(16, 4096 / std::max<uint64_t>(1, spec_.value_bytes));
    return "a" + std::to_string(number + spec_.keys * (next_value_ / (appends * spec_.keys)));
}

Operation Workload::draw_operation(Client& client) {
    RandomStream& draws = client.draws;
    const WorkloadMix& mix = spec_.mix;
    const double waits = client.may_wait ? mix.wait + mix.waitall : 0;
    double pick =
        draws.unit() * (mix.get + mix.set + mix.append + mix.incr + mix.del + mix.cas + waits);
    const uint64_t key_number = draws.below(spec_.keys);
    auto key = [&](const char* kind) { return Bytes(kind) + std::to_string(key_number); };
    auto value = [&] { return draw_value(client); };
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
    if (spec_.kind == "kv-counters") {
        const char* counter = kind < 4 ? "n" : kind < 7 ? "d" : "m";
        if (below(mix.get)) return Operation::get(client.number, key(counter));
        const int64_t by = draws.between(1, 9);
        const bool down = kind >= 4 && (kind < 7 || draws.chance(0.5));
        return Operation::incr(client.number, key(counter), down ? -by : by);
    }
    if (spec_.kind == "kv-appends" || spec_.kind == "kv-transactions") {
        if (below(mix.get)) return Operation::get(client.number, mix.incr > 0 && kind < 2 ? key("n") : list_key(key_number));
        if (below(mix.append)) return Operation::append(client.number, list_key(key_number), value());
        return Operation::incr(client.number, key("n"), draws.between(1, 9));
    }
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
            // Both ways to say it.
            if (operation.number < 0)
                return encode_command({"DECRBY", operation.key, std::to_string(-operation.number)});
            return encode_command({"INCRBY", operation.key, std::to_string(operation.number)});
        case OpKind::Wait:
            return encode_command(
                {"WAIT", std::to_string(operation.number), std::to_string(operation.timeout_ms)});
        case OpKind::WaitAll:
            return encode_command({"WAITALL", std::to_string(operation.timeout_ms)});
        case OpKind::Txn: {
            Bytes out = encode_command({"MULTI"});
            for (const check::TxnPart& part : operation.parts) {
                if (part.watched) continue;
                if (part.kind == OpKind::Get) out += encode_command({"GET", part.key});
                if (part.kind == OpKind::Append) out += encode_command({"APPEND", part.key, *part.value});
                if (part.kind == OpKind::Incr) out += encode_command({"INCRBY", part.key, std::to_string(part.number)});
            }
            return out + encode_command({"EXEC"});
        }
    }
    UNREACHABLE(static_cast<int>(operation.kind));
}

// ---- one client
// -------------------------------------------------------------------------------------------------

void Workload::connect(Fiber& fiber, Client& client) {
    if (client.reads_only) {
        client.member = client.index % cluster_.founders();
    } else if (spec_.target == "any") {
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
    if (spec_.kind == "kv-script") return run_script(fiber, client);
    if (client.reads_only) return run_reader(fiber, client);
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
            run_expiring(fiber, client, draw_expiring(client));
            continue;
        }
        if (spec_.mix.txn > 0 && client.draws.chance(spec_.mix.txn)) {
            --client.left;
            run_drawn_transaction(fiber, client);
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

void Workload::run_reader(Fiber& fiber, Client& client) {
    while (!stopping_ && !fiber.cancelled() && world_.now() < readers_until_) {
        if (!client.resp.connected()) {
            connect(fiber, client);
            continue;
        }
        const double pause = client.draws.exponential(std::max(1.0, static_cast<double>(spec_.reader_think.ns)));
        if (!client.env.sleep(fiber, Duration::nanos(std::llround(std::min(pause, 60e9)))).ok()) return;
        if (!stopping_) run_batch(fiber, client, 1, Operation::get(client.number, "s" + std::to_string(client.draws.below(spec_.keys))));
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

void Workload::run_script(Fiber& fiber, Client& client) {
    using check::ExpiryKind;
    while (client.next_step < client.steps.size() && !stopping_ && !fiber.cancelled()) {
        if (!client.resp.connected()) {
            connect(fiber, client);
            continue;
        }
        const ScriptStep& step = client.steps[client.next_step++];
        if (!client.env.sleep(fiber, step.pause).ok()) return;
        if (stopping_) return;
        auto with_text = [&](check::TxnPart part) {
            if (part.kind == OpKind::Append) part.value = draw_value(client);
            return part;
        };
        if (step.kind == ScriptStep::Kind::Single) {
            const check::TxnPart part = with_text(step.single);
            run_batch(fiber, client, 1,
                      part.kind == OpKind::Append ? Operation::append(client.number, part.key, *part.value)
                      : part.kind == OpKind::Incr ? Operation::incr(client.number, part.key, part.number)
                                                  : Operation::get(client.number, part.key));
        } else if (step.kind == ScriptStep::Kind::Transaction) {
            std::vector<check::TxnPart> watched, commands;
            for (const check::TxnPart& part : step.parts) (part.watched ? watched : commands).push_back(with_text(part));
            run_transaction(fiber, client, std::move(watched), step.pause, std::move(commands));
        } else {
            check::ExpiryOp op{.kind = step.expiry};
            if (op.kind == ExpiryKind::Set && client.expiring.empty())
                client.expiring = "t" + std::to_string(client.index + 1) + "." + std::to_string(++client.expiring_keys);
            op.key = clients_[step.owner]->expiring;
            if (op.key.empty()) continue;  // nothing was set yet, or its fate is unknown
            if (op.kind == ExpiryKind::Set) op.value = draw_value(client);
            op.ttl = step.ttl;
            run_expiring(fiber, client, std::move(op));
        }
    }
}

void Workload::run_expiring(Fiber& fiber, Client& client, check::ExpiryOp op) {
    using check::ExpiryKind;
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

bool Workload::begin(Client& client, Sent& sent) {
    const Operation& operation = sent.operation;
    Result<check::History::OpId> id = history_.invoke(operation, world_.now());
    if (!id.ok()) return false;
    sent.id = *id;
    if (operation.kind != OpKind::Get && operation.kind != OpKind::Txn && !check::is_wait(operation.kind)) written_[operation.key] = true;
    for (const check::TxnPart& part : operation.parts)
        if (part.kind != OpKind::Get) written_[part.key] = true;
    liveness_.started(sent.id,
                      std::string(check::op_kind_name(operation.kind)) + " of client " +
                          std::to_string(client.index + 1),
                      stamp());
    return true;
}

void Workload::run_batch(Fiber& fiber, Client& client, size_t count, std::optional<Operation> given) {
    std::vector<Sent> sent;
    for (size_t i = 0; i < count; ++i) {
        Operation operation = given ? *given : draw_operation(client);
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
    if (!begin(client, one)) return false;  // nothing is sent that the history would not hold
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

// ---- transactions
// -------------------------------------------------------------------------------------------------

std::vector<check::TxnPart> Workload::draw_commands(Client& client) {
    RandomStream& draws = client.draws;
    std::vector<check::TxnPart> parts;
    for (uint64_t left = 1 + draws.below(4); left > 0; --left) {
        const double what = draws.unit();
        const uint64_t number = draws.below(spec_.keys);
        check::TxnPart& part = parts.emplace_back();
        if (what < 0.5) {
            part = {.kind = OpKind::Append, .key = list_key(number), .value = draw_value(client)};
        } else if (what < 0.65) {
            part = {.kind = OpKind::Incr, .key = "n" + std::to_string(number), .number = draws.between(1, 9)};
        } else {
            part.key = what < 0.9 ? list_key(number) : "n" + std::to_string(number);
        }
    }
    return parts;
}

/// WATCH and a GET of each. False: there is nothing to go on with; the connection is closed.
bool Workload::watch_and_read(Fiber& fiber, Client& client, const std::vector<check::TxnPart>& watched, std::vector<check::Value>& values) {
    std::vector<Bytes> words{"WATCH"};
    for (const check::TxnPart& part : watched) words.push_back(part.key);
    Bytes bytes = encode_command(words);
    std::vector<Sent> reads;
    for (const check::TxnPart& part : watched) {
        Sent one{.operation = Operation::get(client.number, part.key), .at = world_.now()};
        if (!begin(client, one)) {
            give_up(client, reads, 0);
            return false;
        }
        bytes += command_of(one.operation);
        reads.push_back(std::move(one));
    }
    const Instant deadline = client.env.now() + spec_.op_timeout;
    Result<Reply> reply = Error(Code::Unreachable);
    if (client.resp.send(fiber, bytes, deadline).ok()) reply = client.resp.receive(fiber, deadline);
    bool good = reply.ok() && !reply->is_error();
    for (size_t i = 0; i < reads.size(); ++i) {
        if (reply.ok()) reply = client.resp.receive(fiber, deadline);
        if (!reply.ok()) {
            if (reply.failed_with(Code::Corrupt)) world_.fail("resp.bad-reply", reply.error().context);
            give_up(client, reads, i);
            return false;
        }
        good &= !reply->is_error();
        values.push_back(reply->kind == Reply::Kind::Bulk ? check::Value(reply->text) : check::Value());
        settle(client, reads[i], *reply);
    }
    client.bound = std::max(client.bound, watcher_.applied_anywhere());
    if (!good) client.resp.close();
    return good;
}

void Workload::run_drawn_transaction(Fiber& fiber, Client& client) {
    RandomStream& draws = client.draws;
    std::vector<check::TxnPart> watched;
    if (draws.chance(0.6)) {
        for (uint64_t left = 1 + draws.below(2); left > 0; --left) {
            const bool list = draws.chance(0.8);
            const uint64_t number = draws.below(spec_.keys);
            const Bytes key = list ? list_key(number) : "n" + std::to_string(number);
            if (watched.empty() || watched.front().key != key) watched.push_back({.watched = true, .key = key});
        }
    }
    const Duration pause = Duration::micros(draws.between(0, 15'000));
    run_transaction(fiber, client, std::move(watched), pause, draw_commands(client));
}

void Workload::run_transaction(Fiber& fiber, Client& client, std::vector<check::TxnPart> parts, Duration pause, std::vector<check::TxnPart> more) {
    std::vector<check::Value> watched;
    if (!parts.empty()) {
        if (!watch_and_read(fiber, client, parts, watched)) return;
        // Time for others to change what is watched.
        if (!client.env.sleep(fiber, pause).ok()) return;
    }
    std::ranges::move(more, std::back_inserter(parts));
    const size_t commands = parts.size() - watched.size();
    std::vector<Sent> sent(1);
    sent[0].operation = Operation::txn(client.number, std::move(parts));
    sent[0].at = world_.now();
    if (!begin(client, sent[0])) return client.resp.close();
    const Instant deadline = client.env.now() + spec_.op_timeout;
    if (!client.resp.send(fiber, command_of(sent[0].operation), deadline).ok()) return give_up(client, sent, 0);
    for (size_t i = 0; i < commands + 2; ++i) {
        Result<Reply> reply = client.resp.receive(fiber, deadline);
        if (!reply.ok()) {
            if (reply.failed_with(Code::Corrupt)) world_.fail("resp.bad-reply", reply.error().context);
            return give_up(client, sent, 0);
        }
        if (i == 0 && reply->is_error()) world_.fail("resp.wrong-reply", "MULTI was answered '" + reply->text.substr(0, 80) + "'");
        if (i == commands + 1) settle_transaction(client, sent[0], *reply, std::move(watched));
    }
}

void Workload::settle_transaction(Client& client, Sent& sent, const Reply& reply, std::vector<check::Value> watched) {
    // An EXEC that changed nothing may have been told of later entries than any other answer.
    client.bound = std::max(client.bound, watcher_.applied_anywhere());
    if (reply.kind == Reply::Kind::NullArray) return end(sent, OpStatus::Fail, {});
    const Answer answer = judge_answer(reply, true);
    if (answer != Answer::Took) {
        end(sent, answer == Answer::NoEffect ? OpStatus::Fail : OpStatus::Unknown, {});
        if (answer == Answer::Unknown) {
            client.number = next_client_++;
            client.resp.close();
        }
        return;
    }
    const std::vector<check::TxnPart>& parts = sent.operation.parts;
    Output output;
    bool fits = reply.kind == Reply::Kind::Array && reply.items.size() + watched.size() == parts.size();
    for (check::Value& value : watched) output.answers.push_back({.value = std::move(value)});
    for (size_t i = watched.size(); fits && i < parts.size(); ++i) {
        const Reply& item = reply.items[i - watched.size()];
        if (parts[i].kind == OpKind::Get) {
            fits = item.kind == Reply::Kind::Bulk || item.kind == Reply::Kind::Null;
            output.answers.push_back({.value = item.kind == Reply::Kind::Bulk ? check::Value(item.text) : check::Value()});
        } else {
            fits = item.kind == Reply::Kind::Integer;
            output.answers.push_back({.number = item.number});
        }
    }
    if (!fits) {
        world_.fail("resp.wrong-reply", "the answer to " + sent.operation.text() + " does not fit");
        return end(sent, OpStatus::Unknown, {});
    }
    const Operation operation = std::move(sent.operation);
    end(sent, OpStatus::Ok, std::move(output));
    for (const check::TxnPart& part : operation.parts) {
        if (part.kind != OpKind::Get) client.may_wait = true;
        if (!part.value) continue;
        if (auto index = watcher_.find_entry(*part.value)) client.written = std::max(client.written, *index);
    }
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
