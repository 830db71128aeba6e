// Clients of the masters, many in one process over the real client library: those that keep lists of a volume, and those that write.
//
//   orrery_master_load fill  MASTERS VOLUME PARTITIONS                             makes a volume of so many, 10,000 a command
//   orrery_master_load poll  MASTERS VOLUME CLIENTS SECONDS EVERY_MS WAIT_MS       each asks for what is newer than it has, every EVERY_MS,
//                                                                                  held back for WAIT_MS at most; 2 s old at most
//   orrery_master_load write MASTERS CLIENTS SECONDS                               each registers a node again and again with another zone
//
// MASTERS: service addresses, HOST:PORT,...; client n begins at the n-th. Prints one line of JSON.
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "node/client/master_client.h"
#include "runtime/env/errand.h"
#include "runtime/real/real_env.h"

namespace {

using namespace orrery;
using client::MasterClient;

struct Load {
    std::vector<Address> masters;
    std::string volume;
    uint64_t clients = 1;
    Duration time, every, wait;
    uint64_t partitions = 0;
};

struct Outcome {
    uint64_t done = 0, errors = 0, unchanged = 0, deltas = 0, fulls = 0, bytes = 0;
    std::string first_error;
    std::vector<int64_t> us;

    void failed(const Error& error) {
        if (errors++ == 0) first_error = error.text();
    }
    double quantile(double q) {
        if (us.empty()) return 0;
        std::ranges::sort(us);
        return static_cast<double>(us[std::min(us.size() - 1, static_cast<size_t>(q * static_cast<double>(us.size())))]);
    }
    void print(Duration time) {
        std::ranges::replace(first_error, '"', '\'');
        std::printf("{\"ops_per_s\": %.1f, \"p50_us\": %.0f, \"p99_us\": %.0f, \"unchanged\": %llu, \"deltas\": %llu, \"fulls\": %llu, \"bytes_per_op\": %.1f, \"errors\": %llu, \"first_error\": \"%s\"}\n",
                    static_cast<double>(done) / time.as_seconds(), quantile(0.5), quantile(0.99), static_cast<unsigned long long>(unchanged), static_cast<unsigned long long>(deltas),
                    static_cast<unsigned long long>(fulls), done == 0 ? 0 : static_cast<double>(bytes) / static_cast<double>(done), static_cast<unsigned long long>(errors), first_error.c_str());
    }
};

std::vector<Address> rotated(std::vector<Address> masters, uint64_t by) {
    std::ranges::rotate(masters, masters.begin() + static_cast<ptrdiff_t>(by % masters.size()));
    return masters;
}

Result<void> fill(Fiber& fiber, Env& env, const Load& load) {
    MasterClient client(env, 1, load.masters, {.attempt = Duration::seconds(20)});
    constexpr uint64_t kOfOne = 10'000;
    for (uint64_t made = 0; made < load.partitions; made += kOfOne) {
        wire::MasterCommand command;
        command.kind = made == 0 ? wire::MasterCommandKind::CreateVolume : wire::MasterCommandKind::ExtendVolume;
        command.name = load.volume;
        command.replicas = made == 0 ? 3 : 0;
        command.partitions = static_cast<uint32_t>(std::min(kOfOne, load.partitions - made));
        TRY(wire::MasterAnswer answer, client.change(fiber, command, env.now() + Duration::seconds(60)));
        if (answer.code != 0) return Error(Code::Invalid, answer.context);
    }
    return client.close(fiber);
}

void poll(Fiber& fiber, Env& env, const Load& load, uint64_t number, LogIndex version, Instant end, Outcome& outcome) {
    MasterClient client(env, number, rotated(load.masters, number), {});
    if (!env.sleep(fiber, load.every * static_cast<int64_t>(number) / static_cast<int64_t>(load.clients)).ok()) return;
    wire::MasterListRequest request{.name = load.volume, .volume = {}, .since = version, .max_age = Duration::seconds(2), .wait = load.wait};
    while (env.now() < end) {
        const Instant begin = env.clock.reading();
        Result<MasterClient::ListReply> reply = client.list(fiber, request, 256u << 20, env.now() + load.wait + Duration::seconds(10));
        if (reply.ok()) {
            ++outcome.done;
            outcome.us.push_back((env.clock.reading() - begin - reply->answer.held).ns / 1000);
            ++(reply->answer.kind == wire::ListKind::Unchanged ? outcome.unchanged : reply->answer.kind == wire::ListKind::Delta ? outcome.deltas : outcome.fulls);
            outcome.bytes += wire::encode_master_list_answer(reply->answer).size() + reply->records.size();
            request.since = reply->answer.version;
            request.at_least = std::max(request.at_least, reply->answer.applied);
        } else {
            outcome.failed(reply.error());
        }
        if (!env.sleep(fiber, std::max(Duration(), load.every - (env.clock.reading() - begin))).ok()) return;
    }
    (void)client.close(fiber);
}

void write(Fiber& fiber, Env& env, const Load& load, uint64_t number, Instant end, Outcome& outcome) {
    MasterClient client(env, number, rotated(load.masters, number), {.attempt = Duration::seconds(10)});
    wire::MasterCommand command;
    command.kind = wire::MasterCommandKind::RegisterNode;
    command.node.node = NodeId(100'000 + number);
    command.node.incarnation = Incarnation(500'000 + number);
    command.node.peer_address = "10.1.0.1:7401";
    command.node.service_address = "10.1.0.1:7501";
    command.node.disks.push_back({DiskId(1), "/data/1", uint64_t{1} << 40});
    for (uint64_t i = 0; env.now() < end; ++i) {
        command.node.zone = "z" + std::to_string(i);
        const Instant begin = env.clock.reading();
        Result<wire::MasterAnswer> answer = client.change(fiber, command, env.now() + Duration::seconds(20));
        if (answer.ok() && answer->code == 0) {
            ++outcome.done;
            outcome.us.push_back((env.clock.reading() - begin).ns / 1000);
        } else {
            outcome.failed(answer.ok() ? Error(Code::Invalid, answer->context) : answer.error());
        }
    }
    (void)client.close(fiber);
}

Result<void> run(Fiber& fiber, Env& env, const std::string& what, const Load& load) {
    if (what == "fill") return fill(fiber, env, load);
    LogIndex version;
    if (what == "poll") {
        MasterClient first(env, load.clients + 1, load.masters, {.attempt = Duration::seconds(20)});
        TRY(MasterClient::ListReply whole, first.list(fiber, {.name = load.volume, .volume = {}, .max_age = Duration::seconds(2)}, 256u << 20, env.now() + Duration::seconds(30)));
        version = whole.answer.version;
        TRY(first.close(fiber));
    }
    Outcome outcome;
    uint64_t running = load.clients;
    Notify ended;
    const Instant end = env.now() + load.time;
    for (uint64_t number = 1; number <= load.clients; ++number)
        env.spawn("load.client", [&, number](Fiber& own) {
            if (what == "poll") {
                poll(own, env, load, number, version, end, outcome);
            } else {
                write(own, env, load, number, end, outcome);
            }
            if (--running == 0) ended.notify_all();
        });
    while (running > 0) TRY(ended.wait(fiber));
    outcome.print(load.time);
    return {};
}

}  // namespace

int main(int argc, char** argv) {
    const std::string what = argc > 1 ? argv[1] : "";
    const auto number = [&](int at) { return std::strtoull(argv[at], nullptr, 10); };
    Load load;
    if (what == "fill" && argc == 5) {
        load.volume = argv[3];
        load.partitions = number(4);
    } else if (what == "poll" && argc == 8) {
        load.volume = argv[3];
        load.clients = number(4);
        load.time = Duration::millis(static_cast<int64_t>(1000 * std::strtod(argv[5], nullptr)));
        load.every = Duration::millis(static_cast<int64_t>(number(6)));
        load.wait = Duration::millis(static_cast<int64_t>(number(7)));
    } else if (what == "write" && argc == 5) {
        load.clients = number(3);
        load.time = Duration::millis(static_cast<int64_t>(1000 * std::strtod(argv[4], nullptr)));
    } else {
        return std::fprintf(stderr, "usage: %s fill MASTERS VOLUME PARTITIONS | poll MASTERS VOLUME CLIENTS SECONDS EVERY_MS WAIT_MS | write MASTERS CLIENTS SECONDS\n", argv[0]), 2;
    }
    std::istringstream list(argv[2]);
    for (std::string one; std::getline(list, one, ',');) load.masters.push_back(Address::parse(one).value());
    if (load.clients == 0 || load.masters.empty()) return 2;
    rlimit files{};
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    char directory[] = "/tmp/master-load-XXXXXX";
    if (mkdtemp(directory) == nullptr) return 74;
    real::RealEnvOptions options;
    options.data_directory = directory;
    options.log.least = Severity::Error;
    Result<void> done;
    {
        std::unique_ptr<real::RealEnv> env = real::RealEnv::open(std::move(options)).value();
        done = env->run([&](Env& inner) { return std::make_unique<Errand>(inner, [&](Fiber& fiber, Env& own) { return run(fiber, own, what, load); }); });
    }
    if (std::system(("rm -rf " + std::string(directory)).c_str()) != 0) return 74;
    if (done.ok()) return 0;
    std::fprintf(stderr, "%s\n", done.error().text().c_str());
    return 1;
}
