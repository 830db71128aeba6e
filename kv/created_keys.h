// CreatedKeys: for each bucket of keys, the log index at which one of them last came into being. It tells a watch of an absent
// key whether the key may have come and gone. Replicated state: every member has the same table at the same index.
//
// Buckets make it bounded; the price is that a creation of another key of the bucket between WATCH and EXEC also makes EXEC
// answer null, which a client must expect anyway.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "runtime/base/hash.h"
#include "runtime/base/ids.h"

namespace orrery::kv {

class CreatedKeys {
 public:
    static constexpr uint32_t kBuckets = 1 << 14;  // part of the format: all members must agree
    static uint16_t bucket_of(uint64_t key_hash) { return static_cast<uint16_t>(key_hash & (kBuckets - 1)); }

    CreatedKeys() : latest_(kBuckets) {}
    LogIndex latest(uint64_t key_hash) const { return latest_[bucket_of(key_hash)]; }
    void set(uint16_t bucket, LogIndex index) { latest_[bucket] = index; }
    uint64_t digest() const {
        uint64_t out = 0;
        for (uint32_t bucket = 0; bucket < kBuckets; ++bucket)
            if (latest_[bucket].value != 0) out = combine64(out, combine64(bucket, latest_[bucket].value));
        return out;
    }

 private:
    std::vector<LogIndex> latest_;
};

}  // namespace orrery::kv
