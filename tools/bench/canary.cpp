// orrery_canary: is this machine quiet enough to measure? Takes about 0.3 s and prints one JSON object: the median of an
// append + fdatasync in the directory, how late a sleeping thread wakes up, and how much longer than its processor time a
// busy thread on each core takes. Not a benchmark: the figures only tell a disturbed moment from a quiet one.
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

namespace {

int64_t now_ns(clockid_t clock) {
    timespec at{};
    clock_gettime(clock, &at);
    return int64_t{at.tv_sec} * 1'000'000'000 + at.tv_nsec;
}

double quantile_us(std::vector<int64_t> ns, double q) {
    std::sort(ns.begin(), ns.end());
    return static_cast<double>(
               ns[static_cast<size_t>(q * static_cast<double>(ns.size() - 1) + 0.5)]) /
           1000;
}

double sync_p50_us(const std::string& directory) {
    const std::string path = directory + "/canary";
    const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0) return -1;
    unlink(path.c_str());
    const std::vector<char> block(4096, 'c');
    std::vector<int64_t> took;
    for (int i = 0; i < 200; ++i) {
        const int64_t begin = now_ns(CLOCK_MONOTONIC);
        if (write(file, block.data(), block.size()) != static_cast<ssize_t>(block.size()) ||
            fdatasync(file) != 0) {
            close(file);
            return -1;
        }
        took.push_back(now_ns(CLOCK_MONOTONIC) - begin);
    }
    close(file);
    return quantile_us(took, 0.5);
}

double wake_p99_us() {
    std::vector<int64_t> late;
    for (int i = 0; i < 300; ++i) {
        const int64_t begin = now_ns(CLOCK_MONOTONIC);
        const timespec pause{0, 200'000};
        nanosleep(&pause, nullptr);
        late.push_back(now_ns(CLOCK_MONOTONIC) - begin - pause.tv_nsec);
    }
    return quantile_us(late, 0.99);
}

double spin_wall_over_cpu() {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    sched_getaffinity(0, sizeof allowed, &allowed);
    std::vector<double> ratios(CPU_SETSIZE, 0);
    std::vector<std::thread> threads;
    for (int core = 0; core < CPU_SETSIZE; ++core) {
        if (!CPU_ISSET(core, &allowed)) continue;
        threads.emplace_back([core, &ratios] {
            cpu_set_t one;
            CPU_ZERO(&one);
            CPU_SET(core, &one);
            pthread_setaffinity_np(pthread_self(), sizeof one, &one);
            const int64_t wall = now_ns(CLOCK_MONOTONIC);
            const int64_t cpu = now_ns(CLOCK_THREAD_CPUTIME_ID);
            while (now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu < 100'000'000) {
            }
            ratios[static_cast<size_t>(core)] =
                static_cast<double>(now_ns(CLOCK_MONOTONIC) - wall) /
                static_cast<double>(now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu);
        });
    }
    for (std::thread& thread : threads) thread.join();
    return *std::max_element(ratios.begin(), ratios.end());
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: orrery_canary DIRECTORY\n");
        return 2;
    }
    const double sync = sync_p50_us(argv[1]);
    if (sync < 0) {
        std::perror("orrery_canary: error: append and sync");
        return 1;
    }
    const double wake = wake_p99_us();
    std::printf("{\"sync_p50_us\":%.1f,\"wake_p99_us\":%.1f,\"spin_wall_over_cpu\":%.3f}\n", sync,
                wake, spin_wall_over_cpu());
    return 0;
}
