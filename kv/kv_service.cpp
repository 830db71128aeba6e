#include "kv/kv_service.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>

#include "kv/stamping.h"
#include "kv/text_case.h"
#include "kv/time_report.h"
#include "node/rpc/redirect.h"
#include "runtime/base/defect.h"

namespace orrery::kv {

namespace {

/// The first word of a forwarded wait; no client command begins like this.
constexpr ByteView kWaitWord = "@wait";
constexpr uint64_t kWaitEntity = 1;
/// The difference of state-machine time to wall time from which on somebody has to look at it.
constexpr Duration kTimeOff = Duration::seconds(10);
constexpr LogTime kLatestTime{int64_t{1} << 62};  // what members take of each other ends here
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

Reply wait_outcome_reply(const WaitOutcome& outcome) {
    auto nodes = [](const std::vector<NodeId>& ids) {
        std::vector<Reply> items;
        for (NodeId id : ids) items.push_back(Reply::integer(static_cast<int64_t>(id.value)));
        return Reply::array(std::move(items));
    };
    return Reply::array({Reply::integer(static_cast<int64_t>(outcome.end)), Reply::integer(static_cast<int64_t>(outcome.count)),
                         Reply::integer(static_cast<int64_t>(outcome.acked)), Reply::integer(static_cast<int64_t>(outcome.required)),
                         Reply::integer(outcome.confirmed), Reply::integer(static_cast<int64_t>(outcome.config_index.value)),
                         nodes(outcome.missing), nodes(outcome.learners), Reply::integer(outcome.local)});
}

Result<WaitOutcome> wait_outcome_of(const Reply& reply) {
    const Error corrupt(Code::Corrupt, "the leader's answer to a wait makes no sense");
    if (reply.kind != Reply::Kind::Array || reply.items.size() != 9) return corrupt;
    for (size_t i = 0; i < 6; ++i)
        if (reply.items[i].kind != Reply::Kind::Integer || reply.items[i].number < 0) return corrupt;
    if (reply.items[0].number > static_cast<int64_t>(WaitEnd::Unblocked)) return corrupt;
    WaitOutcome out;
    out.end = static_cast<WaitEnd>(reply.items[0].number);
    out.count = static_cast<uint64_t>(reply.items[1].number);
    out.acked = static_cast<uint64_t>(reply.items[2].number);
    out.required = static_cast<uint64_t>(reply.items[3].number);
    out.confirmed = reply.items[4].number != 0;
    out.config_index = LogIndex(static_cast<uint64_t>(reply.items[5].number));
    for (const Reply& node : reply.items[6].items) out.missing.push_back(NodeId(static_cast<uint64_t>(node.number)));
    out.local = reply.items[8].kind == Reply::Kind::Integer && reply.items[8].number == 1;
    for (const Reply& node : reply.items[7].items) out.learners.push_back(NodeId(static_cast<uint64_t>(node.number)));
    return out;
}

std::vector<WaitMember> voters_of(const raft::Configuration& configuration) {
    std::vector<WaitMember> out;
    for (const auto* half : {&configuration.voters(), &configuration.outgoing()})
        for (const raft::Member& member : *half) {
            const WaitMember one{member.node, member.replica};
            if (std::find(out.begin(), out.end(), one) == out.end()) out.push_back(one);
        }
    return out;
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

// ---- waits ------------------------------------------------------------------------------------------------------

bool KvService::Leaver::unblock(Unblock how) {
    const bool answered = waiting_ != nullptr && waiting_->outcome && waiting_->outcome->end != WaitEnd::Unblocked;
    if (answered && waits_ && !interrupted()) waiting_->tracer.probe("wait.unblocked_as_it_ended");
    if (!waits_ || interrupted() || answered || (exchange_ != nullptr && exchange_->ended())) return false;
    unblock_ = how;
    if (wake_ != nullptr) wake_->notify_all();
    if (exchange_ != nullptr) exchange_->cancel();  // wakes who reads from it
    return true;
}

Result<Reply> KvService::wait(Fiber& fiber, ArgvView argv, const WaitTarget& target, resp::Version version, Leaver& leaver, MayBlock may_block) {
    auto parsed = parse_wait(argv, options_.wait_zero);
    if (Reply* refused = std::get_if<Reply>(&parsed)) return std::move(*refused);
    const WaitCommand& command = std::get<WaitCommand>(parsed);
    WaitRequest request;
    request.kind = command.kind;
    request.replicas = command.replicas;
    request.local = command.local;
    request.target = target.target(newest_write_);
    request.deadline = command.timeout ? env_.now() + *command.timeout : Instant::never();
    if (may_block == MayBlock::No) request.deadline = env_.now();
    // For checkers: which index this connection waits for.
    const Duration timeout = command.timeout ? *command.timeout : Duration{};
    env_.tracer.debug("kv.wait", {{"target", request.target}, {"timeout", timeout}, {"blocks", int{may_block == MayBlock::Yes}}});
    auto answer = [&](const WaitOutcome& outcome) {
        env_.tracer.debug("kv.wait_answered", {{"target", request.target}, {"timeout", timeout}});
        return wait_reply(outcome, version);
    };
    Duration pause = Duration::millis(5);
    leaver.waits_ = may_block == MayBlock::Yes;
    leaver.unblock_ = Unblock::No;
    struct EndOfWait {
        Leaver& leaver;
        ~EndOfWait() { leaver.waits_ = false; }
    } end_of_wait{leaver};
    for (bool again = false;; again = true) {
        if (again && ORRERY_DEFECT(wait_timer_restarts) && command.timeout) request.deadline = env_.now() + *command.timeout;
        if (group_.stopped()) return Reply::error("CLUSTERDOWN the group has stopped on this node");
        if (group_.core().removed()) return Reply::error("CLUSTERDOWN " + group_.exclusion());
        Result<WaitOutcome> done = Error(Code::NotLeader, "no leader is known");
        const NodeId leader = group_.leader().node;
        if (group_.leads()) {
            done = wait_here(fiber, request, &leaver, nullptr);
        } else if (leader) {
            done = forward_wait(fiber, leader, request, leaver);
        }
        if (leaver.unblock_ == Unblock::AsError) return Reply::error("UNBLOCKED client unblocked via CLIENT UNBLOCK");
        // What is known is answered even then: a client may have closed its sending side only.
        if (done.ok() && (done->end != WaitEnd::Unblocked || ORRERY_DEFECT(wait_answers_with_office))) {
            if (ORRERY_DEFECT(wait_answers_with_office)) done->end = WaitEnd::TimedOut;
            return answer(*done);
        }
        if (done.ok()) env_.tracer.probe("wait.resumed_at_new_leader");
        if (done.failed_with(Code::Cancelled) || leaver.left()) return Error(Code::Unreachable, "the client left");
        if (done.failed_with(Code::Overloaded)) return error_reply(done.error());
        if (leaver.unblock_ == Unblock::AsTimeout && env_.now() < request.deadline) {
            // Asked once more, for what holds now. Those that need a quorum round get the time for one.
            const bool by_count = request.kind == WaitKind::Count || request.kind == WaitKind::Durable;
            request.deadline = std::min(request.deadline, env_.now() + (by_count ? Duration{} : Duration::millis(100)));
            leaver.unblock_ = Unblock::No;
            leaver.waits_ = false;
            continue;
        }
        if (env_.now() >= request.deadline) {
            // Nobody who leads could be asked in time: of nobody is it known that he holds it.
            WaitOutcome nothing;
            nothing.kind = request.kind;
            nothing.end = WaitEnd::TimedOut;
            for (const WaitMember& member : voters_of(group_.core().log().configuration())) nothing.missing.push_back(member.node);
            std::sort(nothing.missing.begin(), nothing.missing.end());
            nothing.required = nothing.missing.size();
            return answer(nothing);
        }
        leaver.wake_ = &leader_changed_;
        Result<void> slept = leader_changed_.wait(fiber, std::min(request.deadline, env_.now() + pause));
        leaver.wake_ = nullptr;
        if (slept.failed_with(Code::Cancelled)) return slept.error();
        pause = std::min(pause * 2, Duration::millis(100));
    }
}

Result<WaitOutcome> KvService::wait_here(Fiber& fiber, const WaitRequest& asked, Leaver* leaver, rpc::Responder* asker) {
    refresh_tracker();
    WaitRequest request = asked;
    request.client = next_wait_++;
    if (request.kind != WaitKind::Count) {
        // A quorum round that begins after the command arrived.
        round_ = round_.next();
        request.round = ORRERY_DEFECT(waitall_without_round) ? WaitRound() : round_;
        env_.spawn("kv.wait_confirm", [this, round = round_, client = request.client, deadline = request.deadline](Fiber& own) {
            // Asked again while somebody waits for it: the barrier may be full for a moment.
            do {
                if (group_.read_barrier(own, deadline).ok()) return settle(tracker_.confirm(round));
                if (!env_.sleep(own, Duration::millis(20)).ok()) return;
            } while (group_.leads() && waiting_.contains(client));
        });
    }
    // For checkers: what this leader was asked, and what it says.
    env_.tracer.debug("kv.wait_begun", {{"wait", request.client},
                                        {"kind", static_cast<int>(request.kind)},
                                        {"replicas", request.replicas},
                                        {"local", int{request.local}},
                                        {"target", request.target},
                                        {"forwarded", int{asker != nullptr}}});
    Result<std::optional<WaitOutcome>> at_once = tracker_.add(request, env_.now());
    push();
    if (!at_once.ok()) env_.tracer.debug("kv.wait_left", {{"wait", request.client}});
    TRY(std::optional<WaitOutcome> known, std::move(at_once));
    if (known) {
        tell(*known);
        return *std::move(known);
    }
    Waiting waiting{.tracer = env_.tracer, .outcome = {}, .done = {}};
    waiting_.emplace(request.client, &waiting);
    timer_changed_.notify_all();
    if (leaver != nullptr) {
        leaver->wake_ = &waiting.done;
        leaver->waiting_ = &waiting;
    }
    Result<void> waited;
    while (!waiting.outcome && waited.ok() && !(leaver != nullptr && leaver->interrupted())) {
        waited = waiting.done.wait(fiber, asker != nullptr ? env_.now() + Duration::seconds(2) : Instant::never());
        // A sign of life for the node that asked: a request that is silent for long looks lost to its session.
        if (waited.failed_with(Code::Timeout)) waited = asker->send(fiber, Bytes(1, '.'), env_.now() + Duration::seconds(2));
    }
    if (leaver != nullptr) {
        leaver->wake_ = nullptr;
        leaver->waiting_ = nullptr;
    }
    waiting_.erase(request.client);
    if (waiting.outcome && leaver != nullptr && leaver->unblock_ != Unblock::No) env_.tracer.probe("wait.unblocked_as_it_ended");
    if (waiting.outcome) return *std::move(waiting.outcome);
    if (leaver != nullptr && !leaver->left() && leaver->interrupted()) {
        if (std::optional<WaitOutcome> now = tracker_.unblock(request.client, WaitEnd::TimedOut)) {
            env_.tracer.debug("kv.wait_left", {{"wait", request.client}});
            return *std::move(now);
        }
    }
    if (!ORRERY_DEFECT(wait_leaks_waiter)) tracker_.remove(request.client);
    env_.tracer.debug("kv.wait_left", {{"wait", request.client}});
    if (!waited.ok()) return waited.error();
    return Error(Code::Unreachable, "the client left");
}

Result<WaitOutcome> KvService::forward_wait(Fiber& fiber, NodeId to, const WaitRequest& request, Leaver& leaver) {
    const int64_t left_ms = request.deadline == Instant::never() ? -1 : std::max<int64_t>(0, (request.deadline - env_.now()).as_millis());
    const Argv words{Bytes(kWaitWord), std::to_string(static_cast<int>(request.kind)), std::to_string(request.replicas),
                     std::to_string(ORRERY_DEFECT(wait_forwarded_without_target) ? 0 : request.target.value), std::to_string(left_ms),
                     std::to_string(int{request.local})};
    wire::ForwardedCommand command;
    command.read = true;
    command.hops = 1;
    for (const Bytes& word : words) command.argv.push_back(word);
    const Instant deadline = left_ms < 0 ? Instant::never() : request.deadline + Duration::seconds(1);
    // An entity of their own: waits that last do not use up the window of commands.
    const rpc::Target target{wire::Operation::KvForward, kKvGroup, kWaitEntity, wire::TrafficClass::Foreground, {deadline}};
    TRY(rpc::Exchange exchange, host_.peers().open(fiber, to, target, wire::encode_forwarded_command(command)));
    if (leaver.unblock_ != Unblock::No && env_.now() < request.deadline) return Error(Code::Unreachable, "unblocked");
    // CLIENT UNBLOCK gives the exchange up. A client that leaves does not, as it may have closed its sending side only and the answer
    // be near: looked at twice a second.
    leaver.exchange_ = &exchange;
    for (;;) {
        Result<std::optional<Bytes>> data = exchange.read(fiber, std::min(deadline, env_.now() + Duration::millis(500)));
        if (data.ok() && !*data) break;
        if (data.failed_with(Code::Cancelled)) break;
        if (leaver.left()) exchange.cancel();
        if (!data.ok() && env_.now() >= deadline) break;
    }
    Result<Bytes> answer = exchange.finish(fiber);
    leaver.exchange_ = nullptr;
    if (!answer.ok()) return answer.error();
    TRY(wire::ForwardedReply reply, wire::decode_forwarded_reply(*answer));
    ByteReader reader(reply.reply);
    TRY(Reply value, resp::take_reply(reader));
    TRY(WaitOutcome outcome, wait_outcome_of(value));
    outcome.kind = request.kind;
    return outcome;
}

void KvService::refresh_tracker() {
    const raft::Status status = group_.status();
    const bool leads = status.role == raft::Role::Leader && !group_.stopped();
    if (tracker_.leading() && (!leads || tracker_term_ != status.hard_state.term)) settle(tracker_.lose_leadership());
    if (!leads) return;
    WaitConfig config;
    config.config_index = status.configuration_index;
    if (status.configuration_index > status.commit) {
        config.committed = voters_of(group_.configuration_at(status.commit));
        config.appended = voters_of(status.configuration);
    } else {
        config.committed = voters_of(status.configuration);
    }
    for (const raft::Member& member : status.configuration.learners()) config.learners.push_back({member.node, member.replica});
    const bool anew = ORRERY_DEFECT(wait_members_grow_at_commit) || ORRERY_DEFECT(wait_members_shrink_on_silence);
    if (anew) config_index_ = LogIndex();  // else a defect would not see the next change
    if (ORRERY_DEFECT(wait_members_grow_at_commit)) config.appended.clear();
    if (ORRERY_DEFECT(wait_members_shrink_at_append) && !config.appended.empty()) {
        config.committed.clear();
        for (const raft::Member& member : status.configuration.voters()) config.committed.push_back({member.node, member.replica});
        config.appended.clear();
    }
    if (ORRERY_DEFECT(wait_members_shrink_on_silence)) {
        for (const raft::MemberStatus& member : status.members)
            if (member.member != status.self && !member.active) std::erase(config.committed, WaitMember{member.member.node, member.member.replica});
    }
    const bool frozen = ORRERY_DEFECT(wait_members_frozen) && tracker_.waiting() > 0;
    if (!tracker_.leading()) {
        tracker_term_ = status.hard_state.term;
        answering_ = false;
        tracker_.lead(tracker_term_, status.self.replica, config);
        config_index_ = config.config_index;
    } else if (!frozen && (config_index_ != config.config_index || config_appended_ != !config.appended.empty())) {
        config_index_ = config.config_index;
        settle(tracker_.configure(config));
    }
    if (!frozen) config_appended_ = !config.appended.empty();
    if (!answering_ && status.own_term_committed) {
        answering_ = true;
        settle(tracker_.own_term_committed());
    }
    std::vector<WaitAck> acks;
    for (const raft::MemberStatus& member : status.members) {
        const bool self = member.member == status.self;
        if (!self && (ORRERY_DEFECT(wait_counts_sent) || (ORRERY_DEFECT(wait_counts_snapshot_begun) && member.state == raft::ProgressState::Snapshot))) {
            const LogIndex sent = ORRERY_DEFECT(wait_counts_sent) ? LogIndex(std::max<uint64_t>(1, member.next.value) - 1) : member.claim;
            acks.push_back({tracker_term_, member.member.replica, sent, sent, sent});
            continue;
        }
        acks.push_back({tracker_term_, member.member.replica, self ? status.durable : member.match, self ? group_.applied() : member.applied,
                        self ? status.last.index : member.received});
        tracker_.contact(member.member.replica, self || member.active);
    }
    settle(tracker_.acknowledge(acks));
}

void KvService::settle(std::vector<WaitOutcome> outcomes) {
    for (WaitOutcome& outcome : outcomes) {
        auto found = waiting_.find(outcome.client);
        if (found == waiting_.end()) continue;
        tell(outcome);
        found->second->outcome = std::move(outcome);
        found->second->done.notify_all();
    }
}

void KvService::tell(const WaitOutcome& outcome) {
    if (!env_.tracer.wants(Severity::Debug)) return;
    std::string missing;
    for (const NodeId node : outcome.missing) missing += (missing.empty() ? "" : ",") + std::to_string(node.value);
    env_.tracer.debug("kv.wait_ended", {{"wait", outcome.client},
                                        {"end", static_cast<int>(outcome.end)},
                                        {"count", outcome.count},
                                        {"local", int{outcome.local}},
                                        {"acked", outcome.acked},
                                        {"required", outcome.required},
                                        {"missing", missing}});
}

void KvService::push() {
    if (ORRERY_DEFECT(wait_without_push)) return void(tracker_.take_push());
    if (tracker_.take_push().commit_index) group_.push_commit(group_.core().commit());
}

void KvService::role_changed(const raft::RoleChange&) {
    refresh_tracker();
    leader_changed_.notify_all();
}

void KvService::progressed() {
    // The table of acknowledgements is copied only while somebody waits; add() copies it anew.
    if (tracker_.waiting() > 0) {
        refresh_tracker();
        push();
    }
}

void KvService::timekeeper(Fiber& fiber) {
    for (;;) {
        Result<void> woken = timer_changed_.wait(fiber, tracker_.next_deadline());
        if (woken.failed_with(Code::Cancelled)) return;
        settle(tracker_.expire(env_.now()));
    }
}

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

// ---- an operator's time -----------------------------------------------------------------------------------------

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
    if (command->argv.front() == kWaitWord) {
        int64_t numbers[5];
        if (command->argv.size() != 6) return responder.fail(Error(Code::Invalid, "a forwarded wait has six words"));
        for (size_t i = 0; i < 5; ++i) {
            const ByteView word = command->argv[i + 1];
            auto [end, failure] = std::from_chars(word.data(), word.data() + word.size(), numbers[i]);
            if (failure != std::errc() || end != word.data() + word.size() || (i != 3 && numbers[i] < 0))
                return responder.fail(Error(Code::Invalid, "a forwarded wait with a word that is no number"));
        }
        if (numbers[0] < static_cast<int64_t>(WaitKind::Count) || numbers[0] > static_cast<int64_t>(WaitKind::Durable))
            return responder.fail(Error(Code::Invalid, "a forwarded wait of unknown kind"));
        WaitRequest wait;
        wait.kind = static_cast<WaitKind>(numbers[0]);
        wait.replicas = static_cast<uint64_t>(numbers[1]);
        wait.local = numbers[4] != 0;
        wait.target = LogIndex(static_cast<uint64_t>(numbers[2]));
        wait.deadline = numbers[3] < 0 ? Instant::never() : env_.now() + Duration::millis(numbers[3]);
        Result<WaitOutcome> outcome = wait_here(fiber, wait, nullptr, &responder);
        if (!outcome.ok()) return responder.fail(outcome.error());
        return answer(wait_outcome_reply(*outcome), LogIndex());
    }
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
