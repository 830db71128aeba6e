// Hello each way, before anything else. The asking side speaks first; the answering side judges, and says why when it
// refuses. Only this code sees a stream of which nothing is known yet, so its frames may be small only.
#include <algorithm>

#include "node/rpc/session_state.h"
#include "runtime/base/hash.h"

namespace orrery::rpc {

namespace {

constexpr uint32_t kHelloBytesMax = 4096;

Result<wire::Hello> read_hello(Fiber& fiber, Conn& conn, wire::FrameReader& reader, Instant deadline) {
    for (;;) {
        TRY(std::optional<wire::Frame> frame, reader.next());
        if (frame.has_value()) {
            if (frame->header.kind != FrameKind::Hello || frame->header.session_tag != 0)
                return Error(Code::Corrupt, "the first frame is not a hello");
            return wire::decode_hello(frame->payload.view());
        }
        TRY(size_t count, conn.read(fiber, reader.space(), deadline));
        if (count == 0) return Error(Code::Unreachable, "closed by the peer during the handshake");
        reader.filled(count);
    }
}

Result<void> write_hello(Fiber& fiber, Conn& conn, const wire::Hello& hello, Instant deadline) {
    Bytes bytes;
    wire::append_frame(bytes, {.kind = FrameKind::Hello}, wire::encode_hello(hello));
    return conn.write_all(fiber, bytes, deadline);
}

wire::Hello our_hello(const Identity& identity, const SessionOptions& options, TrafficClass traffic, uint64_t nonce) {
    wire::Hello hello;
    hello.version_min = identity.version_min;
    hello.version_max = identity.version_max;
    hello.role = identity.role;
    hello.traffic = traffic;
    hello.cluster = identity.cluster;
    hello.node = identity.node;
    hello.incarnation = identity.incarnation;
    hello.nonce = nonce;
    hello.window_requests = options.window_requests;
    hello.stream_credit_bytes = options.stream_credit_bytes;
    hello.max_payload_bytes = options.max_payload_bytes;
    return hello;
}

std::string hex(uint64_t value) {
    std::string out;
    for (int shift = 60; shift >= 0; shift -= 4) out += "0123456789abcdef"[value >> shift & 15];
    return out;
}

/// What either side holds against the other, whoever connected.
Result<uint8_t> judge(const wire::Hello& theirs, const Identity& ours) {
    const uint8_t version = std::min(theirs.version_max, ours.version_max);
    if (version < theirs.version_min || version < ours.version_min)
        return Error(Code::Unsupported, "protocol versions " + std::to_string(theirs.version_min) + ".." +
                                            std::to_string(theirs.version_max) + " of the peer and " +
                                            std::to_string(ours.version_min) + ".." +
                                            std::to_string(ours.version_max) + " of this node have none in common");
    if (theirs.cluster && ours.cluster && theirs.cluster != ours.cluster)
        return Error(Code::Invalid, "the peer, node " + std::to_string(theirs.node.value) + ", belongs to cluster " +
                                        hex(theirs.cluster.value) + ", this node to cluster " + hex(ours.cluster.value));
    if (theirs.role == Role::Node && (!theirs.node || !theirs.incarnation))
        return Error(Code::Invalid, "the peer says it is a node but has no node id or no incarnation");
    // A peer that takes next to nothing would leave no room for a status.
    if (theirs.max_payload_bytes < kHelloBytesMax || theirs.stream_credit_bytes < kHelloBytesMax ||
        theirs.window_requests == 0)
        return Error(Code::Invalid, "the peer's limits are too small to talk to it");
    return version;
}

PeerInfo info_of(const wire::Hello& theirs, uint8_t version, const Conn& conn) {
    return {.node = theirs.node,
            .incarnation = theirs.incarnation,
            .cluster = theirs.cluster,
            .role = theirs.role,
            .traffic = theirs.traffic,
            .version = version,
            .address = conn.peer().text()};
}

SessionId session_of(uint64_t asking_nonce, uint64_t answering_nonce) {
    return SessionId(combine64(asking_nonce, answering_nonce));
}

}  // namespace

Result<Handshake> shake_as_asking(Fiber& fiber, Env& env, Conn& conn, const Identity& identity,
                                  const SessionOptions& options, const Session::ConnectOptions& connect) {
    const Instant deadline = env.now() + options.handshake_timeout;
    wire::Hello ours = our_hello(identity, options, connect.traffic, connect.nonce);
    ours.expected_node = connect.expected_node;
    TRY(write_hello(fiber, conn, ours, deadline));
    wire::FrameReader reader(kHelloBytesMax);
    TRY(wire::Hello theirs, read_hello(fiber, conn, reader, deadline));
    if (theirs.refusal_code != 0)
        return Error(code_from_number(theirs.refusal_code).value_or(Code::Invalid), "refused: " + theirs.refusal);
    TRY(uint8_t version, judge(theirs, identity));
    if (connect.expected_node && theirs.node != connect.expected_node)
        return Error(Code::Invalid, "node " + std::to_string(theirs.node.value) + " answers where node " +
                                        std::to_string(connect.expected_node.value) + " is expected");
    if (connect.expected_incarnation && theirs.incarnation != connect.expected_incarnation)
        return Error(Code::Invalid, "node " + std::to_string(theirs.node.value) + " answers in another life: incarnation " +
                                        hex(theirs.incarnation.value) + ", expected " +
                                        hex(connect.expected_incarnation.value));
    reader.set_max_payload_bytes(options.max_payload_bytes);
    PeerInfo peer = info_of(theirs, version, conn);
    peer.traffic = connect.traffic;
    const SessionId session = session_of(connect.nonce, theirs.nonce);
    return Handshake{std::move(reader), std::move(theirs), std::move(peer), session};
}

Result<Handshake> shake_as_answering(Fiber& fiber, Env& env, Conn& conn, const Identity& identity,
                                     const SessionOptions& options, const Session::Admission* admission,
                                     uint64_t nonce) {
    const Instant deadline = env.now() + options.handshake_timeout;
    wire::FrameReader reader(kHelloBytesMax);
    Result<wire::Hello> heard = read_hello(fiber, conn, reader, deadline);
    wire::Hello ours = our_hello(identity, options, TrafficClass::Foreground, nonce);
    const auto refuse = [&](const Error& why) {
        ours.refusal_code = static_cast<uint8_t>(why.code);
        ours.refusal = why.context.substr(0, kHelloBytesMax / 4);
        // Best effort: that the peer cannot be told changes nothing.
        (void)write_hello(fiber, conn, ours, deadline).ok();
        conn.shutdown_write();
        return why;
    };
    if (!heard.ok()) {
        // Somebody of another version can read our hello perhaps; garbage, or nobody, gets no answer.
        if (heard.failed_with(Code::Unsupported)) return refuse(heard.error());
        return heard.error();
    }
    const wire::Hello& theirs = *heard;
    Result<uint8_t> version = judge(theirs, identity);
    if (!version.ok()) return refuse(version.error());
    if (theirs.role == Role::Node && identity.cluster && !theirs.cluster)
        return refuse(Error(Code::NotReady, "node " + std::to_string(theirs.node.value) + " belongs to no cluster yet"));
    if (theirs.expected_node && theirs.expected_node != identity.node)
        return refuse(Error(Code::Invalid, "this is node " + std::to_string(identity.node.value) + ", not node " +
                                               std::to_string(theirs.expected_node.value)));
    PeerInfo peer = info_of(theirs, *version, conn);
    if (admission != nullptr && *admission) {
        Result<void> admitted = (*admission)(peer);
        if (!admitted.ok()) return refuse(admitted.error());
    }
    ours.traffic = theirs.traffic;
    TRY(write_hello(fiber, conn, ours, deadline));
    reader.set_max_payload_bytes(options.max_payload_bytes);
    const SessionId session = session_of(theirs.nonce, nonce);
    return Handshake{std::move(reader), std::move(*heard), std::move(peer), session};
}

}  // namespace orrery::rpc
