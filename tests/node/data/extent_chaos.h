// One run: clients that write and read extents of a partition while its nodes crash and its links break, and the reckoning.
#pragma once

#include "tests/node/data/extent_ledger.h"
#include "tests/node/data/extent_world.h"

namespace orrery::test {

struct ChaosPlan {
    uint64_t seed = 1;
    int steps = 60;                  // of some milliseconds each
    uint64_t flush_bytes = 24 << 10;
    double crash = 0.06;             // a step begins one
    double cut = 0.04;
    size_t under_way_max = 6;
};

struct ChaosTotals {
    uint64_t acknowledged = 0, unknown = 0, refused = 0, reads = 0, removed = 0, crashes = 0, superseded = 0, overwrites = 0;
};

class Chaos {
 public:
    explicit Chaos(ChaosPlan plan, ChaosTotals& totals)
        : plan_(plan), totals_(totals), world_(plan.seed, {.flush_bytes = plan.flush_bytes, .writer = {}}), draws_(world_.world.timeline().stream("test.chaos")) {}

    /// What went wrong; empty: nothing.
    std::string run() {
        for (int step = 0; step < plan_.steps && broken().empty(); ++step) {
            trouble();
            while (under_way_.size() < plan_.under_way_max && draws_.chance(0.7)) begin_something();
            world_.world.run_until(world_.world.now() + draws_.between(Duration::millis(1), Duration::millis(25)));
            gather();
        }
        if (std::string why = broken(); !why.empty()) return why;
        for (size_t i = 0; i < 3; ++i) {
            world_.hosts[i]->disk().disarm_all();
            if (!world_.hosts[i]->up()) world_.start(i);
        }
        world_.world.net().heal_all();
        world_.world.run_until(world_.world.now() + Duration::seconds(4));
        gather();
        if (!world_.settle()) return "does not settle: " + broken() + world_.state_text();
        gather();
        if (std::string why = broken(); !why.empty()) return why;
        if (!under_way_.empty()) return "an operation has not ended";
        return reckon();
    }

 private:
    struct Operation {
        std::shared_ptr<std::pair<Outcome, uint64_t>> outcome;  // held by the fiber too: gone with its host
        std::function<void(Outcome, uint64_t)> end;
    };
    using Work = std::function<Result<data::Written>(Fiber&, ExtentNode&)>;

    std::string broken() {
        if (world_.world.failure()) return world_.failure_text();
        if (!world_.damage.seen.empty()) return world_.damage.seen.front() + world_.state_text();
        return wrong_;
    }

    void trouble() {
        for (size_t i = 0; i < 3; ++i) {
            if (!world_.hosts[i]->up() && draws_.chance(0.15)) world_.start(i);
        }
        if (draws_.chance(plan_.crash)) {
            const size_t victim = draws_.chance(0.5) ? world_.leader().value_or(draws_.below(3)) : draws_.below(3);
            const auto death = draws_.chance(0.7) ? sim::Host::Death::Power : sim::Host::Death::Kill;
            if (world_.hosts[victim]->up()) {
                world_.crash_at(victim, 1 + draws_.below(12), death);
                ++totals_.crashes;
            }
        }
        if (draws_.chance(plan_.crash / 4))
            for (size_t i = 0; i < 3; ++i) world_.crash(i, sim::Host::Death::Power);
        if (draws_.chance(plan_.cut)) {
            const size_t alone = draws_.chance(0.6) ? world_.leader().value_or(draws_.below(3)) : draws_.below(3);
            for (size_t i = 0; i < 3; ++i) {
                if (i == alone) continue;
                world_.world.net().cut(world_.hosts[alone]->endpoint(), world_.hosts[i]->endpoint());
                if (draws_.chance(0.8)) world_.world.net().cut(world_.hosts[i]->endpoint(), world_.hosts[alone]->endpoint());
            }
        } else if (draws_.chance(0.1)) {
            world_.world.net().heal_all();
        }
    }

