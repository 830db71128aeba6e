#include "kv/client_session.h"

namespace orrery::kv {

namespace {

/// Writes whose reply may be a stored value, of any length that a value may have.
bool may_answer_value(const CommandInfo& command, ArgvView argv) {
    return command.id == CommandId::Getset || command.id == CommandId::Getdel || (command.id == CommandId::Set && argv.size() > 3);
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
    std::vector<Argv> run;
    Route run_route = Route::Local;
    size_t values = 0;
    auto finish_run = [&]() -> Result<void> {
        if (run.empty()) return {};
        TRY(execute_run(fiber, run_route, run));
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
        ++node_.commands_processed_;
        const ArgvView argv = parser_.argv();
        const CheckedRequest checked = check_request(argv);
        if (checked.command == nullptr) {
            TRY(finish_run());
            answer(checked.refusal);
            continue;
        }
        const Route route = checked.command->route;
        if (route == Route::Read || route == Route::Write) {
            if (!run.empty() && (run_route != route || run.size() >= kRunCommands)) TRY(finish_run());
            run_route = route;
            run.push_back(resp::copy_of(argv));
            if (route == Route::Write && may_answer_value(*checked.command, argv) && ++values >= kRunValues) {
                TRY(finish_run());
                if (output_.size() >= kOutputBytes) TRY(flush(fiber));
            }
            continue;
        }
        // What follows may yield, and argv looks into the parser's buffer, which only append() moves: it stays.
        TRY(finish_run());
        if (route == Route::Local) {
            answer(execute_local(argv, client_, node_.facts()));
            if (client_.closing) return {};
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

Result<void> ClientSession::execute_run(Fiber& fiber, Route route, std::vector<Argv>& run) {
    KvService& service = *node_.service();
    if (route == Route::Write) {
        return service.write_many(fiber, forward_id_, run, [&](Outcome outcome) {
            target_.write_acknowledged(outcome.index);
            answer(outcome.reply);
        });
    }
    // Replies of reads may be large: what is gathered goes out, and is waited for, before more is read. So the output of a
    // client that does not read stays bounded by one reply above the limit.
    size_t done = 0;
    while (done < run.size()) {
        TRY(size_t more, service.read_many(fiber, std::span(run).subspan(done), [&](Outcome outcome) {
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
