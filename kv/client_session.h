// ClientSession: one client connection. A reader fiber fills a bounded input buffer and notices the hang-up; the session's
// own fiber executes, in order, and answers: runs of writes share a commit wait, runs of reads a barrier, and everything
// answered in one turn one write.
#pragma once

#include <memory>
#include <vector>

#include "kv/kv_node.h"
#include "kv/local_commands.h"
#include "kv/resp/request_parser.h"

namespace orrery::kv {

class ClientSession : public std::enable_shared_from_this<ClientSession> {
 public:
    ClientSession(Env& env, KvNode& node, uint64_t id, std::unique_ptr<Conn> conn);
    /// Until the client leaves, breaks the protocol, is too slow, or the node stops. Yields.
    void run(Fiber& fiber);
    /// Ends it soon; what is under way is answered if it can be. Atomic.
    void stop();
    bool waiting() const { return waiting_; }

 private:
    static constexpr size_t kInputBytes = 256 << 10;   // read ahead of what is executed
    static constexpr size_t kOutputBytes = 1 << 20;    // gathered before a write
    static constexpr size_t kRunCommands = 1024;       // executed together
    static constexpr size_t kRunValues = 4;            // writes among them that answer with a value: all of one run are held at once

    void read_loop(Fiber& fiber);
    Result<void> execute_all(Fiber& fiber);
    Result<void> execute_run(Fiber& fiber, Route route, std::vector<Argv>& run);
    Result<void> flush(Fiber& fiber);
    void answer(const Reply& reply) { encode_reply(output_, reply, client_.version); }

    Env& env_;
    KvNode& node_;
    std::unique_ptr<Conn> conn_;
    ClientState client_;
    uint64_t forward_id_;  // deduplication id of what it has forwarded
    resp::RequestParser parser_;
    Bytes input_;
    Bytes output_;
    bool ended_ = false;  // the client's end of stream, or a reset
    bool stopping_ = false;
    bool waiting_ = false;
    Notify input_changed_;
    WaitTarget target_;
    KvService::Leaver leaver_;
};

}  // namespace orrery::kv
