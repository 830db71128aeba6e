// What an answering side does with what it is asked: handlers by operation, and the Request and Responder they get.
//
// Every request is one fiber and gets exactly one end, whatever its handler does: the Responder sees to it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string_view>

#include "node/rpc/deadline.h"
#include "node/rpc/options.h"
#include "node/rpc/redirect.h"
#include "runtime/base/function.h"
#include "runtime/fiber/fiber.h"

namespace orrery::rpc {

class Session;
struct SessionState;
struct Answer;  // session_state.h: the answering side's record of one id

/// A request being handled. Lives as long as its handler's call.
class Request {
 public:
    Operation operation() const;
    GroupId group() const;
    uint64_t entity() const;
    /// The request's own bytes; 8-byte aligned.
    ByteView body() const;
    /// What the asking side still waits for, on our clock, counted from the arrival.
    Deadline deadline() const;
    const PeerInfo& peer() const;
    /// True once the asking side gave up, or the session closed. The handler's fiber is cancelled then.
    bool given_up() const;
    /// The next piece of an upload; nullopt at its end (at once, when the request has no upload). Gives credit back as
    /// pieces are taken. Yields. Errors: Timeout, Cancelled, Unreachable (session closed before the end).
    Result<std::optional<Bytes>> read(Fiber& fiber, Instant deadline = Instant::never());

 private:
    friend struct SessionState;
    Request(Session& session, Answer& answer) : session_(session), answer_(answer) {}
    Session& session_;
    Answer& answer_;
};

/// Where the answer goes. Exactly one of reply(), fail() is called once; a handler that calls none of them ends its id
/// as Unknown (Cancelled when it was given up), with an error event if nobody had given up.
class Responder {
 public:
    /// Stream data to the asking side. Yields: while its credit or the queue is used up. Errors: Cancelled (given up),
    /// Unreachable (session closed), Timeout. Requires: not ended; data.size() <= max_data_bytes().
    Result<void> send(Fiber& fiber, Bytes data, Instant deadline = Instant::never());
    /// The largest piece send() takes.
    uint64_t max_data_bytes() const;
    /// The good end. Requires: not ended. A body above the peer's max_payload_bytes becomes an Invalid end.
    void reply(Bytes body = {});
    /// The bad end; a NotLeader error's Redirect travels along.
    void fail(const Error& error);
    bool ended() const;

 private:
    friend struct SessionState;
    Responder(Session& session, Answer& answer) : session_(session), answer_(answer) {}
    Session& session_;
    Answer& answer_;
};

/// One fiber per request. Owns nothing beyond its return. Must return soon after its fiber is cancelled.
using Handler = UniqueFunction<void(Fiber&, Request&, Responder&)>;

/// A one-way message: taken atomically, on the session's reader. What takes long is queued by the handler itself.
struct Message {
    Operation operation;
    GroupId group;
    uint64_t entity;
    wire::Payload& payload;  // 8-byte aligned; a view lives until the handler returns, take() makes it one's own
    const PeerInfo& peer;
};
using MessageHandler = UniqueFunction<void(Message&)>;

/// What one listener serves. Filled before its server starts; shared by all sessions of it.
class Service {
 public:
    /// Requires: not registered yet.
    void handle(Operation operation, Handler handler);
    void handle_message(Operation operation, MessageHandler handler);

    /// Null when there is none.
    const Handler* handler(Operation operation) const;
    const MessageHandler* message_handler(Operation operation) const;

 private:
    std::map<Operation, Handler> handlers_;
    std::map<Operation, MessageHandler> messages_;
};

}  // namespace orrery::rpc
