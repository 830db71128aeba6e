#include "node/rpc/operator_call.h"

namespace orrery::rpc {

Result<Bytes> operator_call(Fiber& fiber, Env& env, const Address& to, Target target, Bytes body) {
    TRY(std::unique_ptr<Conn> conn, env.net.connect(fiber, to, target.deadline.at));
    Identity identity;
    identity.role = Role::Operator;
    TRY(std::shared_ptr<Session> session, Session::connect(fiber, env, std::move(conn), identity, {}, {}));
    Result<Bytes> answer = session->call(fiber, target, std::move(body));
    session->shut(Error(Code::Cancelled, "asked"));
    TRY(session->wait_closed(fiber));
    return answer;
}

}  // namespace orrery::rpc
