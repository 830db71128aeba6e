// Sessions, one behaviour at a time: handshake, ends, windows, credit, doubt, liveness, closing.
#include "node/wire/frame.h"
#include "test_world.h"
#include <doctest/doctest.h>

namespace orrery::rpc::test {
namespace {

constexpr auto kEcho = Operation::Echo;
constexpr auto kStream = Operation::FetchEntryBody;
constexpr auto kUpload = Operation::InstallSnapshot;

/// Two nodes, a server on b, an address book on a.
struct Pair {
    explicit Pair(WorldOptions world_options = {}, SessionOptions session = {}) : world(world_options), a(world.add("a", NodeId(1))), b(world.add("b", NodeId(2))) {
        service.handle(kEcho, [](Fiber&, Request& request, Responder& responder) { responder.reply(Bytes(request.body())); });
        // entity pieces of 1000 bytes, then a reply with their count.
        service.handle(kStream, [this](Fiber& fiber, Request& request, Responder& responder) {
            for (uint64_t i = 0; i < request.entity(); ++i) {
                Result<void> sent = responder.send(fiber, Bytes(1000, static_cast<char>(i)));
                if (!sent.ok()) return;
                ++pieces_sent;
            }
            responder.reply(std::to_string(request.entity()));
        });
        service.handle(kUpload, [](Fiber& fiber, Request& request, Responder& responder) {
            uint64_t bytes = 0;
            for (;;) {
                Result<std::optional<Bytes>> piece = request.read(fiber);
                if (!piece.ok()) return;
                if (!piece->has_value()) break;
                bytes += (*piece)->size();
            }
            responder.reply(std::to_string(bytes));
        });
        // Answers when told to; entity 1: never ends by itself, but obeys its cancellation.
        service.handle(Operation::KvForward, [this](Fiber& fiber, Request&, Responder& responder) {
            ++held;
            while (!let_go) {
                if (!released.wait(fiber).ok()) {
                    ++handlers_cancelled;
                    return;
                }
            }
            responder.reply("late");
        });
        service.handle(Operation::Init, [](Fiber&, Request&, Responder& responder) {
            responder.fail(redirect_error({NodeId(3), Term(9), "c:1"}));
        });
        service.handle(Operation::Identity, [](Fiber&, Request&, Responder&) {});  // forgets to answer
        service.handle_message(Operation::RaftMessage, [this](Message& message) { messages.push_back(message.payload.take()); });
        server_options.session = session;
        peers_options.session = session;
    }
    void start() {
        server = std::make_unique<Server>(b.env, b.identity, service, std::move(server_options));
        REQUIRE(server->start({"", 1}).ok());
        peers = std::make_unique<Peers>(a.env, a.identity, peers_options);
        peers->set_address(NodeId(2), {"b", 1});
    }
    Target target(Operation operation, uint64_t entity = 0, Duration within = Duration::seconds(60)) {
        return {.operation = operation, .group = GroupId(4), .entity = entity, .deadline = {world.now + within}};
    }
    std::shared_ptr<Session> session() {
        std::shared_ptr<Session> got;
        world.run(a, [&](Fiber& fiber) {
            auto made = peers->session(fiber, NodeId(2), TrafficClass::Foreground, Instant::never());
            REQUIRE(made.ok());
            got = *made;
        });
        return got;
    }
    Result<Bytes> call(const Target& what, Bytes body = {}) {
        Result<Bytes> out = Error(Code::Cancelled);
        world.run(a, [&](Fiber& fiber) { out = peers->call(fiber, NodeId(2), what, body); });
        return out;
    }
    void stop() {
        if (peers != nullptr) world.run(a, [&](Fiber& fiber) { CHECK(peers->close(fiber).ok()); });
        if (server != nullptr) world.run(b, [&](Fiber& fiber) { CHECK(server->stop(fiber, world.now + Duration::seconds(1)).ok()); });
        world.run_until([&] { return a.scheduler.live() == 0 && b.scheduler.live() == 0; });
        CHECK(a.scheduler.live_names().size() == 0);
        CHECK(b.scheduler.live_names().size() == 0);
        peers.reset();
        server.reset();
    }
    ~Pair() { stop(); }

