#include "runtime/store/memtable.h"

#include <absl/container/btree_map.h>
#include <absl/container/inlined_vector.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/bytes.h"
#include "runtime/base/check.h"

namespace orrery::store {

namespace {

constexpr size_t kTagBytes = 8;           // sequence number and kind, behind the user's key
constexpr size_t kIndexBytesATree = 200;   // its place among trees, and a first node
constexpr size_t kIndexBytesAnEntry = 48;  // at most, about: an item of a node that is two thirds full, one entry in its list

/// A key of RocksDB's cut into what many share, and a number that orders keys of one prefix unless they are equal in it.
struct SplitKey {
    std::string_view prefix;
    uint64_t discriminator = 0;
    bool whole = false;  // there is nothing behind the prefix
};

SplitKey split(const rocksdb::Slice& internal_key, size_t prefix_bytes) {
    CHECK(internal_key.size() >= kTagBytes, internal_key.size());
    const std::string_view user(internal_key.data(), internal_key.size() - kTagBytes);
    SplitKey out{.prefix = user.substr(0, prefix_bytes)};
    const std::string_view rest = user.substr(out.prefix.size());
    out.whole = rest.empty();
    if (rest.size() >= 8) {
        out.discriminator = get_be64(rest.data());
    } else {
        // A key that ends here and one that goes on with zeros are told apart by the comparison of whole keys.
        char padded[8] = {};
        std::copy(rest.begin(), rest.end(), padded);
        out.discriminator = get_be64(padded);
    }
    return out;
}

class Memtable final : public rocksdb::MemTableRep {
 public:
    Memtable(const KeyComparator& compare, rocksdb::Allocator* allocator, size_t prefix_bytes)
        : MemTableRep(allocator), compare_(compare), prefix_bytes_(prefix_bytes) {}
    ~Memtable() override { delete reader_; }

    void Insert(rocksdb::KeyHandle handle) override { CHECK(InsertKey(handle)); }

    bool InsertKey(rocksdb::KeyHandle handle) override {
        const char* entry = static_cast<const char*>(handle);
        const SplitKey key = split(compare_.decode_key(entry), prefix_bytes_);
        const Guard guard(*this);
        Alike& alike = tree_for(key.prefix, key.whole)[key.discriminator];
        // The newest version of a key comes before the older ones, so this is the last of them nearly always.
        const int order = alike.empty() ? -1 : compare_(entry, alike.back());
        if (order == 0) return false;
        if (order < 0) {
            alike.push_back(entry);
        } else {
            const auto at = std::partition_point(alike.begin(), alike.end(), [&](const char* other) { return compare_(other, entry) > 0; });
            if (compare_(*at, entry) == 0) return false;
            alike.insert(at, entry);
        }
        ++version_;
        entries_.fetch_add(1, std::memory_order_relaxed);
        return true;
    }

    bool Contains(const char* entry) const override {
        const rocksdb::Slice internal_key = compare_.decode_key(entry);
        const SplitKey key = split(internal_key, prefix_bytes_);
        const Guard guard(*this);
        const auto tree = trees_.find(key.prefix);
        if (tree == trees_.end()) return false;
        const auto alike = tree->second.find(key.discriminator);
        if (alike == tree->second.end()) return false;
        const size_t after = count_not_below(alike->second, internal_key);
        return after > 0 && compare_(alike->second[after - 1], internal_key) == 0;
    }

    void MarkReadOnly() override { read_only_.store(true, std::memory_order_release); }
    size_t ApproximateMemoryUsage() override {
        return entries_.load(std::memory_order_relaxed) * kIndexBytesAnEntry + tree_count_.load(std::memory_order_relaxed) * kIndexBytesATree;
    }
    Iterator* GetIterator(rocksdb::Arena*) override;

    /// RocksDB's Get() asks for a cursor this way, without an arena, and never ends it: it is the same one each time, for one
    /// reader at a time. (What Get() is given can not be looked into: its type is RocksDB's own.)
    void Get(const rocksdb::LookupKey& key, void* arguments, bool (*callback)(void* arguments, const char* entry)) override {
        const std::lock_guard lock(reader_mutex_);
        MemTableRep::Get(key, arguments, callback);
    }
    Iterator* GetDynamicPrefixIterator(rocksdb::Arena* arena) override {
        if (arena != nullptr) return GetIterator(arena);
        if (reader_ == nullptr) reader_ = GetIterator(nullptr);
        return reader_;
    }