    void propose(Work work, std::function<void(Outcome, uint64_t)> end) {
        std::optional<size_t> at = world_.leader();
        if (draws_.chance(0.1)) at = draws_.below(3);
        if (!at || world_.group(*at) == nullptr) return end(Outcome::Refused, 0);
        auto outcome = std::make_shared<std::pair<Outcome, uint64_t>>(Outcome::Pending, 0);
        under_way_.push_back({outcome, std::move(end)});
        world_.hosts[*at]->env()->spawn("test.client", [work = std::move(work), outcome, node = world_.node(*at)](Fiber& fiber) {
            Result<data::Written> done = work(fiber, *node);
            outcome->second = done.ok() ? done->offset : 0;
            const bool maybe = done.failed_with(Code::Unknown) || done.failed_with(Code::Cancelled) || done.failed_with(Code::Timeout);
            outcome->first = done.ok() ? Outcome::Done : maybe ? Outcome::Unknown : Outcome::Refused;
        });
    }

    void gather() {
        for (size_t i = 0; i < under_way_.size();) {
            Operation& one = under_way_[i];
            if (one.outcome->first == Outcome::Pending && one.outcome.use_count() > 1) {
                ++i;
                continue;
            }
            const Outcome outcome = one.outcome->first == Outcome::Pending ? Outcome::Unknown : one.outcome->first;
            totals_.acknowledged += outcome == Outcome::Done;
            totals_.unknown += outcome == Outcome::Unknown;
            totals_.refused += outcome == Outcome::Refused;
            auto end = std::move(one.end);
            const uint64_t offset = one.outcome->second;
            under_way_.erase(under_way_.begin() + static_cast<ptrdiff_t>(i));
            end(outcome, offset);
        }
    }

    static Instant deadline(ExtentNode& node) { return node.env().now() + Duration::millis(1500); }

    void begin_something() {
        LedgerExtent* extent = nullptr;
        ExtentId id;
        if (!extents_.empty() && !draws_.chance(0.08)) {
            auto at = std::next(extents_.begin(), static_cast<ptrdiff_t>(draws_.below(extents_.size())));
            id = at->first;
            extent = &at->second;
        }
        if (extent == nullptr) {
            id = ExtentId(extents_.size() * 3 + 1);
            extent = &extents_[id];
        }
        if (extent->busy) return;
        if (extent->created != Outcome::Done) {
            extent->busy = true;
            return propose([id](Fiber& fiber, ExtentNode& node) -> Result<data::Written> {
                               auto done = node.writer().create(fiber, id, deadline(node));
                               // An earlier attempt of unknown outcome took effect.
                               if (done.failed_with(Code::Exists)) return data::Written{};
                               return done;
                           },
                           [extent](Outcome outcome, uint64_t) {
                               extent->busy = false;
                               if (outcome != Outcome::Refused) extent->created = outcome;
                           });
        }
        if (extent->removed != Outcome::Refused) return try_removed(id, *extent);
        const double what = draws_.unit();
        if (what < 0.45) return append(id, *extent);
        if (what < 0.75) return overwrite(id, *extent);
        if (what < 0.79) return punch(id, *extent);
        if (what < 0.97) return read(id, *extent);
        if (extent->under_way > 0 || extents_.size() < 2) return;
        remove(id, *extent);
    }

    void append(ExtentId id, LedgerExtent& extent) {
        const bool small = draws_.chance(0.4);
        const size_t length = small ? 24 + draws_.below(6000) : draws_.chance(0.1) ? 30'000 + draws_.below(120'000) : 24 + draws_.below(12'000);
        auto bytes = std::make_shared<const Bytes>(bytes_of(++operation_, length));
        ++extent.under_way;
        propose([id, bytes, small](Fiber& fiber, ExtentNode& node) {
            return small ? node.writer().append_small(fiber, id, *bytes, deadline(node)) : node.writer().append(fiber, id, bytes, deadline(node));
        }, [&extent, bytes, small](Outcome outcome, uint64_t offset) {
            --extent.under_way;
            if (outcome == Outcome::Done) extent.appended(offset, *bytes);
            if (outcome == Outcome::Unknown) extent.maybe.emplace_back(*bytes, small);
        });
    }

