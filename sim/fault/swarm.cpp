#include "sim/fault/swarm.h"

#include <algorithm>
#include <cmath>

namespace orrery::sim {

namespace {
constexpr SwarmClass kClasses[] = {
    {"partition", true, "directed and whole partitions of all shapes"},
    {"clog", true, "short stalls of one direction"},
    {"reset", true, "stream resets"},
    {"port-reuse", true, "another member has a member's address for a while"},
    {"net", true,
     "delay, splitting, rate, refused and hanging connects, flipped bits between nodes"},
    {"disk-latency", true, "latency of reads, writes and syncs, slow tail"},
    {"stall", true, "a disk that answers nothing for seconds"},
    {"sync-failure", true, "a failed sync with dropped pages"},
    {"full", true, "a full disk, then freed"},
    {"crash", true,
     "crashes, most of them while something is unsynced or at a chosen disk operation"},
    {"restart-storm", true, "all nodes at once, and their restart order"},
    {"pause", true, "stopped processes"},
    {"graceful", true, "drain, stop, start"},
    {"clock", true, "drift, skew and jumps"},
    {"transfer", true, "leadership handed over"},
    {"hold", true, "the applier, or a fiber that sends or installs a snapshot, held for a while"},
    {"wipe", true, "one replica's disk emptied (rarely)"},
    {"schedule", true, "policy and extra yields"},
    {"knobs", true, "sizes and timeouts from their extreme ends"},
    {"load", true, "bursts, hot keys, idle tails"},
    {"members", false, "operators who add, remove, replace; crashes while the members change"},
    {"replace", false, "machines replaced: a disk emptied, the new life taken in, one at a time"},
    {"rot", false, "bits of one member's log and Store flip, again and again, and crashes that make it look (class C)"},
    {"waits", false, "groups of 1, 2, 3 and 5, short and long waits, idle tails; faults in the turn in which a wait begins or ends"},
    {"streams", false, "lists that masters stream out, held between two pages"},
    {"installs", false, "members that fall behind, and faults at the steps of a snapshot's transfer and install"},
    {"leases", false, "what breaks leases that are kept wrongly: slow leaders cut off from fast members, hand-overs and elections that cut the leader off, voters restarted while another has lost touch"},
    {"read-error", false, "latent sector errors (class C)"},
    {"bit-rot", false, "flipped durable bits (class C)"},
};
}  // namespace

std::span<const SwarmClass> swarm_classes() {
    return kClasses;
}

bool SwarmDraw::on(std::string_view swarm_class) const {
    auto named = [&](const std::vector<std::string>& list) {
        return std::find(list.begin(), list.end(), swarm_class) != list.end();
    };
    if (named(spec_.exclude)) return false;
    bool candidate = named(spec_.include);
    if (spec_.include.empty())
        for (const SwarmClass& one : swarm_classes())
            candidate |= one.name == swarm_class && one.by_default;
    RandomStream draw(seed_, "swarm.on", hash_name(swarm_class));
    return !draw.chance(spec_.off_p) && candidate;
}

RandomStream SwarmDraw::stream(std::string_view swarm_class, uint64_t entity) const {
    return RandomStream(seed_, swarm_class, combine64(hash_name("swarm"), entity));
}

bool SwarmDraw::long_run() const {
    return stream("long").chance(spec_.long_p);
}

namespace {

class Drawer {
 public:
    Drawer(const SwarmSpec& spec, uint64_t seed, Duration chaos, uint64_t members,
           const Budget& budget, uint64_t spares, const MemberNames& names)
        : spec_(spec), draw_(spec, seed), chaos_(chaos), members_(members), spares_(spares), budget_(budget), names_(names) {}

