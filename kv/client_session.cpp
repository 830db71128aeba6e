#include "kv/client_session.h"

#include <algorithm>

#include "kv/cluster_commands.h"
#include "kv/text_case.h"
#include "runtime/base/check.h"

namespace orrery::kv {

namespace {

/// Writes whose reply may be a stored value, of any length that a value may have.
bool may_answer_value(const CommandInfo& command, ArgvView argv) {
    return command.id == CommandId::Getset || command.id == CommandId::Getdel || command.id == CommandId::Getex || (command.id == CommandId::Set && argv.size() > 3);
}

}  // namespace

ClientSession::ClientSession(Env& env, KvNode& node, uint64_t id, std::unique_ptr<Conn> conn)
    : env_(env), node_(node), conn_(std::move(conn)), forward_id_(node.service()->new_client()), parser_(node.options_.limits) {
    client_.id = id;
    client_.address = conn_->peer().text();
    client_.local_address = node.client_address().text();
    client_.connected_at = client_.active_at = env_.now();
    client_.authenticated = node.acl().open_to_all();
    settings_changed();
    access_changed();
}

void ClientSession::settings_changed() {
    parser_.set_bulk_bytes_max(node_.settings().bulk_bytes_max);
    input_changed_.notify_all();  // how long it may be idle
    if (started_ && !idle_watched_ && node_.settings().idle_limit.ns > 0) watch_idleness();
}

void ClientSession::access_changed() {
    const AclUser* user = node_.acl().find(client_.user);
    if (client_.authenticated && user == nullptr) close_soon();
    const bool free = client_.authenticated && user != nullptr && user->unrestricted() && node_.face() == ClientFace::Standalone;
    attention_ = !free || client_.closing;
    parser_.set_trust(client_.authenticated ? resp::RequestParser::Trust::Known : resp::RequestParser::Trust::Stranger);
}

void ClientSession::close_soon() {
    client_.closing = attention_ = true;
    leaver_.leave();
    wake_reader();
}

void ClientSession::kill() {
    close_soon();
    conn_->close();
}

const ClientState& ClientSession::look() {
    client_.queued = transaction_.open() ? static_cast<int64_t>(transaction_.queued().size()) : -1;
    client_.watched = transaction_.watched();
    client_.input_bytes = input_.size() + parser_.buffered_bytes();
    client_.output_bytes = flushing_ ? unsent_bytes_ : output_.size();
    client_.memory_bytes = sizeof(*this) + input_.capacity() + output_.capacity() + parser_.buffered_bytes();
    return client_;
}

void ClientSession::stop() {
    stopping_ = true;
    leaver_.leave();
    wake_reader();
}

void ClientSession::wake_reader() {
    input_changed_.notify_all();
    if (waits_for_input_ && !reads_ahead_) conn_->close();  // it has said all and heard nothing: there is nothing to wait for
}

ByteView ClientSession::read_some(Fiber& fiber, Bytes& buffer) {
    Result<size_t> count = conn_->read(fiber, buffer);
    if (!count.ok() || *count == 0) {
        ended_ = true;
        leaver_.leave();
        return {};
    }
    client_.active_at = env_.now();
    node_.counters_.input_bytes += *count;
    return ByteView(buffer).substr(0, *count);
}

void ClientSession::read_ahead() {
    if (reads_ahead_) return;
    reads_ahead_ = true;
    env_.spawn("kv.client.reader", [self = shared_from_this()](Fiber& own) { self->read_loop(own); });
}

void ClientSession::read_loop(Fiber& fiber) {
    Bytes buffer(kReadBytes, '\0');
    while (!ended_) {
        // A client that sends faster than it is served is held back by its own transport.
        while (input_.size() >= kInputBytes && !ended_)
            if (input_changed_.wait(fiber).failed_with(Code::Cancelled)) return;
        if (ended_) return;
        input_ += read_some(fiber, buffer);
        input_changed_.notify_all();
    }
}

void ClientSession::watch_idleness() {
    idle_watched_ = true;
    env_.spawn("kv.client.idleness", [self = shared_from_this()](Fiber& own) {
        ClientSession& session = *self;
        while (!session.ended_) {
            const Duration limit = session.node_.settings().idle_limit;
            if (limit.ns <= 0) break;
            const Instant idle_until = session.client_.active_at + limit;
            if (session.waits_for_input_ && session.env_.now() >= idle_until) {
                ++session.node_.counters_.idle_disconnections;
                session.env_.tracer.debug("kv.client_idle", {{"client", session.client_.id}, {"address", session.client_.address}});
                session.kill();
                break;
            }
            // One that is busy, or waits for others, is looked at again a while later.
            const Instant again = std::max(idle_until, session.env_.now() + Duration::millis(100));
            if (session.input_changed_.wait(own, again).failed_with(Code::Cancelled)) break;
        }
        session.idle_watched_ = false;
    });
}

void ClientSession::run(Fiber& fiber) {
    const auto self = shared_from_this();
    started_ = true;
    settings_changed();
    Bytes buffer(kReadBytes, '\0');
    while (!client_.closing) {
        if (input_.empty()) {
            if (ended_ || stopping_) break;
            waits_for_input_ = true;
            ByteView came;
            bool cancelled = false;
            if (reads_ahead_) {
                cancelled = input_changed_.wait(fiber).failed_with(Code::Cancelled);
            } else {
                came = read_some(fiber, buffer);
            }
            waits_for_input_ = false;
            if (cancelled) break;
            if (came.empty()) continue;
            parser_.append(came);
        } else {
            parser_.append(input_);
            input_.clear();
            input_changed_.notify_all();
        }
        if (!execute_all(fiber).ok()) break;
        if (!flush(fiber).ok()) break;
    }
    ended_ = true;
    conn_->close();
    input_changed_.notify_all();
}

Error ClientSession::took_too_long(const char* limit) {
    ++node_.counters_.output_limit_disconnections;
    env_.tracer.warning("kv.client_too_slow",
                        {{"client", client_.id}, {"address", client_.address}, {"bytes", static_cast<int64_t>(unsent_bytes_)}, {"limit", limit}});
    output_ = Bytes();
    return {Code::Timeout, "the client does not take its replies"};
}

Result<void> ClientSession::flush(Fiber& fiber) {
    if (output_.empty()) return {};
    const OutputLimits limits = node_.settings().output;
    ByteView rest = output_;
    unsent_bytes_ = rest.size();
    if (limits.hard_bytes > 0 && rest.size() > limits.hard_bytes) return took_too_long("hard");
    const Instant soft_until = limits.soft_bytes > 0 ? env_.now() + limits.soft_time : Instant::never();
    flushing_ = true;
    Result<void> written;
    while (!rest.empty() && written.ok()) {
        const Instant slow_until = env_.now() + node_.settings().slow_client_limit;
        const bool soft = rest.size() > limits.soft_bytes && soft_until < slow_until;
        Result<size_t> taken = conn_->write(fiber, rest, soft ? soft_until : slow_until);
        if (taken.ok()) {
            rest.remove_prefix(*taken);
            unsent_bytes_ = rest.size();
            node_.counters_.output_bytes += *taken;
        } else {
            written = taken.failed_with(Code::Timeout) ? took_too_long(soft ? "soft" : "slow") : taken.error();
        }
    }
    flushing_ = false;
    client_.active_at = env_.now();
    output_.clear();
    if (output_.capacity() > 4 * kOutputBytes) output_ = Bytes();
    return written;
}

Result<void> ClientSession::execute_all(Fiber& fiber) {
    RequestRun run;  // reads and writes
    size_t values = 0;
    auto finish_run = [&]() -> Result<void> {
        if (run.empty()) return {};
        TRY(execute_run(fiber, run.requests()));
        run.clear();
        values = 0;
        return {};
    };
    for (;;) {
        const auto status = parser_.next();
        if (status == resp::RequestParser::Status::NeedMore) return finish_run();
        if (status == resp::RequestParser::Status::Error) {
            TRY(finish_run());
            answer(Reply::error(parser_.error_text()));
            client_.closing = true;
            return {};
        }
        ++node_.counters_.commands_processed;
        const ArgvView argv = parser_.argv();
        const CheckedRequest checked = check_request(argv);
        if (checked.command == nullptr) {
            if (const CommandInfo* known = find_command(argv[0])) ++node_.counters_.rejected[static_cast<size_t>(known->id)];
            TRY(finish_run());
            answer(transaction_.refused(argv, checked.refusal));
            continue;
        }
        client_.command = checked.command;
        client_.subcommand = checked.subcommand;
        if (attention_) [[unlikely]] {
            if (client_.closing) return {};
            if (std::optional<Reply> refused = refusal(checked, argv)) {
                ++node_.counters_.rejected[static_cast<size_t>(checked.command->id)];
                TRY(finish_run());
                answer(transaction_.refused(argv, std::move(*refused)));
                continue;
            }
        }
        ++node_.counters_.calls[static_cast<size_t>(checked.command->id)];
        if (transaction_.open() && !acts_inside_multi(checked.command->id)) {
            answer(transaction_.queue(argv, node_.service()->transaction_bytes_max()));
            if (output_.size() >= kOutputBytes) TRY(flush(fiber));
            continue;
        }
        const Route route = checked.command->route;
        if (belongs_to_group(*checked.command) && checked.command->id != CommandId::Watch) {
            // A walk over keys goes alone: as part of a log entry every member would walk.
            const bool alone = checked.command->first_key == 0;
            if (run.size() >= kRunCommands || run.bytes() >= kRunBytes || alone) TRY(finish_run());
            run.add(argv, *checked.command, parser_.argv_stays());
            if (alone) TRY(finish_run());
            if (route == Route::Write && may_answer_value(*checked.command, argv) && ++values >= kRunValues) {
                TRY(finish_run());
                if (output_.size() >= kOutputBytes) TRY(flush(fiber));
            }
            continue;
        }
        // What follows may yield, and argv looks into the parser's buffer, which only append() moves: it stays.
        TRY(finish_run());
        if (route == Route::Local) {
            TRY(const Reply reply, local(fiber, checked, argv));
            answer(reply);
            if (client_.closing) return {};
        } else if (route == Route::Session || checked.command->id == CommandId::Watch) {
            TRY(execute_for_session(fiber, *checked.command, argv));
            if (client_.closing) return {};
        } else {
            TRY(flush(fiber));  // earlier answers are not held back by a wait
            client_.blocked = true;
            read_ahead();  // a wait ends when its client leaves
            Result<Reply> reply = node_.service()->wait(fiber, argv, target_, client_.version, leaver_);
            client_.blocked = false;
            if (!reply.ok()) return reply.error();
            answer(*reply);
        }
        if (output_.size() >= kOutputBytes) TRY(flush(fiber));
    }
}

std::optional<Reply> ClientSession::refusal(const CheckedRequest& checked, ArgvView argv) {
    const CommandInfo& command = *checked.command;
    if (!client_.authenticated && (command.flags & kFlagNoAuth) == 0) return Reply::error("NOAUTH Authentication required.");
    const AclUser* user = node_.acl().find(client_.user);
    if (user != nullptr && !user->unrestricted()) {
        if (std::optional<Reply> denied = acl_refusal(*user, command, checked.subcommand, argv)) {
            ++node_.counters_.commands_denied;
            return denied;
        }
    }
    if (node_.face() == ClientFace::Standalone || command.first_key == 0 || node_.service()->group().leads()) return std::nullopt;
    if (client_.readonly && command.route == Route::Read) return std::nullopt;
    if (keys_of(command, argv).empty()) return std::nullopt;
    ++node_.counters_.moved_replies;
    return moved_reply(node_.cluster(), command, argv);
}

Result<Reply> ClientSession::local(Fiber& fiber, const CheckedRequest& checked, ArgvView argv) {
    const CommandId id = checked.command->id;
    if (id == CommandId::Cluster && node_.face() == ClientFace::Cluster &&
        (checked.subcommand->name == "countkeysinslot" || checked.subcommand->name == "getkeysinslot"))
        return slot_keys(fiber, argv);
    Reply reply = execute_local(argv, client_, node_);
    if (id == CommandId::Auth || id == CommandId::Hello) access_changed();
    return reply;
}

Result<Reply> ClientSession::slot_keys(Fiber& fiber, ArgvView argv) {
    auto parsed = slot_question(argv);
    if (Reply* refused = std::get_if<Reply>(&parsed)) return std::move(*refused);
    const SlotQuestion& question = std::get<SlotQuestion>(parsed);
    constexpr uint64_t kBytesMax = 15 << 20;  // as other replies of many values
    uint64_t count = 0, bytes = 0;
    std::vector<Reply> keys;
    Result<void> walked = node_.service()->machine().for_each_key(fiber, [&](ByteView key) {
        if (count == question.keys_max) return false;
        if (key_slot(key) != question.slot) return true;
        ++count;
        if (question.count_only) return true;
        bytes += sizeof(Reply) + key.size();
        keys.push_back(Reply::bulk(Bytes(key)));
        return bytes <= kBytesMax;
    });
    if (walked.failed_with(Code::Cancelled)) return walked.error();
    if (!walked.ok()) return Reply::error("ERR " + walked.error().text());
    if (bytes > kBytesMax) return Reply::error("ERR the reply would be too large: ask for fewer keys");
    return question.count_only ? Reply::integer(static_cast<int64_t>(count)) : Reply::array(std::move(keys));
}

Result<void> ClientSession::execute_for_session(Fiber& fiber, const CommandInfo& command, ArgvView argv) {
    switch (command.id) {
        case CommandId::Multi: answer(transaction_.begin()); return {};
        case CommandId::Exec: return exec(fiber);
        case CommandId::Watch: return watch(fiber, argv);
        case CommandId::Unwatch:
            transaction_.unwatch();
            answer(Reply::ok());
            return {};
        case CommandId::Discard:
            if (transaction_.open()) {
                transaction_.discard();
                answer(Reply::ok());
            } else {
                answer(Reply::error("ERR DISCARD without MULTI"));
            }
            return {};
        case CommandId::Reset:
            transaction_.discard();
            target_ = WaitTarget();
            reset_client(client_, node_.acl());
            access_changed();
            answer(Reply::simple("RESET"));
            return {};
        default: UNREACHABLE(command.name);
    }
}

Result<void> ClientSession::watch(Fiber& fiber, ArgvView argv) {
    if (transaction_.open()) {
        answer(Reply::error("ERR WATCH inside MULTI is not allowed"));
        return {};
    }
    const Request request{argv, client_.command};
    Outcome found;
    TRY(node_.service()->read_many(fiber, {&request, 1}, [&](Outcome outcome) {
        found = std::move(outcome);
        return true;
    }));
    if (!found.reply.is_error()) {
        target_.read_observed(found.index);
        Result<Reply> reply = transaction_.watch(argv.subspan(1), found.reply, node_.service()->transaction_bytes_max());
        found.reply = reply.ok() ? std::move(*reply) : Reply::error("ERR " + reply.error().text());
    }
    answer(found.reply);
    return {};
}

Result<void> ClientSession::exec(Fiber& fiber) {
    if (!transaction_.open()) {
        answer(Reply::error("ERR EXEC without MULTI"));
        return {};
    }
    const ClientTransaction transaction = std::move(transaction_);
    transaction_ = ClientTransaction();
    if (transaction.broken()) {
        answer(Reply::error("EXECABORT Transaction discarded because of previous errors."));
        return {};
    }
    if (attention_) {
        // Users, and what they may do, can have changed since it was queued: then nothing of it is done.
        for (const Argv& argv : transaction.queued()) {
            const std::vector<ByteView> words = resp::views_of(argv);
            if (std::optional<Reply> refused = refusal(check_request(words), words)) {
                const bool denied = refused->text.starts_with("NOPERM");
                answer(denied ? Reply::error("EXECABORT Transaction discarded because of: " + refused->text) : *refused);
                return {};
            }
        }
    }
    const Transaction for_group = transaction.for_group();
    Outcome done{Reply::array({}), LogIndex()};
    if (!for_group.commands.empty() || !for_group.watches.empty()) {
        TRY(flush(fiber));  // earlier answers are not held back by a commit
        TRY(done, node_.service()->transact(fiber, forward_id_, for_group));
    }
    if (done.reply.kind != Reply::Kind::Array || done.reply.items.size() != for_group.commands.size()) {
        // A watched key changed, or it certainly had no effect, or nobody knows: then nothing of ours is done either.
        target_.write_acknowledged(done.index);
        answer(done.reply);
        return {};
    }
    std::vector<Reply> replies;
    replies.reserve(transaction.queued().size());
    auto next = done.reply.items.begin();
    for (const Argv& argv : transaction.queued()) {
        const CommandInfo& command = *find_command(argv.front());
        const std::vector<ByteView> words = resp::views_of(argv);
        if (belongs_to_group(command)) {
            replies.push_back(std::move(*next++));
        } else if (command.route == Route::Local) {
            const uint32_t withheld = client_.replies_withheld;
            TRY(Reply reply, local(fiber, check_request(words), words));
            if (client_.replies_withheld != withheld) {
                client_.replies_withheld = withheld;
                reply = Reply::error("ERR CLIENT REPLY is not taken inside a transaction");
            }
            replies.push_back(std::move(reply));
        } else if (command.route == Route::Wait) {
            // About what came before the transaction, and at once.
            TRY(Reply reply, node_.service()->wait(fiber, words, target_, client_.version, leaver_, KvService::MayBlock::No));
            replies.push_back(std::move(reply));
        } else {
            CHECK(command.id == CommandId::Unwatch, command.name);
            replies.push_back(Reply::ok());
        }
    }
    target_.write_acknowledged(done.index);
    answer(Reply::array(std::move(replies)));
    return {};
}

Result<void> ClientSession::execute_run(Fiber& fiber, std::span<const Request> run) {
    KvService& service = *node_.service();
    auto is_write = [](const Request& request) { return request.command->route == Route::Write; };
    std::vector<size_t> ends;  // of the parts that are all reads or all writes
    bool any_write = false;
    for (size_t i = 0; i < run.size(); ++i) {
        any_write |= is_write(run[i]);
        if (i + 1 == run.size() || is_write(run[i]) != is_write(run[i + 1])) ends.push_back(i + 1);
    }
    // In turns, a read would wait for the commit before it and a write for the read before it: one entry for all keeps their order
    // and waits once. The same for writes that go to another node: one request in place of many.
    const bool many = ends.size() > kRunParts || (run.size() > 1 && any_write && !service.group().leads());
    if (many) {
        while (!run.empty()) {
            TRY(const size_t done, service.pipeline(fiber, forward_id_, run, [&](Outcome outcome) {
                target_.write_acknowledged(outcome.index);
                answer(outcome.reply);
            }));
            if (output_.size() >= kOutputBytes) TRY(flush(fiber));
            if (done == 0) break;
            run = run.subspan(done);
            for (size_t& end : ends) end -= std::min(end, done);
        }
    }
    size_t begin = 0;
    for (size_t end : ends) {
        if (end <= begin) continue;
        TRY(execute_alike(fiber, run.subspan(begin, end - begin)));
        begin = end;
    }
    return {};
}

Result<void> ClientSession::execute_alike(Fiber& fiber, std::span<const Request> run) {
    KvService& service = *node_.service();
    if (run.front().command->route == Route::Write) {
        return service.write_many(fiber, forward_id_, run, [&](Outcome outcome) {
            target_.write_acknowledged(outcome.index);
            answer(outcome.reply);
        });
    }
    // Replies of reads may be large: what is gathered goes out, and is waited for, before more is read. So the output of a
    // client that does not read stays bounded by one reply above the limit.
    const bool stale = client_.readonly && !service.group().leads();
    auto take = [&](Outcome outcome) {
        target_.read_observed(outcome.index);
        answer(outcome.reply);
        return output_.size() < kOutputBytes;
    };
    size_t done = 0;
    while (done < run.size()) {
        TRY(size_t more, stale ? service.read_stale(fiber, run.subspan(done), take) : service.read_many(fiber, run.subspan(done), take));
        done += more;
        if (output_.size() >= kOutputBytes) TRY(flush(fiber));
    }
    return {};
}

}  // namespace orrery::kv