 private:
    /// Entries whose keys share prefix and discriminator: versions of one key, but for rare others. Last first.
    using Alike = absl::InlinedVector<const char*, 2>;
    using Tree = absl::btree_map<uint64_t, Alike>;
    using Trees = std::map<std::string, Tree, std::less<>>;  // in the order of keys: a prefix stands before what it begins

    /// Nobody writes any more once it is read-only: then nobody locks.
    class Guard {
     public:
        explicit Guard(const Memtable& table) : mutex_(table.read_only_.load(std::memory_order_acquire) ? nullptr : &table.mutex_) {
            if (mutex_ != nullptr) mutex_->lock();
        }
        ~Guard() {
            if (mutex_ != nullptr) mutex_->unlock();
        }
        Guard(const Guard&) = delete;
        Guard& operator=(const Guard&) = delete;

     private:
        std::mutex* mutex_;
    };

    class CursorOwner;
    class Cursor;

    /// Memory of cursors. RocksDB wants theirs in an arena of its own, whose type it keeps to itself, and then ends them without
    /// freeing them; so an end, of either kind, gives the memory back to here.
    class CursorMemory {
     public:
        void* take(size_t bytes) {
            const std::lock_guard lock(mutex_);
            if (free_.empty()) {
                all_.push_back(std::make_unique<std::byte[]>(bytes));
                free_.push_back(all_.back().get());
            }
            void* out = free_.back();
            free_.pop_back();
            return out;
        }
        void give_back(void* memory) {
            const std::lock_guard lock(mutex_);
            free_.push_back(memory);
        }

     private:
        std::mutex mutex_;
        std::vector<std::unique_ptr<std::byte[]>> all_;  // as many as there ever were at once
        std::vector<void*> free_;
    };

    /// They are the first ones.
    size_t count_not_below(const Alike& alike, const rocksdb::Slice& internal_key) const {
        const auto end = std::partition_point(alike.begin(), alike.end(), [&](const char* other) { return compare_(other, internal_key) >= 0; });
        return static_cast<size_t>(end - alike.begin());
    }

    Tree& tree_for(std::string_view prefix, bool whole_key) {
        if (last_ != nullptr && last_->first == prefix) return last_->second;
        auto found = trees_.find(prefix);
        if (found == trees_.end()) {
            found = trees_.emplace(std::string(prefix), Tree()).first;
            tree_count_.fetch_add(1, std::memory_order_relaxed);
        }
        // A key that ends within the prefix has a tree of its own, and is not what the next one is like.
        if (!whole_key) last_ = &*found;
        return found->second;
    }

    const KeyComparator& compare_;
    const size_t prefix_bytes_;
    CursorMemory cursors_;
    std::atomic<bool> read_only_{false};
    std::atomic<size_t> entries_{0};
    std::atomic<size_t> tree_count_{0};
    std::mutex reader_mutex_;
    Iterator* reader_ = nullptr;  // of Get(); guarded by reader_mutex_
    mutable std::mutex mutex_;
    // Guarded by mutex_ until read-only. No tree is empty, nor a list in it.
    Trees trees_;
    Trees::value_type* last_ = nullptr;  // that of the last write of a key longer than the prefix
    uint64_t version_ = 0;               // of the trees: places in them are good for one
};

/// The first base of Cursor, so that its destructor is the last thing that touches the memory.
class Memtable::CursorOwner {
 public:
    CursorOwner(CursorMemory& home, void* memory) : home_(home), memory_(memory) {}
    ~CursorOwner() { home_.give_back(memory_); }
    CursorOwner(const CursorOwner&) = delete;
    CursorOwner& operator=(const CursorOwner&) = delete;

 private:
    CursorMemory& home_;
    void* memory_;
};

/// Stands on an entry, which stays where it is in memory; its place in a tree is found again after a write.
class Memtable::Cursor final : private Memtable::CursorOwner, public MemTableRep::Iterator {
 public:
    static Cursor* make(Memtable& table) { return new (table.cursors_.take(sizeof(Cursor))) Cursor(table); }
    static void* operator new(size_t, void* where) { return where; }
    static void operator delete(void*) {}  // CursorOwner has given it back

    bool Valid() const override { return entry_ != nullptr; }
    const char* key() const override { return entry_; }

