#include "kv/client_session.h"

#include <algorithm>

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
}

void ClientSession::stop() {
    stopping_ = true;
    leaver_.leave();
    input_changed_.notify_all();
}

void ClientSession::read_loop(Fiber& fiber) {
    Bytes buffer(32 << 10, '\0');
    while (!ended_) {
        // A client that sends faster than it is served is held back by its own transport.
        while (input_.size() >= kInputBytes && !ended_)
            if (input_changed_.wait(fiber).failed_with(Code::Cancelled)) return;
        if (ended_) return;
        Result<size_t> count = conn_->read(fiber, buffer);
        if (!count.ok() || *count == 0) {
            ended_ = true;
            leaver_.leave();
        } else {
            input_.append(buffer.data(), *count);
        }
        input_changed_.notify_all();
    }
}

void ClientSession::run(Fiber& fiber) {
    auto self = shared_from_this();
    env_.spawn("kv.client.reader", [self](Fiber& own) { self->read_loop(own); });
    while (!client_.closing) {
        if (input_.empty()) {
            if (ended_ || stopping_) break;
            if (input_changed_.wait(fiber).failed_with(Code::Cancelled)) break;
            continue;
        }
        parser_.append(input_);
        input_.clear();
        input_changed_.notify_all();
        if (!execute_all(fiber).ok()) break;
        if (!flush(fiber).ok()) break;
    }
    ended_ = true;
    conn_->close();
    input_changed_.notify_all();
}

Result<void> ClientSession::flush(Fiber& fiber) {
    if (output_.empty()) return {};
    Result<void> written = conn_->write_all(fiber, output_, env_.now() + node_.options_.slow_client_timeout);
    if (written.failed_with(Code::Timeout))
        env_.tracer.warning("kv.client_too_slow", {{"client", client_.id}, {"address", client_.address}, {"bytes", static_cast<int64_t>(output_.size())}});
    output_.clear();
    if (output_.capacity() > 4 * kOutputBytes) output_ = Bytes();
    return written;
}

Result<void> ClientSession::execute_all(Fiber& fiber) {
    std::vector<Argv> run;  // reads and writes
    uint64_t run_bytes = 0;
    size_t values = 0;
    auto finish_run = [&]() -> Result<void> {
        if (run.empty()) return {};
        TRY(execute_run(fiber, run));
        run.clear();
        run_bytes = 0;
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
        ++node_.commands_processed_;
        const ArgvView argv = parser_.argv();
        const CheckedRequest checked = check_request(argv);
        if (checked.command == nullptr) {
            TRY(finish_run());
            answer(transaction_.refused(argv, checked.refusal));
            continue;
        }
        if (transaction_.open() && !acts_inside_multi(checked.command->id)) {
            answer(transaction_.queue(argv, node_.service()->transaction_bytes_max()));
            if (output_.size() >= kOutputBytes) TRY(flush(fiber));
            continue;
        }
        const Route route = checked.command->route;
        if (belongs_to_group(*checked.command) && checked.command->id != CommandId::Watch) {
            // A walk over keys goes alone: as part of a log entry every member would walk.
            const bool alone = checked.command->first_key == 0;
            if (run.size() >= kRunCommands || run_bytes >= kRunBytes || alone) TRY(finish_run());
            run.push_back(resp::copy_of(argv));
            for (ByteView word : argv) run_bytes += word.size();
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
            answer(local(argv));
            if (client_.closing) return {};
        } else if (route == Route::Session || checked.command->id == CommandId::Watch) {
            TRY(execute_for_session(fiber, *checked.command, argv));
        } else {
            TRY(flush(fiber));  // earlier answers are not held back by a wait
            waiting_ = true;
            Result<Reply> reply = node_.service()->wait(fiber, argv, target_, client_.version, leaver_);
            waiting_ = false;
            if (!reply.ok()) return reply.error();
            answer(*reply);
        }
        if (output_.size() >= kOutputBytes) TRY(flush(fiber));
    }
}

Reply ClientSession::local(ArgvView argv) {
    ServerFacts facts = node_.facts();
    client_.in_transaction = transaction_.open();
    if (find_command(argv[0])->id == CommandId::Client && argv.size() > 1 && is_word(argv[1], "list"))
        for (const auto& [id, session] : node_.clients_) facts.clients.push_back(&session->client_);
    return execute_local(argv, client_, facts);
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
            client_.name.clear();
            client_.tracking = false;
            client_.version = resp::Version::Resp2;
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
    const std::vector<Argv> run{resp::copy_of(argv)};
    Outcome found;
    TRY(node_.service()->read_many(fiber, run, [&](Outcome outcome) {
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
            replies.push_back(local(words));
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

Result<void> ClientSession::execute_run(Fiber& fiber, std::span<const Argv> run) {
    KvService& service = *node_.service();
    auto is_write = [](const Argv& argv) { return find_command(argv.front())->route == Route::Write; };
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

Result<void> ClientSession::execute_alike(Fiber& fiber, std::span<const Argv> run) {
    KvService& service = *node_.service();
    if (find_command(run.front().front())->route == Route::Write) {
        return service.write_many(fiber, forward_id_, run, [&](Outcome outcome) {
            target_.write_acknowledged(outcome.index);
            answer(outcome.reply);
        });
    }
    // Replies of reads may be large: what is gathered goes out, and is waited for, before more is read. So the output of a
    // client that does not read stays bounded by one reply above the limit.
    size_t done = 0;
    while (done < run.size()) {
        TRY(size_t more, service.read_many(fiber, run.subspan(done), [&](Outcome outcome) {
            target_.read_observed(outcome.index);
            answer(outcome.reply);
            return output_.size() < kOutputBytes;
        }));
        done += more;
        if (output_.size() >= kOutputBytes) TRY(flush(fiber));
    }
    return {};
}

}  // namespace orrery::kv
