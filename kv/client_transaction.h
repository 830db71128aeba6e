// ClientTransaction: what one connection has queued since MULTI and watches. Pure; the session decides what becomes of it.
#pragma once

#include <vector>

#include "kv/command_table.h"
#include "kv/transaction.h"

namespace orrery::kv {

class ClientTransaction {
 public:
    static constexpr size_t kCommandsMax = 128 << 10;

    bool open() const { return open_; }
    /// A command was refused since MULTI: EXEC will do nothing.
    bool broken() const { return broken_; }
    const std::vector<Argv>& queued() const { return queued_; }
    size_t watched() const { return watches_.size(); }

    /// The reply to MULTI.
    Reply begin();
    /// Called for every request that check_request() refuses: the reply. EXEC will do nothing; if it is EXEC itself that is
    /// malformed, everything is discarded, as Redis has it.
    Reply refused(ArgvView argv, Reply refusal);
    /// QUEUED, or the error of a transaction that grows above `bytes_max` encoded bytes or kCommandsMax commands; EXEC is refused
    /// then. Requires: open(), passed check_request().
    Reply queue(ArgvView argv, uint64_t bytes_max);
    /// Takes what WATCH's read found, `found` = [applied index, modification index of each key]. The reply to WATCH: OK, or the error
    /// of watching too much. A key that is watched already stays as it was seen first. Errors: Corrupt, another shape of `found`.
    Result<Reply> watch(ArgvView keys, const Reply& found, uint64_t bytes_max);
    void unwatch();
    /// Nothing queued, nothing watched.
    void discard();
    /// Views into this object: the watches, and the commands that the group executes. The others stay with the connection.
    Transaction for_group() const;

 private:
    struct Watch {
        Bytes key;
        LogIndex modified;
        LogIndex seen_at;
    };
    bool open_ = false;
    bool broken_ = false;
    std::vector<Argv> queued_;
    std::vector<Watch> watches_;
    uint64_t queued_bytes_ = 0;  // encoded
    uint64_t watch_bytes_ = 0;
};

/// Is it one that the group executes as part of a transaction?
bool belongs_to_group(const CommandInfo& command);
/// Commands that act at once although a transaction is open.
bool acts_inside_multi(CommandId id);

}  // namespace orrery::kv
