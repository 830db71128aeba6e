#include "runtime/base/result.h"

namespace orrery {

std::string_view code_name(Code code) {
    switch (code) {
        case Code::NotLeader: return "NotLeader";
        case Code::NotReady: return "NotReady";
        case Code::Stale: return "Stale";
        case Code::NotFound: return "NotFound";
        case Code::Exists: return "Exists";
        case Code::Invalid: return "Invalid";
        case Code::Overloaded: return "Overloaded";
        case Code::NoSpace: return "NoSpace";
        case Code::Unreachable: return "Unreachable";
        case Code::Unsupported: return "Unsupported";
        case Code::Unknown: return "Unknown";
        case Code::Timeout: return "Timeout";
        case Code::Io: return "Io";
        case Code::Corrupt: return "Corrupt";
        case Code::Cancelled: return "Cancelled";
    }
    return "?";
}

std::optional<Code> code_from_number(uint8_t number) {
    if (number < static_cast<uint8_t>(Code::NotLeader) || number > static_cast<uint8_t>(Code::Cancelled))
        return std::nullopt;
    return static_cast<Code>(number);
}

Error Error::within(std::string_view prefix) const {
    return Error(code, std::string(prefix) + ": " + context);
}

std::string Error::text() const {
    std::string out(code_name(code));
    if (!context.empty()) out += ": " + context;
    return out;
}

}  // namespace orrery
