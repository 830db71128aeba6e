// The durability ledger: every write the clients were told of, held against the final value of its
// key.
//
// Independent of the linearizability search on purpose: a few rules that one can check by eye.
// Every written value is unique (a number of the run), so a final value names the write it came
// from. Certain claims only: what an unknown outcome or an overlap can explain is not a violation.
//   set, cas, del   the final value is one that no acknowledged write certainly followed
//   append          each acknowledged token is in the final text exactly once; an unknown one at
//   most once incr            the final number lies between the acknowledged and the possible sum
// Keys that mix the last two with others fall back to what still is certain, else to Undecided.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "sim/check/history.h"
#include "sim/check/verdict.h"

namespace orrery::check {

enum class KeyFate : uint8_t {
    Intact,       // the last acknowledged write is what is read
    Overwritten,  // another write, concurrent with it or of unknown outcome, explains the final
                  // value
    Violated,
    Undecided,  // no final read, or writes of kinds that this ledger cannot combine
};
std::string_view key_fate_name(KeyFate fate);

struct KeyJudgement {
    Bytes key;
    KeyFate fate;
    std::string text;  // one sentence
};

struct DurabilityOptions {
    size_t max_writes = 1'000'000;
    size_t max_violations = 64;
};

class DurabilityLedger {
 public:
    explicit DurabilityLedger(DurabilityOptions options = {}) : options_(options) {}

    /// Takes a finished (or still Open) write, of a transaction each of its parts; gets, waits and cas that answered 0 are ignored.
    void write(const Operation& operation);
    /// Every write of a history.
    void add(std::span<const Operation> operations);
    /// The value of `key` after the run healed and all clients stopped. The last call for a key
    /// counts.
    void final_read(const Bytes& key, Value value, const Stamp& stamp);

    /// Violated: durability.lost-write, durability.failed-write-visible,
    /// durability.unwritten-value, durability.duplicated-write, durability.wrong-sum. Inconclusive:
    /// a key written but not read, writes beyond the bound, nothing written. `max_violations`
    /// bounds the list.
    Verdict judge() const;
    /// Every key, in key order.
    std::vector<KeyJudgement> judge_keys() const;

 private:
    struct Write {
        OpKind kind;
        OpStatus status;
        Value value;
        int64_t number;
        uint64_t client;
        uint64_t start;
        uint64_t end;  // UINT64_MAX unless Ok
    };
    struct Key {
        std::vector<Write> writes;
        bool read = false;
        Value final;
        Stamp read_at;
    };
    struct Finding;
    Finding judge_key(const Bytes& name, const Key& key) const;
    Finding judge_replacing(const Bytes& name, const Key& key) const;
    Finding judge_appends(const Bytes& name, const Key& key) const;
    Finding judge_increments(const Bytes& name, const Key& key) const;
    static std::string describe(const Write& write);

    DurabilityOptions options_;
    std::map<Bytes, Key> keys_;
    size_t writes_ = 0;
    uint64_t refused_ = 0;
};

}  // namespace orrery::check
