// orrery_resp_load: a load on a server that speaks RESP. One thread, epoll, any number of
// connections, each with a fixed number of operations under way: as fast as they are answered, or at
// a rate. An operation is one command, or a SET and the WAIT or WAITALL behind it as a pair.
//
// At a rate, operations are due at even distances whether or not earlier ones were answered, and
// their latency counts from when they were due.
//
// Prints one JSON object: operations per second, latency quantiles, errors, and the processor time
// of the servers for each operation (their pids are given). Not a correctness tool: it counts
// replies, it does not check values.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

struct Options {
    std::string host = "127.0.0.1";
    int port = 6379;
    int clients = 50;
    int pipeline = 1;
    double rate = 0;  // operations a second of all clients together; 0: as many as they get
    double seconds = 3;
    double warm_seconds = 0.5;
    std::string operation = "set";  // set, get, setwait:N, setwaitall
    int value_bytes = 64;
    uint64_t keys = 10'000;
    std::vector<int> pids;
};

int64_t now_ns() {
    timespec at{};
    clock_gettime(CLOCK_MONOTONIC, &at);
    return int64_t{at.tv_sec} * 1'000'000'000 + at.tv_nsec;
}

[[noreturn]] void die(const std::string& why) {
    std::fprintf(stderr, "orrery_resp_load: error: %s\n", why.c_str());
    std::exit(1);
}

