#include "kv/overlay.h"
#include "tests/kv/memory_keyspace.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <set>

namespace orrery::kv {
namespace {

using test::MemoryKeyspace;
using test::at_ms;

std::multiset<Bytes> keys_in(const Reply& reply) {
    std::multiset<Bytes> out;
    for (const Reply& item : reply.items) out.insert(item.text);
    return out;
}

/// A whole SCAN; `between` is called after each step.
template <typename Between>
std::multiset<Bytes> scan(MemoryKeyspace& kv, const Argv& options, Between between) {
    std::multiset<Bytes> out;
    Bytes cursor = "0";
    do {
        Argv argv = {"SCAN", cursor};
        argv.insert(argv.end(), options.begin(), options.end());
        const Reply reply = kv.read_with_ticks(argv, kv.time);
        cursor = reply.items[0].text;
        out.merge(keys_in(reply.items[1]));
        between();
    } while (cursor != "0");
    return out;
}

TEST_CASE("kv scan: every key that is there all the time is given, in steps of any size, whatever else comes and goes (any keys)") {
    CHECK(rc::check([] {
        MemoryKeyspace kv;
        const auto fixed = *rc::gen::container<std::set<Bytes>>(rc::gen::container<Bytes>(rc::gen::arbitrary<char>()));
        for (const Bytes& key : fixed) kv.write({"SET", "fixed" + key, "v"}, at_ms(1));
        const auto count = std::to_string(*rc::gen::inRange(1, 8));
        int step = 0;
        const auto seen = scan(kv, {"COUNT", count}, [&] {
            kv.write({"SET", "other" + std::to_string(*rc::gen::inRange(0, 20)), "v"}, at_ms(1));
            kv.write({"DEL", "other" + std::to_string(*rc::gen::inRange(0, 20))}, at_ms(1));
            RC_ASSERT(++step < 1000);
        });
        for (const Bytes& key : fixed) RC_ASSERT(seen.count("fixed" + key) == 1u);
        for (const Bytes& key : seen) RC_ASSERT(key.starts_with("fixed") || key.starts_with("other"));
    }));
}

TEST_CASE("kv scan: a cursor fits a double, MATCH and TYPE filter, what is expired is not given") {
    MemoryKeyspace kv;
    for (int i = 0; i < 200; ++i) kv.write({"SET", "k" + std::to_string(i), "v"}, at_ms(1));
    kv.write({"SET", "gone", "v", "PX", "5"}, at_ms(1));
    kv.time = at_ms(10);
    CHECK(std::stoull(kv.read({"SCAN", "0"}, at_ms(10)).reply.items[0].text) < (1ull << 53));
    CHECK(scan(kv, {"COUNT", "7"}, [] {}).size() == 200);
    CHECK(scan(kv, {"COUNT", "7", "MATCH", "k1?"}, [] {}).size() == 10);
    CHECK(scan(kv, {"TYPE", "STRING"}, [] {}).size() == 200);
    CHECK(scan(kv, {"TYPE", "hash"}, [] {}).empty());
    CHECK(kv.read({"SCAN", "18446744073709551615"}, at_ms(10)).reply.items[0].text == "0");
    CHECK(kv.read({"SCAN", "18446744073709551616"}, at_ms(10)).reply.text == "ERR invalid cursor");
}

TEST_CASE("kv keys: a key that expires between state-machine time and now needs a tick before a walk leaves it out") {
    MemoryKeyspace kv;
    kv.write({"SET", "k", "v", "PX", "5"}, at_ms(1));
    for (const Argv& argv : std::vector<Argv>{{"KEYS", "*"}, {"SCAN", "0"}, {"RANDOMKEY"}}) {
        CHECK(kv.read(argv, at_ms(20)).tick_needed);
        CHECK_FALSE(kv.read(argv, at_ms(3)).tick_needed);
    }
    CHECK(kv.read_with_ticks({"KEYS", "*"}, at_ms(20)).items.empty());
    CHECK(kv.read_with_ticks({"RANDOMKEY"}, at_ms(20)) == Reply::null());
}

TEST_CASE("kv keys: RANDOMKEY gives every key of a small keyspace, about equally often, and none that is not there") {
    MemoryKeyspace kv;
    for (const char* key : {"foo", "bar", "baz"}) kv.write({"SET", key, "v"}, at_ms(1));
    kv.write({"SET", "gone", "v", "PX", "5"}, at_ms(1));
    kv.time = at_ms(10);
    std::map<Bytes, int> seen;
    for (int i = 0; i < 3000; ++i) ++seen[kv.read({"RANDOMKEY"}, at_ms(10)).reply.text];
    REQUIRE(seen.size() == 3);
    for (const auto& [key, count] : seen) CHECK_MESSAGE(count > 850, key);
}

TEST_CASE("kv keys: a reply of many values beyond the limit is refused (MGET, KEYS)") {
    MemoryKeyspace kv;
    kv.write({"MSET", "a", Bytes(300, 'x'), "b", Bytes(300, 'x')}, at_ms(1));
    const ExecuteContext context{.reply_bytes_max = 500};
    for (const Argv& argv : std::vector<Argv>{{"MGET", "a", "b"}}) {
        const Executed done = execute(resp::views_of(argv), context, kv).value();
        CHECK(done.reply.text.starts_with("ERR the reply is larger than 500 bytes"));
    }
    for (int i = 0; i < 40; ++i) kv.write({"SET", "k" + std::to_string(i), "v"}, at_ms(1));
    const Argv keys = {"KEYS", "k*"};
    CHECK(execute(resp::views_of(keys), context, kv).value().reply.is_error());
}

TEST_CASE("kv keys: RENAME and COPY carry the expiry, and what they overwrite leaves the counters") {
    MemoryKeyspace kv;
    kv.write({"SET", "a", "1", "PX", "1000"}, at_ms(1));
    kv.write({"SET", "b", "2", "PX", "5"}, at_ms(1));
    CHECK(kv.write({"RENAMENX", "a", "b"}, at_ms(20)) == Reply::integer(1));  // b is expired, its record is still there
    CHECK(kv.read({"PEXPIRETIME", "b"}, at_ms(20)).reply == Reply::integer(1001));
    CHECK(kv.keys == 1);
    CHECK(kv.write({"COPY", "b", "c"}, at_ms(20)) == Reply::integer(1));
    CHECK(kv.volatile_keys == 2);
    CHECK(kv.write({"COPY", "b", "b"}, at_ms(20)).text == "ERR source and destination objects are the same");
}

TEST_CASE("kv expiry: a time to live is never shown as longer than it was set (between two milliseconds)") {
    MemoryKeyspace kv;
    kv.write({"SETEX", "k", "1", "v"}, LogTime{1'000'500'000});
    CHECK(kv.read({"PTTL", "k"}, LogTime{1'000'500'000}).reply == Reply::integer(1000));
    CHECK(kv.read({"PTTL", "k"}, LogTime{1'000'900'000}).reply == Reply::integer(1000));
    CHECK(kv.read({"PTTL", "k"}, LogTime{1'001'000'001}).reply == Reply::integer(999));
}

TEST_CASE("kv overlay: walking over it gives what the changed keyspace would give (any changes)") {
    CHECK(rc::check([] {
        MemoryKeyspace below, model;
        Overlay overlay;
        const auto key = [] { return "k" + std::to_string(*rc::gen::inRange(0, 30)); };
        const int before = *rc::gen::inRange(0, 30), changes = *rc::gen::inRange(0, 30);
        for (int i = 0; i < before; ++i) below.write({"SET", key(), "old"}, at_ms(1));
        model.records = below.records;
        for (int i = 0; i < changes; ++i) {
            const int what = *rc::gen::inRange(0, 20);
            if (what == 0) {
                overlay.flush();
                model.records.clear();
            } else if (what < 8) {
                const Bytes gone = key();
                overlay.set(Record::absent(ByteView(gone)));
                model.records.erase(gone);
            } else {
                const Bytes put = key();
                const RecordRef record = Record::make(ByteView(put), {.modified = LogIndex(7), .data = "new"});
                overlay.set(record);
                model.records[put] = record;
            }
        }
        std::vector<RecordRef> got;
        for (std::optional<uint64_t> position = 0; position;) {
            const auto stretch = overlay.stretch(*position, 3, below).value();
            got.insert(got.end(), stretch.records.begin(), stretch.records.end());
            if (stretch.next) RC_ASSERT(*stretch.next > *position);
            position = stretch.next;
        }
        const std::vector<RecordRef> wanted = model.stretch(0, 1000).value().records;
        RC_ASSERT(std::ranges::equal(got, wanted, [](const RecordRef& a, const RecordRef& b) { return a->key() == b->key() && a->value() == b->value(); }));
    }));
}

}  // namespace
}  // namespace orrery::kv
