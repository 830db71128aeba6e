#include "node/rpc/service.h"

#include "runtime/base/check.h"

namespace orrery::rpc {

void Service::handle(Operation operation, Handler handler) {
    const bool is_new = handlers_.emplace(operation, std::move(handler)).second;
    CHECK(is_new, wire::operation_name(operation));
}

void Service::handle_message(Operation operation, MessageHandler handler) {
    const bool is_new = messages_.emplace(operation, std::move(handler)).second;
    CHECK(is_new, wire::operation_name(operation));
}

const Handler* Service::handler(Operation operation) const {
    auto at = handlers_.find(operation);
    return at == handlers_.end() ? nullptr : &at->second;
}

const MessageHandler* Service::message_handler(Operation operation) const {
    auto at = messages_.find(operation);
    return at == messages_.end() ? nullptr : &at->second;
}

}  // namespace orrery::rpc
