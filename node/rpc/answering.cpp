// The side that answers: a fiber per request, exactly one end per id.
#include <algorithm>

#include "node/rpc/session_state.h"

namespace orrery::rpc {

namespace {
constexpr size_t kContextBytesMax = 2048;  // of an error on the wire: any peer takes a status of that size
}  // namespace

wire::FrameHeader SessionState::echo_of(const wire::FrameHeader& request, FrameKind kind) const {
    wire::FrameHeader header;
    header.kind = kind;
    header.traffic = request.traffic;
    header.id = request.id;
    header.operation = request.operation;
    header.group = request.group;
    header.entity = request.entity;
    return header;
}

bool SessionState::was_issued(const wire::FrameHeader& header) const {
    return header.id <= last_seen[static_cast<size_t>(header.traffic)];
}

// ---- frames

Result<void> SessionState::on_request(Session& session, wire::Frame& frame) {
    const wire::FrameHeader& header = frame.header;
    if (!header.id || was_issued(header)) return doubt(header, "a request with an id used before");
    if (answers.size() >= options.window_requests) return doubt(header, "more requests than the window");
    last_seen[static_cast<size_t>(header.traffic)] = header.id;

    const Handler* const handler = service->handler(header.operation);
    if (handler == nullptr) {
        refuse_request(header, Error(Code::Unsupported, "operation " + std::to_string(static_cast<uint32_t>(header.operation)) +
                                                            " is not served here"));
        return {};
    }
    if (draining) {
        refuse_request(header, Error(Code::NotReady, "this node is stopping"));
        return {};
    }
    // Handlers may go on after their id's end; these do not count in the peer's window, but they are not free.
    if (handling.size() >= 2ull * options.window_requests) {
        refuse_request(header, Error(Code::Overloaded, "too many requests are being handled"));
        return {};
    }
    const Instant now = env.now();
    auto answer = std::make_shared<Answer>();
    answer->request = header;
    answer->body = frame.payload.take();
    answer->deadline = Deadline::from_budget(header.argument, now);
    answer->upload_open = (header.flags & wire::flag::kUpload) != 0;
    answer->inbox.window_bytes = answer->inbox.allowed_bytes = options.stream_credit_bytes;
    answer->outbox.allowed_bytes = header.credit;
    answer->max_data_bytes = std::min<uint64_t>(
        peer_max_payload_bytes, header.credit > wire::kHeaderBytes ? header.credit - wire::kHeaderBytes : 0);
    answer->last_frame = now;
    answers.emplace(header.id, answer);
    ++fibers;
    handling.emplace(header.id, answer);
    answer->fiber = env.spawn("rpc.handle", [self = session.shared_from_this(), answer, handler, this](Fiber& fiber) {
        Request request(*self, *answer);
        Responder responder(*self, *answer);
        (*handler)(fiber, request, responder);
        if (!answer->ended) {
            const bool stopped = answer->given_up || fiber.cancelled();
            if (!stopped)
                env.tracer.error("rpc.no_answer", {{"session", id},
                                                   {"operation", wire::operation_name(answer->request.operation)}});
            end_answer_badly(*answer, stopped ? Error(Code::Cancelled, "given up") : Error(Code::Unknown, "no answer"));
        }
        handling.erase(answer->request.id);
        fiber_ended();
    });
    return {};
}

Result<void> SessionState::on_upload(wire::Frame& frame) {
    const wire::FrameHeader& header = frame.header;
    if (!was_issued(header)) return doubt(header, "stream data for an id never issued");
    auto at = answers.find(header.id);
    if (at == answers.end()) {
        ++counters.crossings;
        return {};
    }
    Answer& answer = *at->second;
    if (!answer.upload_open) return doubt(header, "stream data of a request without an open upload");
    const bool last = (header.flags & wire::flag::kLast) != 0;
    Result<void> taken = answer.inbox.accept(header.argument, frame.payload.take(), last);
    if (!taken.ok()) return doubt(header, taken.error().context);
    if (last) answer.upload_open = false;
    answer.changed.notify_all();
    return {};
}

Result<void> SessionState::on_cancel(const wire::FrameHeader& header) {
    if (!was_issued(header)) return doubt(header, "cancel of an id never issued");
    auto at = answers.find(header.id);
    if (at == answers.end()) {
        ++counters.crossings;
        return {};
    }
    Answer& answer = *at->second;
    answer.given_up = true;
    env.scheduler.cancel(answer.fiber);
    answer.changed.notify_all();
    return {};
}

Result<void> SessionState::on_credit_for_answer(const wire::FrameHeader& header) {
    auto at = answers.find(header.id);
    if (at == answers.end()) {
        if (!was_issued(header)) return doubt(header, "credit for an id never issued");
        ++counters.crossings;
        return {};
    }
    at->second->outbox.allowed_bytes += std::min<uint64_t>(header.argument, UINT32_MAX);
    at->second->changed.notify_all();
    return {};
}

void SessionState::on_message(wire::Frame& frame) {
    const MessageHandler* const handler = service->message_handler(frame.header.operation);
    if (handler == nullptr) {
        ++counters.messages_dropped;
        env.tracer.warning("rpc.unknown_message",
                           {{"session", id}, {"operation", static_cast<uint32_t>(frame.header.operation)}});
        return;
    }
    Message message{frame.header.operation, frame.header.group, frame.header.entity, frame.payload, peer};
    (*handler)(message);
}

// ---- ends

void SessionState::refuse_request(const wire::FrameHeader& request, const Error& why) {
    ++counters.answered;
    push(echo_of(request, FrameKind::End),
         wire::encode_status({.code = static_cast<uint8_t>(why.code), .context = why.context}));
}

void SessionState::end_answer(Answer& answer, FrameKind kind, Bytes payload) {
    CHECK(!answer.ended || closed.has_value(), answer.request.id);
    if (answer.ended) return;  // the session's end was this id's end
    answer.ended = true;
    ++counters.answered;
    push(echo_of(answer.request, kind), std::move(payload));
    const RequestId answer_id = answer.request.id;
    answers.erase(answer_id);  // the handler's fiber holds the record
    if (room.has_waiters()) room.notify_all();
}

void SessionState::end_answer_badly(Answer& answer, const Error& error) {
    wire::Status status;
    status.code = static_cast<uint8_t>(error.code);
    status.context = error.context.substr(0, kContextBytesMax);
    if (std::optional<Redirect> redirect = redirect_of(error); redirect.has_value()) {
        status.leader = redirect->leader;
        status.leader_term = redirect->term;
        status.leader_address = redirect->address.substr(0, 256);
    }
    end_answer(answer, FrameKind::End, wire::encode_status(status));
}

// ---- the face

Operation Request::operation() const { return answer_.request.operation; }
GroupId Request::group() const { return answer_.request.group; }
uint64_t Request::entity() const { return answer_.request.entity; }
ByteView Request::body() const { return answer_.body; }
Deadline Request::deadline() const { return answer_.deadline; }
const PeerInfo& Request::peer() const { return session_.peer(); }
bool Request::given_up() const { return answer_.given_up; }

Result<std::optional<Bytes>> Request::read(Fiber& fiber, Instant deadline) {
    SessionState& state = *session_.state_;
    TRY(fiber.maybe_yield());
    while (answer_.inbox.pieces.empty()) {
        if (answer_.given_up || state.closed.has_value()) return Error(Code::Unreachable, "the upload was broken off");
        if (!answer_.upload_open) return std::optional<Bytes>();
        TRY(answer_.changed.wait(fiber, deadline));
    }
    Bytes piece;
    const uint64_t credit = answer_.inbox.take(piece);
    if (!answer_.ended && answer_.upload_open)
        state.give_credit(state.echo_of(answer_.request, FrameKind::Credit), credit);
    return std::optional<Bytes>(std::move(piece));
}

uint64_t Responder::max_data_bytes() const { return answer_.max_data_bytes; }
bool Responder::ended() const { return answer_.ended; }

Result<void> Responder::send(Fiber& fiber, Bytes data, Instant deadline) {
    SessionState& state = *session_.state_;
    CHECK(data.size() <= max_data_bytes(), data.size());
    CHECK(!answer_.ended || state.closed.has_value(), answer_.request.id);
    TRY(fiber.maybe_yield());
    const uint64_t charge = data_charge(data.size(), false);
    for (;;) {
        if (state.closed.has_value()) return Error(Code::Unreachable, "session closed");
        if (answer_.given_up) return Code::Cancelled;
        if (answer_.outbox.allowed_bytes < charge) {
            TRY(answer_.changed.wait(fiber, deadline));
        } else if (!state.queue.has_room(answer_.request.traffic, data.size())) {
            TRY(state.room.wait(fiber, deadline));
        } else {
            break;
        }
    }
    answer_.outbox.allowed_bytes -= charge;
    answer_.last_frame = state.env.now();
    wire::FrameHeader header = state.echo_of(answer_.request, FrameKind::StreamData);
    header.argument = answer_.outbox.next_sequence++;
    state.push(header, std::move(data));
    return {};
}

void Responder::reply(Bytes body) {
    SessionState& state = *session_.state_;
    if (body.size() > state.peer_max_payload_bytes)
        return fail(Error(Code::Invalid, "the answer has " + std::to_string(body.size()) + " bytes, the peer takes " +
                                             std::to_string(state.peer_max_payload_bytes)));
    state.end_answer(answer_, FrameKind::Reply, std::move(body));
}

void Responder::fail(const Error& error) { session_.state_->end_answer_badly(answer_, error); }

}  // namespace orrery::rpc
