#include "kv/kv_service.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "kv/stamping.h"
#include "kv/text_case.h"
#include "kv/time_report.h"
#include "node/rpc/redirect.h"
#include "runtime/base/defect.h"

namespace orrery::kv {

namespace {

/// The first word of a forwarded transaction; the second is its record.
constexpr ByteView kTransactWord = "@exec";

bool had_no_effect(Code code) {
    return code == Code::NotLeader || code == Code::NotReady || code == Code::Stale || code == Code::Unreachable || code == Code::Exists;
}

/// Commands that only remove may use what a nearly full disk has left.
raft::SpaceUse space_use(ArgvView argv) {
    const CommandInfo* command = find_command(argv.front());
    if (command == nullptr) return raft::SpaceUse::Takes;
    switch (command->id) {
        case CommandId::Del:
        case CommandId::Unlink:
        case CommandId::Getdel:
        case CommandId::Flushall:
        case CommandId::Flushdb: return raft::SpaceUse::Frees;
        default: return raft::SpaceUse::Takes;
    }
}

raft::SpaceUse space_use(const Transaction& transaction) {
    for (const std::vector<ByteView>& words : transaction.commands) {
        const CommandInfo* command = find_command(words.front());
        const bool read = command != nullptr && command->route == Route::Read;
        if (!read && space_use(ArgvView(words)) == raft::SpaceUse::Takes) return raft::SpaceUse::Takes;
    }
    return raft::SpaceUse::Frees;
}

/// What another node says is checked as if a client had said it.
Result<void> check_transaction(const Transaction& transaction) {
    for (const std::vector<ByteView>& words : transaction.commands) {
        const CommandInfo* command = check_request(words).command;
        const bool fits = command != nullptr && command->id != CommandId::Watch && (command->route == Route::Read || command->route == Route::Write);
        if (!fits) return Error(Code::Invalid, "a forwarded transaction with a command that does not belong into one");
    }
    return {};
}

}  // namespace

KvService::KvService(Env& env, raft::GroupHost& host, raft::Group& group, KvServiceOptions options)
    : env_(env),
      host_(host),
      group_(group),
      machine_(static_cast<KvMachine&>(group.machine())),
      options_(options),
      draws_(env.random.stream("kv.draws")),
      next_client_(std::max<uint64_t>(1, options.first_client)) {
    group_.set_observer(this);
    env_.spawn("kv.timekeeper", [this](Fiber& fiber) { timekeeper(fiber); });
    env_.spawn("kv.time_watch", [this](Fiber& fiber) { watch_time(fiber); });
    env_.spawn("kv.purger", [this](Fiber& fiber) { purger(fiber); });
}

KvService::~KvService() { group_.set_observer(nullptr); }

Reply KvService::error_reply(const Error& error) const {
    if (had_no_effect(error.code))
        if (const std::string out = group_.exclusion(); !out.empty()) return Reply::error("CLUSTERDOWN " + out + "; the command had no effect");
    switch (error.code) {
        case Code::Unknown:
        case Code::Timeout: return Reply::error("UNKNOWN outcome unknown: the command may or may not have taken effect");
        case Code::NotLeader:
        case Code::NotReady:
        case Code::Stale:
        case Code::Unreachable: return Reply::error("CLUSTERDOWN no leader could be reached; the command had no effect");
        case Code::Overloaded: return Reply::error("BUSY " + error.context + "; the command had no effect");
        case Code::NoSpace: return Reply::error("OOM " + error.context + "; the command had no effect");
        default: return Reply::error("ERR " + error.text());
    }
}

// ---- here, as the leader ----------------------------------------------------------------------------------------

Result<Outcome> KvService::commit_here(Fiber& fiber, Bytes entry, raft::SpaceUse space, Instant deadline) {
    const Instant begun = env_.now();
    TRY(raft::Committed done, group_.propose(fiber, std::move(entry), nullptr, deadline, space));
    counters_.write_time.record(env_.now() - begun);
    ByteReader reader(done.reply);
    TRY(Reply reply, resp::take_reply(reader));
    ++counters_.writes;
    newest_write_ = std::max(newest_write_, done.index);
    return Outcome{std::move(reply), done.index};
}

Result<Outcome> KvService::write_here(Fiber& fiber, ArgvView argv, ClientSlot slot, Instant deadline) {
    if (argv.front() == kTransactWord) {
        TRY(const Transaction transaction, decode_transaction(argv[1]));
        return transact_here(fiber, transaction, slot, deadline);
    }
    const Stamp stamp = machine_.stamp();
    if (ORRERY_DEFECT(increment_from_applied) && is_word(argv.front(), "incrby")) {
        const std::array<ByteView, 2> get{"GET", argv[1]};
        TRY(const Outcome now, read_applied(fiber, {get, find_command("get")}, deadline));
        const Bytes sum = std::to_string(std::atoll(now.reply.text.c_str()) + std::atoll(Bytes(argv[2]).c_str()));
        const std::array<ByteView, 3> set{"SET", argv[1], sum};
        TRY(const Outcome done, commit_here(fiber, encode_entry(EntryKind::Command, stamp, slot, set), space_use(argv), deadline));
        return Outcome{Reply::integer(std::atoll(sum.c_str())), done.index};
    }
    const Stamped stamped = stamp_command(argv, stamp.time);
    if (const Reply* refused = stamped.refusal()) return Outcome{*refused, LogIndex()};
    return commit_here(fiber, encode_entry(EntryKind::Command, stamp, slot, stamped.words()), space_use(argv), deadline);
}

Result<Outcome> KvService::transact_here(Fiber& fiber, const Transaction& transaction, ClientSlot slot, Instant deadline) {
    if (ORRERY_DEFECT(exec_compares_at_proposal) && !transaction.watches.empty()) {
        for (const WatchView& watch : transaction.watches) {
            const std::array<ByteView, 2> look{"WATCH", watch.key};
            TRY(const Outcome now, read_applied(fiber, {look, find_command("watch")}, deadline));
            if (now.reply.items.size() != 2 || now.reply.items[1].number != static_cast<int64_t>(watch.modified.value))
                return Outcome{Reply::null_array(), LogIndex()};
        }
        Transaction compared = transaction;
        compared.watches.clear();
        return transact_here(fiber, compared, slot, deadline);
    }
    const Stamp stamp = machine_.stamp();
    const Bytes record = stamp_transaction(transaction, stamp.time, draws_.next());
    const ByteView word = record;
    return commit_here(fiber, encode_entry(EntryKind::Transaction, stamp, slot, resp::ArgvView(&word, 1)), space_use(transaction), deadline);
}

uint64_t KvService::draw_for(const Request& request) { return request.command->id == CommandId::Randomkey ? draws_.next() : 0; }

Result<Outcome> KvService::read_applied(Fiber& fiber, const Request& request, Instant deadline) {
    if (request.command->id == CommandId::Get) {
        if (const std::optional<RecordRef> known = machine_.get_known(request.argv[1], machine_.stamp().time)) {
            ++counters_.reads;
            return Outcome{*known ? Reply::bulk(Bytes((*known)->data())) : Reply::null(), group_.applied()};
        }
    }
    for (;;) {
        const Stamp now = machine_.stamp();
        Result<Executed> done = machine_.read(fiber, request, now.time, draw_for(request));
        if (done.failed_with(Code::Stale)) continue;
        if (!done.ok()) return done.error();
        if (!done->tick_needed) {
            ++counters_.reads;
            return Outcome{std::move(done->reply), group_.applied()};
        }
        // A key expires between state-machine time and now: time itself goes into the log first, so that no later leader
        // with a slower clock can show the key again.
        ++counters_.ticks;
        TRY(raft::Committed ticked, group_.propose(fiber, encode_tick(now), nullptr, deadline, raft::SpaceUse::Frees));
    }
}

Result<Outcome> KvService::read_here(Fiber& fiber, const Request& request, Instant deadline) {
    const Instant begun = env_.now();
    if (const std::optional<Term> term = group_.lease_term()) {
        Result<Outcome> done = read_applied(fiber, request, deadline);
        if (done.failed_with(Code::Cancelled)) return done;
        if (done.ok() && group_.lease_vouches(*term)) {
            ++counters_.lease_reads;
            counters_.read_time.record(env_.now() - begun);
            return done;
        }
    }
    TRY(LogIndex index, group_.read_barrier(fiber, deadline));
    (void)index;
    Result<Outcome> done = read_applied(fiber, request, deadline);
    if (done.ok()) counters_.read_time.record(env_.now() - begun);
    return done;
}

// ---- from any node ----------------------------------------------------------------------------------------------

Result<Outcome> KvService::forward(Fiber& fiber, NodeId to, ArgvView argv, ClientSlot slot, bool read, Instant deadline) {
    wire::ForwardedCommand command;
    command.client = slot.client;
    command.sequence = slot.sequence;
    command.read = read;
    command.hops = 1;
    command.argv.assign(argv.begin(), argv.end());
    ++counters_.forwarded;
    const rpc::Target target{wire::Operation::KvForward, kKvGroup, 0, wire::TrafficClass::Foreground, {deadline}};
    TRY(Bytes answer, host_.peers().call(fiber, to, target, wire::encode_forwarded_command(command)));
    TRY(wire::ForwardedReply reply, wire::decode_forwarded_reply(answer));
    ByteReader reader(reply.reply);
    TRY(Reply value, resp::take_reply(reader));
    return Outcome{std::move(value), reply.index};
}

Result<Outcome> KvService::route(Fiber& fiber, ArgvView argv, ClientSlot slot, bool read, Instant deadline) {
    Duration pause = Duration::millis(5);
    for (;;) {
        if (group_.stopped()) return Error(Code::NotReady, "the group has stopped on this node");
        if (group_.core().removed()) return Error(Code::NotReady, group_.exclusion());
        Result<Outcome> done = Error(Code::NotLeader, "no leader is known");
        const NodeId leader = group_.leader().node;
        if (group_.leads()) {
            done = read ? read_here(fiber, {argv, find_command(argv.front())}, deadline) : write_here(fiber, argv, slot, deadline);
        } else if (leader) {
            done = forward(fiber, leader, argv, slot, read, deadline);
        }
        if (done.ok() || done.failed_with(Code::Cancelled)) return done;
        const bool repeat = had_no_effect(done.code()) || (read && (done.code() == Code::Unknown || done.code() == Code::Timeout)) ||
                            (ORRERY_DEFECT(forward_retries_write) && done.code() == Code::Unknown);
        if (!repeat || env_.now() + pause >= deadline) return done;
        if (ORRERY_DEFECT(forward_retries_write)) slot = ClientSlot{};
        Result<void> slept = leader_changed_.wait(fiber, env_.now() + pause);
        if (slept.failed_with(Code::Cancelled)) return slept.error();
        pause = std::min(pause * 2, Duration::millis(100));
    }
}

Result<void> KvService::write_many(Fiber& fiber, uint64_t client, std::span<const Request> requests, FunctionRef<void(Outcome)> on_done) {
    const Instant deadline = env_.now() + options_.request_timeout;
    auto finish_one = [&](Result<Outcome> done) -> Result<void> {
        if (done.failed_with(Code::Cancelled)) return done.error();
        if (!done.ok()) {
            const bool unknown = done.code() == Code::Unknown || done.code() == Code::Timeout;
            counters_.unknown += unknown;
            on_done({error_reply(done.error()), unknown && ORRERY_DEFECT(wait_target_unknown_outcome) ? group_.core().log().last().index : LogIndex()});
        } else {
            on_done(std::move(*done));
        }
        return {};
    };
    if (requests.size() > 1 && group_.slowed()) {
        // One wait for all of them: between it and the proposals nothing yields.
        uint64_t bytes = 0;
        for (const Request& request : requests)
            for (ByteView word : request.argv) bytes += word.size();
        Result<void> admitted = group_.admit(fiber, bytes, deadline);
        if (!admitted.ok()) {
            for (size_t i = 0; i < requests.size(); ++i) TRY(finish_one(admitted.error()));
            return {};
        }
    }
    if (requests.size() > 1 && group_.leads()) {
        // All are proposed before the first is waited for, so that they share log batches. Their order is the log's. What
        // fails here is not tried again: a later one may have taken effect already.
        struct Begun {
            std::unique_ptr<raft::Group::Proposal> proposal;
            Result<Outcome> refused = Code::Unknown;
        };
        std::vector<Begun> begun(requests.size());
        const Instant begun_at = env_.now();
        for (size_t i = 0; i < requests.size(); ++i) {
            const Stamp stamp = machine_.stamp();
            const Stamped stamped = stamp_command(requests[i].argv, stamp.time);
            if (const Reply* refused = stamped.refusal()) {
                begun[i].refused = Outcome{*refused, LogIndex()};
                continue;
            }
            auto proposal = group_.begin(encode_entry(EntryKind::Command, stamp, {}, stamped.words()), nullptr,
                                         space_use(requests[i].argv));
            if (proposal.ok()) {
                begun[i].proposal = std::move(*proposal);
            } else {
                begun[i].refused = proposal.error();
            }
        }
        for (Begun& one : begun) {
            if (!one.proposal) {
                TRY(finish_one(std::move(one.refused)));
                continue;
            }
            Result<raft::Committed> done = group_.finish(fiber, *one.proposal, deadline);
            if (done.ok()) counters_.write_time.record(env_.now() - begun_at);
            if (!done.ok()) {
                TRY(finish_one(done.error()));
                continue;
            }
            ByteReader reader(done->reply);
            Result<Reply> reply = resp::take_reply(reader);
            ++counters_.writes;
            newest_write_ = std::max(newest_write_, done->index);
            TRY(finish_one(reply.ok() ? Result<Outcome>(Outcome{std::move(*reply), done->index}) : Result<Outcome>(reply.error())));
        }
        return {};
    }
    for (const Request& request : requests) {
        // Forwarded writes carry an id, so that whoever meets one twice can tell.
        const ClientSlot slot = group_.leads() ? ClientSlot{} : ClientSlot{client, ++forward_sequence_};
        TRY(finish_one(route(fiber, request.argv, slot, false, deadline)));
    }
    return {};
}

Result<Outcome> KvService::transact_routed(Fiber& fiber, uint64_t client, const Transaction& transaction) {
    const Argv words{Bytes(kTransactWord), encode_transaction(transaction)};
    if (words[1].size() > transaction_bytes_max())
        return Error(Code::Invalid, "the transaction is larger than " + std::to_string(transaction_bytes_max()) + " bytes; it had no effect");
    const ClientSlot slot = group_.leads() ? ClientSlot{} : ClientSlot{client, ++forward_sequence_};
    return route(fiber, resp::views_of(words), slot, false, env_.now() + options_.request_timeout);
}

Result<size_t> KvService::pipeline(Fiber& fiber, uint64_t client, std::span<const Request> requests, FunctionRef<void(Outcome)> on_done) {
    Transaction bundle;
    bundle.mode = TransactionMode::Pipeline;
    for (const Request& request : requests) bundle.commands.emplace_back(request.argv.begin(), request.argv.end());
    Result<Outcome> done = transact_routed(fiber, client, bundle);
    if (done.failed_with(Code::Cancelled)) return done.error();
    // Too much for one entry, or for a full disk: some of them may do by themselves.
    if (done.failed_with(Code::Invalid) || done.failed_with(Code::NoSpace) || done.failed_with(Code::Overloaded)) return size_t{0};
    if (done.ok() && done->reply.kind == Reply::Kind::Array && !done->reply.items.empty() && done->reply.items.size() <= requests.size()) {
        for (Reply& reply : done->reply.items) on_done({std::move(reply), done->index});
        return done->reply.items.size();
    }
    // All share the outcome: no effect, or nobody knows (also when a repeat finds that its replies were not kept).
    if (done.ok() || done.failed_with(Code::Unknown) || done.failed_with(Code::Timeout)) counters_.unknown += requests.size();
    const Reply answer = error_reply(done.ok() ? Error(Code::Unknown) : done.error());
    for (size_t i = 0; i < requests.size(); ++i) on_done({answer, LogIndex()});
    return requests.size();
}

Result<Outcome> KvService::transact(Fiber& fiber, uint64_t client, const Transaction& transaction) {
    Result<Outcome> done = transact_routed(fiber, client, transaction);
    if (done.ok() || done.failed_with(Code::Cancelled)) return done;
    counters_.unknown += done.code() == Code::Unknown || done.code() == Code::Timeout;
    return Outcome{error_reply(done.error()), LogIndex()};
}

Result<size_t> KvService::read_many(Fiber& fiber, std::span<const Request> requests, FunctionRef<bool(Outcome)> on_done) {
    const Instant begun = env_.now(), deadline = begun + options_.request_timeout;
    size_t done_count = 0;
    if (const std::optional<Term> term = group_.lease_term()) {
        machine_.fetch(requests);
        while (done_count < requests.size()) {
            Result<Outcome> done = read_applied(fiber, requests[done_count], deadline);
            if (done.failed_with(Code::Cancelled)) return done.error();
            if (!done.ok() || !group_.lease_vouches(*term)) break;
            ++done_count;
            ++counters_.lease_reads;
            counters_.read_time.record(env_.now() - begun);
            if (!on_done(std::move(*done))) return done_count;
        }
    }
    if (group_.leads() && done_count < requests.size()) {
        Result<LogIndex> barrier = group_.read_barrier(fiber, deadline);
        if (barrier.failed_with(Code::Cancelled)) return barrier.error();
        machine_.fetch(requests.subspan(done_count));
        while (barrier.ok() && done_count < requests.size()) {
            Result<Outcome> done = read_applied(fiber, requests[done_count], deadline);
            if (done.failed_with(Code::Cancelled)) return done.error();
            if (!done.ok()) break;
            ++done_count;
            counters_.read_time.record(env_.now() - begun);
            if (!on_done(std::move(*done))) return done_count;
        }
    }
    while (done_count < requests.size()) {
        Result<Outcome> done = route(fiber, requests[done_count].argv, {}, true, deadline);
        if (done.failed_with(Code::Cancelled)) return done.error();
        ++done_count;
        if (!on_done(done.ok() ? std::move(*done) : Outcome{error_reply(done.error()), LogIndex()})) break;
    }
    return done_count;
}

Result<size_t> KvService::read_stale(Fiber& fiber, std::span<const Request> requests, FunctionRef<bool(Outcome)> on_done) {
    size_t done_count = 0;
    while (done_count < requests.size()) {
        const Request& request = requests[done_count];
        // A replica that is out hears nothing any more: what it has would be stale for ever.
        Result<Executed> done = Error(Code::NotReady, "the group has stopped on this node");
        if (!group_.stopped() && !group_.core().removed()) {
            // No time but the applied one: nothing is committed for a read like this. A snapshot that came in between: once more.
            do done = machine_.read(fiber, request, LogTime(), draw_for(request));
            while (done.failed_with(Code::Stale));
        }
        if (done.failed_with(Code::Cancelled)) return done.error();
        ++done_count;
        counters_.stale_reads += done.ok();
        if (!on_done(done.ok() ? Outcome{std::move(done->reply), group_.applied()} : Outcome{error_reply(done.error()), LogIndex()})) break;
    }
    return done_count;
}

void KvService::purger(Fiber& fiber) {
    // An expired key is gone for readers at once; its record goes by an entry, so that all members count the same keys.
    // One chunk of the keyspace at a time, the next soon while there are keys with an expiry.
    Bytes cursor;
    for (;;) {
        const bool work = group_.leads() && machine_.metadata().volatile_keys > 0;
        if (!env_.sleep(fiber, work ? options_.purge_pause : options_.purge_pause * 10).ok()) return;
        if (!group_.leads() || machine_.metadata().volatile_keys == 0) continue;
        const Stamp now = machine_.stamp();
        Result<std::vector<Bytes>> keys = machine_.expired_keys(fiber, cursor, now.time);
        if (keys.failed_with(Code::Cancelled)) return;
        if (!keys.ok() || keys->empty()) continue;
        Result<raft::Committed> done = group_.propose(fiber, encode_entry(EntryKind::Purge, now, {}, resp::views_of(*keys)), nullptr,
                                                      env_.now() + options_.request_timeout, raft::SpaceUse::Frees);
        if (done.failed_with(Code::Cancelled)) return;
        if (done.ok()) counters_.purged += keys->size();
    }
}

// ---- what other nodes forward -----------------------------------------------------------------------------------

void KvService::handle_forwards(rpc::Service& peer_service, const std::unique_ptr<KvService>& service) {
    peer_service.handle(wire::Operation::KvForward, [&service](Fiber& fiber, rpc::Request& request, rpc::Responder& responder) {
        if (!service) return responder.fail(Error(Code::NotReady, "the KV of this node is not up yet"));
        service->handle_forward(fiber, request, responder);
    });
}

void KvService::handle_forward(Fiber& fiber, rpc::Request& request, rpc::Responder& responder) {
    Result<wire::ForwardedCommand> command = wire::decode_forwarded_command(request.body());
    if (!command.ok()) return responder.fail(command.error());
    if (command->argv.empty()) return responder.fail(Error(Code::Invalid, "a forwarded command without words"));
    // The asker waits as long as we do: a sixteenth of it is left for the way back, or what is known here would be unknown there.
    const Duration time = std::min(request.deadline().at - env_.now(), options_.request_timeout);
    const Instant deadline = env_.now() + (time - time / 16);
    if (command->argv.front() == kTimeWord) return handle_time(fiber, *command, deadline, responder);
    auto answer = [&](const Reply& reply, LogIndex index) {
        Bytes bytes;
        resp::put_reply(bytes, reply);
        responder.reply(wire::encode_forwarded_reply({group_.core().term(), index, bytes}));
    };
    // A command is forwarded once: from here the asker is told, not another node asked.
    if (!group_.leads()) {
        const raft::Member leader = group_.leader();
        return responder.fail(rpc::redirect_error({leader.node == group_.self().node ? NodeId() : leader.node, group_.core().term(), {}}));
    }
    if (command->argv.front() == kWaitWord) return handle_wait(fiber, *command, responder);
    if (command->client == 0 && command->sequence != 0) return responder.fail(Error(Code::Invalid, "a sequence without a client"));
    const ClientSlot slot{command->client, command->sequence};
    if (command->argv.front() == kTransactWord) {
        if (command->argv.size() != 2) return responder.fail(Error(Code::Invalid, "a forwarded transaction has two words"));
        Result<Transaction> transaction = decode_transaction(command->argv[1]);
        if (!transaction.ok()) return responder.fail(Error(Code::Invalid, transaction.error().context));
        if (Result<void> fits = check_transaction(*transaction); !fits.ok()) return responder.fail(fits.error());
        Result<Outcome> done = transact_here(fiber, *transaction, slot, deadline);
        if (!done.ok()) return responder.fail(done.error());
        return answer(done->reply, done->index);
    }
    // What another node says is checked as if a client had said it.
    CheckedRequest checked = check_request(command->argv);
    if (checked.command == nullptr) return answer(checked.refusal, LogIndex());
    const bool read = checked.command->route == Route::Read;
    if (!read && checked.command->route != Route::Write) return responder.fail(Error(Code::Invalid, "this command is not forwarded"));
    Result<Outcome> done = read ? read_here(fiber, {command->argv, checked.command}, deadline) : write_here(fiber, command->argv, slot, deadline);
    if (!done.ok()) return responder.fail(done.error());
    answer(done->reply, done->index);
}

}  // namespace orrery::kv
