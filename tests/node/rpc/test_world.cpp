#include "test_world.h"

#include <algorithm>

namespace orrery {

namespace {
DefectSet g_defects;  // of this test program
}
const DefectSet& active_defects() { return g_defects; }

namespace rpc::test {

DefectSwitch::DefectSwitch(Defect defect) { g_defects = only(defect); }
DefectSwitch::~DefectSwitch() { g_defects.reset(); }

// ---- streams

namespace {

class MemConn final : public Conn {
 public:
    MemConn(World& world, Stream stream, int side) : world_(world), stream_(std::move(stream)), side_(side) {}
    ~MemConn() override { close(); }

    Result<size_t> read(Fiber& fiber, std::span<char> into, Instant deadline) override {
        TRY(fiber.maybe_yield());
        Pipe& pipe = in();
        for (;;) {
            if (closed_ || pipe.broken) return Error(Code::Unreachable, "reset");
            if (!pipe.arrived.empty()) break;
            if (pipe.ended && pipe.flying.empty()) return size_t{0};
            TRY(fiber.wait(pipe.readable, deadline));
        }
        const size_t count = std::min({into.size(), pipe.arrived.size(), size_t{1} + world_.random.below(world_.options.chunk_bytes_max)});
        std::copy_n(pipe.arrived.begin(), count, into.begin());
        pipe.arrived.erase(pipe.arrived.begin(), pipe.arrived.begin() + static_cast<ptrdiff_t>(count));
        pipe.writable.wake_all();
        return count;
    }
    Result<size_t> write(Fiber& fiber, ByteView bytes, Instant deadline) override {
        TRY(fiber.maybe_yield());
        Pipe& pipe = out();
        for (;;) {
            if (closed_ || pipe.broken || pipe.ended) return Error(Code::Unreachable, "reset");
            if (pipe.flying.size() + pipe.arrived.size() < world_.options.pipe_bytes) break;
            TRY(fiber.wait(pipe.writable, deadline));
        }
        const size_t count = std::min<size_t>(bytes.size(), 1 + world_.random.below(world_.options.chunk_bytes_max));
        pipe.flying.insert(pipe.flying.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(count));
        return count;
    }
    void shutdown_write() override { out().ended = true; }
    void close() override {
        if (closed_) return;
        closed_ = true;
        out().ended = true;
        in().broken = true;  // the peer's writes fail from now on
        in().wake();
        out().wake();
    }
    Address peer() const override { return stream_.to; }