/// Processor time of the processes so far, in us: the sum of user and system time of all their
/// threads.
double cpu_us(const std::vector<int>& pids) {
    double total = 0;
    for (int pid : pids) {
        const std::string path = "/proc/" + std::to_string(pid) + "/stat";
        std::ifstream stat(path);
        std::string line;
        if (!std::getline(stat, line)) die("no process " + std::to_string(pid));
        const size_t end = line.rfind(')');
        unsigned long user = 0;
        unsigned long system = 0;
        if (std::sscanf(line.c_str() + end + 2,
                        "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
            die("can not read " + path);
        total +=
            static_cast<double>(user + system) * 1e6 / static_cast<double>(sysconf(_SC_CLK_TCK));
    }
    return total;
}

/// Counts complete replies in what was read; keeps what is not complete.
class Replies {
 public:
    template <typename OnReply>
    void take(std::string_view bytes, OnReply on_reply) {
        rest_.append(bytes);
        size_t at = 0;
        for (;;) {
            const size_t end = one(at);
            if (end == std::string::npos) break;
            on_reply(std::string_view(rest_).substr(at, end - at));
            at = end;
        }
        rest_.erase(0, at);
    }

 private:
    /// Where the reply at `at` ends; npos while it is not complete.
    size_t one(size_t at) const {
        const size_t line = rest_.find("\r\n", at);
        if (line == std::string::npos) return line;
        const char kind = rest_[at];
        if (kind == '+' || kind == '-' || kind == ':' || kind == '_' || kind == '#')
            return line + 2;
        const long long count = std::atoll(rest_.c_str() + at + 1);
        if (kind == '$') {
            if (count < 0) return line + 2;
            const size_t end = line + 2 + static_cast<size_t>(count) + 2;
            return end <= rest_.size() ? end : std::string::npos;
        }
        if (kind != '*') die("not a RESP reply: '" + rest_.substr(at, 40) + "'");
        size_t end = line + 2;
        for (long long i = 0; i < count && end != std::string::npos; ++i)
            end = end < rest_.size() ? one(end) : std::string::npos;
        return end;
    }
    std::string rest_;
};

struct Client {
    int socket = -1;
    std::string out;
    size_t sent = 0;
    std::deque<int64_t> begun;  // of operations under way, oldest first
    int replies_due = 0;        // of the oldest
    bool wants_out = false;
    Replies replies;
};

class Load {
 public:
    explicit Load(const Options& options)
        : options_(options), value_(static_cast<size_t>(options.value_bytes), 'v') {
        if (options.operation.rfind("setwait:", 0) == 0) {
            bulk(wait_, options.operation.substr(8));
            wait_ = "*3\r\n$4\r\nWAIT\r\n" + wait_ + "$1\r\n0\r\n";
            replies_per_operation_ = 2;
        } else if (options.operation == "setwaitall") {
            wait_ = "*2\r\n$7\r\nWAITALL\r\n$1\r\n0\r\n";
            replies_per_operation_ = 2;
        } else if (options.operation != "set" && options.operation != "get") {
            die("unknown operation '" + options.operation + "'");
        }
    }

    void run() {
        connect_all();
        begin_ = now_ns();
        const int64_t measure_from = begin_ + static_cast<int64_t>(options_.warm_seconds * 1e9);
        const int64_t end = measure_from + static_cast<int64_t>(options_.seconds * 1e9);
        for (Client& client : clients_)
            for (int i = 0; i < options_.pipeline; ++i) next_operation(client);
        for (Client& client : clients_) flush(client);
        bool measuring = false;
        double cpu_before = 0;
        std::vector<epoll_event> events(256);
        std::vector<char> into(256 * 1024);
        while (now_ns() < end) {
            const timespec wait = until_next_due();
            const int count = epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()),
                                           &wait, nullptr);
            if (!measuring && now_ns() >= measure_from) {
                measuring = true;
                latencies_.clear();
                operations_ = 0;
                measured_from_ = now_ns();
                cpu_before = cpu_us(options_.pids);
            }
            for (int i = 0; i < count; ++i) {
                Client& client = clients_[events[static_cast<size_t>(i)].data.u64];
                if ((events[static_cast<size_t>(i)].events & EPOLLIN) != 0) receive(client, into);
                flush(client);
            }
            begin_due();
        }
        const double took = static_cast<double>(now_ns() - measured_from_) / 1e9;
        report(took, cpu_us(options_.pids) - cpu_before);
    }

 private:
    void connect_all() {
        epoll_ = epoll_create1(0);
        clients_.resize(static_cast<size_t>(options_.clients));
        for (size_t i = 0; i < clients_.size(); ++i) {
            Client& client = clients_[i];
            client.socket = socket(AF_INET, SOCK_STREAM, 0);
            sockaddr_in to{};
            to.sin_family = AF_INET;
            to.sin_port = htons(static_cast<uint16_t>(options_.port));
            if (inet_pton(AF_INET, options_.host.c_str(), &to.sin_addr) != 1)
                die("not an IPv4 address: " + options_.host);
            if (connect(client.socket, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0)
                die("connect to port " + std::to_string(options_.port) + ": " +
                    std::strerror(errno));
            const int on = 1;
            setsockopt(client.socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            fcntl(client.socket, F_SETFL, O_NONBLOCK);
            epoll_event event{};
            event.events = EPOLLIN;
            event.data.u64 = i;
            epoll_ctl(epoll_, EPOLL_CTL_ADD, client.socket, &event);
        }
    }

    static void bulk(std::string& out, std::string_view text) {
        out += '$';
        out += std::to_string(text.size());
        out += "\r\n";
        out += text;
        out += "\r\n";
    }

    int64_t due_at(uint64_t operation) const {
        return begin_ + static_cast<int64_t>(static_cast<double>(operation) / options_.rate * 1e9);
    }

    timespec until_next_due() const {
        int64_t wait_ns = 100'000'000;
        if (options_.rate > 0 && !free_.empty())
            wait_ns = std::clamp<int64_t>(due_at(begun_) - now_ns(), 0, wait_ns);
        return {wait_ns / 1'000'000'000, wait_ns % 1'000'000'000};
    }

    /// Operations that are due go to clients that are free; the others wait for one.
    void begin_due() {
        for (const int64_t now = now_ns(); !free_.empty() && due_at(begun_) <= now;) {
            Client& client = *free_.front();
            free_.pop_front();
            add_operation(client, due_at(begun_++));
            flush(client);
        }
    }

    void next_operation(Client& client) {
        if (options_.rate > 0)
            free_.push_back(&client);
        else
            add_operation(client, now_ns());
    }

    void add_operation(Client& client, int64_t since_ns) {
        // A multiplicative walk over the keys: no generator to share, every key as often.
        char key[32];
        std::snprintf(key, sizeof key, "key:%012llu",
                      static_cast<unsigned long long>((next_key_ += 7919) % options_.keys));
        if (options_.operation == "get") {
            client.out += "*2\r\n$3\r\nGET\r\n";
            bulk(client.out, key);
        } else {
            client.out += "*3\r\n$3\r\nSET\r\n";
            bulk(client.out, key);
            bulk(client.out, value_);
        }
        client.out += wait_;
        client.begun.push_back(since_ns);
        if (client.begun.size() == 1) client.replies_due = replies_per_operation_;
    }

    void flush(Client& client) {
        while (client.sent < client.out.size()) {
            const ssize_t wrote = send(client.socket, client.out.data() + client.sent,
                                       client.out.size() - client.sent, MSG_NOSIGNAL);
            if (wrote < 0 && errno == EAGAIN) break;
            if (wrote < 0) die(std::string("send: ") + std::strerror(errno));
            client.sent += static_cast<size_t>(wrote);
        }
        const bool pending = client.sent < client.out.size();
        if (!pending) {
            client.out.clear();
            client.sent = 0;
        }
        if (pending == client.wants_out) return;
        client.wants_out = pending;
        epoll_event event{};
        event.events = EPOLLIN | (pending ? EPOLLOUT : 0u);
        event.data.u64 = static_cast<uint64_t>(&client - clients_.data());
        epoll_ctl(epoll_, EPOLL_CTL_MOD, client.socket, &event);
    }

    void receive(Client& client, std::vector<char>& into) {
        const ssize_t got = recv(client.socket, into.data(), into.size(), 0);
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0)
            die(got == 0 ? "the server closed the connection"
                         : std::string("recv: ") + std::strerror(errno));
        client.replies.take({into.data(), static_cast<size_t>(got)}, [&](std::string_view reply) {
            if (client.begun.empty()) die("a reply too many: " + std::string(reply.substr(0, 40)));
            if (reply[0] == '-') {
                ++errors_;
                if (first_error_.empty()) first_error_ = reply.substr(1, reply.size() - 3);
            }
            if (--client.replies_due > 0) return;
            latencies_.push_back(static_cast<uint32_t>(
                std::min<int64_t>((now_ns() - client.begun.front()) / 100, UINT32_MAX)));
            client.begun.pop_front();
            ++operations_;
            next_operation(client);
            client.replies_due = replies_per_operation_;
        });
    }

    void report(double seconds, double server_cpu_us) {
        std::sort(latencies_.begin(), latencies_.end());
        const auto quantile = [&](double q) {
            if (latencies_.empty()) return 0.0;
            return latencies_[std::min(
                       latencies_.size() - 1,
                       static_cast<size_t>(q * static_cast<double>(latencies_.size())))] /
                   10.0;
        };
        std::printf(
            "{\"operation\":\"%s\",\"clients\":%d,\"pipeline\":%d,\"seconds\":%.2f,\"ops_per_s\":%."
            "0f,\"p50_us\":%.1f,\"p99_us\":%.1f,"
            "\"server_cpu_us_per_op\":%.2f,\"errors\":%llu%s%s%s}\n",
            options_.operation.c_str(), options_.clients, options_.pipeline, seconds,
            static_cast<double>(operations_) / seconds, quantile(0.5), quantile(0.99),
            operations_ > 0 ? server_cpu_us / static_cast<double>(operations_) : 0,
            static_cast<unsigned long long>(errors_), errors_ > 0 ? ",\"first_error\":\"" : "",
            first_error_.c_str(), errors_ > 0 ? "\"" : "");
    }

    Options options_;
    std::string value_;
    std::string wait_;  // the command behind each SET; empty: none
    int replies_per_operation_ = 1;
    int epoll_ = -1;
    std::vector<Client> clients_;
    std::vector<uint32_t> latencies_;  // tenths of us
    uint64_t operations_ = 0;
    uint64_t errors_ = 0;
    uint64_t next_key_ = 0;
    int64_t begin_ = 0;
    std::deque<Client*> free_;  // at a rate: those with room for an operation, once for each
    uint64_t begun_ = 0;        // at a rate: operations
    int64_t measured_from_ = 0;
    std::string first_error_;
};

}  // namespace

