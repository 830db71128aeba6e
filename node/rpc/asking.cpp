// The side that asks: ids given out, answers matched, late ones dropped.
#include <algorithm>

#include "node/rpc/session_state.h"
#include "runtime/base/defect.h"

namespace orrery::rpc {

// ---- credit of pieces received

Result<void> Inbox::accept(uint64_t sequence, Bytes piece, bool last) {
    const uint64_t charge = data_charge(piece.size(), last);
    if (sequence != next_sequence) return Error(Code::Corrupt, "stream data out of sequence");
    if (charge > allowed_bytes) return Error(Code::Corrupt, "stream data beyond its credit");
    allowed_bytes -= charge;
    ++next_sequence;
    if (charge > 0) pieces.push_back(std::move(piece));
    return {};
}

uint64_t Inbox::take(Bytes& piece) {
    piece = std::move(pieces.front());
    pieces.pop_front();
    taken_bytes += data_charge(piece.size(), false);
    if (taken_bytes < window_bytes / 2) return 0;
    allowed_bytes += taken_bytes;
    return std::exchange(taken_bytes, 0);
}

// ---- opening and giving up

wire::FrameHeader SessionState::header_of(const Call& call, FrameKind kind) const {
    wire::FrameHeader header;
    header.kind = kind;
    header.traffic = call.target.traffic;
    header.id = call.id;
    header.operation = call.target.operation;
    header.group = call.target.group;
    header.entity = call.target.entity;
    return header;
}

Result<std::shared_ptr<Call>> SessionState::open_call(const Target& target, Bytes body, Upload upload) {
    CHECK(side == Session::Side::Asking);
    if (closed.has_value()) return Error(Code::Unreachable, "session closed: " + closed->text());
    if (body.size() > peer_max_payload_bytes)
        return Error(Code::Invalid, "a request of " + std::to_string(body.size()) + " bytes, the peer takes " +
                                        std::to_string(peer_max_payload_bytes));
    const auto busy = [&](const char* why) {
        ++counters.refused_at_home;
        return Error(Code::Overloaded, why);
    };
    if (calls.size() >= window_requests) return busy("the window of requests is full");
    const auto share_key = std::make_pair(target.group, target.entity);
    const auto share = shares.find(share_key);
    if (share != shares.end() && share->second >= options.entity_share) return busy("the share of this entity is used up");
    if (!queue.has_room(target.traffic, body.size())) return busy("the output queue is full");

    const Instant now = env.now();
    auto call = std::make_shared<Call>();
    last_id = last_id.next();
    call->id = RequestId(last_id);
    call->target = target;
    call->last_frame = now;
    call->upload_open = upload == Upload::Follows;
    call->outbox.allowed_bytes = peer_stream_credit_bytes;
    call->inbox.window_bytes = call->inbox.allowed_bytes = options.stream_credit_bytes;
    calls.emplace(call->id, call);
    ++shares[share_key];
    ++counters.requests;

    wire::FrameHeader header = header_of(*call, FrameKind::Request);
    header.flags = call->upload_open ? wire::flag::kUpload : 0;
    header.argument = target.deadline.budget_ns(now);
    header.credit = options.stream_credit_bytes;
    push(header, std::move(body));
    return call;
}

void SessionState::end_call(RequestId call_id, Result<Bytes> end) {
    auto at = calls.find(call_id);
    CHECK(at != calls.end(), call_id);
    std::shared_ptr<Call> call = at->second;
    calls.erase(at);
    auto share = shares.find({call->target.group, call->target.entity});
    CHECK(share != shares.end() && share->second > 0);
    if (--share->second == 0) shares.erase(share);
    call->end.emplace(std::move(end));
    call->changed.notify_all();
    if (room.has_waiters()) room.notify_all();
    if (is_idle()) idle.notify_all();
}

void SessionState::give_up(Call& call) {
    if (call.end.has_value() || call.given_up) return;
    ++counters.cancelled;
    call.given_up = true;
    call.upload_open = false;
    call.inbox.pieces.clear();
    if (queue.forget(call.id, call.target.traffic))
        return end_call(call.id, Error(Code::Unreachable, "given up before it was sent"));
    push(header_of(call, FrameKind::Cancel), {});
    call.changed.notify_all();
    if (room.has_waiters()) room.notify_all();
    if (ORRERY_DEFECT(match_by_arrival_order)) end_call(call.id, Error(Code::Unknown, "forgotten"));
}

// ---- answers

Call* SessionState::match_answer(const wire::FrameHeader& header) {
    if (ORRERY_DEFECT(match_by_arrival_order)) {
        for (auto& [call_id, call] : calls)
            if (call->sent && call->target.traffic == header.traffic) return call.get();
        return nullptr;
    }
    auto at = calls.find(header.id);
    return at == calls.end() ? nullptr : at->second.get();
}

Result<void> SessionState::on_answer(wire::Frame& frame) {
    const wire::FrameHeader& header = frame.header;
    Call* const call = match_answer(header);
    const bool by_arrival = ORRERY_DEFECT(match_by_arrival_order);
    if (call == nullptr) {
        if (by_arrival) return {};
        return doubt(header, header.id > last_id ? "an answer to an id never issued" : "an answer to an ended id");
    }
    if (!by_arrival) {
        const Target& asked = call->target;
        if (!call->sent) return doubt(header, "an answer to a request not yet sent");
        if (header.operation != asked.operation || header.group != asked.group || header.entity != asked.entity ||
            header.traffic != asked.traffic)
            return doubt(header, "the echo differs from the request");
    }
    call->last_frame = env.now();
    call->silent_pongs = 0;

    if (call->given_up) {
        ++counters.late_frames;
        env.tracer.probe("rpc.late_frame");
    } else {
        // Who consumes what: the checker of "every consumed reply equals an outstanding request" reads this.
        env.tracer.debug("rpc.consumed", {{"session", id},
                                          {"kind", wire::frame_kind_name(header.kind)},
                                          {"frame_id", header.id},
                                          {"id", call->id},
                                          {"frame_operation", static_cast<uint32_t>(header.operation)},
                                          {"operation", static_cast<uint32_t>(call->target.operation)},
                                          {"frame_group", header.group},
                                          {"group", call->target.group},
                                          {"frame_entity", header.entity},
                                          {"entity", call->target.entity}});
    }

    if (header.kind == FrameKind::StreamData) {
        const uint64_t sequence = by_arrival ? call->inbox.next_sequence : header.argument;
        Result<void> taken = call->inbox.accept(sequence, frame.payload.take(), false);
        if (!taken.ok()) return doubt(header, taken.error().context);
        if (call->given_up) call->inbox.pieces.clear();
        call->changed.notify_all();
        return {};
    }
    if (header.kind == FrameKind::Reply) {
        end_call(call->id, frame.payload.take());
        return {};
    }
    wire::Status status;
    if (frame.payload.size() > 0) {
        Result<wire::Status> decoded = wire::decode_status(frame.payload.view());
        if (!decoded.ok()) return doubt(header, decoded.error().context);
        status = std::move(*decoded);
    }
    if (status.code == 0) {
        end_call(call->id, Bytes());
        return {};
    }
    const Code code = code_from_number(status.code).value_or(Code::Unknown);
    switch (code) {
        case Code::NotLeader:
            if (status.leader) {
                end_call(call->id, redirect_error({status.leader, status.leader_term, status.leader_address}));
                return {};
            }
            break;
        case Code::Io:
        case Code::Corrupt:
        case Code::Cancelled:
            // These say "stop" to whoever hears them from their own disk or host; from afar they say only that nobody
            // knows what became of the request.
            end_call(call->id, Error(Code::Unknown, "at the peer: " + Error(code, status.context).text()));
            return {};
        default: break;
    }
    end_call(call->id, Error(code, std::move(status.context)));
    return {};
}

Result<void> SessionState::on_credit_for_call(const wire::FrameHeader& header) {
    if (header.id > last_id) return doubt(header, "credit for an id never issued");
    auto at = calls.find(header.id);
    if (at == calls.end()) {
        ++counters.crossings;
        return {};
    }
    Call& call = *at->second;
    call.last_frame = env.now();
    call.silent_pongs = 0;
    call.outbox.allowed_bytes += std::min<uint64_t>(header.argument, UINT32_MAX);
    call.changed.notify_all();
    return {};
}

void SessionState::give_credit(const wire::FrameHeader& of, uint64_t bytes) {
    if (bytes == 0) return;
    wire::FrameHeader header = of;
    header.kind = FrameKind::Credit;
    header.flags = 0;
    header.credit = 0;
    header.argument = bytes;
    push(header, {});
}

// ---- the face

Result<Exchange> Session::open(const Target& target, Bytes body, Upload upload) {
    TRY(std::shared_ptr<Call> call, state_->open_call(target, std::move(body), upload));
    return Exchange(shared_from_this(), std::move(call));
}

Result<Bytes> Session::call(Fiber& fiber, const Target& target, Bytes body) {
    TRY(fiber.maybe_yield());
    TRY(Exchange exchange, open(target, std::move(body)));
    return exchange.finish(fiber);
}

bool Session::send(Operation operation, GroupId group, uint64_t entity, TrafficClass traffic, Bytes payload) {
    CHECK(state_->side == Side::Asking);
    if (closed() || payload.size() > state_->peer_max_payload_bytes ||
        !state_->queue.has_room(traffic, payload.size())) {
        ++state_->counters.messages_dropped;
        return false;
    }
    ++state_->counters.messages_sent;
    wire::FrameHeader header;
    header.kind = FrameKind::OneWay;
    header.traffic = traffic;
    header.operation = operation;
    header.group = group;
    header.entity = entity;
    state_->push(header, std::move(payload));
    return true;
}

Exchange::Exchange(std::shared_ptr<Session> session, std::shared_ptr<Call> call)
    : session_(std::move(session)), call_(std::move(call)) {}
Exchange::Exchange(Exchange&& other) noexcept = default;
Exchange& Exchange::operator=(Exchange&& other) noexcept {
    if (this == &other) return *this;
    cancel();
    session_ = std::move(other.session_);
    call_ = std::move(other.call_);
    return *this;
}
Exchange::~Exchange() { cancel(); }

void Exchange::cancel() {
    if (call_ != nullptr) session_->state_->give_up(*call_);
}

bool Exchange::ended() const { return call_->end.has_value(); }
RequestId Exchange::id() const { return call_->id; }

uint64_t Exchange::max_data_bytes() const {
    const SessionState& state = *session_->state_;
    return std::min<uint64_t>(state.peer_max_payload_bytes, state.peer_stream_credit_bytes - wire::kHeaderBytes);
}

Result<std::optional<Bytes>> Exchange::read(Fiber& fiber, Instant deadline) {
    SessionState& state = *session_->state_;
    Call& call = *call_;
    TRY(fiber.maybe_yield());
    const Instant until = std::min(deadline, call.target.deadline.at);
    while (call.inbox.pieces.empty()) {
        if (call.end.has_value() || call.given_up) return std::optional<Bytes>();
        TRY(call.changed.wait(fiber, until));
    }
    Bytes piece;
    const uint64_t credit = call.inbox.take(piece);
    if (!call.end.has_value()) state.give_credit(state.header_of(call, FrameKind::Credit), credit);
    return std::optional<Bytes>(std::move(piece));
}

Result<void> Exchange::write(Fiber& fiber, Bytes data, Instant deadline) {
    SessionState& state = *session_->state_;
    Call& call = *call_;
    CHECK(data.size() <= max_data_bytes(), data.size());
    CHECK(call.upload_open || call.end.has_value() || call.given_up, "no upload, or finished");
    TRY(fiber.maybe_yield());
    const Instant until = std::min(deadline, call.target.deadline.at);
    const uint64_t charge = data_charge(data.size(), false);
    for (;;) {
        if (call.end.has_value() || call.given_up) return Error(Code::Unreachable, "the request has ended");
        if (call.outbox.allowed_bytes < charge) {
            TRY(call.changed.wait(fiber, until));
        } else if (!state.queue.has_room(call.target.traffic, data.size())) {
            TRY(state.room.wait(fiber, until));
        } else {
            break;
        }
    }
    call.outbox.allowed_bytes -= charge;
    wire::FrameHeader header = state.header_of(call, FrameKind::StreamData);
    header.argument = call.outbox.next_sequence++;
    state.push(header, std::move(data));
    return {};
}

void Exchange::finish_writing() {
    Call& call = *call_;
    if (!call.upload_open || call.end.has_value()) return;
    call.upload_open = false;
    wire::FrameHeader header = session_->state_->header_of(call, FrameKind::StreamData);
    header.flags = wire::flag::kLast;
    header.argument = call.outbox.next_sequence++;
    session_->state_->push(header, {});
}

Result<Bytes> Exchange::finish(Fiber& fiber) {
    SessionState& state = *session_->state_;
    Call& call = *call_;
    while (!call.end.has_value()) {
        if (call.given_up) return Error(Code::Unknown, "the request was given up");
        uint64_t credit = 0;
        while (!call.inbox.pieces.empty()) {
            Bytes dropped;
            credit += call.inbox.take(dropped);
        }
        state.give_credit(state.header_of(call, FrameKind::Credit), credit);
        Result<void> waited = call.changed.wait(fiber, call.target.deadline.at);
        if (waited.ok()) continue;
        state.give_up(call);
        if (waited.failed_with(Code::Timeout) && !call.sent)
            return Error(Code::Unreachable, "the deadline passed before the request was sent");
        return waited.error().within("waiting for an answer");
    }
    return *call.end;
}

}  // namespace orrery::rpc
