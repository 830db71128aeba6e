#include "kv/record_cache.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <map>

namespace orrery::kv {
namespace {

std::optional<ValueRecord> record_of(uint64_t number) {
    ValueRecord record;
    record.modified = LogIndex(number);
    record.data = "value " + std::to_string(number);
    return record;
}

Bytes key_of(uint64_t number) { return "key:" + std::to_string(number); }

TEST_CASE("kv record cache: what it knows is what was set last (any sequence, few slots)") {
    CHECK(rc::check([] {
        RecordCache cache({.slots = 8, .record_bytes_max = 24});
        std::map<Bytes, std::optional<ValueRecord>> last;
        const auto steps = *rc::gen::container<std::vector<std::tuple<uint8_t, uint8_t>>>(
            rc::gen::tuple(rc::gen::inRange<uint8_t>(0, 40), rc::gen::inRange<uint8_t>(0, 8)));
        uint64_t number = 0;
        for (const auto& [key_number, kind] : steps) {
            const Bytes key = key_of(key_number);
            std::optional<ValueRecord> record = record_of(++number);
            if (kind == 0) record = std::nullopt;
            if (kind == 1) record->data.assign(100, 'x');
            cache.set(key, record);
            last[key] = record;
            const std::optional<ValueRecord>* now = cache.find(key);
            RC_ASSERT((now != nullptr) == (kind != 1));  // a record too large is not kept, and nothing older either
            for (const auto& [other, wanted] : last)
                if (const std::optional<ValueRecord>* known = cache.find(other)) RC_ASSERT(*known == wanted);
        }
        cache.clear();
        for (const auto& [key, record] : last) RC_ASSERT(cache.find(key) == nullptr);
    }));
}

TEST_CASE("kv record cache: a set keeps the eight keys that came last, whatever was rewritten meanwhile") {
    RecordCache cache({.slots = 8});  // one set
    for (uint64_t i = 0; i < 8; ++i) cache.set(key_of(i), record_of(i));
    for (uint64_t i = 0; i < 8; ++i) CHECK(cache.find(key_of(i)) != nullptr);
    cache.set(key_of(3), record_of(30));
    cache.set(key_of(8), record_of(8));
    CHECK(cache.find(key_of(0)) == nullptr);
    for (uint64_t i = 1; i < 9; ++i) CHECK(cache.find(key_of(i)) != nullptr);
    CHECK(*cache.find(key_of(3)) == record_of(30));
}

TEST_CASE("kv record cache: keys that fill a third of it and are used in turn are nearly all known") {
    RecordCache cache({});
    uint64_t known = 0;
    for (int round = 0; round < 2; ++round)
        for (uint64_t i = 0; i < 10'000; ++i) {
            known += cache.find(key_of(i)) != nullptr;
            cache.set(key_of(i), record_of(i));
        }
    CHECK(known > 9'900);
}

TEST_CASE("kv record cache: without slots it knows nothing") {
    RecordCache cache({.slots = 0});
    cache.set("key", record_of(1));
    CHECK(cache.find("key") == nullptr);
}

}  // namespace
}  // namespace orrery::kv
