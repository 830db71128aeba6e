// RespClient: one client connection, as a user's library has it: connects, sends commands, reads
// replies in order. Replies are parsed strictly; what cannot be a reply ends the connection, since
// then nobody knows which answer is whose.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kv/resp/reply.h"
#include "runtime/env/env.h"

namespace orrery::sim {

class RespClient {
 public:
    explicit RespClient(Env& env) : env_(env) {}

    bool connected() const { return conn_ != nullptr; }
    /// Yields. Errors: Unreachable, Timeout, Cancelled.
    Result<void> connect(Fiber& fiber, const Address& to, Instant deadline);
    void close();
    /// Yields. Errors: Unreachable, Timeout, Cancelled. On any error the connection is closed.
    Result<void> send(Fiber& fiber, ByteView bytes, Instant deadline);
    /// The next reply. Yields. Errors: as send(); Corrupt: the server answered what is no reply.
    Result<resp::Reply> receive(Fiber& fiber, Instant deadline);

 private:
    Env& env_;
    std::unique_ptr<Conn> conn_;
    Bytes input_;
    size_t used_ = 0;
};

/// A command as clients send it.
Bytes encode_command(const std::vector<Bytes>& words);
/// Parses one RESP2 reply at the front of `text`: its length, 0 when more bytes are needed. Errors:
/// Corrupt.
Result<size_t> parse_reply(ByteView text, resp::Reply& out);

}  // namespace orrery::sim
