// The inside of a Session; included by this folder's .cpp files only. session.cpp has its life (reader, writer, time),
// asking.cpp and answering.cpp one side each.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "node/rpc/output_queue.h"
#include "node/rpc/session.h"

namespace orrery::rpc {

/// What a frame of stream data costs its credit: its header too, so that empty pieces are not free. The empty last
/// piece of an upload is: there is only one.
constexpr uint64_t data_charge(size_t payload_bytes, bool last) {
    return last && payload_bytes == 0 ? 0 : payload_bytes + wire::kHeaderBytes;
}

/// Pieces received and not yet read, and what of their credit is to be given back.
struct Inbox {
    std::deque<Bytes> pieces;
    uint64_t window_bytes = 0;    // given to the sender at first
    uint64_t allowed_bytes = 0;   // what the sender may still send
    uint64_t taken_bytes = 0;     // read since credit was last given back
    uint64_t next_sequence = 0;

    /// Errors: Corrupt: sequence or credit was not kept to.
    Result<void> accept(uint64_t sequence, Bytes piece, bool last);
    /// Takes the oldest piece. Returns the credit to give back now; 0 while it is too little to be worth a frame.
    uint64_t take(Bytes& piece);
};

/// What may still be sent.
struct Outbox {
    uint64_t allowed_bytes = 0;
    uint64_t next_sequence = 0;
};

/// The asking side's record of one id.
struct Call {
    RequestId id;
    Target target;
    bool sent = false;       // begun to be written: from now on the peer may have heard of it
    bool given_up = false;   // cancelled; keeps its place until the peer's end
    bool upload_open = false;
    std::optional<Result<Bytes>> end;
    Inbox inbox;
    Outbox outbox;
    uint32_t silent_pongs = 0;  // pings answered since the last frame of this id
    Instant last_frame{};
    Notify changed;
};

/// The answering side's record of one id, kept until its handler has returned.
struct Answer {
    wire::FrameHeader request;
    Bytes body;
    Deadline deadline;
    FiberId fiber;
    bool given_up = false;
    bool ended = false;
    bool upload_open = false;
    Inbox inbox;
    Outbox outbox;
    uint64_t max_data_bytes = 0;
    Instant last_frame{};
    Notify changed;
};

struct SessionState {
    SessionState(Session::Side the_side, Env& the_env, std::unique_ptr<Conn> the_conn,
                 const SessionOptions& the_options, wire::FrameReader the_reader, const PeerInfo& the_peer,
                 const wire::Hello& theirs, SessionId the_id, const Service* the_service);

    // ---- life: session.cpp
    void start(const std::shared_ptr<Session>& self);
    void read_loop(Fiber& fiber, Session& session);
    Result<void> read_some(Fiber& fiber, Session& session);
    void write_loop(Fiber& fiber);
    Result<void> write_batch(Fiber& fiber);
    void time_loop(Fiber& fiber);
    void look_at_time(Instant now);
    Result<void> dispatch(Session& session, wire::Frame& frame);
    void push(wire::FrameHeader header, Bytes payload);
    void shut(Error why);
    void fiber_ended();
    bool is_idle() const { return calls.empty() && answers.empty() && queue.empty() && !writing; }
    /// A frame that cannot be: says so in an error event. The caller closes the session with it.
    Error doubt(const wire::FrameHeader& header, std::string_view why);

    // ---- asking.cpp
    Result<std::shared_ptr<Call>> open_call(const Target& target, Bytes body, Upload upload);
    void give_up(Call& call);
    void end_call(RequestId id, Result<Bytes> end);
    Call* match_answer(const wire::FrameHeader& header);
    Result<void> on_answer(wire::Frame& frame);
    Result<void> on_credit_for_call(const wire::FrameHeader& header);
    void give_credit(const wire::FrameHeader& of, uint64_t bytes);
    wire::FrameHeader header_of(const Call& call, FrameKind kind) const;

    // ---- answering.cpp
    Result<void> on_request(Session& session, wire::Frame& frame);
    Result<void> on_upload(wire::Frame& frame);
    Result<void> on_cancel(const wire::FrameHeader& header);
    Result<void> on_credit_for_answer(const wire::FrameHeader& header);
    void on_message(wire::Frame& frame);
    void refuse_request(const wire::FrameHeader& request, const Error& why);
    void end_answer(Answer& answer, FrameKind kind, Bytes payload);
    void end_answer_badly(Answer& answer, const Error& error);
    wire::FrameHeader echo_of(const wire::FrameHeader& request, FrameKind kind) const;
    bool was_issued(const wire::FrameHeader& header) const;

    const Session::Side side;
    Env& env;
    std::unique_ptr<Conn> conn;
    const SessionOptions options;
    wire::FrameReader reader;
    const PeerInfo peer;
    const SessionId id;
    const uint32_t tag;
    const Service* const service;            // answering side
    const uint32_t window_requests;          // the smaller of both sides' on the asking one
    const uint32_t peer_max_payload_bytes;
    const uint32_t peer_stream_credit_bytes;

    std::optional<Error> closed;
    bool draining = false;
    bool writing = false;
    uint32_t fibers = 0;
    SessionCounters counters;
    OutputQueue queue;
    Bytes batch;  // being written; kept for its room
    Notify work;   // something was queued, or closed
    Notify room;   // something was written, or an id ended
    Notify idle;   // no open id and nothing left to write, or closed
    Notify stop;   // closed: the time keeper's own, so that nothing else wakes it
    Notify ended;  // closed, and the last fiber has ended
    Instant last_in{};
    uint64_t pings = 0;
    bool ping_open = false;

    // asking
    std::map<RequestId, std::shared_ptr<Call>> calls;
    std::map<std::pair<GroupId, uint64_t>, uint32_t> shares;
    RequestId last_id{};
    // answering
    std::map<RequestId, std::shared_ptr<Answer>> answers;
    std::array<RequestId, wire::kTrafficClasses> last_seen{};
    std::map<RequestId, std::shared_ptr<Answer>> handling;  // all whose handler runs; `answers` are those not ended
};

/// What both sides do first. handshake.cpp.
struct Handshake {
    wire::FrameReader reader;
    wire::Hello theirs;
    PeerInfo peer;
    SessionId session;
};
Result<Handshake> shake_as_asking(Fiber& fiber, Env& env, Conn& conn, const Identity& identity,
                                  const SessionOptions& options, const Session::ConnectOptions& connect);
Result<Handshake> shake_as_answering(Fiber& fiber, Env& env, Conn& conn, const Identity& identity,
                                     const SessionOptions& options, const Session::Admission* admission,
                                     uint64_t nonce);

}  // namespace orrery::rpc