int main(int argc, char** argv) {
    Options options;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string name = argv[i];
        const std::string value = argv[i + 1];
        if (name == "--host")
            options.host = value;
        else if (name == "--port")
            options.port = std::atoi(value.c_str());
        else if (name == "--clients")
            options.clients = std::atoi(value.c_str());
        else if (name == "--pipeline")
            options.pipeline = std::atoi(value.c_str());
        else if (name == "--rate")
            options.rate = std::atof(value.c_str());
        else if (name == "--seconds")
            options.seconds = std::atof(value.c_str());
        else if (name == "--warm")
            options.warm_seconds = std::atof(value.c_str());
        else if (name == "--operation")
            options.operation = value;
        else if (name == "--value-bytes")
            options.value_bytes = std::atoi(value.c_str());
        else if (name == "--keys")
            options.keys = std::strtoull(value.c_str(), nullptr, 10);
        else if (name == "--pid")
            options.pids.push_back(std::atoi(value.c_str()));
        else
            die("unknown option " + name);
    }
    if (argc % 2 == 0 || options.clients < 1 || options.pipeline < 1)
        die("usage: orrery_resp_load [--host A] [--port P] [--clients N] [--pipeline N] [--rate N] [--seconds "
            "S] [--operation set|get|setwait:N|setwaitall] "
            "[--value-bytes N] [--keys N] [--pid PID]...");
    Load(options).run();
    return 0;
}
