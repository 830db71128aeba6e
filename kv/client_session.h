// ClientSession: one client connection. A reader fiber fills a bounded input buffer and notices the hang-up; the session's
// own fiber executes, in order, and answers: runs of writes share a commit wait, runs of reads a barrier, and everything
// answered in one turn one write. What other connections of the node may do to it (CLIENT KILL, UNBLOCK) is atomic.
#pragma once

#include <memory>
#include <vector>

#include "kv/client_transaction.h"
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
    /// CLIENT KILL: ends it at once; what is under way goes unanswered. Atomic.
    void kill();
    /// Ends it behind the reply to what is under way. Atomic.
    void close_soon();
    /// CLIENT UNBLOCK. False: it does not wait, or has its answer. Atomic.
    bool unblock(Unblock how) { return client_.blocked && leaver_.unblock(how); }
    /// The settings, or the users, have changed. Atomic.
    void settings_changed();
    void access_changed();
    /// With the fields that are as of the last look.
    const ClientState& look();
    const ClientState& client() const { return client_; }

 private:
    static constexpr size_t kReadBytes = 16 << 10;     // at once
    static constexpr size_t kInputBytes = 256 << 10;   // read ahead of what is executed
    static constexpr size_t kOutputBytes = 1 << 20;    // gathered before a write
    static constexpr size_t kRunCommands = 1024;       // executed together
    static constexpr uint64_t kRunBytes = 1 << 20;     // of their arguments, but for the last of them
    static constexpr size_t kRunParts = 3;             // more changes between reads and writes: one log entry for all
    static constexpr size_t kRunValues = 4;            // writes among them that answer with a value: all of one run are held at once

    /// From the connection; empty at its end, or when it failed. Yields.
    ByteView read_some(Fiber& fiber, Bytes& buffer);
    /// From here on a fiber of its own reads, so that a client that leaves is noticed whatever is being done for it. Most never need it.
    void read_ahead();
    void read_loop(Fiber& fiber);
    void wake_reader();
    void watch_idleness();
    Result<void> execute_all(Fiber& fiber);
    Result<void> execute_run(Fiber& fiber, std::span<const Request> run);
    Result<void> execute_alike(Fiber& fiber, std::span<const Request> run);
    Result<void> execute_for_session(Fiber& fiber, const CommandInfo& command, ArgvView argv);
    Result<void> watch(Fiber& fiber, ArgvView argv);
    Result<void> exec(Fiber& fiber);
    std::optional<Reply> refusal(const CheckedRequest& checked, ArgvView argv);
    Result<Reply> local(Fiber& fiber, const CheckedRequest& checked, ArgvView argv);
    Result<Reply> slot_keys(Fiber& fiber, ArgvView argv);
    Result<void> flush(Fiber& fiber);
    Error took_too_long(const char* limit);
    void answer(const Reply& reply) {
        if (client_.replies_withheld != 0) [[unlikely]] {
            if (client_.replies_withheld != ClientState::kNoReplies) --client_.replies_withheld;
            return;
        }
        encode_reply(output_, reply, client_.version);
    }

    Env& env_;
    KvNode& node_;
    std::unique_ptr<Conn> conn_;
    ClientState client_;
    uint64_t forward_id_;  // deduplication id of what it has forwarded
    resp::RequestParser parser_;
    Bytes input_;  // read ahead
    Bytes output_;
    bool ended_ = false;  // the client's end of stream, or a reset
    bool stopping_ = false;
    bool started_ = false;
    bool waits_for_input_ = false;  // run() has nothing to do
    bool reads_ahead_ = false;      // read_loop() reads, not run()
    bool idle_watched_ = false;     // watch_idleness() runs
    bool attention_ = false;  // something stands between this client and just executing what it says: looked at once a command
    bool flushing_ = false;
    size_t unsent_bytes_ = 0;  // while flushing_
    Notify input_changed_;
    ClientTransaction transaction_;
    WaitTarget target_;
    KvService::Leaver leaver_;
};

}  // namespace orrery::kv
