#include "kv/record_cache.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <map>

namespace orrery::kv {
namespace {

Bytes key_of(uint64_t number) { return "key:" + std::to_string(number); }

RecordRef record_of(const Bytes& key, uint64_t number) {
    const Bytes data = "value " + std::to_string(number);
    return Record::make(ByteView(key), {.modified = LogIndex(number), .data = data});
}

bool alike(const RecordRef& a, const RecordRef& b) { return a->key() == b->key() && a->exists() == b->exists() && a->value() == b->value(); }

TEST_CASE("kv record cache: what it knows is what was set last (any sequence, few slots)") {
    CHECK(rc::check([] {
        RecordCache cache({.slots = 8, .record_bytes_max = 24});
        std::map<Bytes, RecordRef> last;
        const auto steps = *rc::gen::container<std::vector<std::tuple<uint8_t, uint8_t>>>(
            rc::gen::tuple(rc::gen::inRange<uint8_t>(0, 40), rc::gen::inRange<uint8_t>(0, 8)));
        uint64_t number = 0;
        for (const auto& [key_number, kind] : steps) {
            const Bytes key = key_of(key_number);
            RecordRef record = record_of(key, ++number);
            if (kind == 0) record = Record::absent(ByteView(key));
            const Bytes large(100, 'x');
            if (kind == 1) record = Record::make(ByteView(key), {.data = large});
            cache.set(record);
            last[key] = record;
            const RecordRef now = cache.find(ByteView(key));
            RC_ASSERT(bool(now) == (kind != 1));  // a record too large is not kept, and nothing older either
            for (const auto& [other, wanted] : last)
                if (const RecordRef known = cache.find(ByteView(other))) RC_ASSERT(alike(known, wanted));
        }
        cache.clear();
        for (const auto& [key, record] : last) RC_ASSERT(!cache.find(ByteView(key)));
    }));
}

TEST_CASE("kv record cache: a set keeps the eight keys that came last, whatever was rewritten meanwhile") {
    RecordCache cache({.slots = 8});  // one set
    for (uint64_t i = 0; i < 8; ++i) cache.set(record_of(key_of(i), i));
    for (uint64_t i = 0; i < 8; ++i) CHECK(cache.find(ByteView(key_of(i))));
    cache.set(record_of(key_of(3), 30));
    cache.set(record_of(key_of(8), 8));
    CHECK_FALSE(cache.find(ByteView(key_of(0))));
    for (uint64_t i = 1; i < 9; ++i) CHECK(cache.find(ByteView(key_of(i))));
    CHECK(alike(cache.find(ByteView(key_of(3))), record_of(key_of(3), 30)));
}

TEST_CASE("kv record cache: keys that fill a third of it and are used in turn are nearly all known") {
    RecordCache cache({});
    uint64_t known = 0;
    for (int round = 0; round < 2; ++round)
        for (uint64_t i = 0; i < 10'000; ++i) {
            known += bool(cache.find(ByteView(key_of(i))));
            cache.set(record_of(key_of(i), i));
        }
    CHECK(known > 9'900);
}

TEST_CASE("kv record cache: without slots it knows nothing") {
    RecordCache cache({.slots = 0});
    cache.set(record_of("key", 1));
    CHECK_FALSE(cache.find(ByteView("key")));
}

}  // namespace
}  // namespace orrery::kv
