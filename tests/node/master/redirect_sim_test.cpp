// Where a client goes when masters send it on: stand-ins that refuse every question with a redirect as told.
#include <map>

#include "node/client/master_client.h"
#include "node/rpc/server.h"
#include "tests/node/master/master_world.h"

namespace orrery::test {
namespace {

/// Answers no question, but says who should; or answers with its own id.
class Stand : public Process {
 public:
    struct Says {
        std::optional<rpc::Redirect> redirect;
        int* asked;
    };
    Stand(Env& env, NodeId node, std::string name, Says says) : env_(env), name_(std::move(name)), says_(says) {
        identity_ = {.node = node, .incarnation = Incarnation(1), .cluster = ClusterId(7)};
        service_.handle(wire::Operation::MasterQuery, [this](Fiber&, rpc::Request&, rpc::Responder& responder) {
            ++*says_.asked;
            if (says_.redirect) return responder.fail(rpc::redirect_error(*says_.redirect));
            responder.reply(wire::encode_master_view({.server = identity_.node}));
        });
    }
    Result<void> run(Fiber& fiber) override {
        server_ = std::make_unique<rpc::Server>(env_, identity_, service_, rpc::ServerOptions{.name = "service"});
        TRY(server_->start({name_, 7000}));
        TRY(stopping_.wait(fiber));
        return server_->stop(fiber, env_.now() + Duration::seconds(1));
    }
    void request_stop() override { stopping_.set(); }

 private:
    Env& env_;
    std::string name_;
    Says says_;
    rpc::Identity identity_;
    rpc::Service service_;
    std::unique_ptr<rpc::Server> server_;  // dies when no fiber is left
    Event stopping_;
};

struct Went {
    Result<wire::MasterView> view = Error(Code::Cancelled);
    std::vector<int> asked;
};

/// A client that begins at the first of some stand-ins.
Went go(const std::vector<std::optional<rpc::Redirect>>& redirects, size_t known, Duration limit = Duration::millis(1)) {
    WorldOptions options;
    options.seed = 3;
    World world(options);
    Went went;
    went.asked.resize(redirects.size());
    std::vector<Address> masters;
    for (size_t i = 0; i < redirects.size(); ++i) {
        const std::string name = "m" + std::to_string(i + 1);
        world.add_host(name, {}).start([&, i, name](Env& env) { return std::make_unique<Stand>(env, NodeId(i + 1), name, Stand::Says{redirects[i], &went.asked[i]}); });
        if (i < known) masters.push_back({name, 7000});
    }
    bool done = false;
    world.add_host("client").start([&](Env& env) {
        return std::make_unique<Errand>(env, [&](Fiber& fiber, Env& inner) {
            (void)inner.sleep(fiber, Duration::millis(100));
            client::MasterClient client(inner, 1, masters, {.attempt = Duration::seconds(1)});
            went.view = client.query(fiber, {}, inner.now() + Duration::millis(200) + limit);
            (void)client.close(fiber);
            done = true;
            return Result<void>();
        });
    });
    world.run_until(world.now() + Duration::seconds(30), [&] { return done; });
    REQUIRE(done);
    return went;
}

rpc::Redirect to(size_t i, uint64_t term) { return {NodeId(i), Term(term), "m" + std::to_string(i) + ":7000"}; }

TEST_CASE("a redirect is followed, also to a master that the client did not know, three times at most") {
    Went went = go({to(2, 5), std::nullopt}, 1);
    REQUIRE(went.view.ok());
    CHECK(went.view->server == NodeId(2));
    CHECK(went.asked == std::vector{1, 1});

    went = go({to(2, 5), to(3, 6), to(4, 7), std::nullopt}, 1);
    REQUIRE(went.view.ok());
    CHECK(went.view->server == NodeId(4));

    went = go({to(2, 5), to(3, 6), to(4, 7), to(5, 8), std::nullopt}, 1, Duration::seconds(5));
    CHECK(went.view.failed_with(Code::NotReady));
    CHECK(went.asked == std::vector{1, 1, 1, 1, 0});
}

TEST_CASE("no redirect leads back to a master that was asked, unless it leads in a higher term") {
    // The first was asked for no term at all, so a word of it is followed once; not again for the same term.
    Went went = go({to(2, 5), to(1, 5)}, 1);
    CHECK(went.view.failed_with(Code::NotReady));
    CHECK(went.asked[0] > 2);  // it is this client's only one: asked until the deadline
    CHECK(went.asked[1] == 1);
    went = go({to(2, 5), to(2, 5)}, 1);
    CHECK(went.view.failed_with(Code::NotReady));
    CHECK(went.asked[1] == 1);
}

TEST_CASE("a redirect to nowhere leads to the next master") {
    const Went went = go({rpc::Redirect{NodeId(9), Term(5), ""}, std::nullopt}, 2, Duration::seconds(1));
    REQUIRE(went.view.ok());
    CHECK(went.view->server == NodeId(2));
}

}  // namespace
}  // namespace orrery::test
