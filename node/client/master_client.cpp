#include "node/client/master_client.h"

#include <algorithm>

#include "node/rpc/redirect.h"
#include "runtime/base/check.h"
#include "runtime/base/defect.h"

namespace orrery::client {

namespace {

constexpr Duration kPauseMin = Duration::millis(10), kPauseMax = Duration::millis(500);

/// An answer that no other master would change, and that would have been the first one's too.
bool is_final(Code code) {
    return code == Code::Cancelled || code == Code::Invalid || code == Code::NotFound || code == Code::Exists || code == Code::Unsupported;
}

Error too_long(uint64_t bytes_max) { return Error(Code::Invalid, "the answer has more than " + std::to_string(bytes_max) + " bytes, the bound set here"); }

/// As people read it. That a master does not know whether it is right is no answer of any other: try again later.
Error plain(const Error& error) {
    const std::optional<rpc::Redirect> redirect = rpc::redirect_of(error);
    if (!redirect) return error.code == Code::NotLeader ? Error(Code::NotReady, error.context) : error;
    const std::string leader = redirect->leader ? "node " + std::to_string(redirect->leader.value) : "nobody";
    return Error(Code::NotReady, "no leader vouches for what it knows; it has heard that " + leader + " leads, in term " + std::to_string(redirect->term.value));
}

}  // namespace

MasterClient::MasterClient(Env& env, uint64_t number, std::vector<Address> masters, Options options)
    : env_(env), masters_(std::move(masters)), options_(options), draws_(env.random.stream("client.master", number)), id_(std::max<uint64_t>(1, draws_.next())) {
    CHECK(!masters_.empty());
}

MasterClient::~MasterClient() {
    if (session_) session_->shut(Error(Code::Cancelled, "the client is gone"));
}

Result<void> MasterClient::close(Fiber& fiber) {
    if (!session_) return {};
    const std::shared_ptr<rpc::Session> session = std::move(session_);
    session->shut(Error(Code::Cancelled, "asked"));
    return session->wait_closed(fiber);
}

// ---- one request

Result<std::shared_ptr<rpc::Session>> MasterClient::connect(Fiber& fiber, const Address& master, Instant deadline) {
    TRY(std::unique_ptr<Conn> conn, env_.net.connect(fiber, master, deadline));
    rpc::SessionOptions options;
    options.stream_credit_bytes = options_.stream_credit_bytes;
    options.handshake_timeout = std::min(options.handshake_timeout, std::max(Duration::nanos(1), deadline - env_.now()));
    return rpc::Session::connect(fiber, env_, std::move(conn), options_.identity, options, {.nonce = draws_.next()});
}

/// The session with the master that is asked first; all fibers share it.
Result<std::shared_ptr<rpc::Session>> MasterClient::home(Fiber& fiber, Instant deadline) {
    TRY(Mutex::Lock lock, connecting_.lock(fiber, deadline));
    if (session_ && (session_->closed() || session_at_ != at_)) TRY(leave(fiber, session_));
    if (!session_) {
        const size_t at = at_;
        TRY(session_, connect(fiber, masters_[at], deadline));
        session_at_ = at;
    }
    return session_;
}

/// Ends a session; whoever else waits on it asks again.
Result<void> MasterClient::leave(Fiber& fiber, const std::shared_ptr<rpc::Session>& left) {
    const std::shared_ptr<rpc::Session> session = left;
    if (session_ == session) session_.reset();
    session->shut(Error(Code::Cancelled, "asked"));
    return session->wait_closed(fiber);
}

Result<Bytes> MasterClient::ask_on(Fiber& fiber, rpc::Session& session, Question& question, Instant deadline) {
    question.sent = env_.clock.reading();
    question.streamed.clear();
    TRY(rpc::Exchange exchange, session.open({question.operation, GroupId(), 0, wire::TrafficClass::Foreground, {deadline}}, question.body));
    for (;;) {
        Result<std::optional<Bytes>> piece = exchange.read(fiber);
        if (piece.failed_with(Code::Cancelled)) return piece.error();
        if (!piece.ok() || !*piece) return exchange.finish(fiber);
        question.streamed.append(**piece);
        if (question.streamed.size() > question.streamed_max) return too_long(question.streamed_max);
    }
}

Result<Bytes> MasterClient::ask_home(Fiber& fiber, Question& question, Route& route, Instant deadline) {
    route.last = masters_[at_];
    route.asked.emplace(route.last, Term());
    Result<std::shared_ptr<rpc::Session>> session = home(fiber, deadline);
    // Whatever is wrong with this master, another may be right.
    if (!session.ok()) return session.code() == Code::Cancelled ? session.error() : Error(Code::Unreachable, session.error().text());
    Result<Bytes> answer = ask_on(fiber, **session, question, deadline);
    if (!answer.ok() && !is_final(answer.code())) TRY(leave(fiber, *session));
    return answer;
}

/// Of the leader that a master named: on a session of its own, so that the next request begins where this client belongs.
Result<Bytes> MasterClient::ask_hop(Fiber& fiber, Question& question, const Address& leader, Instant deadline) {
    Result<std::shared_ptr<rpc::Session>> session = connect(fiber, leader, deadline);
    if (!session.ok()) return session.code() == Code::Cancelled ? session.error() : Error(Code::Unreachable, session.error().text());
    Result<Bytes> answer = ask_on(fiber, **session, question, deadline);
    TRY(leave(fiber, *session));
    return answer;
}

/// Never back to a master that was asked before in this request, unless it is said to lead in a higher term than then.
std::optional<Address> MasterClient::next_hop(Route& route, const Error& refusal) const {
    const std::optional<rpc::Redirect> redirect = rpc::redirect_of(refusal);
    if (!redirect || redirect->address.empty() || route.hops >= options_.hops_max) return std::nullopt;
    Result<Address> leader = Address::parse(redirect->address);
    if (!leader.ok()) return std::nullopt;
    if (ORRERY_DEFECT(redirect_keeps_target)) {
        ++route.hops;
        return route.last;
    }
    const auto before = route.asked.find(*leader);
    if (before != route.asked.end() && before->second >= redirect->term) return std::nullopt;
    route.asked.insert_or_assign(*leader, redirect->term);
    route.last = *leader;
    ++route.hops;
    return *leader;
}

Result<Bytes> MasterClient::ask(Fiber& fiber, Question& question, Instant deadline) {
    Duration pause = kPauseMin;
    Route route;
    for (;;) {
        const size_t began_at = at_;
        auto attempt = [&] { return std::min(deadline, env_.now() + question.attempt); };
        auto settled = [&](const Result<Bytes>& answer) {
            if (answer.ok() || is_final(answer.code())) return true;
            question.unknown |= answer.code() == Code::Unknown || answer.code() == Code::Timeout;
            return false;
        };
        Result<Bytes> answer = ask_home(fiber, question, route, attempt());
        if (settled(answer)) return answer;
        while (const std::optional<Address> leader = next_hop(route, answer.error())) {
            if (env_.now() >= deadline) break;
            env_.tracer.debug("client.redirected", {{"named", rpc::redirect_of(answer.error())->address}, {"asks", leader->text()}, {"hop", route.hops}});
            answer = ask_hop(fiber, question, *leader, attempt());
            if (settled(answer)) return answer;
        }
        const Error why = plain(answer.error()).within("master at " + route.last.text());
        if (at_ == began_at) try_next();  // unless another fiber's request has gone there already
        const bool led_about = !question.has_effect && options_.hops_max > 0 && route.hops >= options_.hops_max && rpc::redirect_of(answer.error());
        if (led_about || env_.now() + pause >= deadline) {
            const bool said_no = why.code == Code::NotReady || why.code == Code::NoSpace;
            return Error(said_no ? why.code : Code::Timeout, why.context);
        }
        TRY(env_.sleep(fiber, pause));
        pause = std::min(pause * 2, kPauseMax);
    }
}

// ---- what is asked

Result<wire::MasterAnswer> MasterClient::change(Fiber& fiber, wire::MasterCommand command, Instant deadline) {
    command.client = id_;
    command.sequence = ++sequence_;
    const Duration attempt = options_.attempt;
    bool unknown = false;
    // That a later attempt had no effect says nothing of an earlier one.
    auto doubted = [&](const Error& error) { return unknown && error.code != Code::Cancelled ? Error(Code::Unknown, error.text()) : error; };
    for (;;) {
        if (!since_) {
            TRY(wire::MasterView view, query(fiber, {.max_age = Duration::seconds(10)}, deadline));
            since_ = std::max(LogIndex(1), view.version);
        }
        command.since = since_;
        const Bytes body = wire::encode_master_command(command);
        Question question{.operation = wire::Operation::MasterChange, .body = body, .attempt = attempt, .has_effect = true, .unknown = unknown, .streamed = {}};
        Result<Bytes> answer = ask(fiber, question, deadline);
        unknown = question.unknown;
        if (!answer.ok()) return doubted(answer.error());
        Result<wire::MasterAnswer> done = wire::decode_master_answer(*answer);
        if (!done.ok()) return Error(Code::Unknown, done.error().text());
        since_ = std::max(since_, done->index);
        if (done->code != static_cast<uint8_t>(Code::Unknown)) return done;
        // The masters have forgotten this client. Only what was never sent before may be sent again.
        if (unknown || env_.now() >= deadline) return Error(Code::Unknown, done->context);
    }
}

Result<wire::MasterView> MasterClient::query(Fiber& fiber, const wire::MasterQuery& query, Instant deadline) {
    const Bytes body = wire::encode_master_query(query);
    Question question{.operation = wire::Operation::MasterQuery, .body = body, .attempt = options_.attempt, .streamed = {}};
    Result<Bytes> answer = ask(fiber, question, deadline);
    if (!answer.ok()) return answer.error();
    return wire::decode_master_view(*answer);
}

Result<wire::HeartbeatAnswer> MasterClient::heartbeat(Fiber& fiber, const wire::NodeHeartbeat& heartbeat, Instant deadline) {
    const Bytes body = wire::encode_node_heartbeat(heartbeat);
    Question question{.operation = wire::Operation::MasterHeartbeat, .body = body, .attempt = options_.attempt, .streamed = {}};
    TRY(Bytes answer, ask(fiber, question, deadline));
    return wire::decode_heartbeat_answer(answer);
}

Result<MasterClient::ListReply> MasterClient::list(Fiber& fiber, const wire::MasterListRequest& request, uint64_t bytes_max, Instant deadline) {
    const Bytes body = wire::encode_master_list_request(request);
    Question question{.operation = wire::Operation::MasterList, .body = body, .attempt = options_.attempt + request.wait, .streamed = {}, .streamed_max = bytes_max};
    TRY(Bytes answer, ask(fiber, question, deadline));
    ListReply reply;
    TRY(reply.answer, wire::decode_master_list_answer(answer));
    if (reply.answer.stream_bytes != question.streamed.size())
        return Error(Code::Corrupt, "list answer: " + std::to_string(question.streamed.size()) + " bytes were streamed instead of " + std::to_string(reply.answer.stream_bytes));
    if (question.streamed.size() + reply.answer.records.size() > bytes_max) return too_long(bytes_max);
    reply.records = std::move(question.streamed);
    reply.records.append(reply.answer.records);
    reply.answer.records.clear();
    reply.sent = question.sent;
    return reply;
}

}  // namespace orrery::client