    LedgerExtent::Segment* pick(LedgerExtent& extent) {
        if (extent.segments.empty()) return nullptr;
        auto at = std::next(extent.segments.begin(), static_cast<ptrdiff_t>(draws_.below(extent.segments.size())));
        return at->busy || at->freed != LedgerExtent::Segment::Freed::No ? nullptr : &*at;
    }

    void overwrite(ExtentId id, LedgerExtent& extent) {
        LedgerExtent::Segment* segment = pick(extent);
        if (segment == nullptr) return;
        const uint64_t at = draws_.below(segment->bytes.size());
        const uint64_t length = 1 + draws_.below(std::min<uint64_t>(segment->bytes.size() - at, draws_.chance(0.5) ? 300 : 20'000));
        auto bytes = std::make_shared<const Bytes>(bytes_of(++operation_, length));
        segment->busy = true;
        segment->ever.emplace_back(at, *bytes);
        ++extent.under_way;
        ++totals_.overwrites;
        propose([id, bytes, offset = segment->offset + at](Fiber& fiber, ExtentNode& node) { return node.writer().overwrite(fiber, id, offset, *bytes, deadline(node)); },
                [&extent, segment, bytes, at](Outcome outcome, uint64_t) {
                    --extent.under_way;
                    segment->busy = false;
                    segment->overwrite(at, *bytes, outcome);
                });
    }

    void punch(ExtentId id, LedgerExtent& extent) {
        LedgerExtent::Segment* segment = pick(extent);
        if (segment == nullptr || segment->whole().first >= segment->whole().second) return;
        segment->busy = true;
        ++extent.under_way;
        propose([id, range = segment->whole()](Fiber& fiber, ExtentNode& node) { return node.writer().punch(fiber, id, range.first, range.second - range.first, deadline(node)); },
                [&extent, segment](Outcome outcome, uint64_t) {
                    --extent.under_way;
                    segment->busy = false;
                    using Freed = LedgerExtent::Segment::Freed;
                    if (outcome != Outcome::Refused) segment->freed = outcome == Outcome::Done ? Freed::Yes : Freed::Maybe;
                });
    }

    void remove(ExtentId id, LedgerExtent& extent) {
        extent.busy = true;
        propose([id](Fiber& fiber, ExtentNode& node) { return node.writer().remove(fiber, id, deadline(node)); },
                [this, &extent](Outcome outcome, uint64_t) {
                    extent.busy = false;
                    if (outcome != Outcome::Refused) extent.removed = outcome;
                    totals_.removed += outcome == Outcome::Done;
                });
    }

    /// What was removed is never created again.
    void try_removed(ExtentId id, LedgerExtent& extent) {
        extent.busy = true;
        propose([id](Fiber& fiber, ExtentNode& node) { return node.writer().create(fiber, id, deadline(node)); },
                [this, &extent, id](Outcome outcome, uint64_t) {
                    extent.busy = false;
                    if (outcome == Outcome::Done) wrong_ = data::extent_name(id) + " came back";
                });
    }

    /// On any node, of any age: whatever is served was there once.
    void read(ExtentId id, LedgerExtent& extent) {
        if (extent.segments.empty()) return;
        const size_t at = draws_.below(3);
        if (world_.group(at) == nullptr) return;
        LedgerExtent::Segment* segment = &*std::next(extent.segments.begin(), static_cast<ptrdiff_t>(draws_.below(extent.segments.size())));
        const uint64_t from = draws_.below(segment->bytes.size());
        const uint64_t length = 1 + draws_.below(std::min<uint64_t>(segment->bytes.size() - from, 9000));
        world_.hosts[at]->env()->spawn("test.reader", [this, id, segment, from, length, node = world_.node(at)](Fiber& fiber) {
            const Result<Bytes> got = node->machine().read(fiber, id, segment->offset + from, length, deadline(*node));
            if (got.failed_with(Code::Corrupt) || got.failed_with(Code::Io)) wrong_ = "a read of " + data::extent_name(id) + ": " + got.error().text();
            if (!got.ok()) return;
            ++totals_.reads;
            for (uint64_t i = 0; i < length; ++i)
                if (!segment->ever_was(from + i, (*got)[i])) wrong_ = "a read of " + data::extent_name(id) + " gave a byte at " + std::to_string(segment->offset + from + i) + " that nobody wrote";
        });
    }

    // ---- in the end

    std::string reckon() {
        const std::map<Bytes, Bytes> records = world_.records(0);
        for (size_t i = 1; i < 3; ++i)
            if (world_.records(i) != records) return "the records of node " + std::to_string(i + 1) + " are others";
        for (size_t i = 0; i < 3; ++i) totals_.superseded += world_.node(i)->machine().counters().superseded_sent;
        for (auto& [id, extent] : extents_)
            for (size_t i = 0; i < 3; ++i)
                if (std::string why = reckon(i, id, extent); !why.empty()) return "node " + std::to_string(i + 1) + ", " + data::extent_name(id) + ": " + why;
        return files_of_removed();
    }

    std::string reckon(size_t at, ExtentId id, LedgerExtent& extent) {
        std::string why = "was not looked at";
        world_.on_node(at, [&](Fiber& fiber, ExtentNode& node) {
            const auto record = node.machine().extent(fiber, id);
            if (!record.ok()) return void(why = record.error().text());
            const bool there = *record && (*record)->state == data::ExtentState::Live;
            if (!there) {
                const bool may = extent.removed != Outcome::Refused || (extent.created != Outcome::Done && extent.segments.empty());
                return void(why = may ? "" : "is not there");
            }
            if (extent.removed == Outcome::Done) return void(why = "was removed and is there");
            Bytes content;
            std::vector<bool> freed;
            for (uint64_t from = 0; from < (*record)->size_bytes; from += wire::kImageBytes) {
                const uint64_t length = std::min(wire::kImageBytes, (*record)->size_bytes - from);
                Result<Bytes> got = node.machine().read(fiber, id, from, length);
                if (!got.ok() && !got.failed_with(Code::NotFound)) return void(why = got.error().text());
                freed.push_back(!got.ok());
                content += got.ok() ? *got : Bytes(length, '\0');
            }
            for (const LedgerExtent::Segment& segment : extent.segments)
                for (uint64_t from = segment.whole().first; from < segment.whole().second; from += wire::kImageBytes) {
                    const bool is = freed[from / wire::kImageBytes];
                    if (is ? segment.freed == LedgerExtent::Segment::Freed::No : segment.freed == LedgerExtent::Segment::Freed::Yes) return void(why = "what is freed is wrong at " + std::to_string(from));
                }
            why = extent.judge(content, [&](uint64_t i) { return !freed[i / wire::kImageBytes]; });
        });
        return why;
    }

    std::string files_of_removed() {
        for (size_t i = 0; i < 3; ++i) {
            world_.on_node(i, [&](Fiber& fiber, ExtentNode& node) { (void)node.host()->store().flush(fiber); });
        }
        world_.world.run_until(world_.world.now() + Duration::seconds(1));
        for (auto& [id, extent] : extents_) {
            for (size_t i = 0; i < 3; ++i) {
                if (extent.removed == Outcome::Done && world_.hosts[i]->disk().peek(world_.extent_path(i, id), sim::SimDisk::View::Durable))
                    return "node " + std::to_string(i + 1) + " has the file of " + data::extent_name(id) + ", which was removed";
            }
        }
        return broken();
    }

    ChaosPlan plan_;
    ChaosTotals& totals_;
    ExtentWorld world_;
    RandomStream draws_;
    std::map<ExtentId, LedgerExtent> extents_;
    std::vector<Operation> under_way_;
    uint64_t operation_ = 0;
    std::string wrong_;
};

}  // namespace orrery::test