    std::vector<PlannedFault> all() {
        for_each("net", 1, [&](RandomStream& draws) { at_zero(net(draws)); });
        for (uint64_t node = 1; node <= members_; ++node) {
            for_one("disk-latency", node,
                    [&](RandomStream& draws) { at_zero(disk_latency(draws, node)); });
            for_one("clock", node, [&](RandomStream& draws) { clock(draws, node); });
        }
        many("partition", 1, 4, [&](RandomStream& draws) { return Fault(partition(draws)); });
        many("clog", 1, 8, [&](RandomStream& draws) { return Fault(clog(draws)); });
        many("reset", 1, 6, [&](RandomStream& draws) {
            return Fault(NetReset{.node = node(draws),
                                  .peer = {},
                                  .keep_in_flight = draws.chance(0.5),
                                  .half_open = draws.chance(0.05)});
        });
        many("port-reuse", 0, 1, [&](RandomStream& draws) {
            NetPortReuse out{.node = numbered(draws), .by = numbered(draws)};
            out.for_time = log_uniform(draws, 0.1, 4);
            return Fault(out);
        });
        many("stall", 0, 2, [&](RandomStream& draws) {
            return Fault(DiskStall{node(draws), log_uniform(draws, 0.1, 4)});
        });
        many("sync-failure", 0, 1, [&](RandomStream& draws) {
            return Fault(
                DiskSyncFailure{node(draws), draws.chance(0.7) ? "log" : "", 1 + draws.below(3)});
        });
        many("full", 0, 1, [&](RandomStream& draws) {
            return Fault(DiskFull{node(draws), draws.below(256 << 10), log_uniform(draws, 0.5, 4)});
        });
        many("crash", 1, 6, [&](RandomStream& draws) { return Fault(crash(draws)); });
        many("restart-storm", 0, 1, [&](RandomStream& draws) {
            ProcCrash all{.node = "all", .death = CrashDeath::Power, .restarts = true};
            all.restart_after = draws.between(Duration::millis(50), Duration::seconds(2));
            return Fault(all);
        });
        many("pause", 0, 3, [&](RandomStream& draws) {
            return Fault(ProcPause{node(draws), log_uniform(draws, 0.1, 4)});
        });
        many("graceful", 0, 1, [&](RandomStream& draws) {
            return Fault(ProcGraceful{node(draws),
                                      draws.between(Duration::millis(10), Duration::seconds(2))});
        });
        many("transfer", 0, 3, [&](RandomStream& draws) {
            return Fault(AdminTransfer{
                names_.follower(draws.below(std::max<uint64_t>(members_ - 1, 1)))});
        });
        lose_bytes();
        rot();
        many("replace", 1, 3, [&](RandomStream& draws) {
            return Fault(MemberReplace{numbered(draws), draws.between(Duration::millis(10), Duration::seconds(2))});
        });
        change_members();
        break_leases();
        std::stable_sort(
            events_.begin(), events_.end(), [](const PlannedFault& a, const PlannedFault& b) {
                return std::get<TriggerAt>(a.trigger).at < std::get<TriggerAt>(b.trigger).at;
            });
        crash_in_changes();
        faults_at_installs();
        faults_at_waits();
        pauses_at_unblock();
        cut_off_at_candidacies();
        hold_streams();
        holds();  // behind what has a time: they wait for their point
        for (size_t i = 0; i < events_.size(); ++i) events_[i].id = "e" + std::to_string(i + 1);
        return std::move(events_);
    }

