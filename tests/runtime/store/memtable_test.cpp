#include "runtime/store/memtable.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>
#include <rocksdb/slice.h>

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "runtime/base/bytes.h"

namespace orrery::store {
namespace {

// The form in which RocksDB hands entries over: length, user key, tag (sequence << 8 | kind, little-endian), and a value.
std::string internal_key(const Bytes& user, uint64_t sequence) {
    std::string out = user;
    put_le<uint64_t>(out, sequence << 8 | 1);
    return out;
}

std::string entry_of(const Bytes& user, uint64_t sequence) {
    const std::string key = internal_key(user, sequence);
    REQUIRE(key.size() < 128);  // a length of one byte
    return std::string(1, static_cast<char>(key.size())) + key + "value";
}

uint64_t sequence_of(const rocksdb::Slice& internal) { return get_le<uint64_t>(internal.data() + internal.size() - 8) >> 8; }
Bytes user_of(const rocksdb::Slice& internal) { return Bytes(internal.data(), internal.size() - 8); }

// As RocksDB orders them: user keys up, of one key the newest first.
class Comparator : public rocksdb::MemTableRep::KeyComparator {
 public:
    int operator()(const char* a, const char* b) const override { return compare(decode_key(a), decode_key(b)); }
    int operator()(const char* a, const rocksdb::Slice& b) const override { return compare(decode_key(a), b); }
    rocksdb::Slice decode_key(const char* entry) const override { return {entry + 1, static_cast<size_t>(static_cast<unsigned char>(entry[0]))}; }

