// Redirect: where the leader is, as far as the one who refused knows. Travels as fields of a wire::Status and, between
// functions, in the context of a NotLeader error.
#pragma once

#include <optional>
#include <string>

#include "runtime/base/ids.h"
#include "runtime/base/result.h"

namespace orrery::rpc {

struct Redirect {
    NodeId leader;        // 0: not known
    Term term;            // fences: a hint of a lower term than one already followed is worthless
    std::string address;  // HOST:PORT of the leader's listener of the same kind; may be empty
    bool operator==(const Redirect&) const = default;
};

/// NotLeader, with the hint as "leader=3 term=7 address=host:port".
Error redirect_error(const Redirect& redirect);
/// The hint of a NotLeader error; nullopt for another code or a context without one.
std::optional<Redirect> redirect_of(const Error& error);

}  // namespace orrery::rpc
