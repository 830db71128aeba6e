// Registers data nodes with masters, as a data node itself does: for tests that need some to place partitions on.
//
//   orrery_register_nodes MASTERS FIRST COUNT ZONES INCARNATION [SECONDS]
//
// MASTERS: service addresses, HOST:PORT,...; node n gets zone z(n mod ZONES), two disks of 1 TiB, and incarnation INCARNATION + n.
// Prints a line a node: its id, the code of the answer (0: done), and its text. Then it is heard of for that many seconds.
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "node/client/master_client.h"
#include "runtime/env/errand.h"
#include "runtime/real/real_env.h"

namespace {

using namespace orrery;

Result<void> register_all(Fiber& fiber, Env& env, const std::vector<Address>& masters, uint64_t first, uint64_t count, uint64_t zones, uint64_t incarnation,
                          Duration stay) {
    client::MasterClient client(env, 1, masters, {});
    for (uint64_t node = first; node < first + count; ++node) {
        wire::MasterCommand command;
        command.kind = wire::MasterCommandKind::RegisterNode;
        command.node.node = NodeId(node);
        command.node.incarnation = Incarnation(incarnation + node);
        command.node.zone = "z" + std::to_string(node % zones);
        command.node.peer_address = "10.0.0." + std::to_string(node) + ":7401";
        command.node.service_address = "10.0.0." + std::to_string(node) + ":7501";
        for (uint32_t disk = 1; disk <= 2; ++disk) command.node.disks.push_back({DiskId(disk), "/data/" + std::to_string(disk), uint64_t{1} << 40});
        TRY(wire::MasterAnswer answer, client.change(fiber, command, env.now() + Duration::seconds(30)));
        std::printf("%llu %u %s\n", static_cast<unsigned long long>(node), unsigned{answer.code}, answer.context.c_str());
    }
    std::fflush(stdout);
    for (const Instant end = env.now() + stay; env.now() < end;) {
        for (uint64_t node = first; node < first + count; ++node) {
            Result<wire::HeartbeatAnswer> heard = client.heartbeat(fiber, {.node = NodeId(node), .incarnation = Incarnation(incarnation + node), .disks = {}}, env.now() + Duration::seconds(5));
            if (heard.failed_with(Code::Cancelled)) return heard.error();
            if (!heard.ok()) std::fprintf(stderr, "node %llu: %s\n", static_cast<unsigned long long>(node), heard.error().text().c_str());
        }
        TRY(env.sleep(fiber, Duration::millis(500)));
    }
    return client.close(fiber);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 6 && argc != 7) return std::fprintf(stderr, "usage: %s MASTERS FIRST COUNT ZONES INCARNATION [SECONDS]\n", argv[0]), 2;
    std::vector<Address> masters;
    std::istringstream list(argv[1]);
    for (std::string one; std::getline(list, one, ',');) masters.push_back(Address::parse(one).value());
    uint64_t numbers[4];
    for (int i = 0; i < 4; ++i) numbers[i] = std::strtoull(argv[i + 2], nullptr, 10);
    char directory[] = "/tmp/register-nodes-XXXXXX";
    if (mkdtemp(directory) == nullptr) return 74;
    real::RealEnvOptions options;
    options.data_directory = directory;
    options.log.least = Severity::Error;
    Result<void> done;
    {
        std::unique_ptr<real::RealEnv> env = real::RealEnv::open(std::move(options)).value();
        done = env->run([&](Env& inner) {
            return std::make_unique<Errand>(inner, [&](Fiber& fiber, Env& own) {
                return register_all(fiber, own, masters, numbers[0], numbers[1], std::max<uint64_t>(1, numbers[2]), numbers[3],
                                    Duration::seconds(argc == 7 ? std::atoi(argv[6]) : 0));
            });
        });
    }
    if (std::system(("rm -rf " + std::string(directory)).c_str()) != 0) return 74;
    if (done.ok()) return 0;
    std::fprintf(stderr, "%s\n", done.error().text().c_str());
    return 1;
}
