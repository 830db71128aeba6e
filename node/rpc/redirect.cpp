#include "node/rpc/redirect.h"

#include <charconv>

namespace orrery::rpc {

namespace {

/// The text behind `name=` up to the next space; nullopt when the name is not there.
std::optional<std::string_view> field(std::string_view text, std::string_view name) {
    const size_t at = text.find(name);
    if (at == std::string_view::npos) return std::nullopt;
    std::string_view rest = text.substr(at + name.size());
    return rest.substr(0, rest.find(' '));
}

std::optional<uint64_t> number(std::optional<std::string_view> text) {
    if (!text.has_value()) return std::nullopt;
    uint64_t value = 0;
    auto [end, failure] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (failure != std::errc() || end != text->data() + text->size()) return std::nullopt;
    return value;
}

}  // namespace

Error redirect_error(const Redirect& redirect) {
    return Error(Code::NotLeader, "leader=" + std::to_string(redirect.leader.value) +
                                      " term=" + std::to_string(redirect.term.value) + " address=" + redirect.address);
}

std::optional<Redirect> redirect_of(const Error& error) {
    if (error.code != Code::NotLeader) return std::nullopt;
    const auto leader = number(field(error.context, "leader="));
    const auto term = number(field(error.context, "term="));
    const auto address = field(error.context, "address=");
    if (!leader.has_value() || !term.has_value() || !address.has_value()) return std::nullopt;
    return Redirect{NodeId(*leader), Term(*term), std::string(*address)};
}

}  // namespace orrery::rpc
