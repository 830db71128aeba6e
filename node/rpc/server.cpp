#include "node/rpc/server.h"

#include <vector>

#include "runtime/base/hash.h"

namespace orrery::rpc {

Server::Server(Env& env, const Identity& identity, const Service& service, ServerOptions options)
    : env_(env),
      identity_(identity),
      service_(service),
      options_(std::move(options)),
      nonces_(env.random.stream("rpc.nonce." + options_.name, identity.incarnation.value)) {}

Server::~Server() = default;

Result<void> Server::start(const Address& at) {
    CHECK(listener_ == nullptr, "started twice");
    TRY(listener_, env_.net.listen(at));
    std::optional<Gate::Pass> pass = gate_.enter();
    CHECK(pass.has_value());
    env_.spawn("rpc.accept", [this, held = std::move(*pass)](Fiber& fiber) { accept_loop(fiber); });
    return {};
}

Address Server::local() const {
    CHECK(listener_ != nullptr);
    return listener_->local();
}

void Server::accept_loop(Fiber& fiber) {
    while (!stopping_) {
        Result<std::unique_ptr<Conn>> accepted = listener_->accept(fiber);
        if (!accepted.ok()) {
            if (!stopping_ && !accepted.failed_with(Code::Cancelled))
                env_.tracer.error("rpc.accept_failed", {{"listener", options_.name}, {"why", accepted.error().text()}});
            return;
        }
        if (stopping_) return;
        if (sessions_.size() + handshakes_.size() >= options_.max_sessions) {
            ++refused_;
            env_.tracer.warning("rpc.too_many_connections",
                                {{"listener", options_.name}, {"from", (*accepted)->peer().text()}});
            continue;
        }
        std::optional<Gate::Pass> pass = gate_.enter();
        if (!pass.has_value()) return;
        const uint64_t connection = ++next_connection_;
        handshakes_[connection] = env_.spawn(
            "rpc.serve", [this, connection, conn = std::move(*accepted), held = std::move(*pass)](Fiber& one) mutable {
                serve(one, connection, std::move(conn));
            });
    }
}

void Server::serve(Fiber& fiber, uint64_t connection, std::unique_ptr<Conn> conn) {
    const std::string from = conn->peer().text();
    const uint64_t nonce = combine64(nonces_.next(), static_cast<uint64_t>(env_.now().ns));
    Result<std::shared_ptr<Session>> made = Session::accept(fiber, env_, std::move(conn), identity_, options_.session,
                                                            service_, &options_.admission, nonce);
    handshakes_.erase(connection);
    if (!made.ok()) {
        ++refused_;
        // A stranger, garbage or a misconfigured peer is an operator's business; a lost or slow stream is everyday life.
        const bool everyday = made.failed_with(Code::Unreachable) || made.failed_with(Code::Timeout) ||
                              made.failed_with(Code::Cancelled) || made.failed_with(Code::NotReady);
        env_.tracer.event(everyday ? Severity::Info : Severity::Error, "rpc.handshake_refused",
                          {{"listener", options_.name}, {"from", from}, {"why", made.error().text()}});
        return;
    }
    const std::shared_ptr<Session> session = std::move(*made);
    if (stopping_) session->shut(Error(Code::Cancelled, "this node is stopping"));
    sessions_[session->id()] = session;
    env_.tracer.info("rpc.accepted", {{"listener", options_.name},
                                      {"session", session->id()},
                                      {"peer", session->peer().node},
                                      {"class", wire::traffic_class_name(session->peer().traffic)},
                                      {"from", from}});
    Result<void> over = session->wait_closed(fiber);
    if (!over.ok()) session->shut(std::move(over).error());
    sessions_.erase(session->id());
}

void Server::shut() {
    stopping_ = true;
    if (listener_ != nullptr) listener_->close();
    for (const auto& [connection, fiber] : handshakes_) env_.scheduler.cancel(fiber);
    for (const auto& [id, session] : sessions_) session->shut(Error(Code::Cancelled, "this node is stopping"));
}

Result<void> Server::stop(Fiber& fiber, Instant drain) {
    stopping_ = true;
    if (listener_ != nullptr) listener_->close();
    for (const auto& [connection, handshake] : handshakes_) env_.scheduler.cancel(handshake);
    std::vector<std::shared_ptr<Session>> present;
    for (const auto& [id, session] : sessions_) {
        session->drain();
        present.push_back(session);
    }
    for (const std::shared_ptr<Session>& session : present) {
        Result<void> idle = session->wait_idle(fiber, drain);
        if (idle.ok()) session->hang_up();
        if (idle.failed_with(Code::Cancelled)) break;
    }
    for (const std::shared_ptr<Session>& session : present) {
        if (fiber.cancelled()) break;
        // Whoever was hung up on closes from its side, after it has read what was sent; those who do not are shut below.
        (void)session->wait_closed(fiber, drain).ok();
    }
    shut();
    return gate_.close(fiber);
}

std::string Server::dump() const {
    std::string out;
    for (const auto& [id, session] : sessions_) out += session->dump() + "\n";
    return out;
}

}  // namespace orrery::rpc
