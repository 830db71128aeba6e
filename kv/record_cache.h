// RecordCache: records of recently used keys as the applied state has them, so that a command on a warm key asks no Store.
//
// Direct-mapped: a key has one slot, by its stored hash, and the last one in wins; so what is in it depends on the order of
// commands alone. It is a copy: whoever changes the state changes it in the same step, or clears it.
#pragma once

#include <optional>
#include <vector>

#include "kv/stored_format.h"

namespace orrery::kv {

class RecordCache {
 public:
    struct Options {
        size_t slots = 1 << 15;        // a power of two; 0: no cache
        size_t record_bytes_max = 512;  // key and data; larger ones are not kept
    };
    explicit RecordCache(const Options& options) : options_(options), slots_(options.slots) {}

    /// Null: not known. A known key without a record is absent (nullopt behind the pointer).
    const std::optional<ValueRecord>* find(ByteView key) const {
        if (slots_.empty()) return nullptr;
        const Slot& slot = slots_[key_hash(key) & (slots_.size() - 1)];
        return slot.used && slot.key == key ? &slot.record : nullptr;
    }
    void set(ByteView key, const std::optional<ValueRecord>& record) {
        if (slots_.empty()) return;
        Slot& slot = slots_[key_hash(key) & (slots_.size() - 1)];
        if (key.size() + (record ? record->data.size() : 0) > options_.record_bytes_max) {
            if (slot.key == key) slot.used = false;  // what was known of it is not so any more
            return;
        }
        slot.used = true;
        slot.key.assign(key);
        slot.record = record;
    }
    void clear() {
        for (Slot& slot : slots_) slot = Slot();
    }

 private:
    struct Slot {
        bool used = false;
        Bytes key;
        std::optional<ValueRecord> record;
    };
    Options options_;
    std::vector<Slot> slots_;
};

}  // namespace orrery::kv
