// Overlay: changes on top of a keyspace that does not have them yet. An apply batch keeps one over the Store, a transaction one
// over whatever it runs on.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kv/execute.h"

namespace orrery::kv {

class Overlay {
 public:
    /// Nothing: the keyspace below decides, unless flushed(). A record that does not exist() was removed.
    RecordRef find(const HashedKey& key) const {
        const size_t slot = records_.empty() ? kNone : slot_of(key);
        return slot == kNone || slots_[slot] == 0 ? RecordRef() : records_[slots_[slot] - 1];
    }
    /// Nothing of the keyspace below is there any more.
    bool flushed() const { return flushed_; }
    void flush() {
        clear();
        flushed_ = true;
    }
    void set(RecordRef record);
    void clear();
    /// Each key once, in the order in which they first came.
    std::span<const RecordRef> records() const { return records_; }

    Result<RecordRef> get(const HashedKey& key, KeyspaceView& below) const;
    Result<KeyspaceView::Stretch> stretch(uint64_t position, size_t records_max, KeyspaceView& below) const;

 private:
    static constexpr size_t kNone = ~size_t{0};
    size_t slot_of(const HashedKey& key) const;
    void make_slots(size_t count);

    std::vector<RecordRef> records_;
    std::vector<uint32_t> slots_;  // open addressing by hash: 1 + place in records_, 0 none; a power of two, at most half full
    bool flushed_ = false;
};

}  // namespace orrery::kv
