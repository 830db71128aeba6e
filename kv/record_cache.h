// RecordCache: records of recently used keys as the applied state has them, so that a command on a warm key asks no Store.
//
// Set-associative: a key belongs to one set of eight slots, by its stored hash, and replaces the oldest record there; so what
// is in it depends on the order of commands alone. With one slot a key a quarter of 10,000 keys in 32,768 slots, used in turn, put each
// other out for good; with four it is two in a hundred, with eight, whose hashes fill a line of memory, it is less than one in a hundred. It is a copy: whoever changes the state changes it in the same step,
// or clears it.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "kv/stored_format.h"
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
        CHECK(options.slots == 0 || (options.slots >= kWays && (options.slots & (options.slots - 1)) == 0), options.slots);
    }

    /// Null: not known. A known key without a record is absent (nullopt behind the pointer).
    const std::optional<ValueRecord>* find(ByteView key) const {
        if (sets_.empty()) return nullptr;
        const uint64_t hash = key_hash(key);
        const Set& set = set_of(hash);
        const size_t way = way_of(set, hash, key);
        return way < kWays ? &set.slots[way].record : nullptr;
    }
    void set(ByteView key, const std::optional<ValueRecord>& record) {
        if (sets_.empty()) return;
        const uint64_t hash = key_hash(key);
        Set& set = sets_[hash & (sets_.size() - 1)];
        size_t way = way_of(set, hash, key);
        if (key.size() + (record ? record->data.size() : 0) > options_.record_bytes_max) {
            if (way < kWays) set.slots[way].used = false;  // what was known of it is not so any more
            return;
        }
        if (way == kWays) {
            way = set.oldest;
            set.oldest = static_cast<uint8_t>((way + 1) % kWays);
            set.hashes[way] = hash;
            set.slots[way].used = true;
            set.slots[way].key.assign(key);
        }
        set.slots[way].record = record;
    }
    void clear() {
        for (Set& set : sets_) set = Set();
    }

 private:
    struct Slot {
        bool used = false;
        Bytes key;
        std::optional<ValueRecord> record;
    };
    struct Set {
        std::array<uint64_t, kWays> hashes{};  // of the slots: a look at one line of memory tells which key to compare
        uint8_t oldest = 0;
        std::array<Slot, kWays> slots;
    };
    const Set& set_of(uint64_t hash) const { return sets_[hash & (sets_.size() - 1)]; }
    static size_t way_of(const Set& set, uint64_t hash, ByteView key) {
        for (size_t way = 0; way < kWays; ++way)
            if (set.hashes[way] == hash && set.slots[way].used && set.slots[way].key == key) return way;
        return kWays;
    }
    Options options_;
    std::vector<Set> sets_;
};

}  // namespace orrery::kv
