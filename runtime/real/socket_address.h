// Between Address (a name or number, and a port) and the kernel's socket addresses.
#pragma once

#include <sys/socket.h>

#include <optional>
#include <string>
#include <vector>

#include "runtime/env/net.h"

namespace orrery::real {

struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t length = 0;
    int family() const { return storage.ss_family; }
    const sockaddr* raw() const { return reinterpret_cast<const sockaddr*>(&storage); }
    sockaddr* raw() { return reinterpret_cast<sockaddr*>(&storage); }
};

/// nullopt when the host is a name.
std::optional<SocketAddress> numeric_address(const Address& address);
Address address_of(const SocketAddress& from);
/// getaddrinfo(3): blocks, perhaps for seconds. Errors: Unreachable (context names the host and why).
Result<std::vector<SocketAddress>> look_up(const Address& address);

}  // namespace orrery::real
