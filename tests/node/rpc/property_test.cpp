// Random traffic over random streams: every consumed answer is its request's, every id ends once, nothing leaks.
#include <rapidcheck.h>

#include "runtime/base/hash.h"
#include "test_world.h"
#include <doctest/doctest.h>

namespace orrery::rpc::test {
namespace {

constexpr auto kAnswer = Operation::KvForward;       // unary, with a delay
constexpr auto kDownload = Operation::FetchEntryBody;
constexpr auto kUpload = Operation::InstallSnapshot;

Bytes answer_to(uint64_t entity, ByteView body) { return std::to_string(entity) + "/" + std::to_string(hash_bytes(body)); }

struct Outcome {
    uint64_t good = 0;
    uint64_t wrong = 0;       // an answer that belongs to somebody else
    uint64_t mispaired = 0;   // the same, seen by the trace
    uint64_t late = 0;
    uint64_t not_ended = 0;   // fibers that never came back
    uint64_t leaked_ids = 0;
    uint64_t unexpected_errors = 0;
    std::string first_error;
    uint64_t unanswered = 0;  // requests the answering side took and did not end
    bool lost_sessions = false;
};

struct Plan {
    uint64_t seed = 1;
    int clients = 6;
    int rounds = 6;
    double stall = 0;
    double reset = 0;
    bool corrupt = false;
    bool early_exits = true;
};

/// One request of a random kind; early exits, deadlines and cancels included.
void one_request(Fiber& fiber, World& world, Peers& peers, RandomStream& draw, const Plan& plan, Outcome& out) {
    const uint64_t entity = 1 + draw.below(20);
    const bool hasty = plan.early_exits && draw.chance(0.4);
    Target target{.operation = kAnswer, .group = GroupId(1 + draw.below(3)), .entity = entity,
                  .traffic = static_cast<TrafficClass>(draw.below(3)),
                  .deadline = {world.now + (hasty ? Duration::micros(1 + static_cast<int64_t>(draw.below(3000))) : Duration::seconds(30))}};
    const Bytes body(draw.below(draw.chance(0.1) ? 40'000 : 200), static_cast<char>(draw.next()));
    const auto judge = [&](const Result<Bytes>& result, const Bytes& expected) {
        if (result.ok()) ++(*result == expected ? out.good : out.wrong);
    };
    switch (draw.below(3)) {
        case 0: return judge(peers.call(fiber, NodeId(2), target, body), answer_to(entity, body));
        case 1: {
            target.operation = kDownload;
            Result<Exchange> exchange = peers.open(fiber, NodeId(2), target, body);
            if (!exchange.ok()) return;
            const uint64_t stop_after = hasty ? draw.below(entity) : UINT64_MAX;
            uint64_t count = 0;
            for (;;) {
                if (count == stop_after) return;  // given up: the exchange dies open
                Result<std::optional<Bytes>> piece = exchange->read(fiber);
                if (!piece.ok()) return;  // its deadline: what is left of the stream is nobody's
                if (!piece->has_value()) break;
                if (**piece != answer_to(entity, body) + "#" + std::to_string(count)) ++out.wrong;
                ++count;
            }
            const Result<Bytes> end = exchange->finish(fiber);
            if (end.ok() && count != entity) ++out.wrong;
            return judge(end, answer_to(entity, body));
        }
        default: {
            target.operation = kUpload;
            Result<Exchange> exchange = peers.open(fiber, NodeId(2), target, body, Upload::Follows);
            if (!exchange.ok()) return;
            Bytes all = body;
            for (uint64_t i = 0; i < entity; ++i) {
                if (hasty && draw.chance(0.2)) return exchange->cancel();
                const Bytes piece(draw.below(3000), static_cast<char>(i));
                all += piece;
                const Result<void> written = exchange->write(fiber, piece);
                if (written.failed_with(Code::Unreachable)) break;  // ended by the other side: finish() tells how
                if (!written.ok()) return exchange->cancel();
            }
            exchange->finish_writing();
            return judge(exchange->finish(fiber), answer_to(entity, all));
        }
    }
}

Outcome run(const Plan& plan) {
    WorldOptions options;
    options.seed = plan.seed;
    options.stall_chance = plan.stall;
    options.reset_chance = plan.reset;
    World world(options);
    Node& a = world.add("a", NodeId(1));
    Node& b = world.add("b", NodeId(2));
    SessionOptions session;
    session.window_requests = 8;
    session.entity_share = 3;
    session.stream_credit_bytes = 8192;
    session.queue_frames = 8;
    session.max_payload_bytes = 64u << 10;

    uint64_t taken = 0, ended = 0;
    RandomStream delays(plan.seed, "delays", 0);
    Service service;
    const auto pause = [&](Fiber& fiber) {
        return fiber.sleep_until(world.now + Duration::micros(static_cast<int64_t>(delays.below(2000))));
    };
    const auto counted = [&](auto body) {
        return [&, body](Fiber& fiber, Request& request, Responder& responder) {
            ++taken;
            body(fiber, request, responder);
            ++ended;
        };
    };
    service.handle(kAnswer, counted([&](Fiber& fiber, Request& request, Responder& responder) {
                       if (!pause(fiber).ok()) return;
                       responder.reply(answer_to(request.entity(), request.body()));
                   }));
    service.handle(kDownload, counted([&](Fiber& fiber, Request& request, Responder& responder) {
                       const Bytes answer = answer_to(request.entity(), request.body());
                       for (uint64_t i = 0; i < request.entity(); ++i) {
                           if (delays.chance(0.2) && !pause(fiber).ok()) return;
                           if (!responder.send(fiber, answer + "#" + std::to_string(i)).ok()) return;
                       }
                       responder.reply(answer);
                   }));
    service.handle(kUpload, counted([&](Fiber& fiber, Request& request, Responder& responder) {
                       Bytes all(request.body());
                       for (;;) {
                           if (delays.chance(0.1)) return responder.fail(Error(Code::NotReady, "no more"));  // early end
                           Result<std::optional<Bytes>> piece = request.read(fiber);
                           if (!piece.ok()) return;
                           if (!piece->has_value()) break;
                           all += **piece;
                       }
                       responder.reply(answer_to(request.entity(), all));
                   }));
    Outcome out;
    {
        Server server(b.env, b.identity, service, {.session = session});
        RC_ASSERT(server.start({"", 1}).ok());
        Peers peers(a.env, a.identity, {.session = session});
        peers.set_address(NodeId(2), {"b", 1});
        int running = 0;
        for (int i = 0; i < plan.clients; ++i) {
            ++running;
            a.env.spawn("client", [&, i](Fiber& fiber) {
                RandomStream draw(plan.seed, "client", static_cast<uint64_t>(i));
                for (int round = 0; round < plan.rounds; ++round) {
                    if (!pause(fiber).ok()) break;
                    one_request(fiber, world, peers, draw, plan, out);
                }
                --running;
            });
        }
        if (plan.corrupt) {
            const uint64_t after = world.steps + plan.seed % 2000;
            bool corrupted = false;
            world.run_until([&] {
                corrupted = corrupted || (world.steps > after && world.corrupt_one());
                return corrupted || running == 0;
            }, Duration::seconds(1));
        }
        world.run_until([&] { return running == 0; }, Duration::seconds(20));
        world.heal();
        world.run_until([&] { return running == 0; });
        out.not_ended = static_cast<uint64_t>(running);
        // At rest: every id has had its end, so the windows are empty without anybody closing anything.
        std::vector<std::shared_ptr<Session>> sessions;
        world.run(a, [&](Fiber& fiber) {
            for (TrafficClass traffic : {TrafficClass::Control, TrafficClass::Foreground, TrafficClass::Bulk}) {
                auto live = peers.session(fiber, NodeId(2), traffic, Instant::never());
                RC_ASSERT(live.ok());
                sessions.push_back(*live);
            }
        });
        const auto open = [&] {
            uint64_t count = 0;
            for (const auto& live : sessions) count += live->open_ids();
            return count;
        };
        world.run_until([&] { return open() == 0; }, Duration::seconds(5));
        out.leaked_ids = open();
        for (const auto& live : sessions) out.late += live->counters().late_frames;
        world.run(a, [&](Fiber& fiber) { RC_ASSERT(peers.close(fiber).ok()); });
        world.run(b, [&](Fiber& fiber) { RC_ASSERT(server.stop(fiber, world.now + Duration::seconds(1)).ok()); });
        world.run_until([&] { return a.scheduler.live() == 0 && b.scheduler.live() == 0; });
    }
    out.not_ended += a.scheduler.live() + b.scheduler.live();
    out.unanswered = taken - ended;
    out.mispaired = a.tracer.mispaired;
    out.unexpected_errors = a.tracer.error_events.size() + b.tracer.error_events.size();
    for (const Node* node : {&a, &b})
        if (!node->tracer.error_events.empty()) out.first_error = node->name + ": " + node->tracer.error_events.front();
    if (out.not_ended > 0) {
        a.scheduler.abandon_all();
        b.scheduler.abandon_all();
    }
    return out;
}

Plan any_plan() {
    Plan plan;
    plan.seed = *rc::gen::arbitrary<uint64_t>();
    plan.clients = *rc::gen::inRange(1, 12);
    plan.rounds = *rc::gen::inRange(1, 10);
    return plan;
}

void must_be_sound(const Outcome& out) {
    RC_ASSERT(out.wrong == 0u);
    RC_ASSERT(out.mispaired == 0u);
    RC_ASSERT(out.not_ended == 0u);
    RC_ASSERT(out.leaked_ids == 0u);
    RC_ASSERT(out.unanswered == 0u);
}

TEST_CASE("rpc: every consumed answer is its request's, every id ends once (splits, cancels, deadlines)") {
    uint64_t good = 0, late = 0;
    CHECK(rc::check("whole streams", [&] {
        const Outcome out = run(any_plan());
        must_be_sound(out);
        RC_ASSERT(out.first_error == "");
        good += out.good;
        late += out.late;
    }));
    CHECK(good > 100);  // it did work,
    CHECK(late > 10);   // and late answers did come
}

TEST_CASE("rpc: nothing is mixed up or leaked when streams stall and break") {
    uint64_t good = 0;
    CHECK(rc::check("stalls and resets", [&] {
        Plan plan = any_plan();
        plan.stall = *rc::gen::element(0.0, 0.001, 0.01);
        plan.reset = *rc::gen::element(0.0, 0.0005, 0.005);
        const Outcome out = run(plan);
        must_be_sound(out);
        RC_ASSERT(out.first_error == "");
        good += out.good;
    }));
    CHECK(good > 100);
}

TEST_CASE("rpc: a flipped bit on the way costs the session, never an answer") {
    uint64_t noticed = 0;
    CHECK(rc::check("corruption", [&] {
        Plan plan = any_plan();
        plan.corrupt = true;
        const Outcome out = run(plan);
        must_be_sound(out);
        RC_ASSERT(out.unexpected_errors <= 1u);
        noticed += out.unexpected_errors;
    }));
    CHECK(noticed > 10);
}

TEST_CASE("rpc: the seeded defect match_by_arrival_order is seen at the first late answer") {
    DefectSwitch on(Defect::match_by_arrival_order);
    int caught = 0;
    for (uint64_t seed = 1; seed <= 20; ++seed) {
        const Outcome out = run({.seed = seed});
        if (out.mispaired > 0) ++caught;
    }
    CHECK(caught >= 18);
}

}  // namespace
}  // namespace orrery::rpc::test
