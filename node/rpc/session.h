// Session: the multiplexer over one connection, and the only place where a reply meets its request.
//
// The side that connected asks, the side that accepted answers. An id belongs to one session for good: an answer is
// taken only when (session tag, id) is open *and* operation, group and entity are echoed; a cancelled id keeps its
// place in the window until the answering side's end arrives, and whatever comes for it meanwhile is dropped and
// counted. Anything else is doubt: an error event, and the session is closed, never used again.
//
// One fiber reads, one writes, one keeps time; each request handled is a fiber. All hold the session alive.
// Not here: reconnecting (Peers), listening (Server), retrying (nobody).
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "node/rpc/deadline.h"
#include "node/rpc/options.h"
#include "node/rpc/redirect.h"
#include "node/rpc/service.h"
#include "runtime/env/env.h"

namespace orrery::rpc {

struct Call;          // session_state.h: the asking side's record of one id
struct SessionState;  // session_state.h

/// What is asked. Everything but the deadline is echoed by the answer and compared.
struct Target {
    Operation operation = Operation::None;
    GroupId group;
    uint64_t entity = 0;
    TrafficClass traffic = TrafficClass::Foreground;
    Deadline deadline{};
};

enum class Upload { None, Follows };  // whether the asking side streams data after its request

/// One open request, held by the one who asked. Destroyed before its end it is cancelled. Outlives its session well:
/// calls then answer Unreachable or Unknown.
class Exchange {
 public:
    Exchange() = default;
    Exchange(Exchange&& other) noexcept;
    Exchange& operator=(Exchange&& other) noexcept;
    ~Exchange();

    /// The next piece of stream data, or nullopt when the id has ended (finish() tells how). Yields. Errors: Timeout
    /// (the target's deadline or this one; the exchange stays open), Cancelled.
    Result<std::optional<Bytes>> read(Fiber& fiber, Instant deadline = Instant::never());
    /// Upload. Yields: while credit or queue is used up. Errors: Timeout, Cancelled, Unreachable (the id has ended: the
    /// answering side wants no more, see finish()). Requires: Upload::Follows, data.size() <= max_data_bytes().
    Result<void> write(Fiber& fiber, Bytes data, Instant deadline = Instant::never());
    /// The largest piece write() takes.
    uint64_t max_data_bytes() const;
    /// No more upload. Atomic, idempotent.
    void finish_writing();
    /// Waits for the end; stream data not read is dropped. Errors: those of the answering side; Unreachable (nothing
    /// was sent), Unknown (sent, but session lost before the end), Timeout (deadline; the id is cancelled), Cancelled.
    Result<Bytes> finish(Fiber& fiber);
    /// Nobody waits any more. Atomic, idempotent.
    void cancel();
    bool ended() const;
    RequestId id() const;

 private:
    friend class Session;
    Exchange(std::shared_ptr<Session> session, std::shared_ptr<Call> call);
    std::shared_ptr<Session> session_;
    std::shared_ptr<Call> call_;
};

class Session : public std::enable_shared_from_this<Session> {
 public:
    enum class Side : uint8_t { Asking, Answering };

    struct ConnectOptions {
        NodeId expected_node{};                // 0: anybody. Another node answering is refused
        Incarnation expected_incarnation{};    // 0: any. Another life of the node is refused
        TrafficClass traffic = TrafficClass::Foreground;
        uint64_t nonce = 0;                    // a draw of the caller's random stream: no two sessions share it
    };
    /// Says who we are, hears who they are, starts the session's fibers. `conn` is owned; closed on failure.
    /// Yields. Errors: Unreachable, Timeout, Cancelled, Corrupt (garbage), Unsupported (version), Invalid (cluster,
    /// node or incarnation mismatch; the peer's words in the context), NotReady.
    static Result<std::shared_ptr<Session>> connect(Fiber& fiber, Env& env, std::unique_ptr<Conn> conn,
                                                    const Identity& identity, const SessionOptions& options,
                                                    const ConnectOptions& connect);

    /// Judges a peer that connected, beyond cluster and version. An error is sent to it as its refusal.
    using Admission = UniqueFunction<Result<void>(const PeerInfo&)>;
    /// The accepting side of the same. `service` and `admission` outlive the session.
    static Result<std::shared_ptr<Session>> accept(Fiber& fiber, Env& env, std::unique_ptr<Conn> conn,
                                                   const Identity& identity, const SessionOptions& options,
                                                   const Service& service, const Admission* admission,
                                                   uint64_t nonce);

    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    // ---- asking side. Requires: side() == Asking.

    /// Sends a request. Atomic. Errors: Unreachable (closed), Overloaded (window, entity's share or queue full),
    /// Invalid (body above the peer's max_payload_bytes). In all of them nothing was sent.
    Result<Exchange> open(const Target& target, Bytes body, Upload upload = Upload::None);
    /// open() and finish(): for requests without streams. Yields. Errors: as both.
    Result<Bytes> call(Fiber& fiber, const Target& target, Bytes body);
    /// Fire and forget. False when it was dropped: closed, too large or the queue is full. Atomic.
    bool send(Operation operation, GroupId group, uint64_t entity, TrafficClass traffic, Bytes payload);

    // ---- both sides.

    Side side() const;
    const PeerInfo& peer() const;
    /// Names the session in events, the same at both ends.
    SessionId id() const;
    bool closed() const;
    /// Why it closed. Requires: closed().
    const Error& close_reason() const;
    /// Closes at once: open requests end as Unreachable or Unknown, handlers are cancelled. Atomic, idempotent.
    void shut(Error reason);
    /// Answering side: takes no new request (they end as NotReady), lets the present ones end. Atomic.
    void drain();
    /// No more will be written: the peer hears the end of the stream behind everything sent so far. Atomic.
    /// Requires: nothing is queued, see wait_idle().
    void hang_up();
    /// Open ids: of requests that wait for an end, or are being handled.
    size_t open_ids() const;
    /// Yields: until closed and every fiber of it has ended. Errors: Timeout, Cancelled.
    Result<void> wait_closed(Fiber& fiber, Instant deadline = Instant::never());
    /// Yields: until no id is open and all that was queued has been handed to the transport, or it closed. Errors: Timeout, Cancelled.
    Result<void> wait_idle(Fiber& fiber, Instant deadline = Instant::never());
    const SessionCounters& counters() const;
    /// For /status: one line.
    std::string dump() const;

 private:
    friend class Exchange;
    friend class Request;
    friend class Responder;
    friend struct SessionState;
    explicit Session(std::unique_ptr<SessionState> state);
    std::unique_ptr<SessionState> state_;
};

}  // namespace orrery::rpc
