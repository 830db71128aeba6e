#include "kv/transaction.h"
#include "tests/kv/any_bytes.h"
#include "tests/kv/memory_keyspace.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include "kv/client_transaction.h"
#include "kv/overlay.h"

namespace orrery::kv {
namespace {

using test::MemoryKeyspace;

constexpr LogTime at_ms(int64_t millis) { return LogTime{millis * 1'000'000}; }
using test::any_bytes;

/// What a connection does around its keyspace.
struct Client {
    explicit Client(MemoryKeyspace& keyspace) : kv(keyspace) {}
    Reply watch(const Argv& keys, LogTime now) {
        Argv argv = {"WATCH"};
        argv.insert(argv.end(), keys.begin(), keys.end());
        return transaction.watch(resp::views_of(keys), kv.read_with_ticks(argv, now), 1 << 20).value();
    }
    Reply exec(const std::vector<Argv>& commands, LogTime now) {
        transaction.begin();
        for (const Argv& argv : commands) transaction.queue(resp::views_of(argv), 1 << 20);
        const Reply reply = kv.transact(transaction.for_group(), now);
        transaction.discard();
        return reply;
    }
    MemoryKeyspace& kv;
    ClientTransaction transaction;
};

// ---- the record -------------------------------------------------------------------------------------------------

struct Parts {
    std::vector<Argv> commands;
    Argv keys;
    std::vector<uint64_t> numbers;
    Transaction view;
};

void any_transaction(Parts& out) {
    out.view.mode = *rc::gen::element(TransactionMode::Exec, TransactionMode::Pipeline);
    out.view.draw = *rc::gen::arbitrary<uint64_t>();
    out.commands = *rc::gen::container<std::vector<Argv>>(rc::gen::nonEmpty(rc::gen::container<Argv>(any_bytes())));
    if (out.view.mode == TransactionMode::Exec) out.keys = *rc::gen::container<Argv>(any_bytes());
    for (const Bytes& key : out.keys)
        out.view.watches.push_back({key, LogIndex(*rc::gen::arbitrary<uint64_t>()), LogIndex(*rc::gen::arbitrary<uint64_t>())});
    for (const Argv& argv : out.commands) out.view.commands.push_back(resp::views_of(argv));
}

TEST_CASE("kv transaction: a record comes back as it was; cut short or lengthened it is refused (any transaction)") {
    CHECK(rc::check([] {
        Parts parts;
        any_transaction(parts);
        const Bytes raw = encode_transaction(parts.view);
        const auto back = decode_transaction(raw);
        RC_ASSERT(back.ok());
        RC_ASSERT(back->mode == parts.view.mode);
        RC_ASSERT(back->draw == parts.view.draw);
        RC_ASSERT(back->watches == parts.view.watches);
        RC_ASSERT(back->commands == parts.view.commands);
        // Of a large one a few hundred places: each costs a decoding.
        const size_t step = raw.size() / 300 + 1;
        for (size_t size = 0; size < raw.size(); size += step)
            RC_ASSERT(decode_transaction(ByteView(raw).substr(0, size)).failed_with(Code::Corrupt));
        RC_ASSERT(decode_transaction(raw + "x").failed_with(Code::Corrupt));
    }));
}

TEST_CASE("kv transaction: what is decoded is what would be encoded (flipped and random bytes)") {
    CHECK(rc::check([] {
        Parts parts;
        any_transaction(parts);
        Bytes raw = encode_transaction(parts.view);
        const size_t flips = *rc::gen::inRange<size_t>(1, 4);
        for (size_t i = 0; i < flips; ++i) raw[*rc::gen::inRange<size_t>(0, raw.size())] = *rc::gen::arbitrary<char>();
        const auto back = decode_transaction(raw);
        if (back.ok()) RC_ASSERT(encode_transaction(*back) == raw);
        const Bytes random = *any_bytes();
        if (const auto other = decode_transaction(random); other.ok()) RC_ASSERT(encode_transaction(*other) == random);
    }));
}

// ---- what EXEC means --------------------------------------------------------------------------------------------

TEST_CASE("kv transaction: commands see what those before them did, errors stand in their place, all at one index") {
    MemoryKeyspace kv;
    Client client(kv);
    kv.write({"SET", "text", "x"}, at_ms(1));
    const Reply reply = client.exec({{"SET", "a", "1"}, {"INCR", "a"}, {"GET", "a"}, {"INCR", "text"}, {"SETEX", "a", "0", "v"},
                                     {"EXISTS", "a", "b"}, {"RENAME", "a", "b"}, {"KEYS", "*"}, {"DBSIZE"}, {"GET", "a"}}, at_ms(2));
    REQUIRE(reply.kind == Reply::Kind::Array);
    REQUIRE(reply.items.size() == 10);
    CHECK(reply.items[1] == Reply::integer(2));
    CHECK(reply.items[2] == Reply::bulk("2"));
    CHECK(reply.items[3].text == "ERR value is not an integer or out of range");
    CHECK(reply.items[4].text == "ERR invalid expire time in 'setex' command");
    CHECK(reply.items[5] == Reply::integer(1));
    CHECK(reply.items[7].items.size() == 2);
    CHECK(reply.items[8] == Reply::integer(2));
    CHECK(reply.items[9] == Reply::null());
    CHECK(kv.records.at("b")->modified() == LogIndex(2));
}

TEST_CASE("kv transaction: FLUSHALL in the middle hides what was before it and nothing behind it") {
    MemoryKeyspace kv;
    Client client(kv);
    kv.write({"SET", "old", "1"}, at_ms(1));
    const Reply reply = client.exec({{"SET", "a", "1", "EX", "100"}, {"FLUSHALL"}, {"DBSIZE"}, {"GET", "old"}, {"SET", "b", "1"}, {"KEYS", "*"}, {"DBSIZE"}}, at_ms(2));
    CHECK(reply.items[2] == Reply::integer(0));
    CHECK(reply.items[3] == Reply::null());
    CHECK(reply.items[5] == Reply::array({Reply::bulk("b")}));
    CHECK(reply.items[6] == Reply::integer(1));
    CHECK(kv.records.size() == 1);
}

TEST_CASE("kv watch: any change of a live key fails EXEC, and no change does not") {
    for (const Argv& change : std::vector<Argv>{{"SET", "k", "v"}, {"APPEND", "k", "x"}, {"EXPIRE", "k", "100"}, {"DEL", "k"}, {"RENAME", "k", "z"},
                                                {"RENAME", "other", "k"}, {"COPY", "other", "k", "REPLACE"}, {"GETEX", "k", "EX", "100"}, {"FLUSHALL"}, {"MSET", "q", "1", "k", "v"}}) {
        MemoryKeyspace kv;
        Client client(kv);
        kv.write({"SET", "k", "v"}, at_ms(1));
        kv.write({"SET", "other", "v"}, at_ms(1));
        client.watch({"other2", "k"}, at_ms(1));
        kv.write(change, at_ms(1));
        CHECK_MESSAGE(client.exec({{"SET", "done", "1"}}, at_ms(1)) == Reply::null_array(), change[0]);
        CHECK_FALSE(kv.records.contains("done"));
    }
    for (const Argv& harmless : std::vector<Argv>{{"SET", "q", "v"}, {"DEL", "q"}, {"SETNX", "k", "v"}, {"EXPIRE", "k", "100", "XX"}, {"GETEX", "k"}, {"SET", "k", "v", "NX"},
                                                  {"MSETNX", "q", "1", "k", "1"}, {"COPY", "other", "k"}, {"RENAMENX", "other", "k"}, {"PERSIST", "k"}}) {
        MemoryKeyspace kv;
        Client client(kv);
        kv.write({"SET", "k", "v"}, at_ms(1));
        kv.write({"SET", "other", "v"}, at_ms(1));
        client.watch({"k"}, at_ms(1));
        kv.write(harmless, at_ms(1));
        CHECK_MESSAGE(client.exec({{"SET", "done", "1"}}, at_ms(1)).kind == Reply::Kind::Array, harmless[0]);
    }
}

TEST_CASE("kv watch: a key that was gone, came and went again has changed (DEL, expiry, FLUSHALL, inside a transaction)") {
    using Steps = std::vector<Argv>;
    for (const Steps& steps : std::vector<Steps>{{{"SET", "k", "v"}, {"DEL", "k"}}, {{"SET", "k", "v"}, {"FLUSHALL"}}, {{"SET", "k", "v", "PX", "5"}}, {{"SET", "x", "v"}, {"RENAME", "x", "k"}, {"RENAME", "k", "x"}}}) {
        MemoryKeyspace kv;
        Client client(kv);
        client.watch({"k"}, at_ms(1));
        for (const Argv& argv : steps) kv.write(argv, at_ms(1));
        CHECK(kv.read_with_ticks({"EXISTS", "k"}, at_ms(10)) == Reply::integer(0));
        CHECK(client.exec({{"GET", "k"}}, at_ms(10)) == Reply::null_array());
    }
    MemoryKeyspace kv;
    Client client(kv), other(kv);
    client.watch({"k"}, at_ms(1));
    other.exec({{"SET", "k", "v"}, {"DEL", "k"}}, at_ms(1));
    CHECK(client.exec({{"GET", "k"}}, at_ms(1)) == Reply::null_array());
}

TEST_CASE("kv watch: a key that stays gone has not changed (FLUSHALL, DEL of it, another key)") {
    MemoryKeyspace kv;
    Client client(kv);
    kv.write({"SET", "other", "v"}, at_ms(1));
    client.watch({"k"}, at_ms(1));
    kv.write({"DEL", "k"}, at_ms(1));
    kv.write({"FLUSHALL"}, at_ms(1));
    CHECK(client.exec({{"GET", "k"}}, at_ms(1)).kind == Reply::Kind::Array);
}

TEST_CASE("kv watch: expiry counts as a change only if the key was there when it was watched") {
    MemoryKeyspace kv;
    Client client(kv);
    kv.write({"SET", "k", "v", "PX", "100"}, at_ms(1));
    client.watch({"k"}, at_ms(50));
    CHECK(client.exec({{"GET", "k"}}, at_ms(60)).kind == Reply::Kind::Array);
    client.watch({"k"}, at_ms(70));
    CHECK(client.exec({{"GET", "k"}}, at_ms(500)) == Reply::null_array());
    client.watch({"k"}, at_ms(500));  // its record is still stored
    REQUIRE(kv.records.contains("k"));
    kv.apply(encode_entry(EntryKind::Purge, {at_ms(600), Term(1)}, {}, std::vector<ByteView>{"k"}));
    CHECK(client.exec({{"GET", "k"}}, at_ms(700)).kind == Reply::Kind::Array);
}

TEST_CASE("kv watch: a key watched twice stays as it was seen first") {
    MemoryKeyspace kv;
    Client client(kv);
    client.watch({"k"}, at_ms(1));
    kv.write({"SET", "k", "v"}, at_ms(1));
    client.watch({"k", "k"}, at_ms(1));
    CHECK(client.exec({{"GET", "k"}}, at_ms(1)) == Reply::null_array());
}

TEST_CASE("kv transaction: replies that together are too large become errors, and their commands took effect") {
    MemoryKeyspace kv;
    Transaction transaction;
    const Argv one = {"GETSET", "k", Bytes(600, 'x')}, two = {"INCR", "n"};
    for (int i = 0; i < 3; ++i) transaction.commands.push_back(resp::views_of(one));
    transaction.commands.push_back(resp::views_of(two));
    kv.write({"SET", "k", Bytes(600, 'y')}, at_ms(1));
    const ExecuteContext context{.time = at_ms(1), .now = at_ms(1), .index = LogIndex(9), .keys = 1, .reply_bytes_max = 1000};
    const Executed done = execute_transaction(transaction, context, kv, [](uint64_t) { return LogIndex(); }).value();
    CHECK(done.reply.items[0] == Reply::bulk(Bytes(600, 'y')));
    CHECK(done.reply.items[1].is_error());
    CHECK(done.reply.items[3] == Reply::integer(1));
    CHECK(done.mutations.size() == 2);
}

TEST_CASE("kv pipeline: it ends before the reply that is too much, and what was not answered was not done") {
    MemoryKeyspace kv;
    Transaction transaction;
    transaction.mode = TransactionMode::Pipeline;
    const Argv one = {"GETSET", "k", Bytes(600, 'x')}, two = {"INCR", "n"};
    transaction.commands = {resp::views_of(one), resp::views_of(two), resp::views_of(one), resp::views_of(two)};
    kv.write({"SET", "k", Bytes(2000, 'y')}, at_ms(1));
    ExecuteContext context{.time = at_ms(1), .now = at_ms(1), .index = LogIndex(9), .keys = 1, .reply_bytes_max = 1000, .pipeline_bytes_max = 2500};
    const Executed done = execute_transaction(transaction, context, kv, [](uint64_t) { return LogIndex(); }).value();
    REQUIRE(done.reply.items.size() == 2);
    CHECK(done.reply.items[0] == Reply::bulk(Bytes(2000, 'y')));  // the first may be of any size: else there would be no progress
    REQUIRE(done.mutations.size() == 2);
    CHECK(std::ranges::count_if(done.mutations, [](const RecordRef& record) { return record->key() == "n" && record->data() == "1"; }) == 1);
}

TEST_CASE("kv transaction: an unfit command from the log is refused and does nothing (WATCH, a local one, an unknown one)") {
    MemoryKeyspace kv;
    Transaction transaction;
    transaction.commands = {{"WATCH", "k"}, {"PING"}, {"NOSUCH"}, {"INCR", "n"}};
    const Reply reply = kv.transact(transaction, at_ms(1));
    for (size_t i = 0; i < 3; ++i) CHECK(reply.items[i].is_error());
    CHECK(reply.items[3] == Reply::integer(1));
}

TEST_CASE("kv transaction: one by one and as a transaction the same commands leave the same keyspace (any commands)") {
    CHECK(rc::check([] {
        MemoryKeyspace single, batch;
        const auto words = std::vector<Bytes>{"a", "b", "c", "1", "-5", "EX", "PX", "NX", "XX", "GET", "100", "0", "x", "REPLACE"};
        int64_t ns = 1'000'000'000;
        const int rounds = *rc::gen::inRange(1, 6);
        for (int round = 0; round < rounds; ++round) {
            ns += *rc::gen::inRange<int64_t>(0, 90'000'000);
            std::vector<Argv> commands;
            const int count = *rc::gen::inRange(0, 10);
            for (int i = 0; i < count; ++i) {
                const auto table = command_table();
                const CommandInfo& command = table[*rc::gen::inRange<size_t>(0, table.size())];
                Argv argv = {Bytes(command.name)};
                const auto rest = *rc::gen::resize(5, rc::gen::container<Argv>(rc::gen::elementOf(words)));
                argv.insert(argv.end(), rest.begin(), rest.end());
                const CommandInfo* checked = check_request(resp::views_of(argv)).command;
                if (checked != nullptr && checked->route == Route::Write) commands.push_back(argv);
            }
            std::vector<Reply> replies;
            for (const Argv& argv : commands) replies.push_back(single.write(argv, LogTime{ns}));
            Transaction transaction;
            for (const Argv& argv : commands) transaction.commands.push_back(resp::views_of(argv));
            RC_ASSERT(batch.transact(transaction, LogTime{ns}) == Reply::array(replies));
        }
        RC_ASSERT(single.keys == batch.keys);
        RC_ASSERT(single.volatile_keys == batch.volatile_keys);
        for (const auto& [key, record] : single.records) {
            RC_ASSERT(batch.records.contains(key));
            RC_ASSERT(batch.records[key]->data() == record->data());
            RC_ASSERT(batch.records[key]->expire_at_ms() == record->expire_at_ms());
        }
    }));
}

// ---- the queue of a connection ----------------------------------------------------------------------------------

TEST_CASE("kv multi: what was refused while queueing breaks the transaction, nesting and watching inside do not") {
    ClientTransaction transaction;
    CHECK(transaction.begin() == Reply::ok());
    CHECK(transaction.begin().text == "ERR MULTI calls can not be nested");
    CHECK_FALSE(transaction.broken());
    const std::vector<ByteView> unknown{"foo"};
    CHECK(transaction.refused(unknown, Reply::error("ERR unknown")).text == "ERR unknown");
    CHECK(transaction.broken());
    transaction.discard();
    CHECK_FALSE(transaction.open());
    CHECK_FALSE(transaction.broken());
    transaction.refused(unknown, Reply::error("ERR unknown"));
    CHECK_FALSE(transaction.broken());  // outside of MULTI nothing is broken
    transaction.begin();
    const std::vector<ByteView> malformed{"exec", "x"};
    CHECK(transaction.refused(malformed, check_request(malformed).refusal).text ==
          "EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command");
    CHECK_FALSE(transaction.open());
}

TEST_CASE("kv multi: a transaction that grows too large is refused while it is queued, before a byte of it is logged") {
    ClientTransaction transaction;
    transaction.begin();
    const Argv argv = {"SET", "k", Bytes(1000, 'x')};
    int queued = 0;
    while (!transaction.broken()) {
        const Reply reply = transaction.queue(resp::views_of(argv), 10'000);
        queued += !reply.is_error();
        REQUIRE(queued < 20);
    }
    CHECK(queued == 9);
    CHECK(transaction.queued().empty());
    CHECK(encode_transaction(transaction.for_group()).size() <= 10'000);
}

}  // namespace
}  // namespace orrery::kv
