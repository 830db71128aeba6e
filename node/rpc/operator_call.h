// One request of an operator's program to a node: a session of its own, closed behind the answer.
#pragma once

#include "node/rpc/session.h"

namespace orrery::rpc {

/// Yields. Errors: of the connection and handshake, Timeout at the target's deadline, and what the node answers.
Result<Bytes> operator_call(Fiber& fiber, Env& env, const Address& to, Target target, Bytes body);

}  // namespace orrery::rpc
