#include "runtime/real/resolver.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>

#include <cstring>

#include "runtime/real/threads.h"

namespace orrery::real {

std::optional<SocketAddress> numeric_address(const Address& address) {
    SocketAddress out;
    auto* v4 = reinterpret_cast<sockaddr_in*>(&out.storage);
    if (inet_pton(AF_INET, address.host.c_str(), &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(address.port);
        out.length = sizeof(sockaddr_in);
        return out;
    }
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&out.storage);
    if (inet_pton(AF_INET6, address.host.c_str(), &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(address.port);
        out.length = sizeof(sockaddr_in6);
        return out;
    }
    return std::nullopt;
}

Address address_of(const SocketAddress& from) {
    char text[INET6_ADDRSTRLEN] = "?";
    if (from.family() == AF_INET) {
        const auto* v4 = reinterpret_cast<const sockaddr_in*>(&from.storage);
        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text));
        return {text, ntohs(v4->sin_port)};
    }
    if (from.family() == AF_INET6) {
        const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&from.storage);
        inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text));
        return {text, ntohs(v6->sin6_port)};
    }
    return {text, 0};
}

Result<std::vector<SocketAddress>> look_up(const Address& address) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_ADDRCONFIG;
    addrinfo* found = nullptr;
    const std::string port = std::to_string(address.port);
    int failure = getaddrinfo(address.host.c_str(), port.c_str(), &hints, &found);
    if (failure == EAI_NONAME || failure == EAI_ADDRFAMILY) {
        // AI_ADDRCONFIG hides loopback names on a machine that has no other address.
        hints.ai_flags = 0;
        failure = getaddrinfo(address.host.c_str(), port.c_str(), &hints, &found);
    }
    if (failure != 0)
        return Error(Code::Unreachable, "name '" + address.host + "' has no address: " +
                                            (failure == EAI_SYSTEM ? std::strerror(errno) : gai_strerror(failure)));
    std::vector<SocketAddress> out;
    for (addrinfo* at = found; at != nullptr; at = at->ai_next) {
        if (at->ai_addrlen > sizeof(sockaddr_storage)) continue;
        SocketAddress one;
        std::memcpy(&one.storage, at->ai_addr, at->ai_addrlen);
        one.length = at->ai_addrlen;
        out.push_back(one);
    }
    freeaddrinfo(found);
    if (out.empty()) return Error(Code::Unreachable, "name '" + address.host + "' has no address");
    return out;
}

Resolver::~Resolver() {
    if (!thread_.joinable()) return;
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
        requests_.clear();
    }
    changed_.notify_all();
    thread_.join();
}

Result<std::vector<SocketAddress>> Resolver::resolve(Fiber& fiber, const Address& address, Instant deadline) {
    auto request = std::make_shared<Request>();
    request->address = address;
    if (!thread_.joinable()) thread_ = start_thread_without_signals([this] { work(); });
    {
        std::lock_guard lock(mutex_);
        if (requests_.size() >= kQueueMax)
            return Error(Code::Unreachable, "too many names wait to be looked up; '" + address.host + "' was not");
        requests_.push_back(request);
    }
    changed_.notify_one();
    while (!request->answered) {
        Result<void> waited = fiber.wait(request->waiter, deadline);
        if (!waited.ok()) return waited.error().within("looking up '" + address.host + "'");
    }
    return std::move(request->answer);
}

void Resolver::work() {
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [this] { return stopping_ || !requests_.empty(); });
        if (stopping_) return;
        std::shared_ptr<Request> request = std::move(requests_.front());
        requests_.pop_front();
        lock.unlock();
        request->answer = look_up(request->address);
        loop_.post([request] {
            request->answered = true;
            request->waiter.wake_all();
        });
        request.reset();
        lock.lock();
    }
}

}  // namespace orrery::real
