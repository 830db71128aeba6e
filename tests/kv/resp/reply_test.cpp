#include "kv/resp/reply.h"
#include "tests/kv/any_bytes.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

namespace orrery::resp {
namespace {

using test::any_bytes;

rc::Gen<Reply> any_reply(int depth);

Reply pick_reply(int depth) {
    std::vector<rc::Gen<Reply>> kinds = {
        rc::gen::map(any_bytes(), [](const Bytes& text) { return Reply::simple(text); }),
        rc::gen::map(any_bytes(), [](const Bytes& text) { return Reply::error(text); }),
        rc::gen::map(rc::gen::arbitrary<int64_t>(), [](int64_t value) { return Reply::integer(value); }),
        rc::gen::map(any_bytes(), [](const Bytes& bytes) { return Reply::bulk(bytes); }),
        rc::gen::map(any_bytes(), [](const Bytes& bytes) { return Reply::verbatim(bytes); }),
        rc::gen::just(Reply::null()),
        rc::gen::just(Reply::null_array()),
        rc::gen::map(rc::gen::arbitrary<bool>(), [](bool value) { return Reply::boolean(value); }),
        rc::gen::map(rc::gen::arbitrary<double>(), [](double value) { return Reply::real_number(value); }),
    };
    if (depth > 0) {
        const auto items = rc::gen::resize(4, rc::gen::container<std::vector<Reply>>(any_reply(depth - 1)));
        kinds.push_back(rc::gen::map(items, [](const std::vector<Reply>& all) { return Reply::array(all); }));
        kinds.push_back(rc::gen::map(items, [](const std::vector<Reply>& all) { return Reply::set(all); }));
        kinds.push_back(rc::gen::map(items, [](std::vector<Reply> all) {
                             if (all.size() % 2 != 0) all.pop_back();
                             return Reply::map(std::move(all));
                         }));
    }
    const std::size_t pick = *rc::gen::inRange<std::size_t>(0, kinds.size());
    return *kinds[pick];
}

rc::Gen<Reply> any_reply(int depth) {
    return rc::gen::exec([depth] { return pick_reply(depth); });
}

rc::Gen<Reply> any_reply() { return any_reply(3); }

TEST_CASE("resp: replies read as their version's clients expect") {
    const auto both = [](const Reply& reply) {
        return std::pair(encoded(reply, Version::Resp2), encoded(reply, Version::Resp3));
    };
    CHECK(both(Reply::ok()) == std::pair<Bytes, Bytes>("+OK\r\n", "+OK\r\n"));
    CHECK(both(Reply::error("ERR a\r\nb")) == std::pair<Bytes, Bytes>("-ERR a  b\r\n", "-ERR a  b\r\n"));
    CHECK(both(Reply::integer(-5)) == std::pair<Bytes, Bytes>(":-5\r\n", ":-5\r\n"));
    CHECK(both(Reply::bulk("a\r\n")) == std::pair<Bytes, Bytes>("$3\r\na\r\n\r\n", "$3\r\na\r\n\r\n"));
    CHECK(both(Reply::verbatim("a\r\n")) == std::pair<Bytes, Bytes>("$3\r\na\r\n\r\n", "=7\r\ntxt:a\r\n\r\n"));
    CHECK(both(Reply::null()) == std::pair<Bytes, Bytes>("$-1\r\n", "_\r\n"));
    CHECK(both(Reply::null_array()) == std::pair<Bytes, Bytes>("*-1\r\n", "_\r\n"));
    CHECK(both(Reply::boolean(true)) == std::pair<Bytes, Bytes>(":1\r\n", "#t\r\n"));
    CHECK(both(Reply::real_number(1.5)) == std::pair<Bytes, Bytes>("$3\r\n1.5\r\n", ",1.5\r\n"));
    CHECK(both(Reply::map({Reply::bulk("k"), Reply::integer(1)})) ==
          std::pair<Bytes, Bytes>("*2\r\n$1\r\nk\r\n:1\r\n", "%1\r\n$1\r\nk\r\n:1\r\n"));
    CHECK(both(Reply::set({Reply::integer(1)})) == std::pair<Bytes, Bytes>("*1\r\n:1\r\n", "~1\r\n:1\r\n"));
}

TEST_CASE("resp: a reply record comes back as it was, and no shorter piece of it does (any reply)") {
    CHECK(rc::check([] {
        const Reply reply = *any_reply();
        Bytes raw;
        put_reply(raw, reply);
        ByteReader whole(raw);
        const auto back = take_reply(whole);
        RC_ASSERT(back.ok());
        RC_ASSERT(*back == reply);
        RC_ASSERT(whole.empty());
        for (size_t size = 0; size < raw.size(); ++size) {
            ByteReader cut(ByteView(raw).substr(0, size));
            RC_ASSERT(take_reply(cut).failed_with(Code::Corrupt));
        }
    }));
}

TEST_CASE("resp: what take_reply() accepts is what put_reply() writes (flipped and random bytes)") {
    CHECK(rc::check([] {
        Bytes raw;
        put_reply(raw, *any_reply());
        const size_t flips = *rc::gen::inRange<size_t>(1, 4);
        for (size_t i = 0; i < flips; ++i)
            raw[*rc::gen::inRange<size_t>(0, raw.size())] = *rc::gen::arbitrary<char>();
        ByteReader reader(raw);
        const auto back = take_reply(reader);
        if (!back.ok()) return;
        Bytes again;
        put_reply(again, *back);
        RC_ASSERT(again == ByteView(raw).substr(0, raw.size() - reader.rest().size()));
    }));
}

TEST_CASE("resp: a record that claims much and holds little is refused (counts, depth)") {
    Bytes raw = {1, 7, '\xff', '\xff', '\xff', '\xff'};
    ByteReader claims(raw);
    CHECK(take_reply(claims).failed_with(Code::Corrupt));
    Bytes deep = {1};
    for (int i = 0; i < 100'000; ++i) deep += Bytes({7, 1, 0, 0, 0});
    ByteReader nested(deep);
    CHECK(take_reply(nested).failed_with(Code::Corrupt));
}

}  // namespace
}  // namespace orrery::resp
