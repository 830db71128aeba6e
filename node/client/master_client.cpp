#include "node/client/master_client.h"

#include <algorithm>

#include "node/rpc/redirect.h"
#include "runtime/base/check.h"

namespace orrery::client {

namespace {

constexpr Duration kPauseMin = Duration::millis(10), kPauseMax = Duration::millis(500);

/// An answer that no other master would change, and that would have been the first one's too.
bool is_final(Code code) {
    return code == Code::Cancelled || code == Code::Invalid || code == Code::NotFound || code == Code::Exists || code == Code::Unsupported;
}

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

Result<Bytes> MasterClient::ask_one(Fiber& fiber, wire::Operation operation, const Bytes& body, Instant deadline) {
    if (session_ && session_->closed()) session_.reset();
    if (!session_) {
        // Whatever is wrong with this master, another may be right.
        if (Result<void> connected = connect(fiber, deadline); !connected.ok())
            return connected.code() == Code::Cancelled ? connected.error() : Error(Code::Unreachable, connected.error().text());
    }
    const std::shared_ptr<rpc::Session> session = session_;
    return session->call(fiber, {operation, GroupId(), 0, wire::TrafficClass::Foreground, {deadline}}, body);
}

Result<void> MasterClient::connect(Fiber& fiber, Instant deadline) {
    TRY(std::unique_ptr<Conn> conn, env_.net.connect(fiber, masters_[at_], deadline));
    rpc::Identity identity;
    identity.role = options_.role;
    rpc::SessionOptions options;
    options.handshake_timeout = std::min(options.handshake_timeout, std::max(Duration::nanos(1), deadline - env_.now()));
    TRY(session_, rpc::Session::connect(fiber, env_, std::move(conn), identity, options, {.nonce = draws_.next()}));
    return {};
}

Result<Bytes> MasterClient::ask(Fiber& fiber, wire::Operation operation, const Bytes& body, bool& unknown, Instant deadline) {
    Duration pause = kPauseMin;
    for (;;) {
        Result<Bytes> answer = ask_one(fiber, operation, body, std::min(deadline, env_.now() + options_.attempt));
        if (answer.ok() || is_final(answer.code())) return answer;
        unknown |= answer.code() == Code::Unknown || answer.code() == Code::Timeout;
        const Error why = plain(answer.error()).within("master at " + masters_[at_].text());
        TRY(close(fiber));
        at_ = (at_ + 1) % masters_.size();
        if (env_.now() + pause >= deadline) {
            const bool said_no = why.code == Code::NotReady || why.code == Code::NoSpace;
            return Error(said_no ? why.code : Code::Timeout, why.context);
        }
        TRY(env_.sleep(fiber, pause));
        pause = std::min(pause * 2, kPauseMax);
    }
}

Result<wire::MasterAnswer> MasterClient::change(Fiber& fiber, wire::MasterCommand command, Instant deadline) {
    command.client = id_;
    command.sequence = ++sequence_;
    bool unknown = false;  // an attempt may have taken effect without our knowing
    // That a later attempt had no effect says nothing of an earlier one.
    auto doubted = [&](const Error& error) { return unknown && error.code != Code::Cancelled ? Error(Code::Unknown, error.text()) : error; };
    for (;;) {
        if (!since_) {
            TRY(wire::MasterView view, query(fiber, {.max_age = Duration::seconds(10)}, deadline));
            since_ = std::max(LogIndex(1), view.version);
        }
        command.since = since_;
        Result<Bytes> answer = ask(fiber, wire::Operation::MasterChange, wire::encode_master_command(command), unknown, deadline);
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
    bool unknown = false;  // a question has no effect
    Result<Bytes> answer = ask(fiber, wire::Operation::MasterQuery, wire::encode_master_query(query), unknown, deadline);
    if (!answer.ok()) return answer.error();
    return wire::decode_master_view(*answer);
}

Result<wire::HeartbeatAnswer> MasterClient::heartbeat(Fiber& fiber, const wire::NodeHeartbeat& heartbeat, Instant deadline) {
    bool unknown = false;  // another follows anyway
    Result<Bytes> answer = ask(fiber, wire::Operation::MasterHeartbeat, wire::encode_node_heartbeat(heartbeat), unknown, deadline);
    if (!answer.ok()) return answer.error();
    return wire::decode_heartbeat_answer(*answer);
}

}  // namespace orrery::client
