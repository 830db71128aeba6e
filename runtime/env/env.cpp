#include "runtime/env/env.h"

#include <charconv>

namespace orrery {

std::string Address::text() const {
    if (host.find(':') != std::string::npos) return "[" + host + "]:" + std::to_string(port);
    return host + ":" + std::to_string(port);
}

Result<Address> Address::parse(std::string_view text) {
    const size_t colon = text.rfind(':');
    if (colon == std::string_view::npos)
        return Error(Code::Invalid, "address '" + std::string(text) + "' has no port; write HOST:PORT");
    std::string_view host = text.substr(0, colon);
    std::string_view digits = text.substr(colon + 1);
    if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    uint16_t port = 0;
    auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (failure != std::errc() || end != digits.data() + digits.size() || host.empty())
        return Error(Code::Invalid, "address '" + std::string(text) + "' is not HOST:PORT with a port of 0 to 65535");
    return Address{std::string(host), port};
}

Result<void> Conn::write_all(Fiber& fiber, ByteView bytes, Instant deadline) {
    while (!bytes.empty()) {
        TRY(size_t taken, write(fiber, bytes, deadline));
        bytes.remove_prefix(taken);
    }
    return {};
}

}  // namespace orrery