    void Next() override {
        const Guard guard(table_);
        refind();
        step_forward();
    }
    void Prev() override {
        const Guard guard(table_);
        refind();
        step_back();
    }
    void Seek(const rocksdb::Slice& internal_key, const char* memtable_key) override {
        const Guard guard(table_);
        lower_bound(memtable_key != nullptr ? table_.compare_.decode_key(memtable_key) : internal_key);
    }
    void SeekForPrev(const rocksdb::Slice& internal_key, const char* memtable_key) override {
        const Guard guard(table_);
        const rocksdb::Slice wanted = memtable_key != nullptr ? table_.compare_.decode_key(memtable_key) : internal_key;
        lower_bound(wanted);
        if (entry_ == nullptr || table_.compare_(entry_, wanted) != 0) step_back();
    }
    void SeekToFirst() override {
        const Guard guard(table_);
        tree_ = table_.trees_.begin();
        at_first_of_tree();
    }
    void SeekToLast() override {
        const Guard guard(table_);
        tree_ = table_.trees_.end();
        step_back();
    }

 private:
    explicit Cursor(Memtable& table) : CursorOwner(table.cursors_, this), table_(table) {}
    void stand() {
        entry_ = tree_ == table_.trees_.end() ? nullptr : alike_->second[left_ - 1];
        version_ = table_.version_;
    }
    void at_first_of_tree() {
        if (tree_ != table_.trees_.end()) {
            alike_ = tree_->second.begin();
            left_ = alike_->second.size();
        }
        stand();
    }
    void step_forward() {
        if (--left_ > 0) return stand();
        if (++alike_ == tree_->second.end()) {
            ++tree_;
            return at_first_of_tree();
        }
        left_ = alike_->second.size();
        stand();
    }
    /// From a place, which may be the end, to the entry before it; from the first one to the end.
    void step_back() {
        const bool at_end = tree_ == table_.trees_.end();
        if (!at_end && left_ < alike_->second.size()) {
            ++left_;
            return stand();
        }
        if (at_end || alike_ == tree_->second.begin()) {
            if (tree_ == table_.trees_.begin()) {
                tree_ = table_.trees_.end();
                return stand();
            }
            --tree_;
            alike_ = tree_->second.end();
        }
        --alike_;
        left_ = 1;
        stand();
    }
    /// To the first entry that is not below `key`.
    void lower_bound(const rocksdb::Slice& key) {
        const SplitKey split_key = split(key, table_.prefix_bytes_);
        tree_ = table_.trees_.lower_bound(split_key.prefix);
        if (tree_ == table_.trees_.end() || tree_->first != split_key.prefix) return at_first_of_tree();
        alike_ = tree_->second.lower_bound(split_key.discriminator);
        if (alike_ == tree_->second.end()) {
            ++tree_;
            return at_first_of_tree();
        }
        left_ = alike_->second.size();
        if (alike_->first == split_key.discriminator) {
            left_ = table_.count_not_below(alike_->second, key);
            if (left_ == 0) {
                left_ = 1;
                return step_forward();
            }
        }
        stand();
    }
    void refind() {
        CHECK(entry_ != nullptr);
        if (version_ != table_.version_) lower_bound(table_.compare_.decode_key(entry_));
    }

    const Memtable& table_;
    const char* entry_ = nullptr;
    Trees::const_iterator tree_{};   // the end: behind all entries
    Tree::const_iterator alike_{};
    size_t left_ = 0;                // of *alike_, the entry itself among them
    uint64_t version_ = 0;
};

rocksdb::MemTableRep::Iterator* Memtable::GetIterator(rocksdb::Arena*) { return Cursor::make(*this); }

class Factory final : public rocksdb::MemTableRepFactory {
 public:
    explicit Factory(size_t prefix_bytes) : prefix_bytes_(prefix_bytes) {}
    rocksdb::MemTableRep* CreateMemTableRep(const rocksdb::MemTableRep::KeyComparator& compare, rocksdb::Allocator* allocator,
                                            const rocksdb::SliceTransform*, rocksdb::Logger*) override {
        return new Memtable(compare, allocator, prefix_bytes_);
    }
    const char* Name() const override { return "OrreryMemtable"; }
    bool CanHandleDuplicatedKey() const override { return true; }

 private:
    const size_t prefix_bytes_;
};

}  // namespace

std::shared_ptr<rocksdb::MemTableRepFactory> make_memtable_factory(size_t prefix_bytes) { return std::make_shared<Factory>(prefix_bytes); }

}  // namespace orrery::store