 private:
    template <typename F>
    void for_one(std::string_view name, uint64_t entity, F&& body) {
        if (!draw_.on(name)) return;
        RandomStream draws = draw_.stream(name, entity);
        body(draws);
    }
    template <typename F>
    void for_each(std::string_view name, uint64_t count, F&& body) {
        for (uint64_t i = 0; i < count; ++i) for_one(name, i, body);
    }
    /// `number` of each ten seconds, more of them with the intensity.
    uint64_t scaled(uint64_t number) const {
        return static_cast<uint64_t>(std::llround(static_cast<double>(number) * (std::max(1.0, chaos_.as_seconds() / 10) * spec_.intensity)));
    }
    /// Calls body(draws) for each of low to high episodes, scaled; each has draws of its own in that stream.
    template <typename F>
    void episodes(std::string_view stream, uint64_t low, uint64_t high, F&& body) {
        const uint64_t count = scaled(low + draw_.stream(stream).below(high - low + 1));
        for (uint64_t i = 0; i < count; ++i) {
            RandomStream draws = draw_.stream(stream, 1 + i);
            body(draws);
        }
    }
    template <typename F>
    void many(std::string_view name, uint64_t low, uint64_t high, F&& make) {
        if (!draw_.on(name)) return;
        episodes(name, low, high, [&](RandomStream& draws) {
            const Duration at = draws.between(Duration{}, chaos_);
            events_.push_back({"", TriggerAt{at}, make(draws)});
        });
    }
    void holds() {
        // What is held makes room for everything else to overtake it: reads an apply, a crash an install.
        static constexpr std::string_view kPoints[] = {
            "raft.apply.begin",            "raft.apply.begin",
            "raft.apply.begin",            "raft.snapshot.send.chunk",
            "raft.snapshot.receive.chunk", "raft.snapshot.install.begin",
            "raft.snapshot.install.durable"};
        if (!draw_.on("hold")) return;
        episodes("hold", 0, 12, [&](RandomStream& draws) {
            TriggerWhen when;
            when.point = kPoints[draws.below(std::size(kPoints))];
            when.node = numbered(draws);
            when.nth = 1 + draws.below(when.point == "raft.apply.begin" ? 120 : 6);
            events_.push_back({"", when, HoldCheckpoint{log_uniform(draws, 0.01, 1)}});
        });
    }
    /// A list that a master streams out changes between two of its pages.
    void hold_streams() {
        if (!draw_.on("streams")) return;
        episodes("streams", 2, 9, [&](RandomStream& draws) {
            TriggerWhen when;
            when.point = "master.list.page";
            when.node = numbered(draws);
            when.nth = 1 + draws.below(200);
            events_.push_back({"", when, HoldCheckpoint{log_uniform(draws, 0.05, 0.6)}});
        });
    }
    /// Members fall behind, and what strikes does so between two steps of the snapshot that they get then.
    void faults_at_installs() {
        static constexpr std::string_view kPoints[] = {"raft.snapshot.send.begin",    "raft.snapshot.send.chunk",      "raft.snapshot.receive.chunk", "raft.snapshot.receive.chunk",
                                                       "raft.snapshot.install.begin", "raft.snapshot.install.durable", "raft.snapshot.installed"};
        if (!draw_.on("installs")) return;
        episodes("installs", 2, 6, [&](RandomStream& draws) {
            NetPartition away;
            away.node = numbered(draws);
            away.for_time = log_uniform(draws, 0.5, 2.5);
            events_.push_back({"", TriggerAt{draws.between(Duration{}, chaos_)}, away});
            TriggerWhen when;
            when.point = kPoints[draws.below(std::size(kPoints))];
            when.nth = 1 + draws.below(when.point.ends_with("chunk") ? 30 : 4);
            const NodeName whom = draws.chance(0.5) ? "self" : draws.chance(0.5) ? names_.leader() : numbered(draws);
            const double what = draws.unit();
            const Duration lasts = log_uniform(draws, 0.02, 2);
            if (draws.chance(0.2)) {
                // Held as it begins, while another becomes leader.
                when.point = "raft.snapshot.install.begin";
                when.nth = 1 + draws.below(4);
                events_.push_back({"", when, HoldCheckpoint{log_uniform(draws, 0.3, 2)}});
                NetPartition cut;
                cut.node = names_.leader();
                cut.for_time = lasts;
                if (draws.chance(0.5)) {
                    events_.push_back({"", when, cut});
                } else {
                    events_.push_back({"", when, AdminTransfer{names_.follower(draws.below(std::max<uint64_t>(members_ - 1, 1)))}});
                }
                return;
            }
            if (what < 0.3) {
                ProcCrash crash{.node = whom, .death = draws.chance(0.7) ? CrashDeath::Power : CrashDeath::Kill};
                crash.restart_after = lasts;
                events_.push_back({"", when, crash});
            } else if (what < 0.5) {
                NetPartition cut;
                cut.node = whom;
                cut.for_time = lasts;
                events_.push_back({"", when, cut});
            } else if (what < 0.65) {
                events_.push_back({"", when, AdminTransfer{draws.chance(0.5) ? "self" : names_.follower(draws.below(std::max<uint64_t>(members_ - 1, 1)))}});
            } else if (what < 0.8) {
                events_.push_back({"", when, DiskFull{whom, draws.below(4 << 10), lasts}});
            } else if (what < 0.9) {
                events_.push_back({"", when, ProcPause{whom, lasts}});
            } else {
                events_.push_back({"", when, HoldCheckpoint{lasts}});
            }
        });
    }
    void faults_at_waits() {
        // The turns that decide about waits: one begins, an acknowledgement or a timer ends one, a configuration is appended,
        // an entry is synced, committed or applied.
        static constexpr std::string_view kPoints[] = {"kv.wait_begun",  "kv.wait_begun", "kv.wait_ended",      "kv.wait_ended",
                                                       "kv.wait",        "raft.durable",  "raft.commit",        "raft.append",
                                                       "raft.apply",     "raft.role",     "raft.configuration", "raft.snapshot.begin"};
        if (!draw_.on("waits")) return;
        episodes("waits.faults", 1, 6, [&](RandomStream& draws) {
            TriggerWhen when;
            when.point = kPoints[draws.below(std::size(kPoints))];
            const bool rare = when.point == "raft.role" || when.point == "raft.configuration" || when.point == "raft.snapshot.begin";
            when.nth = 1 + draws.below(rare ? 6 : when.point.starts_with("kv.") ? 60 : 400);
            const NodeName whom = draws.chance(0.4) ? names_.leader() : draws.chance(0.5) ? "self" : numbered(draws);
            const double what = draws.unit();
            const Duration lasts = log_uniform(draws, 0.05, 4);
            if (what < 0.3) {
                NetPartition cut;
                cut.node = whom;
                cut.for_time = lasts;
                events_.push_back({"", when, cut});
            } else if (what < 0.55) {
                ProcCrash crash{.node = whom, .death = CrashDeath::Power};
                crash.restart_after = lasts;
                events_.push_back({"", when, crash});
            } else if (what < 0.75) {
                events_.push_back({"", when, NetClog{.node = whom, .peer = {}, .direction = draws.chance(0.5) ? Direction::From : Direction::To, .for_time = lasts}});
            } else if (what < 0.82) {
                // What arrives meanwhile is met in one turn.
                events_.push_back({"", when, ProcPause{whom, lasts}});
            } else if (what < 0.9) {
                events_.push_back({"", when, DiskStall{whom, lasts}});
            } else {
                events_.push_back({"", when, AdminTransfer{names_.follower(draws.below(std::max<uint64_t>(members_ - 1, 1)))}});
            }
        });
    }
    // CLIENT UNBLOCK and what ends the wait by itself both wait for a leader that stands still, and are met in one turn.
    void pauses_at_unblock() {
        if (!draw_.on("waits")) return;
        RandomStream draws = draw_.stream("waits.unblock");
        for (uint64_t left = draws.below(3); left > 0; --left) {
            TriggerWhen when;
            when.point = "client.unblock";
            when.nth = 1 + draws.below(4);
            events_.push_back({"", when, ProcPause{names_.leader(), log_uniform(draws, 0.03, 1)}});
        }
    }
    // A leader that is cut off from the members, not from its clients, is deposed without knowing it; only its lease can keep it
    // from answering what is no longer true. Each episode makes one promise matter.
    void break_leases() {
        if (!draw_.on("leases")) return;
        episodes("leases", 1, 3, [&](RandomStream& draws) {
            const Duration at = draws.between(Duration{}, chaos_), lasts = log_uniform(draws, 0.7, 2.5),
                           out_of_touch = draws.between(Duration::millis(50), Duration::millis(550)), restart = log_uniform(draws, 0.0005, 0.03);
            const double what = draws.unit();
            const bool restarts = draws.chance(0.6), powerless = draws.chance(0.5);
            const uint64_t which = draws.chance(0.7) ? 0 : 1;
            const NodeName leader = names_.leader(), one = names_.follower(which), other = names_.follower(1 - which);
            auto add = [&](Duration when, Fault fault) { events_.push_back({"", TriggerAt{when}, std::move(fault)}); };
            auto isolate = [&](Duration when) {
                NetPartition cut;
                cut.node = leader;
                cut.for_time = lasts;
                add(when, cut);
            };
            if (what < 0.35) {
                // The leader's clock is as slow as it may be, the others' as fast.
                add(at, ClockDrift{leader, -spec_.drift_ppm});
                for (const NodeName& fast : {one, other}) add(at, ClockDrift{fast, spec_.drift_ppm});
                isolate(at);
            } else if (what < 0.55) {
                // Called by the leader, elected while that hears nobody: cut_off_at_candidacies().
                add(at, AdminTransfer{one});
            } else {
                // One member loses touch with the leader and will campaign; the other is in touch until, perhaps, it restarts.
                add(at, NetClog{.node = leader, .peer = one, .direction = Direction::Both, .for_time = out_of_touch + lasts});
                if (restarts) add(at + out_of_touch, ProcCrash{.node = other, .death = powerless ? CrashDeath::Power : CrashDeath::Kill, .restart_after = restart});
                isolate(at + out_of_touch);
            }
        });
    }
    /// In the turn in which somebody campaigns the leader is cut off from the members: the votes pass it by.
    void cut_off_at_candidacies() {
        if (!draw_.on("leases")) return;
        episodes("leases.votes", 1, 3, [&](RandomStream& draws) {
            NetPartition cut;
            cut.node = names_.leader();
            cut.for_time = log_uniform(draws, 0.1, 2);
            events_.push_back({"", TriggerWhen{.point = "raft.role", .node = "", .nth = 1 + draws.below(8), .where = "role='candidate'"}, cut});
        });
    }
    void change_members() {
        if (!draw_.on("members")) return;
        episodes("members", 2, 6, [&](RandomStream& draws) {
            const Duration at = draws.between(Duration{}, chaos_), later = draws.between(Duration::millis(200), Duration::seconds(3)),
                           restart = draws.between(Duration::millis(10), Duration::seconds(1));
            const NodeName any = names_.member(1 + draws.below(members_ + spares_));
            const double what = draws.unit();
            const bool learner = draws.chance(0.15);
            auto add = [&](Duration when, Fault fault) { events_.push_back({"", TriggerAt{when}, std::move(fault)}); };
            if (what < 0.3) {
                add(at, MemberAdd{any, learner});
            } else if (what < 0.55) {
                // Out, and back with an empty disk.
                add(at, MemberRemove{any});
                add(at + later, DiskWipe{any, restart});
                add(at + later + restart, MemberAdd{any});
            } else if (what < 0.85) {
                add(at, DiskWipe{any, restart});
                add(at + later, MemberAdd{any});
            } else {
                add(at, MemberTransfer{any});
            }
        });
    }
    void crash_in_changes() {
        if (!draw_.on("members")) return;
        const uint64_t count = draw_.stream("members.crash").below(4);
        for (uint64_t i = 0; i < count; ++i) {
            RandomStream draws = draw_.stream("members.crash", 1 + i);
            ProcCrash crash{.node = draws.chance(0.5) ? names_.leader() : "self", .death = CrashDeath::Power};
            crash.restart_after = log_uniform(draws, 0.02, 3);
            TriggerWhen when{.point = "raft.configuration", .node = "", .nth = 1 + draws.below(30), .where = ""};
            events_.push_back({"", when, crash});
        }
    }
    void at_zero(Fault fault) { events_.push_back({"", TriggerAt{}, std::move(fault)}); }

