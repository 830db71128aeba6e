// RecordCache: records of recently used keys as the applied state has them, so that a command on a warm key asks no Store.
//
// Set-associative: a key belongs to one set of eight slots, by its hash, and replaces the oldest record there; so what is in
// it depends on the order of commands alone. With one slot a key a quarter of 10,000 keys in 32,768 slots, used in turn, put
// each other out for good; with four it is two in a hundred, with eight, whose hashes fill a line of memory, it is less than
// one in a hundred. Whoever changes the state changes it in the same step, or clears it.
#pragma once

#include <array>
#include <vector>

#include "kv/record.h"
#include "runtime/base/check.h"

namespace orrery::kv {

class RecordCache {
    static constexpr size_t kWays = 8;

 public:
    struct Options {
        size_t slots = 1 << 15;        // a power of two, at least 8; 0: no cache
        size_t record_bytes_max = 512;  // key and data; larger ones are not kept
    };
    explicit RecordCache(const Options& options) : options_(options), sets_(options.slots / kWays) {
        ORRERY_CHECK(options.slots == 0 || (options.slots >= kWays && (options.slots & (options.slots - 1)) == 0), options.slots);
    }

    /// Nothing: not known. A known key without a record is one that does not exist().
    RecordRef find(const HashedKey& key) const {
        if (sets_.empty()) return nullptr;
        const Set& set = set_of(key.hash);
        const size_t way = way_of(set, key);
        return way < kWays ? set.records[way] : nullptr;
    }
    void set(const RecordRef& record) {
        if (sets_.empty()) return;
        const HashedKey key = record->hashed_key();
        Set& set = sets_[key.hash & (sets_.size() - 1)];
        size_t way = way_of(set, key);
        if (record->size_bytes() > options_.record_bytes_max) {
            if (way < kWays) set.records[way] = nullptr;  // what was known of it is not so any more
            return;
        }
        if (way == kWays) {
            way = set.oldest;
            set.oldest = static_cast<uint8_t>((way + 1) % kWays);
            set.hashes[way] = key.hash;
        }
        set.records[way] = record;
    }
    void clear() {
        for (Set& set : sets_) set = Set();
    }

    /// Before a row of find(): first this for all keys, then fetch_record() for all, so that the processor's waits for memory overlap.
    void fetch_set(uint64_t hash) const {
        if (sets_.empty()) return;
        const Set& set = set_of(hash);
        __builtin_prefetch(&set.hashes);
        __builtin_prefetch(&set.records);
    }
    void fetch_record(uint64_t hash) const {
        if (sets_.empty()) return;
        const Set& set = set_of(hash);
        for (size_t way = 0; way < kWays; ++way)
            if (set.hashes[way] == hash && set.records[way]) {
                __builtin_prefetch(&*set.records[way]);
                __builtin_prefetch(reinterpret_cast<const char*>(&*set.records[way]) + 64);
            }
    }

 private:
    struct alignas(64) Set {
        std::array<uint64_t, kWays> hashes{};  // of the slots: a look at one line of memory tells which key to compare
        std::array<RecordRef, kWays> records;
        uint8_t oldest = 0;
    };
    const Set& set_of(uint64_t hash) const { return sets_[hash & (sets_.size() - 1)]; }
    static size_t way_of(const Set& set, const HashedKey& key) {
        for (size_t way = 0; way < kWays; ++way)
            if (set.hashes[way] == key.hash && set.records[way] && set.records[way]->key() == key.text) return way;
        return kWays;
    }
    Options options_;
    std::vector<Set> sets_;
};

}  // namespace orrery::kv
