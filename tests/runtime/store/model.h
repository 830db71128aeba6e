// A random history against a Store, and the model it is compared with.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/store/store.h"
#include "sim/rocksdb/l1.h"
#include "sim/rocksdb/memory_disk.h"
#include "sim/rocksdb/small_world.h"

namespace orrery::store::test {

using Content = std::map<std::string, std::string>;
inline constexpr std::string_view kApplied = "!applied";  // holds the number of the last batch
inline constexpr uint64_t kSubject = 7;

/// All batches ever written by number; state_after(n) is what a Store that holds exactly the first n must show.
class Model {
 public:
    struct Change {
        enum Kind { Put, Erase, EraseRange } kind;
        std::string key;
        std::string other;
    };
    /// Draws the next batch and fills `batch` with it. It joins the model with accept().
    void draw(RandomStream& random, Batch& batch) {
        std::vector<Change> changes;
        const uint64_t count = 1 + random.below(4);
        for (uint64_t i = 0; i < count; ++i) {
            uint64_t kind = random.below(20);
            std::string key = "k" + std::to_string(100 + random.below(200));
            if (kind < 15)
                changes.push_back({Change::Put, key, std::string(20 + random.below(400), static_cast<char>('a' + random.below(26)))});
            else if (kind < 19)
                changes.push_back({Change::Erase, key, {}});
            else
                changes.push_back({Change::EraseRange, key, key + "5"});
        }
        drawn_ = changes;
        const uint64_t number = batches_.size() + 1;
        changes.push_back({Change::Put, std::string(kApplied), std::to_string(number)});
        for (const Change& change : changes) {
            if (change.kind == Change::Put) batch.put(change.key, change.other);
            if (change.kind == Change::Erase) batch.erase(change.key);
            if (change.kind == Change::EraseRange) batch.erase_range(change.key, change.other);
        }
        batch.mark(kSubject, number);
    }
    void accept() { batches_.push_back(std::move(drawn_)); }
    /// After a crash: the batches behind `count` never were.
    void cut_to(uint64_t count) { batches_.resize(count); }
    uint64_t size() const { return batches_.size(); }
    Content state_after(uint64_t count) const {
        Content content;
        for (uint64_t n = 0; n < count; ++n)
            for (const Change& change : batches_[n]) {
                if (change.kind == Change::Put) content[change.key] = change.other;
                if (change.kind == Change::Erase) content.erase(change.key);
                if (change.kind == Change::EraseRange)
                    content.erase(content.lower_bound(change.key), content.lower_bound(change.other));
            }
        if (count > 0) content[std::string(kApplied)] = std::to_string(count);
        return content;
    }

 private:
    std::vector<std::vector<Change>> batches_;
    std::vector<Change> drawn_;
};

inline Result<Content> read_all(Fiber& fiber, const Store& store, const Snapshot* at, uint64_t chunk_bytes = 4096) {
    Content content;
    Bytes from;
    for (;;) {
        TRY(Store::Chunk chunk, store.scan(fiber, at, from, {}, {.bytes = chunk_bytes}));
        for (auto& [key, value] : chunk.pairs) {
            ORRERY_CHECK(content.emplace(key, value).second);
        }
        if (!chunk.next) return content;
        from = *chunk.next;
    }
}

/// The number of the last batch in `content`.
inline uint64_t applied_in(const Content& content) {
    auto at = content.find(std::string(kApplied));
    return at == content.end() ? 0 : std::stoull(at->second);
}

inline Options tiny() {
    Options options = Options::small();
    options.memtable_bytes = 64 << 10;
    options.memtables_max = 2;
    options.file_bytes = 64 << 10;
    options.cache_bytes = 32 << 10;
    return options;
}

}  // namespace orrery::store::test
