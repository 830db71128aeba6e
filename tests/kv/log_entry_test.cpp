#include "kv/log_entry.h"
#include "tests/kv/any_bytes.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

namespace orrery::kv {
namespace {

using test::any_bytes;

Bytes any_entry() {
    const auto kind = *rc::gen::element(EntryKind::Command, EntryKind::Tick, EntryKind::Purge, EntryKind::Transaction);
    const Stamp stamp{{*rc::gen::nonNegative<int64_t>()}, Term(*rc::gen::inRange<uint64_t>(1, UINT64_MAX))};
    resp::Argv argv;
    ClientSlot slot;
    if (kind != EntryKind::Tick) argv = *rc::gen::nonEmpty(rc::gen::container<resp::Argv>(any_bytes()));
    if (kind == EntryKind::Transaction) argv.resize(1);
    if ((kind == EntryKind::Command || kind == EntryKind::Transaction) && *rc::gen::arbitrary<bool>())
        slot = {*rc::gen::inRange<uint64_t>(1, UINT64_MAX), *rc::gen::arbitrary<uint64_t>()};
    const Bytes raw = encode_entry(kind, stamp, slot, resp::views_of(argv));
    const auto back = decode_entry(raw);
    RC_ASSERT(back.ok());
    RC_ASSERT(back->kind == kind);
    RC_ASSERT(back->stamp == stamp);
    RC_ASSERT(back->slot == slot);
    RC_ASSERT(resp::copy_of(back->argv) == argv);
    return raw;
}

TEST_CASE("kv log entry: it comes back as it was; cut short or lengthened it is refused (any entry)") {
    CHECK(rc::check([] {
        const Bytes raw = any_entry();
        for (size_t size = 0; size < raw.size(); ++size)
            RC_ASSERT(decode_entry(ByteView(raw).substr(0, size)).failed_with(Code::Corrupt));
        RC_ASSERT(decode_entry(raw + "x").failed_with(Code::Corrupt));
    }));
}

TEST_CASE("kv log entry: what is decoded is what would be encoded (flipped bytes)") {
    CHECK(rc::check([] {
        Bytes raw = any_entry();
        const size_t flips = *rc::gen::inRange<size_t>(1, 4);
        for (size_t i = 0; i < flips; ++i)
            raw[*rc::gen::inRange<size_t>(0, raw.size())] = *rc::gen::arbitrary<char>();
        const auto back = decode_entry(raw);
        if (back.ok()) RC_ASSERT(encode_entry(back->kind, back->stamp, back->slot, back->argv) == raw);
    }));
}

TEST_CASE("kv log entry: the bytes of version 2 stay what they are (golden)") {
    const resp::Argv argv = {"SET", "k", "v"};
    const Bytes raw = encode_entry(EntryKind::Command, {{0x0102030405060708}, Term(7)}, {9, 10}, resp::views_of(argv));
    Bytes expected({2, 1, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1, 7, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0});
    expected += Bytes({3, 0, 0, 0}) + "SET" + Bytes({1, 0, 0, 0}) + "k" + Bytes({1, 0, 0, 0}) + "v";
    CHECK(raw == expected);
}

TEST_CASE("kv log entry: a change of time comes back as it was, and one that would go back is refused (any two times)") {
    CHECK(rc::check([] {
        const LogTime from{*rc::gen::inRange<int64_t>(0, INT64_MAX - 1)};
        const LogTime to{*rc::gen::inRange<int64_t>(from.ns + 1, INT64_MAX)};
        Bytes raw = encode_set_time(from, {to, Term(3)});
        const auto back = decode_entry(raw);
        RC_ASSERT(back.ok());
        RC_ASSERT(back->kind == EntryKind::SetTime);
        RC_ASSERT((back->stamp == Stamp{to, Term(3)}));
        RC_ASSERT(set_time_from(*back) == from);
        for (size_t size = 0; size < raw.size(); ++size)
            RC_ASSERT(decode_entry(ByteView(raw).substr(0, size)).failed_with(Code::Corrupt));
        Bytes swapped = raw;
        std::swap_ranges(swapped.begin() + 4, swapped.begin() + 12, swapped.end() - 8);
        RC_ASSERT(decode_entry(swapped).failed_with(Code::Corrupt));
        Bytes of_no_epoch = raw;
        of_no_epoch.replace(12, 8, 8, '\0');
        RC_ASSERT(decode_entry(of_no_epoch).failed_with(Code::Corrupt));
    }));
}

TEST_CASE("kv log entry: a count of words that the bytes can not hold allocates nothing") {
    Bytes raw = encode_tick({LogTime{1}, Term(1)});
    raw[1] = 1;
    for (size_t i = raw.size() - 4; i < raw.size(); ++i) raw[i] = '\xff';
    CHECK(decode_entry(raw).failed_with(Code::Corrupt));
}

}  // namespace
}  // namespace orrery::kv
