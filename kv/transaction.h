// A transaction as it travels and as it is logged: what was watched, and the queued commands of the group in order. One log
// entry, one batch; apply compares the watches with the state that the entry meets, so a comparison holds through any number
// of leaders.
//
// A watch names what its connection saw: the modification index of a live key, or that there was none. Absent then and absent
// now is not enough, for the key may have come and gone, and the connection may have read it meanwhile: so it also names the
// index it looked at, and the state keeps when a key of its bucket last came into being (created_keys.h).
//
// A pipeline in which reads and writes alternate travels the same way: one entry instead of a commit and a barrier for each command.
#pragma once

#include <cstdint>
#include <vector>

#include "kv/resp/request_parser.h"
#include "runtime/base/bytes.h"
#include "runtime/base/ids.h"
#include "runtime/base/result.h"

namespace orrery::kv {

enum class TransactionMode : uint8_t {  // stored; never renumber
    Exec = 1,      // all of it or nothing
    Pipeline = 2,  // as many commands, from the front, as the replies have room: the reply tells how many. No watches
};

struct WatchView {
    ByteView key;
    LogIndex modified;  // 0: there was no such key
    LogIndex seen_at;   // applied index of the state that was looked at
    bool operator==(const WatchView&) const = default;
};

/// Views into whatever holds the bytes: a connection's queue, or a decoded record.
struct Transaction {
    TransactionMode mode = TransactionMode::Exec;
    uint64_t draw = 0;  // the leader's draw for commands that choose (RANDOMKEY); 0 until it is stamped
    std::vector<WatchView> watches;
    std::vector<std::vector<ByteView>> commands;  // each at least one word
};

/// The record, README "Transaction record". Requires: no command is empty; mode Pipeline watches nothing.
Bytes encode_transaction(const Transaction& transaction);
/// Errors: Corrupt for anything encode_transaction() does not write. Memory in proportion to the bytes given.
Result<Transaction> decode_transaction(ByteView bytes);

}  // namespace orrery::kv
