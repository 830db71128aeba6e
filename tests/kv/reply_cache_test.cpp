#include "kv/reply_cache.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <map>

namespace orrery::kv {
namespace {

using resp::Reply;

TEST_CASE("kv: a repeated write is answered from the cache, an overtaken one is not executed again") {
    ReplyCache cache;
    const ClientSlot first{7, 1}, second{7, 2};
    CHECK_FALSE(cache.answer_of(first).has_value());
    cache.remember(first, LogIndex(10), Reply::integer(1));
    CHECK(cache.answer_of(first) == Reply::integer(1));
    CHECK_FALSE(cache.answer_of(second).has_value());
    cache.remember(second, LogIndex(11), Reply::integer(2));
    CHECK(cache.answer_of(second) == Reply::integer(2));
    CHECK(cache.answer_of(first)->is_error());
    CHECK_FALSE(cache.answer_of({8, 1}).has_value());
}

TEST_CASE("kv: a large reply is not kept, but its write is still known as done") {
    ReplyCache cache(ReplyCache::Options{.clients_max = 10, .reply_bytes_max = 100});
    const auto changes = cache.remember({1, 1}, LogIndex(1), Reply::bulk(Bytes(200, 'x')));
    REQUIRE(changes.size() == 1);
    CHECK_FALSE(changes[0].record->reply_kept);
    CHECK(cache.answer_of({1, 1})->is_error());
}

TEST_CASE("kv: the cache is bounded, forgets the longest unused, and a reloaded copy goes on alike (any writes)") {
    CHECK(rc::check([] {
        const ReplyCache::Options options{.clients_max = 4, .reply_bytes_max = 64};
        ReplyCache cache(options);
        std::map<uint64_t, SlotRecord> stored;       // what the batches made of the Store
        std::map<uint64_t, uint64_t> last_use;       // the model
        uint64_t index = 0, sequence = 0;
        const auto clients = *rc::gen::container<std::vector<uint64_t>>(rc::gen::inRange<uint64_t>(1, 9));
        for (uint64_t client : clients) {
            const ClientSlot slot{client, ++sequence};
            RC_ASSERT(!cache.answer_of(slot).has_value());
            ++index;
            for (const auto& change : cache.remember(slot, LogIndex(index), Reply::integer(static_cast<int64_t>(index)))) {
                if (change.record)
                    stored[change.client] = *change.record;
                else
                    stored.erase(change.client);
            }
            if (!last_use.contains(client) && last_use.size() == 4) {
                auto oldest = last_use.begin();
                for (auto at = last_use.begin(); at != last_use.end(); ++at)
                    if (at->second < oldest->second) oldest = at;
                last_use.erase(oldest);
            }
            last_use[client] = index;
            RC_ASSERT(cache.size() == last_use.size());
            RC_ASSERT(stored.size() == last_use.size());
            for (const auto& [known, use] : last_use) RC_ASSERT(stored.at(known).used == LogIndex(use));
            if (*rc::gen::inRange(0, 4) == 0) {
                ReplyCache reloaded(options);
                for (const auto& [known, record] : stored) RC_ASSERT(reloaded.load(known, record).ok());
                cache = std::move(reloaded);
            }
        }
    }));
}

TEST_CASE("kv: stored slots that contradict each other are refused") {
    ReplyCache cache;
    CHECK(cache.load(1, {.sequence = 1, .used = LogIndex(5)}).ok());
    CHECK(cache.load(1, {.sequence = 2, .used = LogIndex(6)}).failed_with(Code::Corrupt));
    CHECK(cache.load(2, {.sequence = 1, .used = LogIndex(5)}).failed_with(Code::Corrupt));
}

}  // namespace
}  // namespace orrery::kv
