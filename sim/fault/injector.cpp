#include "sim/fault/injector.h"

#include <algorithm>
#include <charconv>

#include "runtime/base/check.h"

namespace orrery::sim {

namespace {

std::string names_of(const std::vector<Host*>& hosts) {
    std::string out;
    for (const Host* host : hosts) out += (out.empty() ? "" : ", ") + host->name();
    return out;
}

/// "name=value" terms, blanks between; values are integers or texts, quoted or not.
bool fields_match(std::string_view where, const TraceEvent& event) {
    while (!where.empty()) {
        const size_t blank = where.find(' ');
        const std::string_view term = where.substr(0, blank);
        where = blank == std::string_view::npos ? std::string_view() : where.substr(blank + 1);
        if (term.empty()) continue;
        const size_t equals = term.find('=');
        if (equals == std::string_view::npos) return false;
        const std::string_view name = term.substr(0, equals);
        std::string_view value = term.substr(equals + 1);
        if (value.size() >= 2 && value.front() == '\'' && value.back() == '\'')
            value = value.substr(1, value.size() - 2);
        const auto field = std::find_if(event.fields.begin(), event.fields.end(),
                                        [&](const TraceField& one) { return one.name == name; });
        if (field == event.fields.end()) return false;
        if (field->is_text() ? field->text != value : field->digits() != value)
            return false;
    }
    return true;
}

}  // namespace

Injector::Injector(World& world, Cast& cast, const std::vector<PlannedFault>& events)
    : world_(world),
      cast_(cast),
      events_(events),
      usual_net_(world.net().options()),
      matched_(events.size()),
      struck_(events.size()) {
    for (size_t i = 0; i < events.size(); ++i)
        if (const auto* when = std::get_if<TriggerWhen>(&events[i].trigger))
            by_point_[when->point].push_back(i);
    if (!by_point_.empty()) world.add_observer(*this, true);
}

void Injector::begin() {
    begun_ = last_due_ = world_.now();
    active_ = true;
    for (Host* host : cast_.members()) usual_latency_.push_back(host->disk().latency());
    for (size_t i = 0; i < events_.size(); ++i) {
        const auto* at = std::get_if<TriggerAt>(&events_[i].trigger);
        if (at == nullptr) continue;
        last_due_ = std::max(last_due_, begun_ + at->at);
        after(at->at, [this, i] { strike(i, nullptr); });
    }
}

void Injector::after(Duration delay, std::function<void()> action) {
    world_.at(world_.now() + delay, [this, epoch = epoch_, action = std::move(action)] {
        if (epoch == epoch_) action();
    });
}

std::vector<size_t> Injector::never_fired() const {
    std::vector<size_t> out;
    for (size_t i = 0; i < events_.size(); ++i)
        if (!struck_[i]) out.push_back(i);
    return out;
}

// ---- triggers
// ---------------------------------------------------------------------------------------------------

bool Injector::matches(const TriggerWhen& when, Host& host, const TraceEvent& event) {
    if (!when.where.empty() && !fields_match(when.where, event)) return false;
    if (when.node.empty() || when.node == host.name()) return true;
    RandomStream draws = world_.timeline().stream("fault.when");
    const std::vector<Host*> meant =
        when.node.starts_with("any(") ? cast_.members() : cast_.resolve(when.node, draws);
    return std::find(meant.begin(), meant.end(), &host) != meant.end();
}

void Injector::on_event(Host& host, const TraceEvent& event) {
    if (!active_) return;
    auto found = by_point_.find(event.name);
    if (found == by_point_.end()) return;
    for (size_t i : found->second) {
        const auto& when = std::get<TriggerWhen>(events_[i].trigger);
        if (struck_[i] || !matches(when, host, event) || ++matched_[i] != when.nth) continue;
        if (const auto* hold = std::get_if<HoldCheckpoint>(&events_[i].fault)) {
            holds_[i] = hold->for_time;  // on_checkpoint() of this very point takes it
        } else {
            world_.soon([this, i, epoch = epoch_, self = &host] {
                if (epoch == epoch_) strike(i, self);
            });
        }
    }
}

Duration Injector::on_checkpoint(Host& host, const TraceEvent& event) {
    Duration hold{};
    auto found = by_point_.find(event.name);
    if (!active_ || found == by_point_.end()) return hold;
    for (size_t i : found->second) {
        auto waiting = holds_.find(i);
        if (waiting == holds_.end()) continue;
        hold = std::max(hold, waiting->second);
        holds_.erase(waiting);
        struck_[i] = true;
        done(i,
             "held " + host.name() + " at " + std::string(event.name) + " for " +
                 duration_text(hold),
             true);
        arm_followers(i);
    }
    return hold;
}

void Injector::strike(size_t event, Host* self) {
    if (!active_ || struck_[event]) return;
    struck_[event] = true;
    Strike strike{event, self, world_.timeline().stream("fault.draw", event)};
    std::visit([&](const auto& fault) { apply(strike, fault); }, events_[event].fault);
    arm_followers(event);
}

void Injector::arm_followers(size_t event) {
    const std::string& id = events_[event].id;
    const std::string_view name = fault_name(events_[event].fault);
    const bool first_of_name = std::none_of(fired_.begin(), fired_.end(), [&](const Fired& one) {
        return one.event != event && fault_name(events_[one.event].fault) == name;
    });
    for (size_t i = 0; i < events_.size(); ++i) {
        const auto* after_event = std::get_if<TriggerAfter>(&events_[i].trigger);
        if (after_event == nullptr || struck_[i]) continue;
        const bool by_id =
            std::any_of(events_.begin(), events_.end(),
                        [&](const PlannedFault& one) { return one.id == after_event->event; });
        if (by_id ? after_event->event != id : after_event->event != name || !first_of_name)
            continue;
        last_due_ = std::max(last_due_, world_.now() + after_event->delay);
        after(after_event->delay, [this, i] { strike(i, nullptr); });
    }
}

void Injector::done(size_t event, std::string what, bool effective, Probe probe) {
    world_.timeline().note(Step::Fault, event, effective);
    fired_.push_back({event, world_.now(), std::move(what), effective});
    if (probe) probes_.emplace_back(fired_.size() - 1, std::move(probe));
    if (on_fired) on_fired(fired_.back());
}

std::vector<Host*> Injector::Strike::hosts(Injector& injector, const NodeName& name) {
    if (name == "self") return self != nullptr ? std::vector<Host*>{self} : std::vector<Host*>{};
    return injector.cast_.resolve(name, draws);
}

// ---- network
// ----------------------------------------------------------------------------------------------------

void Injector::cut_for(size_t event, std::vector<Link> links, Duration for_time, std::string what) {
    for (const auto& [from, to] : links) world_.net().cut(from, to);
    const uint64_t held_before = world_.net().counters().held_by_cut;
    done(event, what, false,
         [this, held_before] { return world_.net().counters().held_by_cut > held_before; });
    if (for_time == Duration{}) return;
    after(for_time, [this, links = std::move(links)] {
        for (const auto& [from, to] : links) world_.net().heal(from, to);
    });
}

void Injector::apply(Strike& strike, const NetPartition& fault) {
    const std::vector<Host*>& members = cast_.members();
    std::vector<Link> links;
    auto cut = [&](Host* from, Host* to) {
        if (from != to) links.emplace_back(from->endpoint(), to->endpoint());
    };
    // Position in the order of nodes, turned by `split`.
    auto place = [&](size_t i) { return (i + fault.split) % members.size(); };
    const size_t half = members.size() / 2;
    std::string what;
    switch (fault.shape) {
        case PartitionShape::Isolate: {
            const std::vector<Host*> alone = strike.hosts(*this, fault.node);
            for (Host* host : alone) {
                std::vector<Host*> rest = members;
                if (fault.clients)
                    rest.insert(rest.end(), cast_.others().begin(), cast_.others().end());
                for (Host* other : rest) {
                    if (std::find(alone.begin(), alone.end(), other) != alone.end()) continue;
                    if (fault.direction != Direction::To) cut(host, other);
                    if (fault.direction != Direction::From) cut(other, host);
                }
            }
            what = "isolated " + names_of(alone);
            break;
        }
        case PartitionShape::Halves:
        case PartitionShape::Bridge: {
            // The bridge is the node between both halves.
            for (size_t i = 0; i < members.size(); ++i) {
                for (size_t j = 0; j < members.size(); ++j) {
                    const bool bridge = fault.shape == PartitionShape::Bridge &&
                                        (place(i) == half || place(j) == half);
                    if (bridge || place(i) >= half || place(j) < half) continue;
                    if (fault.direction != Direction::To) cut(members[i], members[j]);
                    if (fault.direction != Direction::From) cut(members[j], members[i]);
                }
            }
            what = fault.shape == PartitionShape::Bridge ? "left one bridge" : "cut in halves";
            break;
        }
        case PartitionShape::Ring:
            // Each node hears and is heard by its neighbours; with three nodes only one way round.
            for (size_t i = 0; i < members.size(); ++i) {
                for (size_t j = 0; j < members.size(); ++j) {
                    const size_t distance = (place(j) + members.size() - place(i)) % members.size();
                    const bool neighbour = members.size() > 3
                                               ? distance == 1 || distance == members.size() - 1
                                               : distance == 1;
                    if (!neighbour) cut(members[i], members[j]);
                }
            }
            what = "left a ring";
            break;
        case PartitionShape::Links:
            for (const std::string& link : fault.links) {
                const size_t arrow = link.find("->");
                if (arrow == std::string::npos) continue;
                for (Host* from : strike.hosts(*this, link.substr(0, arrow)))
                    for (Host* to : strike.hosts(*this, link.substr(arrow + 2))) cut(from, to);
                what += (what.empty() ? "cut " : ", ") + link;
            }
            break;
    }
    if (links.empty()) return done(strike.event, what + ": nothing to cut", false);
    cut_for(strike.event, std::move(links), fault.for_time,
            what + (fault.for_time.ns ? " for " + duration_text(fault.for_time) : ""));
}

void Injector::apply(Strike& strike, const NetClog& fault) {
    std::vector<Host*> others = cast_.members();
    others.insert(others.end(), cast_.others().begin(), cast_.others().end());
    if (!fault.peer.empty()) others = strike.hosts(*this, fault.peer);
    const std::vector<Host*> nodes = strike.hosts(*this, fault.node);
    std::vector<Link> links;
    for (Host* node : nodes) {
        for (Host* other : others) {
            if (other == node) continue;
            if (fault.direction != Direction::To)
                links.emplace_back(node->endpoint(), other->endpoint());
            if (fault.direction != Direction::From)
                links.emplace_back(other->endpoint(), node->endpoint());
        }
    }
    if (links.empty()) return done(strike.event, "nothing to clog", false);
    cut_for(strike.event, std::move(links), fault.for_time,
            "clogged " + names_of(nodes) + " for " + duration_text(fault.for_time));
}

void Injector::apply(Strike& strike, const NetReset& fault) {
    std::vector<Host*> others = cast_.members();
    others.insert(others.end(), cast_.others().begin(), cast_.others().end());
    if (!fault.peer.empty()) others = strike.hosts(*this, fault.peer);
    const std::vector<Host*> nodes = strike.hosts(*this, fault.node);
    size_t struck = 0;
    for (Host* node : nodes)
        for (Host* other : others)
            if (other != node)
                struck += fault.half_open
                              ? world_.net().half_open_between(node->endpoint(), other->endpoint())
                              : world_.net().reset_between(node->endpoint(), other->endpoint(),
                                                           fault.keep_in_flight);
    done(strike.event, (fault.half_open ? "left half open " : "reset ") + std::to_string(struck) + " streams of " + names_of(nodes),
         struck > 0);
}

void Injector::apply(Strike& strike, const NetPortReuse& fault) {
    const std::vector<Host*> nodes = strike.hosts(*this, fault.node),
                             others = strike.hosts(*this, fault.by);
    if (nodes.empty() || others.empty() || nodes.front() == others.front())
        return done(strike.event, "nobody takes the address of " + names_of(nodes), false);
    for (Host* member : cast_.members())  // as it should be: another node answers, and is told apart
        for (const char* name : {"rpc.handshake_refused", "rpc.connect_failed"}) member->expect_error(name);
    const std::string name = nodes.front()->name();
    world_.net().lend_address(name, others.front()->endpoint());
    if (fault.for_time != Duration{})
        after(fault.for_time, [this, name] { world_.net().lend_address(name, std::nullopt); });
    done(strike.event, others.front()->name() + " has the address of " + name, true);
}

void Injector::apply(Strike& strike, const NetChange& fault) {
    NetOptions& net = world_.net().options();
    const NetOptions before = net;
    if (fault.delay_min.ns >= 0) net.latency_min = fault.delay_min;
    if (fault.delay_mean.ns >= 0) net.latency_mean = fault.delay_mean;
    if (fault.slow_p >= 0) net.slow_p = fault.slow_p;
    if (fault.slow_max.ns >= 0) net.slow_max = std::max(fault.slow_max, net.slow_min);
    if (fault.split_p >= 0) net.split_p = fault.split_p;
    if (fault.split_max_bytes >= 0)
        net.split_max_bytes = static_cast<uint32_t>(std::max<int64_t>(fault.split_max_bytes, 1));
    if (fault.rate_bytes_per_second >= 0)
        net.rate_bytes_per_second = static_cast<uint64_t>(fault.rate_bytes_per_second);
    if (fault.refuse_p >= 0) net.connect_refuse_p = fault.refuse_p;
    if (fault.hang_p >= 0) net.connect_hang_p = fault.hang_p;
    if (fault.reset_p >= 0) net.reset_p = fault.reset_p;
    if (fault.corrupt_p >= 0) {
        net.corrupt_p = fault.corrupt_p;
        if (fault.corrupt_p > 0)
            for (Host* member : cast_.members())
                for (std::string_view name :
                     {"rpc.bad_frame", "rpc.connect_failed", "rpc.handshake_refused"})
                    member->expect_error(std::string(name));
        // Only what a checksum protects: between members, not towards clients.
        net.corrupt_among_first = static_cast<uint32_t>(cast_.members().size());
    }
    done(strike.event, "changed the network", true);
    if (fault.for_time == Duration{}) return;
    after(fault.for_time, [this, before] { world_.net().options() = before; });
}

// ---- disks
// ------------------------------------------------------------------------------------------------------

void Injector::apply(Strike& strike, const DiskLatencyChange& fault) {
    DiskLatency latency;
    latency.read = {fault.read_low, fault.read_high};
    latency.write = {fault.write_low, fault.write_high};
    latency.sync = {fault.sync_low, fault.sync_high};
    latency.slow_chance = fault.slow_p;
    latency.slow_max = fault.slow_max;
    const std::vector<Host*> hosts = strike.hosts(*this, fault.node);
    for (Host* host : hosts) {
        const DiskLatency before = host->disk().latency();
        host->disk().set_latency(latency);
        if (fault.for_time != Duration{})
            after(fault.for_time, [host, before] { host->disk().set_latency(before); });
    }
    done(strike.event, "changed the disk latency of " + names_of(hosts), !hosts.empty());
}

void Injector::apply(Strike& strike, const DiskStall& fault) {
    const std::vector<Host*> hosts = strike.hosts(*this, fault.node);
    for (Host* host : hosts) host->disk().stall_until(world_.now() + fault.for_time);
    const bool busy =
        std::any_of(hosts.begin(), hosts.end(), [](Host* host) { return host->up(); });
    done(strike.event,
         "stalled the disk of " + names_of(hosts) + " for " + duration_text(fault.for_time), busy);
}

void Injector::apply(Strike& strike, const DiskSyncFailure& fault) {
    for (Host* host : strike.hosts(*this, fault.node)) {
        for (std::string_view name :
             {"log.sealed", "raft.group_stopped", "process.failed", "store.failed"})
            host->expect_error(std::string(name));
        host->disk().arm_sync_failure(fault.zone, fault.nth);
        const uint64_t before = host->disk().counters().sync_failures;
        done(strike.event, "armed a sync failure of " + host->name(), false,
             [host, before] { return host->disk().counters().sync_failures > before; });
    }
}

void Injector::apply(Strike& strike, const DiskWriteFailure& fault) {
    for (Host* host : strike.hosts(*this, fault.node)) {
        for (std::string_view name :
             {"log.sealed", "raft.group_stopped", "process.failed", "store.failed"})
            host->expect_error(std::string(name));
        host->disk().arm_write_failure(fault.zone, fault.nth);
        const uint64_t before = host->disk().counters().write_failures;
        done(strike.event, "armed a write failure of " + host->name(), false,
             [host, before] { return host->disk().counters().write_failures > before; });
    }
}

void Injector::apply(Strike& strike, const DiskReadError& fault) {
    for (Host* host : strike.hosts(*this, fault.node)) {
        expect_damage(*host);
        const auto place = host->disk().break_drawn_sector(fault.zone, cast_.beyond_detection(*host));
        done(strike.event,
             place ? "broke a sector of " + host->name() + ":" + place->path
                   : "nothing to break on " + host->name(),
             place.has_value());
    }
}

void Injector::apply(Strike& strike, const DiskBitRot& fault) {
    for (Host* host : strike.hosts(*this, fault.node)) {
        expect_damage(*host);
        std::optional<SimDisk::Place> place;
        const SimDisk::Spared spared = cast_.beyond_detection(*host);
        uint64_t flipped = 0;
        for (uint64_t i = 0; i < fault.bits; ++i) {
            place = host->disk().flip_drawn_bit(fault.zone, spared);
            if (!place) break;
            ++flipped;
        }
        done(strike.event,
             flipped > 0 ? "flipped " + std::to_string(flipped) + " bits of " + host->name() +
                               (place ? ", the last in " + place->path : "")
                         : "nothing to flip on " + host->name(),
             flipped > 0);
    }
}

void Injector::apply(Strike& strike, const DiskFull& fault) {
    for (Host* host : strike.hosts(*this, fault.node)) {
        host->expect_error(
            "process.failed");  // a start that finds no room ends, and is tried again
        host->disk().set_capacity(host->disk().allocated_bytes() + fault.room_bytes);
        const uint64_t before = host->disk().counters().no_space;
        done(strike.event,
             "filled the disk of " + host->name() + " for " + duration_text(fault.for_time), false,
             [host, before] { return host->disk().counters().no_space > before; });
        after(fault.for_time, [host] { host->disk().set_capacity(DiskOptions{}.capacity_bytes); });
    }
}

bool Injector::wipe(size_t event, Host& host) {
    if (!cast_.may_lose(host)) {
        done(event, "spared " + host.name() + ": another replica is not back yet", false);
        return false;
    }
    // Fibers that end may still say what they have just learned (of a paused node, what a sync did before): of the old disk.
    if (host.up()) host.crash(Host::Death::Power);
    cast_.dies(host, true);
    host.disk().wipe();
    expect_strangers();
    done(event, "wiped " + host.name(), true);
    return true;
}

/// Its former peers refuse a new incarnation, loudly.
void Injector::expect_strangers() {
    for (Host* member : cast_.members())
        for (std::string_view name : {"rpc.handshake_refused", "rpc.connect_failed"})
            member->expect_error(std::string(name));
}

/// What a node may say of bytes that its disk lost.
void Injector::expect_damage(Host& host) {
    for (std::string_view name : {"log.damaged", "log.sealed", "raft.group_stopped", "process.failed", "store.failed",
                                  "store.damaged", "store.set_aside", "replica.retired"})
        host.expect_error(std::string(name));
    expect_strangers();  // a retired replica comes back as another
}

void Injector::apply(Strike& strike, const DiskWipe& fault) {
    for (Host* host : strike.hosts(*this, fault.node))
        if (wipe(strike.event, *host)) start_later(*host, fault.restart_after);
}

void Injector::apply(Strike& strike, const MemberReplace& fault) {
    for (Host* host : strike.hosts(*this, fault.node)) {
        if (!wipe(strike.event, *host)) continue;
        start_later(*host, fault.restart_after);
        after(fault.restart_after, [this, host, event = strike.event, within = fault.within] {
            cast_.order(MemberOrder::Add, *host, within, [this, event](const std::string& what, bool effective) { done(event, what, effective); });
        });
    }
}

// ---- processes
// --------------------------------------------------------------------------------------------------

void Injector::start_later(Host& host, Duration delay) {
    cast_.keeps_down(host, true);
    down_order_.push_back(&host);
    after(delay, [this, &host] {
        cast_.keeps_down(host, false);
        if (!host.up()) cast_.start(host);
    });
}

void Injector::crash(Host& host, const ProcCrash& fault) {
    cast_.dies(host, false);
    host.crash(fault.death == CrashDeath::Power ? Host::Death::Power : Host::Death::Kill);
    if (fault.restarts) return start_later(host, fault.restart_after);
    cast_.keeps_down(host, true);
    down_order_.push_back(&host);
}

void Injector::apply(Strike& strike, const ProcCrash& fault) {
    const std::vector<Host*> hosts = strike.hosts(*this, fault.node);
    const std::string how = fault.death == CrashDeath::Power ? "power lost on " : "killed ";
    if (hosts.empty()) done(strike.event, "nobody to crash", false);
    for (Host* host : hosts) {
        if (!host->up()) {
            done(strike.event, host->name() + " was down", false);
            continue;
        }
        uint64_t operation = fault.at_disk_operation;
        if (operation == 0 && fault.when_unsynced && !host->disk().has_unsynced()) operation = 1;
        if (operation == 0) {
            crash(*host, fault);
            done(strike.event, how + host->name(), true);
            continue;
        }
        const uint64_t life = host->life();
        const size_t event = strike.event;
        host->disk().crash_at_operation(operation, [this, host, fault, how, event, life,
                                                    epoch = epoch_](const DiskOperation& at) {
            const Instant when = fault.before_operation ? Instant{at.at.ns - 1} : at.at;
            const std::string text =
                how + host->name() + (fault.before_operation ? " before " : " after ") +
                std::string(disk_op_name(at.kind)) + " of " + std::string(at.path);
            world_.at(std::max(when, world_.now()), [this, host, fault, text, event, life, epoch] {
                if (epoch != epoch_ || !host->up() || host->life() != life) return;
                crash(*host, fault);
                done(event, text, true);
            });
        });
    }
}

void Injector::apply(Strike& strike, const ProcRestart& fault) {
    std::vector<Host*> hosts;
    const std::vector<Host*> meant = strike.hosts(*this, fault.node);
    for (Host* host : down_order_)
        if (!host->up() && std::find(meant.begin(), meant.end(), host) != meant.end() &&
            std::find(hosts.begin(), hosts.end(), host) == hosts.end())
            hosts.push_back(host);
    if (fault.order == RestartOrder::Reverse) std::reverse(hosts.begin(), hosts.end());
    Duration delay{};
    for (Host* host : hosts) {
        after(delay, [this, host] {
            cast_.keeps_down(*host, false);
            if (!host->up()) cast_.start(*host);
        });
        if (fault.order != RestartOrder::AllAtOnce) delay = delay + fault.delay;
    }
    done(strike.event, hosts.empty() ? "nobody was down" : "started " + names_of(hosts),
         !hosts.empty());
}

void Injector::resume(Host& host) {
    if (host.state() == Host::State::Paused) host.resume();
}

void Injector::apply(Strike& strike, const ProcPause& fault) {
    for (Host* host : strike.hosts(*this, fault.node)) {
        const bool strikes = host->state() == Host::State::Up;
        done(strike.event,
             strikes ? "paused " + host->name() + " for " + duration_text(fault.for_time)
                     : host->name() + " was not up",
             strikes);
        if (!strikes) continue;
        host->pause();
        after(fault.for_time, [this, host, life = host->life()] {
            if (host->life() == life) resume(*host);
        });
    }
}

void Injector::apply(Strike& strike, const ProcGraceful& fault) {
    for (Host* host : strike.hosts(*this, fault.node)) {
        const bool strikes = host->state() == Host::State::Up;
        done(strike.event, (strikes ? "asked to stop: " : "was not up: ") + host->name(), strikes);
        if (!strikes) continue;
        host->request_stop();
        cast_.keeps_down(*host, true);
        down_order_.push_back(host);
        // Started again when it is down; looked at every now and then, since draining takes its
        // time.
        auto look = std::make_shared<std::function<void()>>();
        *look = [this, host, life = host->life(), wait = fault.restart_after,
                 weak = std::weak_ptr(look)] {
            if (host->life() != life) return;
            if (!host->up()) {
                cast_.keeps_down(*host, false);
                cast_.start(*host);
                return;
            }
            if (auto again = weak.lock())
                after(std::max(wait, Duration::millis(20)), [again] { (*again)(); });
        };
        after(fault.restart_after, [look] { (*look)(); });
    }
}

// ---- clocks, operators
// ------------------------------------------------------------------------------------------

void Injector::apply(Strike& strike, const ClockDrift& fault) {
    const std::vector<Host*> hosts = strike.hosts(*this, fault.node);
    for (Host* host : hosts) host->clock().set_drift_ppb(fault.ppm * 1000);
    done(strike.event, "drift of " + std::to_string(fault.ppm) + " ppm on " + names_of(hosts),
         !hosts.empty() && fault.ppm != 0);
}

void Injector::apply(Strike& strike, const ClockJump& fault) {
    const std::vector<Host*> hosts = strike.hosts(*this, fault.node);
    for (Host* host : hosts) host->clock().jump_wall(fault.by);
    done(strike.event,
         "the wall clock of " + names_of(hosts) + " jumped by " + duration_text(fault.by),
         !hosts.empty() && fault.by.ns != 0);
}

void Injector::apply(Strike& strike, const AdminTransfer& fault) {
    const std::vector<Host*> hosts = strike.hosts(*this, fault.node);
    const bool handed = !hosts.empty() && cast_.transfer(*hosts.front());
    done(strike.event,
         (handed ? "leadership is handed to " : "nobody could hand leadership to ") +
             names_of(hosts),
         handed);
}

void Injector::order(Strike& strike, MemberOrder order, const NodeName& node, Duration within) {
    const std::vector<Host*> hosts = strike.hosts(*this, node);
    if (hosts.empty()) return done(strike.event, "nobody to give that order about", false);
    cast_.order(order, *hosts.front(), within, [this, event = strike.event](const std::string& what, bool effective) {
        done(event, what, effective);
    });
}

void Injector::apply(Strike& strike, const MemberAdd& fault) {
    order(strike, fault.learner ? MemberOrder::AddLearner : MemberOrder::Add, fault.node, fault.within);
}

void Injector::apply(Strike& strike, const MemberRemove& fault) {
    order(strike, MemberOrder::Remove, fault.node, fault.within);
}

void Injector::apply(Strike& strike, const MemberTransfer& fault) {
    order(strike, MemberOrder::Transfer, fault.node, fault.within);
}

void Injector::apply(Strike& strike, const HoldCheckpoint&) {
    done(strike.event, "a hold needs a `when` trigger", false);
}

// ---- the end
// ----------------------------------------------------------------------------------------------------

void Injector::heal() {
    ++epoch_;
    active_ = false;
    holds_.clear();
    world_.timeline().note(Step::Fault, UINT32_MAX, fired_.size());
    for (const auto& [position, probe] : probes_)
        if (probe()) fired_[position].effective = true;
    probes_.clear();
    world_.net().heal_all();
    world_.net().options() = usual_net_;
    for (size_t i = 0; i < cast_.members().size(); ++i) {
        Host& host = *cast_.members()[i];
        host.disk().set_latency(usual_latency_[i]);
        host.disk().stall_until(world_.now());
        host.disk().set_capacity(DiskOptions{}.capacity_bytes);
        host.disk().disarm_all();
        host.clock().set_drift_ppb(0);
        resume(host);
        world_.net().lend_address(host.name(), std::nullopt);
        cast_.keeps_down(host, false);
        if (!host.up()) cast_.start(host);
    }
    for (Host* host : cast_.others()) resume(*host);
}

}  // namespace orrery::sim
