// PP3 in SimGrid (S4U mailboxes, C++): the peer that tools/bench/run compiles and runs beside ours.
// The same workload: three hosts, every ordered pair keeps W 64-byte messages in flight, each
// delivery is echoed; link latency 1 ms.
//
// usage: pp3_simgrid WINDOW MESSAGES; prints messages per second of this process's processor time.
#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <simgrid/s4u.hpp>
#include <string>

namespace sg4 = simgrid::s4u;

namespace {

unsigned long delivered = 0;
unsigned long goal = 0;

double cpu_seconds() {
    timespec at{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
    return static_cast<double>(at.tv_sec) + static_cast<double>(at.tv_nsec) / 1e9;
}

/// Receives at `from -> to` and echoes at `to -> from`.
void echo(int from, int to, int window) {
    auto* in = sg4::Mailbox::by_name(std::to_string(from) + ">" + std::to_string(to));
    auto* out = sg4::Mailbox::by_name(std::to_string(to) + ">" + std::to_string(from));
    static int payload = 1;
    for (int i = 0; i < window; ++i) out->put_init(&payload, 64)->detach();
    while (delivered < goal) {
        in->get<int>();
        ++delivered;
        out->put_init(&payload, 64)->detach();
    }
}

}  // namespace

int main(int argc, char** argv) {
    sg4::Engine engine(&argc, argv);
    const int window = argc > 1 ? std::atoi(argv[1]) : 64;
    goal = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 100'000;
    auto* zone = sg4::create_full_zone("net");
    sg4::Host* hosts[3];
    for (int i = 0; i < 3; ++i) hosts[i] = zone->create_host("n" + std::to_string(i), 1e9);
    for (int a = 0; a < 3; ++a)
        for (int b = a + 1; b < 3; ++b) {
            auto* link = zone->create_link(std::to_string(a) + "-" + std::to_string(b), 1e9);
            link->set_latency(1e-3)->seal();
            zone->add_route(hosts[a]->get_netpoint(), hosts[b]->get_netpoint(), nullptr, nullptr,
                            {{link, sg4::LinkInRoute::Direction::NONE}}, true);
        }
    zone->seal();
    for (int a = 0; a < 3; ++a)
        for (int b = 0; b < 3; ++b)
            if (a != b) sg4::Actor::create("echo", hosts[b], echo, a, b, window)->daemonize();
    // The run ends when the goal is reached: the only actor that is no daemon looks now and then.
    sg4::Actor::create("watch", hosts[0], [] {
        while (delivered < goal) sg4::this_actor::sleep_for(0.01);
    });
    const double begin = cpu_seconds();
    engine.run();
    const double took = cpu_seconds() - begin;
    std::printf(
        "{\"peer\":\"simgrid\",\"window\":%d,\"delivered\":%lu,\"messages_per_s\":%.0f,\"simulated_"
        "s_per_s\":%.3g}\n",
        window, delivered, static_cast<double>(delivered) / took, sg4::Engine::get_clock() / took);
    return 0;
}
