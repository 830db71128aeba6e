#include "kv/execute.h"
#include "tests/kv/memory_keyspace.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

namespace orrery::kv {
namespace {

using test::MemoryKeyspace;
using test::at_ms;

Reply ok() { return Reply::ok(); }
Reply bulk(const char* text) { return Reply::bulk(text); }
Reply number(int64_t value) { return Reply::integer(value); }

TEST_CASE("kv execute: SET and its options") {
    MemoryKeyspace kv;
    const LogTime now = at_ms(1'000'000);
    CHECK(kv.write({"SET", "k", "1"}, now) == ok());
    CHECK(kv.write({"SET", "k", "2", "NX"}, now) == Reply::null());
    CHECK(kv.write({"SET", "k", "2", "XX", "GET"}, now) == bulk("1"));
    CHECK(kv.write({"SET", "new", "2", "XX"}, now) == Reply::null());
    CHECK(kv.write({"SET", "new", "2", "NX", "GET"}, now) == Reply::null());
    CHECK(kv.read({"GET", "new"}, now).reply == bulk("2"));
    CHECK(kv.write({"SET", "k", "3", "EX", "10"}, now) == ok());
    CHECK(kv.read({"PTTL", "k"}, now).reply == number(10'000));
    CHECK(kv.write({"SET", "k", "4", "KEEPTTL"}, now) == ok());
    CHECK(kv.read({"TTL", "k"}, now).reply == number(10));
    CHECK(kv.write({"SET", "k", "5"}, now) == ok());
    CHECK(kv.read({"TTL", "k"}, now).reply == number(-1));
    CHECK(kv.write({"SET", "k", "6", "PXAT", "999999"}, now) == ok());  // in the past
    CHECK(kv.read({"GET", "k"}, now).reply == Reply::null());
    CHECK(kv.write({"SET", "k", "v", "EX", "0"}, now).text == "ERR invalid expire time in 'set' command");
    CHECK(kv.write({"SET", "k", "v", "EX", "x"}, now).text == "ERR value is not an integer or out of range");
    CHECK(kv.write({"SET", "k", "v", "EX", "9223372036854775807"}, now).text == "ERR invalid expire time in 'set' command");
    for (const Argv& bad : std::vector<Argv>{{"NX", "XX"}, {"KEEPTTL", "EX", "1"}, {"EX"}, {"EX", "1", "PX", "1"}, {"foo"}}) {
        Argv argv = {"SET", "k", "v"};
        argv.insert(argv.end(), bad.begin(), bad.end());
        CHECK(kv.write(argv, now).text == "ERR syntax error");
    }
}

TEST_CASE("kv execute: counters keep to their range and their spelling") {
    MemoryKeyspace kv;
    const LogTime now = at_ms(1);
    CHECK(kv.write({"INCR", "n"}, now) == number(1));
    CHECK(kv.write({"DECRBY", "n", "11"}, now) == number(-10));
    CHECK(kv.write({"INCRBY", "n", "9223372036854775807"}, now) == number(9223372036854775797));
    CHECK(kv.write({"INCRBY", "n", "11"}, now).text == "ERR increment or decrement would overflow");
    CHECK(kv.write({"DECRBY", "n", "-9223372036854775808"}, now).text == "ERR decrement would overflow");
    CHECK(kv.write({"INCRBY", "n", "01"}, now).text == "ERR value is not an integer or out of range");
    kv.write({"SET", "s", " 1"}, now);
    CHECK(kv.write({"INCR", "s"}, now).text == "ERR value is not an integer or out of range");
    CHECK(kv.write({"APPEND", "s", "x"}, now) == number(3));
    CHECK(kv.write({"APPEND", "fresh", ""}, now) == number(0));
    CHECK(kv.read({"EXISTS", "fresh", "fresh", "none"}, now).reply == number(2));
    CHECK(kv.read({"STRLEN", "s"}, now).reply == number(3));
}

TEST_CASE("kv execute: INCRBYFLOAT has fixed digits (golden, as Redis prints them)") {
    const auto sum = [](const char* before, const char* by) {
        MemoryKeyspace kv;
        kv.write({"SET", "f", before}, at_ms(1));
        return kv.write({"INCRBYFLOAT", "f", by}, at_ms(1)).text;
    };
    CHECK(sum("1.5", "0.1") == "1.6");
    CHECK(sum("10.50", "0.1") == "10.6");
    CHECK(sum("3.0e3", "200") == "3200");
    CHECK(sum("0.1", "0.2") == "0.3");
    CHECK(sum("1", "-1.1") == "-0.1");
    CHECK(sum("0", "1e-17") == "0.00000000000000001");
    CHECK(sum("17179869184", "1.5") == "17179869185.5");
    CHECK(sum("-1", "1") == "0");
    CHECK(sum("x", "1") == "ERR value is not a valid float");
    CHECK(sum("1", " 1") == "ERR value is not a valid float");
    CHECK(sum("1", "nan") == "ERR value is not a valid float");
    CHECK(sum("1", "inf") == "ERR increment would produce NaN or Infinity");
}

TEST_CASE("kv execute: expiry goes by state-machine time alone, and an expired key needs a tick before it is denied") {
    MemoryKeyspace kv;
    kv.write({"SET", "k", "v", "PX", "100"}, at_ms(1000));
    CHECK(kv.read({"GET", "k"}, at_ms(1099)).reply == bulk("v"));
    CHECK(kv.read({"PTTL", "k"}, at_ms(1040)).reply == number(60));
    for (const char* name : {"GET", "STRLEN", "EXISTS", "TTL", "PTTL", "TYPE", "EXPIRETIME"})
        CHECK_MESSAGE(kv.read({name, "k"}, at_ms(1100)).tick_needed, name);
    CHECK_FALSE(kv.read({"GET", "other"}, at_ms(1100)).tick_needed);
    kv.apply(encode_tick({at_ms(1100), Term(1)}));
    const Executed after = kv.read({"GET", "k"}, at_ms(1100));
    CHECK_FALSE(after.tick_needed);
    CHECK(after.reply == Reply::null());
    CHECK(after.misses == 1);
    // The record is still there, and still counted, until an entry takes it away.
    CHECK(kv.read({"DBSIZE"}, at_ms(1100)).reply == number(1));
    const Argv purge = {"k", "k", "other"};
    CHECK(kv.apply(encode_entry(EntryKind::Purge, {at_ms(1101), Term(1)}, {}, resp::views_of(purge))) == number(1));
    CHECK(kv.read({"DBSIZE"}, at_ms(1101)).reply == number(0));
}

TEST_CASE("kv execute: a purge leaves keys that were written again or do not expire yet") {
    MemoryKeyspace kv;
    kv.write({"SET", "a", "v", "PX", "10"}, at_ms(1000));
    kv.write({"SET", "b", "v", "PX", "1000"}, at_ms(1000));
    kv.write({"SET", "a", "again"}, at_ms(1020));
    const Argv purge = {"a", "b"};
    CHECK(kv.apply(encode_entry(EntryKind::Purge, {at_ms(1020), Term(1)}, {}, resp::views_of(purge))) == number(0));
    CHECK(kv.records.size() == 2);
}

TEST_CASE("kv execute: the EXPIRE family, with conditions") {
    MemoryKeyspace kv;
    const LogTime now = at_ms(1'000'000);
    kv.write({"SET", "k", "v"}, now);
    CHECK(kv.write({"EXPIRE", "none", "10"}, now) == number(0));
    CHECK(kv.write({"EXPIRE", "k", "10", "XX"}, now) == number(0));
    CHECK(kv.write({"EXPIRE", "k", "10", "GT"}, now) == number(0));
    CHECK(kv.write({"EXPIRE", "k", "10", "LT"}, now) == number(1));
    CHECK(kv.write({"PEXPIRE", "k", "10001", "NX"}, now) == number(0));
    CHECK(kv.write({"PEXPIRE", "k", "10001", "GT"}, now) == number(1));
    CHECK(kv.read({"PEXPIRETIME", "k"}, now).reply == number(1'010'001));
    CHECK(kv.read({"EXPIRETIME", "k"}, now).reply == number(1010));
    CHECK(kv.write({"PERSIST", "k"}, now) == number(1));
    CHECK(kv.write({"PERSIST", "k"}, now) == number(0));
    CHECK(kv.write({"EXPIREAT", "k", "1"}, now) == number(1));
    CHECK(kv.records.empty());
    CHECK(kv.write({"EXPIRE", "k", "1", "NX", "XX"}, now).text ==
          "ERR NX and XX, GT or LT options at the same time are not compatible");
    CHECK(kv.write({"EXPIRE", "k", "1", "GT", "LT"}, now).text == "ERR GT and LT options at the same time are not compatible");
    CHECK(kv.write({"EXPIRE", "k", "1", "foo"}, now).text == "ERR Unsupported option foo");
    CHECK(kv.write({"EXPIRE", "k", "9223372036854776"}, now).text == "ERR invalid expire time in 'expire' command");
    CHECK(kv.write({"PEXPIRE", "k", "9223372036854775807"}, now).text == "ERR invalid expire time in 'pexpire' command");
}

TEST_CASE("kv execute: DEL counts each key once, FLUSHALL is one flag and no list") {
    MemoryKeyspace kv;
    for (const char* key : {"a", "b", "c"}) kv.write({"SET", key, "v"}, at_ms(1));
    CHECK(kv.write({"DEL", "a", "a", "b", "zzz"}, at_ms(1)) == number(2));
    CHECK(kv.write({"FLUSHALL", "foo"}, at_ms(1)).text == "ERR syntax error");
    CHECK(kv.read({"DBSIZE"}, at_ms(1)).reply == number(1));
    CHECK(kv.write({"FLUSHDB", "ASYNC"}, at_ms(1)) == ok());
    CHECK(kv.read({"DBSIZE"}, at_ms(1)).reply == number(0));
}

TEST_CASE("kv execute: each change carries the index of its entry (what WATCH compares)") {
    MemoryKeyspace kv;
    kv.write({"SET", "a", "v"}, at_ms(1));
    kv.write({"SET", "b", "v"}, at_ms(1));
    CHECK(kv.records["a"]->modified() == LogIndex(1));
    kv.write({"PEXPIRE", "a", "1000"}, at_ms(1));
    CHECK(kv.records["a"]->modified() == LogIndex(3));
    CHECK(kv.records["b"]->modified() == LogIndex(2));
}

TEST_CASE("kv execute: an error of the keyspace has no effect and is passed on") {
    MemoryKeyspace kv;
    kv.failing = true;
    const Argv argv = {"INCR", "n"};
    CHECK(execute(resp::views_of(argv), {.index = LogIndex(1)}, kv).failed_with(Code::Io));
}

TEST_CASE("kv execute: APPEND beyond the limit of a value is refused") {
    MemoryKeyspace kv;
    kv.write({"SET", "k", "12345"}, at_ms(1));
    const Argv argv = {"APPEND", "k", "678"};
    const auto done = execute(resp::views_of(argv), {.index = LogIndex(2), .value_bytes_max = 7}, kv);
    CHECK(done->reply.text == "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    CHECK(done->mutations.empty());
}

TEST_CASE("kv execute: counters equal a count of the records, whatever is run and however it is malformed (any commands)") {
    CHECK(rc::check([] {
        MemoryKeyspace kv, twin;
        const auto words = std::vector<Bytes>{"a", "b", "1", "-5", "3.5", "EX", "PX", "PXAT", "NX", "XX", "GET", "KEEPTTL", "GT", "LT",
                                              "100", "0", "9223372036854775807", "x"};
        int64_t ns = 1'000'000'000;
        const auto steps = *rc::gen::inRange(0, 40);
        for (int i = 0; i < steps; ++i) {
            const auto table = command_table();
            const CommandInfo& command = table[*rc::gen::inRange<size_t>(0, table.size())];
            Argv argv = {Bytes(command.name)};
            const auto rest = *rc::gen::resize(5, rc::gen::container<Argv>(rc::gen::elementOf(words)));
            argv.insert(argv.end(), rest.begin(), rest.end());
            ns += *rc::gen::inRange<int64_t>(0, 90'000'000);
            if (command.route == Route::Write) {
                const Reply reply = kv.write(argv, LogTime{ns});  // check_counters() inside
                // The unstamped command, executed by its stamp, means the same.
                if (check_request(resp::views_of(argv)).command != nullptr)
                    RC_ASSERT(twin.apply(encode_entry(EntryKind::Command, {LogTime{ns}, Term(1)}, {}, resp::views_of(argv))) == reply);
            } else if (command.route == Route::Read) {
                const Executed done = kv.read(argv, LogTime{ns});
                RC_ASSERT(done.mutations.empty());
                RC_ASSERT(!done.flush);
            }
        }
        for (const auto& [key, record] : kv.records) {
            RC_ASSERT(twin.records.contains(key));
            RC_ASSERT(twin.records[key]->data() == record->data());
            RC_ASSERT(twin.records[key]->expire_at_ms() == record->expire_at_ms());
        }
    }));
}

}  // namespace
}  // namespace orrery::kv