    static Duration log_uniform(RandomStream& draws, double low_seconds, double high_seconds) {
        // Whole microseconds keep plans readable.
        return Duration::micros(std::llround(draws.log_uniform(low_seconds, high_seconds) * 1e6));
    }
    NodeName numbered(RandomStream& draws) const {
        return names_.member(1 + draws.below(members_));
    }
    NodeName node(RandomStream& draws) const {
        const double which = draws.unit();
        const NodeName name = numbered(draws);
        return which < 0.35 ? names_.leader() : which < 0.5 ? names_.follower(0) : name;
    }

    NetPartition partition(RandomStream& draws) const {
        NetPartition out;
        const double shape = draws.unit();
        out.shape = shape < 0.55   ? PartitionShape::Isolate
                    : shape < 0.75 ? PartitionShape::Halves
                    : shape < 0.9  ? PartitionShape::Bridge
                                   : PartitionShape::Ring;
        out.node = node(draws);
        const double direction = draws.unit();
        out.direction = direction < 0.5    ? Direction::Both
                        : direction < 0.75 ? Direction::From
                                           : Direction::To;
        out.clients = draws.chance(0.2);
        out.split = draws.below(members_);
        out.for_time = log_uniform(draws, 0.2, 5);
        if (out.shape != PartitionShape::Isolate) out.node = NetPartition{}.node;
        return out;
    }
    NetClog clog(RandomStream& draws) const {
        NetClog out;
        out.node = node(draws);
        if (draws.chance(0.5)) out.peer = numbered(draws);
        const double direction = draws.unit();
        out.direction = direction < 0.34   ? Direction::Both
                        : direction < 0.67 ? Direction::From
                                           : Direction::To;
        out.for_time = Duration::micros(std::llround(3e6 * std::exp(-6 * draws.unit())));
        return out;
    }
    static NetChange net(RandomStream& draws) {
        NetChange out;
        out.delay_min = Duration::micros(static_cast<int64_t>(draws.below(5000)));
        out.delay_mean = Duration::micros(std::llround(draws.log_uniform(200, 20'000)));
        const bool slow = draws.chance(0.3), split = draws.chance(0.5), rate = draws.chance(0.25),
                   connect = draws.chance(0.25), corrupt = draws.chance(0.3),
                   reset = draws.chance(0.3);
        const double split_p = draws.unit(), rate_value = draws.log_uniform(200e3, 1e9),
                     refuse = draws.unit(), hang = draws.unit(),
                     corrupt_p = draws.log_uniform(1e-5, 1e-3),
                     reset_p = draws.log_uniform(1e-5, 1e-3);
        if (slow) out.slow_p = 1e-3;
        if (split) out.split_p = std::round(split_p * 1000) / 1000;
        if (split) out.split_max_bytes = draws.between(1, 1460);
        if (rate) out.rate_bytes_per_second = std::llround(rate_value);
        if (connect) {
            out.refuse_p = std::round(refuse * 200) / 1000;
            out.hang_p = std::round(hang * 200) / 1000;
        }
        if (corrupt) out.corrupt_p = corrupt_p;
        if (reset) out.reset_p = reset_p;
        return out;
    }
    DiskLatencyChange disk_latency(RandomStream& draws, uint64_t node) const {
        const DiskLatency latency = DiskLatency::drawn(draws);
        DiskLatencyChange out{.node = names_.member(node)};
        out.read_low = latency.read.low, out.read_high = latency.read.high;
        out.write_low = latency.write.low, out.write_high = latency.write.high;
        out.sync_low = latency.sync.low, out.sync_high = latency.sync.high;
        out.slow_p = latency.slow_chance, out.slow_max = latency.slow_max;
        return out;
    }
    void clock(RandomStream& draws, uint64_t node) {
        const NodeName name = names_.member(node);
        const int64_t ppm = draws.between(-spec_.drift_ppm, spec_.drift_ppm);
        const Duration skew = Duration::millis(draws.between(-10'000, 10'000));
        const bool jumps = draws.chance(0.3), back = draws.chance(0.5);
        const Duration by = log_uniform(draws, 1e-3, 3600), at = draws.between(Duration{}, chaos_);
        at_zero(ClockDrift{name, ppm});
        at_zero(ClockJump{name, skew});
        if (jumps)
            events_.push_back({"", TriggerAt{at}, ClockJump{name, back ? Duration{} - by : by}});
    }
    ProcCrash crash(RandomStream& draws) const {
        ProcCrash out;
        out.node = node(draws);
        out.death = draws.chance(0.75) ? CrashDeath::Power : CrashDeath::Kill;
        // Nine of ten while something could be lost.
        const double style = draws.unit();
        const uint64_t operation = 1 + static_cast<uint64_t>(draws.log_uniform(1, 200));
        const bool before = draws.chance(0.5);
        out.when_unsynced = style >= 0.1 && style < 0.5;
        if (style >= 0.5) {
            out.at_disk_operation = operation;
            out.before_operation = before;
        }
        const bool at_once = draws.chance(0.3);
        out.restart_after = at_once ? Duration::millis(1) : log_uniform(draws, 0.02, 5);
        return out;
    }
    void lose_bytes() {
        if (budget_.mode == BudgetMode::None || members_ < 3) return;
        for_one("wipe", 0, [&](RandomStream& draws) {
            const bool strikes = draws.chance(0.2);
            const Duration at = draws.between(Duration{}, chaos_),
                           restart = draws.between(Duration::millis(10), Duration::seconds(2));
            const NodeName name = numbered(draws);
            if (!strikes) return;
            events_.push_back({"", TriggerAt{at}, DiskWipe{name, restart}});
            lost_ = name;
        });
        for (std::string_view name : {"read-error", "bit-rot"}) {
            for_one(name, 0, [&](RandomStream& draws) {
                const Duration at = draws.between(Duration{}, chaos_);
                NodeName struck = numbered(draws);
                if (lost_) struck = *lost_;  // at most one replica of three loses anything
                if (name == "bit-rot") {
                    const auto bits = static_cast<uint64_t>(draws.log_uniform(1, 30));
                    events_.push_back({"", TriggerAt{at}, DiskBitRot{struck, "log", bits}});
                } else {
                    events_.push_back({"", TriggerAt{at}, DiskReadError{struck, "log"}});
                }
                lost_ = struck;
            });
        }
    }

    /// One member's disk goes bad. Damage shows where something is read: mostly at a start, so most strikes are followed by one.
    void rot() {
        if (budget_.mode == BudgetMode::None || members_ < 3 || !draw_.on("rot")) return;
        RandomStream draws = draw_.stream("rot");
        const NodeName victim = lost_ ? *lost_ : numbered(draws);
        const uint64_t count = scaled(1 + draws.below(4));
        for (uint64_t i = 0; i < count; ++i) {
            RandomStream own = draw_.stream("rot", 1 + i);
            const Duration at = own.between(Duration{}, chaos_), looks = log_uniform(own, 0.01, 1);
            const std::string zone = own.chance(0.5) ? "log/" : "store/";
            const auto bits = static_cast<uint64_t>(own.log_uniform(1, 60));
            const bool crashes = own.chance(0.75);
            ProcCrash crash{.node = victim, .death = own.chance(0.5) ? CrashDeath::Power : CrashDeath::Kill};
            crash.restart_after = log_uniform(own, 0.001, 2);
            if (own.chance(0.2)) {
                events_.push_back({"", TriggerAt{at}, DiskReadError{victim, zone}});
            } else {
                events_.push_back({"", TriggerAt{at}, DiskBitRot{victim, zone, bits}});
            }
            if (crashes) events_.push_back({"", TriggerAt{at + looks}, crash});
        }
        lost_ = victim;
    }

    const SwarmSpec& spec_;
    SwarmDraw draw_;
    Duration chaos_;
    uint64_t members_;
    uint64_t spares_;
    const Budget& budget_;
    const MemberNames& names_;
    std::optional<NodeName> lost_;
    std::vector<PlannedFault> events_;
};

}  // namespace

std::vector<PlannedFault> draw_faults(const SwarmSpec& spec, uint64_t seed, Duration chaos,
                                      uint64_t members, const Budget& budget, uint64_t spares, const MemberNames& names) {
    return Drawer(spec, seed, chaos, members, budget, spares, names).all();
}

Schedule draw_schedule(const SwarmSpec& spec, uint64_t seed) {
    const SwarmDraw draw(spec, seed);
    Schedule schedule;
    if (!draw.on("schedule")) return schedule;
    RandomStream draws = draw.stream("schedule");
    const double policy = draws.unit();
    const bool preempts = draws.chance(0.5);
    schedule.policy = policy < 0.1   ? SchedulePolicy::Fifo
                      : policy < 0.4 ? SchedulePolicy::Pct
                                     : SchedulePolicy::Random;
    schedule.pct_depth = static_cast<uint64_t>(draws.between(2, 5));
    schedule.extra_yield_p = preempts ? std::round(draws.unit() * 200) / 1000 : 0;
    return schedule;
}

}  // namespace orrery::sim
