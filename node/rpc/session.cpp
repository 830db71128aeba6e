// The life of a session: handshake done, three fibers, and the end. Everything here is one thread; what stands between
// two yields is atomic.
#include "node/rpc/session.h"

#include <algorithm>

#include "node/rpc/session_state.h"

namespace orrery::rpc {

namespace {
constexpr size_t kBatchKept = 16u << 10;  // an idle session keeps no more
constexpr size_t kWriteApartBytes = 16u << 10;  // larger payloads are written from where they are, not gathered
constexpr int kLivenessFactor = 3;              // intervals without a sign of life
constexpr uint32_t kSilentPongs = 4;            // pings answered meanwhile that make a silent id suspicious
}  // namespace

// ---- making and ending

SessionState::SessionState(Session::Side the_side, Env& the_env, std::unique_ptr<Conn> the_conn,
                           const SessionOptions& the_options, wire::FrameReader the_reader, const PeerInfo& the_peer,
                           const wire::Hello& theirs, SessionId the_id, const Service* the_service)
    : side(the_side),
      env(the_env),
      conn(std::move(the_conn)),
      options(the_options),
      reader(std::move(the_reader)),
      peer(the_peer),
      id(the_id),
      tag(std::max<uint32_t>(1, static_cast<uint32_t>(the_id.value))),
      service(the_service),
      window_requests(the_side == Session::Side::Asking ? std::min(the_options.window_requests, theirs.window_requests)
                                                        : the_options.window_requests),
      peer_max_payload_bytes(std::min(theirs.max_payload_bytes, the_options.max_payload_bytes)),
      peer_stream_credit_bytes(theirs.stream_credit_bytes),
      queue(the_options.queue_frames, the_options.queue_bytes),
      last_in(the_env.now()) {}

Result<std::shared_ptr<Session>> Session::connect(Fiber& fiber, Env& env, std::unique_ptr<Conn> conn,
                                                  const Identity& identity, const SessionOptions& options,
                                                  const ConnectOptions& connect) {
    TRY(Handshake shaken, shake_as_asking(fiber, env, *conn, identity, options, connect));
    std::shared_ptr<Session> session(new Session(
        std::make_unique<SessionState>(Side::Asking, env, std::move(conn), options, std::move(shaken.reader),
                                       shaken.peer, shaken.theirs, shaken.session, nullptr)));
    session->state_->start(session);
    return session;
}

Result<std::shared_ptr<Session>> Session::accept(Fiber& fiber, Env& env, std::unique_ptr<Conn> conn,
                                                 const Identity& identity, const SessionOptions& options,
                                                 const Service& service, const Admission* admission, uint64_t nonce) {
    TRY(Handshake shaken, shake_as_answering(fiber, env, *conn, identity, options, admission, nonce));
    std::shared_ptr<Session> session(new Session(
        std::make_unique<SessionState>(Side::Answering, env, std::move(conn), options, std::move(shaken.reader),
                                       shaken.peer, shaken.theirs, shaken.session, &service)));
    session->state_->start(session);
    return session;
}

Session::Session(std::unique_ptr<SessionState> state) : state_(std::move(state)) {}

Session::~Session() {
    CHECK(state_->fibers == 0, state_->fibers);
    CHECK(state_->calls.empty() && state_->answers.empty(), state_->calls.size(), state_->answers.size());
}

void SessionState::start(const std::shared_ptr<Session>& self) {
    const auto spawn = [&](std::string_view name, auto body) {
        ++fibers;
        env.spawn(name, [self, body, this](Fiber& fiber) {
            body(fiber);
            fiber_ended();
        });
    };
    spawn("rpc.read", [this, session = self.get()](Fiber& fiber) { read_loop(fiber, *session); });
    spawn("rpc.write", [this](Fiber& fiber) { write_loop(fiber); });
    spawn("rpc.time", [this](Fiber& fiber) { time_loop(fiber); });
}

void SessionState::fiber_ended() {
    if (--fibers == 0 && closed.has_value()) ended.notify_all();
}

void SessionState::shut(Error why) {
    if (closed.has_value()) return;
    env.tracer.info("rpc.closed", {{"session", id}, {"peer", peer.node}, {"why", why.text()}});
    closed = std::move(why);
    conn->close();
    queue.clear();
    while (!calls.empty()) {
        const auto& [call_id, call] = *calls.begin();
        const Code code = call->sent ? Code::Unknown : Code::Unreachable;
        end_call(RequestId(call_id), Error(code, "session lost: " + closed->text()));
    }
    answers.clear();
    for (auto& [answer_id, answer] : handling) {
        answer->given_up = answer->ended = true;
        env.scheduler.cancel(answer->fiber);
    }
    work.notify_all();
    stop.notify_all();
    room.notify_all();
    idle.notify_all();
    if (fibers == 0) ended.notify_all();
}

Error SessionState::doubt(const wire::FrameHeader& header, std::string_view why) {
    ++counters.doubts;
    env.tracer.error("rpc.doubt", {{"session", id},
                                   {"peer", peer.node},
                                   {"why", why},
                                   {"kind", wire::frame_kind_name(header.kind)},
                                   {"id", header.id},
                                   {"operation", wire::operation_name(header.operation)},
                                   {"group", header.group},
                                   {"entity", header.entity}});
    return Error(Code::Corrupt, "doubt: " + std::string(why) + " (" + std::string(wire::frame_kind_name(header.kind)) +
                                    " " + std::to_string(header.id.value) + ")");
}

// ---- reading

void SessionState::read_loop(Fiber& fiber, Session& session) {
    while (!closed.has_value()) {
        Result<void> read = read_some(fiber, session);
        if (!read.ok()) shut(std::move(read).error());
    }
}

Result<void> SessionState::read_some(Fiber& fiber, Session& session) {
    for (;;) {
        Result<std::optional<wire::Frame>> next = reader.next();
        if (!next.ok()) {
            env.tracer.error("rpc.bad_frame",
                             {{"session", id}, {"peer", peer.node}, {"why", next.error().text()}});
            return next.error();
        }
        if (!next->has_value()) break;
        ++counters.frames_in;
        // Refusals and pongs are made for the asking: one who asks on and never reads is no peer to keep.
        if (queue.frames() > 3ull * options.queue_frames + 2ull * options.window_requests)
            return Error(Code::Overloaded, "the peer does not read its answers");
        TRY(dispatch(session, **next));
        if (closed.has_value()) return {};
    }
    TRY(size_t count, conn->read(fiber, reader.space()));
    if (closed.has_value()) return {};
    if (count == 0)
        return Error(Code::Unreachable, reader.pending_bytes() > 0 ? "stream ended within a frame" : "closed by the peer");
    reader.filled(count);
    counters.bytes_in += count;
    last_in = env.now();
    return {};
}

Result<void> SessionState::dispatch(Session& session, wire::Frame& frame) {
    const wire::FrameHeader& header = frame.header;
    if (header.session_tag != tag) return doubt(header, "a frame of another session");
    const bool asking = side == Session::Side::Asking;
    switch (header.kind) {
        case FrameKind::Ping: {
            push({.kind = FrameKind::Pong, .argument = header.argument}, {});
            return {};
        }
        case FrameKind::Pong:
            if (!ping_open || header.argument != pings) return doubt(header, "answer to a ping never sent");
            ping_open = false;
            for (auto& [call_id, call] : calls) ++call->silent_pongs;
            return {};
        case FrameKind::Reply:
        case FrameKind::End:
            if (asking) return on_answer(frame);
            break;
        case FrameKind::StreamData: return asking ? on_answer(frame) : on_upload(frame);
        case FrameKind::Credit: return asking ? on_credit_for_call(header) : on_credit_for_answer(header);
        case FrameKind::Request:
            if (!asking) return on_request(session, frame);
            break;
        case FrameKind::Cancel:
            if (!asking) return on_cancel(header);
            break;
        case FrameKind::OneWay:
            if (!asking) {
                on_message(frame);
                return {};
            }
            break;
        case FrameKind::Hello: break;
    }
    return doubt(header, "a kind of frame that this side never gets");
}

// ---- writing

void SessionState::push(wire::FrameHeader header, Bytes payload) {
    if (closed.has_value()) return;
    header.session_tag = tag;
    queue.push({header, std::move(payload)});
    work.notify_one();
}

void SessionState::write_loop(Fiber& fiber) {
    while (!closed.has_value()) {
        Result<void> written;
        if (queue.empty()) {
            if (is_idle()) idle.notify_all();
            written = work.wait(fiber);
        } else {
            writing = true;
            written = write_batch(fiber);
            writing = false;
        }
        if (!written.ok()) shut(std::move(written).error());
    }
}

Result<void> SessionState::write_batch(Fiber& fiber) {
    if (batch.capacity() > kBatchKept) batch = Bytes();
    batch.clear();
    bool bulk_taken = false;
    std::optional<OutFrame> apart;
    while (!apart.has_value()) {
        std::optional<OutFrame> frame = queue.next(batch.size(), options.write_batch_bytes, bulk_taken);
        if (!frame.has_value()) break;
        ++counters.frames_out;
        if (frame->header.kind == FrameKind::Request) {
            auto at = calls.find(frame->header.id);
            if (at != calls.end()) {
                at->second->sent = true;
                at->second->last_frame = env.now();
            }
        }
        if (frame->payload.size() >= kWriteApartBytes) {
            wire::append_header(batch, frame->header, frame->payload);
            apart = std::move(frame);
        } else {
            wire::append_frame(batch, frame->header, frame->payload);
        }
    }
    if (room.has_waiters()) room.notify_all();
    ++counters.writes;
    counters.bytes_out += batch.size();
    TRY(conn->write_all(fiber, batch));
    if (!apart.has_value()) return {};
    const size_t padding = wire::padding_bytes(apart->payload.size());
    counters.bytes_out += apart->payload.size() + padding;
    TRY(conn->write_all(fiber, apart->payload));
    return conn->write_all(fiber, ByteView("\0\0\0\0\0\0\0", padding));
}

// ---- time

void SessionState::time_loop(Fiber& fiber) {
    while (!closed.has_value()) {
        Result<void> slept = stop.wait(fiber, env.now() + options.liveness / 2);
        if (slept.failed_with(Code::Cancelled)) return shut(std::move(slept).error());
        if (!closed.has_value() && slept.failed_with(Code::Timeout)) look_at_time(env.now());
    }
}

void SessionState::look_at_time(Instant now) {
    const Duration quiet = now - last_in;
    if (quiet >= options.liveness * kLivenessFactor) {
        env.tracer.warning("rpc.silent_peer", {{"session", id}, {"peer", peer.node}, {"quiet", quiet}});
        return shut(Error(Code::Unreachable, "nothing heard from the peer for " + std::to_string(quiet.as_millis()) + " ms"));
    }
    bool want_ping = quiet >= options.liveness;
    for (auto& [call_id, call] : calls) {
        if (!call->sent || now - call->last_frame < options.liveness) continue;
        want_ping = true;
        if (call->silent_pongs != kSilentPongs || now - call->last_frame < options.liveness * kLivenessFactor) continue;
        ++call->silent_pongs;  // said once
        ++counters.silent_ids;
        env.tracer.error("rpc.silent_id", {{"session", id},
                                           {"peer", peer.node},
                                           {"id", call_id},
                                           {"operation", wire::operation_name(call->target.operation)},
                                           {"group", call->target.group},
                                           {"entity", call->target.entity}});
    }
    for (auto& [answer_id, answer] : answers) {
        if (now - answer->last_frame < options.liveness) continue;
        answer->last_frame = now;
        push(echo_of(answer->request, FrameKind::Credit), {});
    }
    // One at a time: after a pause, pongs that had piled up would count as many signs of life.
    if (want_ping && !ping_open) {
        ping_open = true;
        push({.kind = FrameKind::Ping, .argument = ++pings}, {});
    }
}

// ---- the face

Session::Side Session::side() const { return state_->side; }
const PeerInfo& Session::peer() const { return state_->peer; }
SessionId Session::id() const { return state_->id; }
bool Session::closed() const { return state_->closed.has_value(); }
const Error& Session::close_reason() const {
    CHECK(closed());
    return *state_->closed;
}
void Session::shut(Error reason) { state_->shut(std::move(reason)); }
void Session::drain() { state_->draining = true; }
void Session::hang_up() {
    if (!closed()) state_->conn->shutdown_write();
}
size_t Session::open_ids() const { return state_->calls.size() + state_->answers.size(); }
const SessionCounters& Session::counters() const { return state_->counters; }

Result<void> Session::wait_closed(Fiber& fiber, Instant deadline) {
    while (!closed() || state_->fibers > 0) TRY(state_->ended.wait(fiber, deadline));
    return {};
}

Result<void> Session::wait_idle(Fiber& fiber, Instant deadline) {
    while (!closed() && !state_->is_idle()) TRY(state_->idle.wait(fiber, deadline));
    return {};
}

std::string Session::dump() const {
    const SessionCounters& c = state_->counters;
    std::string out = state_->side == Side::Asking ? "to" : "from";
    out += " node=" + std::to_string(state_->peer.node.value) + " address=" + state_->peer.address +
           " class=" + std::string(wire::traffic_class_name(state_->peer.traffic)) + " open=" + std::to_string(open_ids()) +
           " queued=" + std::to_string(state_->queue.frames()) + " in=" + std::to_string(c.frames_in) +
           " out=" + std::to_string(c.frames_out) + " writes=" + std::to_string(c.writes) +
           " late=" + std::to_string(c.late_frames) + " crossings=" + std::to_string(c.crossings) +
           " dropped=" + std::to_string(c.messages_dropped) + " refused=" + std::to_string(c.refused_at_home);
    if (closed()) out += " closed='" + state_->closed->text() + "'";
    return out;
}

}  // namespace orrery::rpc
