// What the clients of a run did and saw, in one order.
//
// Every invocation and every return takes the next number of one sequence; that number, never a
// clock, says what was before what (two events of one virtual instant would otherwise look
// concurrent and hide violations). Virtual times are kept for people. Memory is bounded: a full
// history refuses the invocation, and the client must then not send it. Not a checker; see
// linearizability.h and durability.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/bytes.h"
#include "runtime/base/result.h"
#include "runtime/base/time.h"

namespace orrery::check {

enum class OpKind : uint8_t { Get, Set, Append, Cas, Del, Incr, Wait, WaitAll, Txn };
std::string_view op_kind_name(OpKind kind);
constexpr bool is_wait(OpKind kind) {
    return kind == OpKind::Wait || kind == OpKind::WaitAll;
}

enum class OpStatus : uint8_t {
    Open,     // no return yet; judged as Unknown
    Ok,       // took effect between start and end, and answered `output`
    Fail,     // certainly no effect, and told nothing
    Unknown,  // takes effect at any instant after start, or never
};
std::string_view op_status_name(OpStatus status);

/// nullopt: the key is absent.
using Value = std::optional<Bytes>;

/// One part of a transaction, in the order of its commands. What was read under WATCH stands first: EXEC took place, so it
/// held at that moment too.
struct TxnPart {
    OpKind kind = OpKind::Get;  // Get, Append, Incr
    bool watched = false;       // a Get before MULTI, of a key that was watched
    Bytes key;
    Value value;         // Append: what
    int64_t number = 1;  // Incr: by how much
    bool operator==(const TxnPart&) const = default;
};

/// What an Ok operation answered. Which field counts depends on the kind.
struct Output {
    Value value;                    // Get
    std::optional<int64_t> number;  // Cas 0/1; Del 0/1; Append new length in bytes; Incr new value;
                                    // Wait count. nullopt: not checked (a Cas must have it)
    std::vector<uint64_t> missing;  // WaitAll: ids of members that do not hold; number = acked
    int64_t required = 0;           // WaitAll
    struct Answer {
        Value value;                    // Get
        std::optional<int64_t> number;  // Append new length, Incr new value; nullopt: not checked
        bool operator==(const Answer&) const = default;
    };
    std::vector<Answer> answers;  // Txn: of each part

    static Output none() { return {}; }
    static Output of_value(Value v) { return {.value = std::move(v)}; }
    static Output of_number(int64_t n) { return {.number = n}; }
    bool operator==(const Output&) const = default;
};

struct Operation {
    uint64_t client = 0;  // a client that got Unknown goes on under a new number
    OpKind kind = OpKind::Get;
    Bytes key;               // empty for Wait, WaitAll and Txn
    Value value;             // Set, Append: what (never absent); Cas: the new value
    Value expected;          // Cas
    int64_t number = 1;      // Incr: by how much; Wait: how many
    int64_t timeout_ms = 0;  // Wait, WaitAll
    OpStatus status = OpStatus::Open;
    Output output;  // Ok only
    uint64_t start_sequence = 0;
    uint64_t end_sequence =
        UINT64_MAX;  // UINT64_MAX while Open; meaningless for the order when Unknown
    Instant start;
    Instant end = Instant::never();
    std::vector<TxnPart> parts;  // Txn

    static Operation get(uint64_t client, Bytes key);
    static Operation set(uint64_t client, Bytes key, Bytes value);
    static Operation append(uint64_t client, Bytes key, Bytes value);
    static Operation cas(uint64_t client, Bytes key, Value expected, Value value);
    static Operation del(uint64_t client, Bytes key);
    static Operation incr(uint64_t client, Bytes key, int64_t by);
    static Operation wait(uint64_t client, int64_t members, int64_t timeout_ms);
    static Operation wait_all(uint64_t client, int64_t timeout_ms);
    /// All of it or nothing: MULTI ... EXEC. An EXEC that a WATCH refused is Fail.
    static Operation txn(uint64_t client, std::vector<TxnPart> parts);

    /// "client 3 set 'k' = 'v' -> ok [12, 15]": for explanations; long texts are cut and say so.
    std::string text() const;
};

/// A value for an explanation: absent, or quoted, unprintable bytes escaped, cut in the middle past
/// ~80 bytes.
std::string quote_value(const Value& value);

struct HistoryOptions {
    size_t max_operations = 1'000'000;
    uint64_t max_bytes = uint64_t{256} << 20;  // keys, values and outputs together
};

class History {
 public:
    using OpId = size_t;  // position in operations()

    explicit History(HistoryOptions options = {}) : options_(options) {}

    /// Records a call; of `operation` only the request fields count. `now` is the world's virtual
    /// time. Errors: Overloaded, the history is full; the caller must not send the operation then.
    Result<OpId> invoke(Operation operation, Instant now);
    /// Records the return. Requires: `id` is Open, `status` is not Open.
    void complete(OpId id, OpStatus status, Output output, Instant now);
    /// Takes a sequence number for an event that is no operation (a fault, a Raft event), in the
    /// same order.
    uint64_t mark() { return next_sequence_++; }

    const std::vector<Operation>& operations() const { return operations_; }
    size_t open_count() const { return open_; }
    bool full() const { return full_; }
    uint64_t sequence() const { return next_sequence_; }

    /// One line an operation, in the order of the calls. Times are the virtual times, moved forward
    /// by as few nanoseconds as make them strictly increasing in the order of the sequence. Format:
    /// the folder's README.
    std::string to_jsonl() const;
    /// One line an event, as Jepsen logs them: an EDN map with :index :time :process :type :f :key
    /// :value.
    std::string to_jepsen() const;

 private:
    HistoryOptions options_;
    std::vector<Operation> operations_;
    uint64_t bytes_ = 0;
    uint64_t next_sequence_ = 1;
    size_t open_ = 0;
    bool full_ = false;
};

}  // namespace orrery::check