    World world;
    Node& a;
    Node& b;
    Service service;
    ServerOptions server_options;
    PeersOptions peers_options;
    std::unique_ptr<Server> server;
    std::unique_ptr<Peers> peers;
    Notify released;
    bool let_go = false;
    uint64_t held = 0;
    uint64_t handlers_cancelled = 0;
    uint64_t pieces_sent = 0;
    std::vector<Bytes> messages;
};

/// Writes raw bytes to b's listener and reads what comes back until the end of the stream.
Bytes speak_raw(Pair& pair, const Bytes& bytes) {
    Bytes heard;
    pair.world.run(pair.a, [&](Fiber& fiber) {
        auto conn = pair.a.net.connect(fiber, {"b", 1}, Instant::never());
        REQUIRE(conn.ok());
        (void)(*conn)->write_all(fiber, bytes).ok();
        char buffer[4096];
        for (;;) {
            Result<size_t> count = (*conn)->read(fiber, buffer, pair.world.now + Duration::seconds(30));
            if (!count.ok() || *count == 0) break;
            heard.append(buffer, *count);
        }
    });
    return heard;
}

TEST_CASE("rpc: requests, streams both ways and one-way messages arrive whole") {
    Pair pair;
    pair.start();
    CHECK(pair.call(pair.target(kEcho), "hello").value() == "hello");
    const Bytes big(3'000'000, 'b');
    CHECK(pair.call(pair.target(kEcho), big).value() == big);
    const std::shared_ptr<Session> session = pair.session();
    pair.world.run(pair.a, [&](Fiber& fiber) {
        Exchange download = session->open(pair.target(kStream, 3000), {}).value();
        uint64_t count = 0;
        for (;;) {
            auto piece = download.read(fiber);
            REQUIRE(piece.ok());
            if (!piece->has_value()) break;
            CHECK(**piece == Bytes(1000, static_cast<char>(count)));
            ++count;
        }
        CHECK(count == 3000);
        CHECK(download.finish(fiber).value() == "3000");
        Exchange upload = session->open(pair.target(kUpload), {}, Upload::Follows).value();
        for (int i = 0; i < 3000; ++i) REQUIRE(upload.write(fiber, Bytes(999, 'u')).ok());
        upload.finish_writing();
        CHECK(upload.finish(fiber).value() == "2997000");
    });
    for (int i = 0; i < 100; ++i)
        CHECK(pair.peers->send(NodeId(2), Operation::RaftMessage, GroupId(1), 0, TrafficClass::Foreground, std::to_string(i)));
    pair.world.run_until([&] { return pair.messages.size() == 100; });
    for (int i = 0; i < 100; ++i) CHECK(pair.messages[i] == std::to_string(i));
    CHECK(session->open_ids() == 0);
    CHECK(session->counters().writes < session->counters().frames_out);  // gathered
    CHECK(pair.a.tracer.error_events.empty());
    CHECK(pair.b.tracer.error_events.empty());
}

TEST_CASE("rpc: errors travel with their code, a redirect with its hint, an unknown operation as Unsupported") {
    Pair pair;
    pair.start();
    const Result<Bytes> redirected = pair.call(pair.target(Operation::Init));
    REQUIRE(redirected.failed_with(Code::NotLeader));
    CHECK(redirect_of(redirected.error()) == Redirect{NodeId(3), Term(9), "c:1"});
    CHECK(pair.call(pair.target(Operation::RaftHeartbeats)).failed_with(Code::Unsupported));
    CHECK(pair.a.tracer.error_events.empty());
    // A handler that forgets its answer still ends its id, and says so.
    CHECK(pair.call(pair.target(Operation::Identity)).failed_with(Code::Unknown));
    CHECK(pair.b.tracer.errors("rpc.no_answer") == 1);
}

TEST_CASE("rpc: a timed-out id keeps its place until its end, and the late answer is dropped") {
    SessionOptions options;
    options.window_requests = 4;
    options.entity_share = 2;
    Pair pair({}, options);
    pair.start();
    const std::shared_ptr<Session> session = pair.session();
    // The answering side is deaf to cancel while its stream is stalled.
    for (const auto& pipe : pair.world.pipes)
        if (auto held = pipe.lock()) held->stalled = true;
    pair.world.run(pair.a, [&](Fiber& fiber) {
        Exchange one = session->open(pair.target(kEcho, 7), "x").value();
        Exchange two = session->open(pair.target(kEcho, 7), "x").value();
        CHECK(session->open(pair.target(kEcho, 7), "x").failed_with(Code::Overloaded));  // the entity's share
        (void)fiber.sleep_until(pair.world.now + Duration::millis(1)).ok();
        one.cancel();
        two.cancel();
        CHECK(session->open_ids() == 2);  // still hold their places
        CHECK(session->open(pair.target(kEcho, 7), "x").failed_with(Code::Overloaded));
        Exchange three = session->open(pair.target(kEcho, 8), "x").value();
        Exchange four = session->open(pair.target(kEcho, 9), "x").value();
        CHECK(session->open(pair.target(kEcho, 10), "x").failed_with(Code::Overloaded));  // the window
        pair.world.heal();
        CHECK(three.finish(fiber).ok());
        CHECK(four.finish(fiber).ok());
        CHECK(session->wait_idle(fiber).ok());
        // Places and shares are free again, all of them.
        for (int i = 0; i < 3; ++i) {
            Exchange first = session->open(pair.target(kEcho, 7), "a").value();
            Exchange second = session->open(pair.target(kEcho, 7), "b").value();
            CHECK(first.finish(fiber).value() == "a");
            CHECK(second.finish(fiber).value() == "b");
        }
    });
    CHECK(session->counters().late_frames == 2);
    CHECK(session->counters().cancelled == 2);
    CHECK(session->open_ids() == 0);
    CHECK(pair.a.tracer.error_events.empty());
}

TEST_CASE("rpc: a request given up before it was sent is Unreachable, one in flight is not") {
    Pair pair;
    pair.start();
    const std::shared_ptr<Session> session = pair.session();
    pair.world.run(pair.a, [&](Fiber& fiber) {
        Exchange unsent = session->open(pair.target(kEcho), "x").value();
        unsent.cancel();  // no yield: the writer cannot have run
        CHECK(unsent.finish(fiber).failed_with(Code::Unreachable));
        CHECK(session->open_ids() == 0);
        const Result<Bytes> late = session->call(fiber, pair.target(Operation::KvForward, 0, Duration::millis(50)), "x");
        CHECK(late.failed_with(Code::Timeout));
    });
    pair.world.run_until([&] { return session->open_ids() == 0; });
    CHECK(pair.handlers_cancelled == 1);
}

TEST_CASE("rpc: an early exit from a stream stops its sender and harms nobody else") {
    Pair pair;
    pair.start();
    const std::shared_ptr<Session> session = pair.session();
    pair.world.run(pair.a, [&](Fiber& fiber) {
        {
            Exchange download = session->open(pair.target(kStream, 100'000), {}).value();
            for (int i = 0; i < 3; ++i) CHECK(download.read(fiber).ok());
        }  // given up
        for (int i = 0; i < 20; ++i)
            CHECK(session->call(fiber, pair.target(kEcho), std::to_string(i)).value() == std::to_string(i));
        CHECK(session->wait_idle(fiber).ok());
    });
    CHECK(pair.pieces_sent < 5000);  // credit and cancel held it
    CHECK(pair.a.tracer.mispaired == 0);
    CHECK(pair.a.tracer.error_events.empty());
}

TEST_CASE("rpc: a stream nobody reads stops at its credit") {
    SessionOptions options;
    options.stream_credit_bytes = 10'000;
    Pair pair({}, options);
    pair.start();
    const std::shared_ptr<Session> session = pair.session();
    pair.world.run(pair.a, [&](Fiber& fiber) {
        Exchange download = session->open(pair.target(kStream, 1000), {}).value();
        (void)fiber.sleep_until(pair.world.now + Duration::seconds(1)).ok();
        CHECK(pair.pieces_sent == 10'000 / 1064);
        CHECK(download.finish(fiber).value() == "1000");  // finish() drops, and gives credit back
    });
}

TEST_CASE("rpc: a lost session ends what was sent as Unknown, cancels the handlers, and Peers connects again") {
    Pair pair;
    pair.start();
    const std::shared_ptr<Session> session = pair.session();
    pair.world.run(pair.a, [&](Fiber& fiber) {
        Exchange exchange = session->open(pair.target(Operation::KvForward), "x").value();
        while (pair.held == 0) REQUIRE(fiber.sleep_until(pair.world.now + Duration::millis(1)).ok());
        pair.world.reset_all();
        CHECK(exchange.finish(fiber).failed_with(Code::Unknown));
        CHECK(session->open(pair.target(kEcho), "x").failed_with(Code::Unreachable));
    });
    CHECK(pair.call(pair.target(kEcho), "back").value() == "back");
    CHECK(pair.handlers_cancelled == 1);
    CHECK(pair.session() != session);
}

TEST_CASE("rpc: another cluster, version, node or life is refused with the reason on both sides") {
    const char* expected = nullptr;
    Pair pair;
    Incarnation expected_life{};
    SUBCASE("cluster") { pair.a.identity.cluster = ClusterId(78); expected = "belongs to cluster"; }
    SUBCASE("version") { pair.a.identity.version_min = pair.a.identity.version_max = 9; expected = "protocol versions"; }
    SUBCASE("node") { pair.b.identity.node = NodeId(5); expected = "this is node 5"; }
    SUBCASE("life") { expected_life = Incarnation(999); expected = "another life"; }
    SUBCASE("admission") {
        pair.server_options.admission = [](const PeerInfo&) -> Result<void> { return Error(Code::Invalid, "not a member"); };
        expected = "not a member";
    }
    pair.peers_options.wait_for_session = Duration::millis(300);
    pair.start();
    if (expected_life) pair.peers->set_address(NodeId(2), {"b", 1}, expected_life);
    const Result<Bytes> refused = pair.call(pair.target(kEcho), "x");
    REQUIRE(refused.failed_with(Code::Unreachable));
    CHECK(refused.error().context.find(expected) != std::string::npos);
    CHECK(pair.a.tracer.errors("rpc.connect_failed") == 1);  // said once, not with every attempt
    if (!expected_life) CHECK(pair.server->refused() > 0);
}

TEST_CASE("rpc: a data directory's new life is not taken for the old one") {
    Pair pair;
    pair.start();
    pair.peers->set_address(NodeId(2), {"b", 1}, Incarnation(200));
    CHECK(pair.call(pair.target(kEcho), "x").ok());
    pair.b.identity.incarnation = Incarnation(201);  // wiped and set up anew at the same address
    pair.world.reset_all();
    CHECK(pair.call(pair.target(kEcho), "x").failed_with(Code::Unreachable));
    pair.peers->set_address(NodeId(2), {"b", 1}, Incarnation(201));
    CHECK(pair.call(pair.target(kEcho), "x").ok());
}

TEST_CASE("rpc: garbage at the listener is an error event, and the next peer is served") {
    Pair pair;
    pair.start();
    CHECK(speak_raw(pair, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") == "");
    CHECK(speak_raw(pair, Bytes(100'000, '\xff')) == "");
    Bytes not_hello;
    wire::append_frame(not_hello, {.kind = FrameKind::Ping}, "");
    CHECK(speak_raw(pair, not_hello) == "");
    Bytes bad_hello;
    wire::append_frame(bad_hello, {.kind = FrameKind::Hello}, Bytes(64, '\x7f'));
    CHECK(speak_raw(pair, bad_hello) == "");
    CHECK(pair.b.tracer.errors("rpc.handshake_refused") == 4);
    CHECK(speak_raw(pair, "ORRF") == "");  // says nothing more: the handshake's time runs out
    CHECK(pair.server->refused() == 5);
    CHECK(pair.call(pair.target(kEcho), "x").ok());
}

TEST_CASE("rpc: frames of another session's life, of the wrong kind or for unknown ids are doubt and end the session") {
    wire::FrameHeader planted;
    const char* why = nullptr;
    bool own_tag = true;
    SUBCASE("old life") { planted.kind = FrameKind::OneWay; own_tag = false; why = "another session"; }
    SUBCASE("kind") { planted.kind = FrameKind::Reply; why = "never gets"; }
    SUBCASE("second hello") { planted.kind = FrameKind::Hello; why = "never gets"; }
    SUBCASE("cancel") { planted.kind = FrameKind::Cancel; planted.id = RequestId(5); why = "never issued"; }
    SUBCASE("data") { planted.kind = FrameKind::StreamData; planted.id = RequestId(5); why = "never issued"; }
    SUBCASE("pong") { planted.kind = FrameKind::Pong; planted.argument = 3; why = "never sent"; }
    SUBCASE("id 0") { planted.kind = FrameKind::Request; planted.operation = kEcho; why = "used before"; }
    Pair pair;
    pair.start();
    pair.world.run(pair.a, [&](Fiber& fiber) {
        auto conn = pair.a.net.connect(fiber, {"b", 1}, Instant::never());
        REQUIRE(conn.ok());
        const wire::Hello hello{.cluster = ClusterId(77), .node = NodeId(1), .incarnation = Incarnation(100), .nonce = 5,
                                .window_requests = 10, .stream_credit_bytes = 100'000, .max_payload_bytes = 100'000};
        Bytes bytes;
        wire::append_frame(bytes, {.kind = FrameKind::Hello}, wire::encode_hello(hello));
        REQUIRE((*conn)->write_all(fiber, bytes).ok());
        wire::FrameReader reader(4096);
        std::optional<wire::Hello> theirs;
        while (!theirs.has_value()) {
            Result<size_t> count = (*conn)->read(fiber, reader.space());
            REQUIRE(count.ok());
            reader.filled(*count);
            auto frame = reader.next();
            REQUIRE(frame.ok());
            if (frame->has_value()) theirs = wire::decode_hello((*frame)->payload.view()).value();
        }
        const auto tag = static_cast<uint32_t>(combine64(5, theirs->nonce));
        planted.session_tag = own_tag ? tag : tag + 1;
        bytes.clear();
        wire::append_frame(bytes, planted, "");
        REQUIRE((*conn)->write_all(fiber, bytes).ok());
        char buffer[100];
        for (;;) {
            Result<size_t> count = (*conn)->read(fiber, buffer);
            if (!count.ok() || *count == 0) break;
        }
    });
    REQUIRE(pair.b.tracer.errors("rpc.doubt") == 1);
    CHECK(pair.b.tracer.error_events[0].find(why) != std::string::npos);
    CHECK(pair.call(pair.target(kEcho), "x").ok());
}

TEST_CASE("rpc: an answer that is not the request's own is doubt, and nobody consumes it") {
    // What the false peer answers to the request it gets, made from the right echo.
    std::function<void(std::vector<std::pair<wire::FrameHeader, Bytes>>&, wire::FrameHeader)> lie;
    const char* why = nullptr;
    const auto one = [](std::vector<std::pair<wire::FrameHeader, Bytes>>& out, wire::FrameHeader header, Bytes payload = "stolen") {
        out.emplace_back(header, std::move(payload));
    };
    SUBCASE("operation") { why = "echo differs"; lie = [&](auto& out, auto h) { h.operation = kStream; one(out, h); }; }
    SUBCASE("group") { why = "echo differs"; lie = [&](auto& out, auto h) { h.group = GroupId(5); one(out, h); }; }
    SUBCASE("entity") { why = "echo differs"; lie = [&](auto& out, auto h) { ++h.entity; one(out, h); }; }
    SUBCASE("class") { why = "echo differs"; lie = [&](auto& out, auto h) { h.traffic = TrafficClass::Bulk; one(out, h); }; }
    SUBCASE("id never issued") { why = "never issued"; lie = [&](auto& out, auto h) { h.id = RequestId(99); one(out, h); }; }
    SUBCASE("credit never issued") { why = "never issued"; lie = [&](auto& out, auto h) { h.kind = FrameKind::Credit; h.id = RequestId(99); one(out, h, ""); }; }
    SUBCASE("sequence") { why = "out of sequence"; lie = [&](auto& out, auto h) { h.kind = FrameKind::StreamData; h.argument = 1; one(out, h); }; }
    SUBCASE("beyond credit") {
        why = "beyond its credit";
        lie = [&](auto& out, auto h) {
            h.kind = FrameKind::StreamData;
            for (h.argument = 0; h.argument < 40; ++h.argument) one(out, h, Bytes(2000, 'x'));
        };
    }
    SUBCASE("bad status") { why = "status"; lie = [&](auto& out, auto h) { h.kind = FrameKind::End; one(out, h, "nonsense"); }; }
    SUBCASE("two ends") {
        why = "ended id";
        lie = [&](auto& out, auto h) {
            h.kind = FrameKind::StreamData;
            one(out, h, "");
            h.kind = FrameKind::End;
            one(out, h, "");
            one(out, h, "");
        };
    }
    SessionOptions options;
    options.stream_credit_bytes = 50'000;
    Pair pair({}, options);
    auto listener = pair.b.net.listen({"", 1});
    REQUIRE(listener.ok());
    pair.b.env.spawn("liar", [&](Fiber& fiber) {
        auto conn = (*listener)->accept(fiber);
        REQUIRE(conn.ok());
        wire::FrameReader reader(100'000);
        const auto next = [&]() -> std::optional<wire::FrameHeader> {
            for (;;) {
                auto frame = reader.next();
                if (frame.ok() && frame->has_value()) return (*frame)->header;
                Result<size_t> count = (*conn)->read(fiber, reader.space());
                if (!count.ok() || *count == 0) return std::nullopt;
                reader.filled(*count);
            }
        };
        REQUIRE(next().has_value());
        Bytes bytes;
        wire::append_frame(bytes, {.kind = FrameKind::Hello},
                           wire::encode_hello({.cluster = ClusterId(77), .node = NodeId(2), .incarnation = Incarnation(200),
                                               .window_requests = 10, .stream_credit_bytes = 100'000, .max_payload_bytes = 100'000}));
        REQUIRE((*conn)->write_all(fiber, bytes).ok());
        std::optional<wire::FrameHeader> request = next();
        REQUIRE(request.has_value());
        request->kind = FrameKind::Reply;
        request->argument = request->credit = 0;
        std::vector<std::pair<wire::FrameHeader, Bytes>> answers;
        lie(answers, *request);
        bytes.clear();
        for (const auto& [header, payload] : answers) wire::append_frame(bytes, header, payload);
        (void)(*conn)->write_all(fiber, bytes).ok();
        while (next().has_value()) {
        }
    });
    pair.world.run(pair.a, [&](Fiber& fiber) {
        auto conn = pair.a.net.connect(fiber, {"b", 1}, Instant::never());
        REQUIRE(conn.ok());
        auto session = Session::connect(fiber, pair.a.env, std::move(*conn), pair.a.identity, options, {.nonce = 3});
        REQUIRE(session.ok());
        Exchange exchange = (*session)->open(pair.target(kEcho), "x").value();
        if (std::string_view(why) == "ended id") {
            CHECK(exchange.finish(fiber).ok());  // the first end was good
        } else {
            while (!exchange.ended()) REQUIRE(fiber.yield().ok());
            CHECK(exchange.finish(fiber).failed_with(Code::Unknown));
        }
        REQUIRE((*session)->wait_closed(fiber, pair.world.now + Duration::seconds(1)).ok());
        CHECK((*session)->close_reason().code == Code::Corrupt);
    });
    REQUIRE(pair.a.tracer.errors("rpc.doubt") == 1);
    CHECK(pair.a.tracer.error_events[0].find(why) != std::string::npos);
    CHECK(pair.a.tracer.mispaired == 0);
    (*listener)->close();
}

TEST_CASE("rpc: a silent peer ends the session, a slow handler does not") {
    Pair pair;
    pair.start();
    const std::shared_ptr<Session> session = pair.session();
    SUBCASE("slow handler") {
        pair.world.run(pair.a, [&](Fiber& fiber) {
            Exchange exchange = session->open(pair.target(Operation::KvForward), "x").value();
            (void)fiber.sleep_until(pair.world.now + Duration::seconds(40)).ok();
            pair.let_go = true;
            pair.released.notify_all();
            CHECK(exchange.finish(fiber).value() == "late");
        });
        CHECK(!session->closed());
        CHECK(session->counters().silent_ids == 0);
    }
    SUBCASE("stalled stream") {
        for (const auto& pipe : pair.world.pipes)
            if (auto held = pipe.lock()) held->stalled = true;
        pair.world.advance(Duration::seconds(10));
        CHECK(session->closed());
        CHECK(session->close_reason().code == Code::Unreachable);
    }
    CHECK(pair.a.tracer.error_events.empty());
}

TEST_CASE("rpc: a stopping server lets requests end and refuses new ones") {
    Pair pair;
    pair.start();
    const std::shared_ptr<Session> session = pair.session();
    Result<Bytes> first = Error(Code::Cancelled), second = Error(Code::Cancelled);
    bool stopped = false;
    pair.world.run(pair.a, [&](Fiber& fiber) {
        Exchange exchange = session->open(pair.target(Operation::KvForward), "x").value();
        while (pair.held == 0) REQUIRE(fiber.sleep_until(pair.world.now + Duration::millis(1)).ok());
        pair.b.env.spawn("stop", [&](Fiber& other) {
            CHECK(pair.server->stop(other, pair.world.now + Duration::seconds(5)).ok());
            stopped = true;
        });
        REQUIRE(fiber.sleep_until(pair.world.now + Duration::millis(10)).ok());
        second = session->call(fiber, pair.target(kEcho), "x");
        pair.let_go = true;
        pair.released.notify_all();
        first = exchange.finish(fiber);
    });
    CHECK(first.ok());
    CHECK(second.failed_with(Code::NotReady));
    CHECK(pair.world.run_until([&] { return stopped; }));
    pair.server.reset();
}

TEST_CASE("rpc: one-way messages without a session are dropped and counted") {
    Pair pair;
    pair.start();
    CHECK(!pair.peers->send(NodeId(2), Operation::RaftMessage, GroupId(1), 0, TrafficClass::Foreground, "x"));
    CHECK(!pair.peers->send(NodeId(9), Operation::RaftMessage, GroupId(1), 0, TrafficClass::Foreground, "x"));
    CHECK(pair.peers->messages_dropped() == 2);
    pair.world.run_until([&] { return pair.peers->connected(NodeId(2), TrafficClass::Foreground); });
    CHECK(pair.peers->send(NodeId(2), Operation::RaftMessage, GroupId(1), 0, TrafficClass::Foreground, "x"));
    // Begun before anybody needs it.
    pair.peers->begin(NodeId(2), TrafficClass::Control);
    pair.peers->begin(NodeId(9), TrafficClass::Control);  // nobody has told where that is
    CHECK(!pair.peers->connected(NodeId(2), TrafficClass::Control));
    pair.world.run_until([&] { return pair.peers->connected(NodeId(2), TrafficClass::Control); });
    CHECK(pair.peers->send(NodeId(2), Operation::RaftMessage, GroupId(1), 0, TrafficClass::Control, "x"));
    pair.world.run_until([&] { return pair.messages.size() == 2; });
    CHECK(pair.messages.size() == 2);
}

}  // namespace
}  // namespace orrery::rpc::test