 private:
    static int compare(const rocksdb::Slice& a, const rocksdb::Slice& b) {
        if (const int order = user_of(a).compare(user_of(b)); order != 0) return order;
        return sequence_of(a) == sequence_of(b) ? 0 : sequence_of(a) > sequence_of(b) ? -1 : 1;
    }
};

struct Newest {
    bool operator()(const std::pair<Bytes, uint64_t>& a, const std::pair<Bytes, uint64_t>& b) const {
        return a.first != b.first ? a.first < b.first : a.second > b.second;
    }
};

struct Table {
    explicit Table(size_t prefix_bytes) : memtable(make_memtable_factory(prefix_bytes)->CreateMemTableRep(comparator, nullptr, nullptr, nullptr)) {}
    bool insert(const Bytes& user, uint64_t sequence) {
        entries.push_back(entry_of(user, sequence));
        return memtable->InsertKey(entries.back().data());
    }
    std::pair<Bytes, uint64_t> at(const rocksdb::MemTableRep::Iterator& cursor) const {
        const rocksdb::Slice key = comparator.decode_key(cursor.key());
        return {user_of(key), sequence_of(key)};
    }
    Comparator comparator;
    std::deque<std::string> entries;
    std::unique_ptr<rocksdb::MemTableRep> memtable;
};

using Model = std::map<std::pair<Bytes, uint64_t>, bool, Newest>;

rc::Gen<Bytes> gen_key() {
    // Few bytes, zeros among them, and lengths around the ends of the prefix and of the eight bytes behind it.
    return rc::gen::mapcat(rc::gen::inRange<size_t>(0, 16), [](size_t length) {
        return rc::gen::container<Bytes>(length, rc::gen::element('\0', '\0', 'a', '\xff'));
    });
}

TEST_CASE("store memtable: in order, forwards, backwards and from any place, for keys of any form") {
    CHECK(rc::check([] {
        Table table(*rc::gen::element<size_t>(0, 3, 25));
        Model model;
        const auto keys = *rc::gen::container<std::vector<Bytes>>(gen_key());
        uint64_t sequence = 0;
        for (const Bytes& key : keys) {
            RC_ASSERT(table.insert(key, ++sequence));
            RC_ASSERT(!table.insert(key, sequence));
            model[{key, sequence}] = true;
            RC_ASSERT(table.memtable->Contains(entry_of(key, sequence).data()));
            RC_ASSERT(!table.memtable->Contains(entry_of(key, sequence + 1).data()));
        }
        if (*rc::gen::arbitrary<bool>()) table.memtable->MarkReadOnly();
        const std::unique_ptr<rocksdb::MemTableRep::Iterator> cursor(table.memtable->GetIterator());
        auto expected = model.begin();
        for (cursor->SeekToFirst(); cursor->Valid(); cursor->Next(), ++expected) {
            RC_ASSERT(expected != model.end());
            RC_ASSERT(table.at(*cursor) == expected->first);
        }
        RC_ASSERT(expected == model.end());
        for (cursor->SeekToLast(); cursor->Valid(); cursor->Prev()) {
            RC_ASSERT(expected != model.begin());
            RC_ASSERT(table.at(*cursor) == (--expected)->first);
        }
        RC_ASSERT(expected == model.begin());
        for (const Bytes& target : *rc::gen::container<std::vector<Bytes>>(gen_key())) {
            const uint64_t at = *rc::gen::inRange<uint64_t>(0, sequence + 2);
            const std::string wanted = internal_key(target, at);
            const auto from = model.lower_bound({target, at});
            cursor->Seek(wanted, nullptr);
            RC_ASSERT(cursor->Valid() == (from != model.end()));
            if (cursor->Valid()) RC_ASSERT(table.at(*cursor) == from->first);
            cursor->Seek(rocksdb::Slice(), entry_of(target, at).data());
            RC_ASSERT(cursor->Valid() == (from != model.end()));
            if (cursor->Valid()) RC_ASSERT(table.at(*cursor) == from->first);
            const auto above = model.upper_bound({target, at});
            cursor->SeekForPrev(wanted, nullptr);
            RC_ASSERT(cursor->Valid() == (above != model.begin()));
            if (cursor->Valid()) RC_ASSERT(table.at(*cursor) == std::prev(above)->first);
        }
    }));
}

TEST_CASE("store memtable: a cursor keeps its entry while others are written, and meets what came behind it") {
    CHECK(rc::check([] {
        Table table(*rc::gen::element<size_t>(0, 3));
        Model model;
        uint64_t sequence = 0;
        auto write = [&](const Bytes& key) {
            RC_ASSERT(table.insert(key, ++sequence));
            model[{key, sequence}] = true;
        };
        for (const Bytes& key : *rc::gen::nonEmpty(rc::gen::container<std::vector<Bytes>>(gen_key()))) write(key);
        const std::unique_ptr<rocksdb::MemTableRep::Iterator> cursor(table.memtable->GetIterator());
        cursor->SeekToFirst();
        auto expected = model.begin();
        for (const auto& [key, forwards] : *rc::gen::container<std::vector<std::pair<Bytes, bool>>>(rc::gen::pair(gen_key(), rc::gen::arbitrary<bool>()))) {
            RC_ASSERT(table.at(*cursor) == expected->first);
            write(key);
            RC_ASSERT(table.at(*cursor) == expected->first);
            if (forwards) {
                cursor->Next();
                ++expected;
            } else {
                cursor->Prev();
                expected = expected == model.begin() ? model.end() : std::prev(expected);
            }
            RC_ASSERT(cursor->Valid() == (expected != model.end()));
            if (cursor->Valid()) continue;
            cursor->SeekToFirst();
            expected = model.begin();
        }
    }));
}

TEST_CASE("store memtable: reads of the Store take no memory that stays (RocksDB never ends the cursor of a read)") {
    Table table(3);
    REQUIRE(table.insert("key", 1));
    const rocksdb::MemTableRep::Iterator* first = table.memtable->GetDynamicPrefixIterator(nullptr);
    for (int i = 0; i < 10; ++i) CHECK(table.memtable->GetDynamicPrefixIterator(nullptr) == first);
    CHECK(std::unique_ptr<rocksdb::MemTableRep::Iterator>(table.memtable->GetIterator()).get() != first);
}

TEST_CASE("store memtable: readers of other threads see whole entries in order while one writes") {
    Table table(3);
    constexpr uint64_t kWrites = 20'000;
    std::deque<std::string> written;
    for (uint64_t i = 0; i < kWrites; ++i) written.push_back(entry_of("key" + std::to_string(i * 7919 % 1000), i + 1));
    std::atomic<bool> done{false};
    std::vector<std::thread> readers;
    std::atomic<uint64_t> out_of_order{0}, seen{0};
    for (int reader = 0; reader < 2; ++reader)
        readers.emplace_back([&] {
            do {
                const std::unique_ptr<rocksdb::MemTableRep::Iterator> cursor(table.memtable->GetIterator());
                const char* before = nullptr;
                for (cursor->SeekToFirst(); cursor->Valid(); cursor->Next()) {
                    if (before != nullptr && table.comparator(before, cursor->key()) >= 0) ++out_of_order;
                    before = cursor->key();
                    ++seen;
                }
            } while (!done);
        });
    for (std::string& entry : written) REQUIRE(table.memtable->InsertKey(entry.data()));
    done = true;
    for (std::thread& reader : readers) reader.join();
    CHECK(out_of_order == 0);
    CHECK(seen > 0);
    CHECK(table.memtable->ApproximateMemoryUsage() >= kWrites * 16);
}

}  // namespace
}  // namespace orrery::store