 private:
    Pipe& in() { return *stream_.pipes[side_]; }
    Pipe& out() { return *stream_.pipes[1 - side_]; }
    World& world_;
    Stream stream_;
    int side_;
    bool closed_ = false;
};

}  // namespace

struct MemListener final : Listener {
    MemListener(World& the_world, Address the_address) : world(the_world), address(std::move(the_address)) {}
    ~MemListener() override { close(); }
    Result<std::unique_ptr<Conn>> accept(Fiber& fiber) override {
        TRY(fiber.maybe_yield());
        while (waiting.empty()) {
            if (closed) return Error(Code::Unreachable, "closed");
            TRY(fiber.wait(arrived));
        }
        std::unique_ptr<Conn> conn = std::move(waiting.front());
        waiting.pop_front();
        return conn;
    }
    Address local() const override { return address; }
    void close() override {
        if (closed) return;
        closed = true;
        world.listeners.erase(address);
        waiting.clear();
        arrived.wake_all();
    }
    World& world;
    Address address;
    bool closed = false;
    std::deque<std::unique_ptr<Conn>> waiting;
    WaitQueue arrived;
};

Result<std::unique_ptr<Listener>> MemNet::listen(const Address& at) {
    const Address address{host_, at.port};
    if (world_.listeners.contains(address)) return Error(Code::Exists, address.text());
    auto listener = std::make_unique<MemListener>(world_, address);
    world_.listeners[address] = listener.get();
    return std::unique_ptr<Listener>(std::move(listener));
}

Result<std::unique_ptr<Conn>> MemNet::connect(Fiber& fiber, const Address& to, Instant) {
    TRY(fiber.yield());
    auto at = world_.listeners.find(to);
    if (at == world_.listeners.end()) return Error(Code::Unreachable, "refused");
    Stream stream{{std::make_shared<Pipe>(), std::make_shared<Pipe>()}, to};
    for (const auto& pipe : stream.pipes) world_.pipes.push_back(pipe);
    Stream theirs = stream;
    theirs.to = Address{host_, 9};
    at->second->waiting.push_back(std::make_unique<MemConn>(world_, std::move(theirs), 1));
    at->second->arrived.wake_all();
    return std::unique_ptr<Conn>(std::make_unique<MemConn>(world_, std::move(stream), 0));
}

// ---- trace

void CollectingTracer::event(Severity severity, std::string_view name, std::initializer_list<TraceField> fields) {
    const TraceEvent event{Instant{}, severity, name, std::span(fields.begin(), fields.size())};
    if (severity == Severity::Error) error_events.push_back(event.format());
    if (name != "rpc.consumed") return;
    ++consumed;
    for (const char* what : {"id", "operation", "group", "entity"})
        if (event.number(what, -1) != event.number("frame_" + std::string(what), -2)) {
            ++mispaired;
            return;
        }
}

size_t CollectingTracer::errors(std::string_view name) const {
    return static_cast<size_t>(std::count_if(error_events.begin(), error_events.end(),
                                             [&](const std::string& text) { return text.starts_with(name); }));
}

// ---- nodes

class NoDisk final : public Disk {
    Result<std::unique_ptr<File>> open(Blocking&, std::string_view, OpenMode) override { UNREACHABLE(); }
    Result<void> rename(Blocking&, std::string_view, std::string_view) override { UNREACHABLE(); }
    Result<void> remove(Blocking&, std::string_view) override { UNREACHABLE(); }
    Result<void> create_dir(Blocking&, std::string_view) override { UNREACHABLE(); }
    Result<void> remove_dir(Blocking&, std::string_view) override { UNREACHABLE(); }
    Result<void> sync_dir(Blocking&, std::string_view) override { UNREACHABLE(); }
    Result<std::vector<Entry>> list(Blocking&, std::string_view) override { UNREACHABLE(); }
    Result<Entry> stat(Blocking&, std::string_view) override { UNREACHABLE(); }
    Result<Space> space(Blocking&) override { UNREACHABLE(); }
    Result<std::unique_ptr<DirLock>> lock(Blocking&, std::string_view) override { UNREACHABLE(); }
    Blocking& adopt_blocking() override { UNREACHABLE(); }
};
class NoExecutor final : public Executor {
    Result<void> run_blocking(Fiber&, FunctionRef<void(Blocking&)>) override { UNREACHABLE(); }
    void background(Priority, UniqueFunction<void(Blocking&)>) override { UNREACHABLE(); }
    void post(UniqueFunction<void()>) override { UNREACHABLE(); }
};

Node::Node(World& world, std::string the_name, NodeId id)
    : policy_(world.options.seed, "policy", id.value),
      disk_(std::make_unique<NoDisk>()),
      executor_(std::make_unique<NoExecutor>()),
      scheduler(*this, world.stacks),
      net(world, the_name),
      env{scheduler, *this, net, *disk_, Random(world.options.seed + id.value), tracer, *executor_},
      identity{.node = id, .incarnation = Incarnation(id.value * 100), .cluster = ClusterId(77)},
      name(std::move(the_name)),
      world_(world) {}
Node::~Node() = default;
Instant Node::now() const { return world_.now; }

// ---- world

World::World(WorldOptions the_options) : options(the_options), random(the_options.seed, "world", 0) {}
World::~World() = default;

Node& World::add(std::string name, NodeId id) {
    nodes.push_back(std::make_unique<Node>(*this, std::move(name), id));
    return *nodes.back();
}

bool World::deliver(Pipe& pipe) {
    if (pipe.stalled || pipe.broken || pipe.flying.empty()) return false;
    const size_t count = std::min<size_t>(pipe.flying.size(), 1 + random.below(options.chunk_bytes_max));
    pipe.arrived.insert(pipe.arrived.end(), pipe.flying.begin(), pipe.flying.begin() + static_cast<ptrdiff_t>(count));
    pipe.flying.erase(pipe.flying.begin(), pipe.flying.begin() + static_cast<ptrdiff_t>(count));
    pipe.readable.wake_all();
    return true;
}

void World::fault() {
    if (pipes.empty()) return;
    std::shared_ptr<Pipe> pipe = pipes[random.below(pipes.size())].lock();
    if (random.chance(options.stall_chance) && pipe != nullptr) pipe->stalled = !pipe->stalled;
    if (random.chance(options.reset_chance) && pipe != nullptr) {
        pipe->broken = true;
        pipe->wake();
    }
}

bool World::step() {
    ++steps;
    now = now + Duration::micros(1);
    std::erase_if(pipes, [](const std::weak_ptr<Pipe>& pipe) { return pipe.expired(); });
    fault();
    bool moved = false;
    for (const std::weak_ptr<Pipe>& weak : pipes) {
        std::shared_ptr<Pipe> pipe = weak.lock();
        if (random.chance(0.5)) moved = deliver(*pipe) || moved;
        // An end of stream is only heard behind the last byte.
        if (pipe->ended && pipe->flying.empty()) pipe->readable.wake_all();
    }
    const size_t first = random.below(nodes.size());
    for (size_t i = 0; i < nodes.size(); ++i) {
        Node& node = *nodes[(first + i) % nodes.size()];
        node.scheduler.fire_timers(now);
        if (node.scheduler.has_ready()) {
            node.scheduler.run_one();
            return true;
        }
    }
    if (moved) return true;
    for (const std::weak_ptr<Pipe>& weak : pipes) {
        std::shared_ptr<Pipe> pipe = weak.lock();
        if (pipe != nullptr && deliver(*pipe)) return true;
    }
    Instant next = Instant::never();
    for (const auto& node : nodes) next = std::min(next, node->scheduler.next_timer());
    if (next == Instant::never()) return false;
    now = std::max(now, next);
    return true;
}

bool World::run_until(const std::function<bool()>& done, Duration limit) {
    const Instant until = now + limit;
    while (!done()) {
        if (now > until || !step()) return done();
    }
    return true;
}

void World::run(Node& node, FiberBody body) {
    bool ended = false;
    node.env.spawn("test", [&, body = std::move(body)](Fiber& fiber) {
        body(fiber);
        ended = true;
    });
    const bool in_time = run_until([&] { return ended; });
    ORRERY_CHECK(in_time, node.name);
}

void World::advance(Duration time) {
    const Instant until = now + time;
    while (now < until) {
        bool ready = false;
        for (const auto& node : nodes) ready = ready || node->scheduler.has_ready() || node->scheduler.next_timer() < until;
        if (!ready || !step()) now = until;
    }
}

void World::heal() {
    options.stall_chance = options.reset_chance = 0;
    for (const std::weak_ptr<Pipe>& weak : pipes)
        if (std::shared_ptr<Pipe> pipe = weak.lock()) pipe->stalled = false;
}

void World::reset_all() {
    for (const std::weak_ptr<Pipe>& weak : pipes)
        if (std::shared_ptr<Pipe> pipe = weak.lock()) {
            pipe->broken = true;
            pipe->wake();
        }
}

bool World::corrupt_one() {
    for (const std::weak_ptr<Pipe>& weak : pipes)
        if (std::shared_ptr<Pipe> pipe = weak.lock(); pipe != nullptr && !pipe->flying.empty()) {
            char& byte = pipe->flying[random.below(pipe->flying.size())];
            byte = static_cast<char>(byte ^ (1 << random.below(8)));
            return true;
        }
    return false;
}

}  // namespace rpc::test
}  // namespace orrery
