// The harness behind cluster.h. A failed CHECK in the core is one more violation here, so it throws.
#include "cluster.h"

#include <algorithm>
#include <stdexcept>

#include "runtime/base/defect.h"

namespace orrery {
namespace {
uint64_t defects = 0;
struct CheckFailed : std::runtime_error {
    using std::runtime_error::runtime_error;
};
}  // namespace

uint64_t defect_bits() { return defects; }
void check_failed(const char* file, int line, const std::string& text) {
    throw CheckFailed(std::string(file) + ":" + std::to_string(line) + " " + text);
}

namespace raft::test {

void set_defects(uint64_t bits) { defects = bits; }

void Disk::apply(const Output& batch) {
    if (batch.hard_state) hard = *batch.hard_state;
    auto drop_from = [&](LogIndex from) {
        while (!entries.empty() && entries.back().index >= from) entries.pop_back();
    };
    if (batch.truncate_from) drop_from(*batch.truncate_from);
    for (const Entry& entry : batch.entries) {
        if (entry.index <= floor.index) continue;  // written before a snapshot that is durable now
        drop_from(entry.index);
        entries.push_back(entry);
    }
}

bool Disk::holds(LogPosition at) const {
    if (at.index <= floor.index) return true;
    return std::any_of(entries.begin(), entries.end(),
                       [&](const Entry& entry) { return entry.position() == at; });
}

Configuration voters(std::vector<uint64_t> ids, std::vector<uint64_t> outgoing,
                     std::vector<uint64_t> learners) {
    auto list = [](const std::vector<uint64_t>& from) {
        std::vector<Member> out;
        for (uint64_t id : from) out.push_back(member(id));
        return out;
    };
    return Configuration::make(list(ids), list(outgoing), list(learners)).value();
}

Options default_options() {
    Options options;
    options.eager_commit = true;
    return options;
}

Cluster::Cluster(size_t count, Configuration configuration, Options options) {
    replicas_.resize(count);
    for (uint64_t id = 1; id <= count; ++id) {
        Replica& replica = at(id);
        replica.self = options.self = member(id);
        replica.options = options;
        replica.disk.floor.configuration = configuration;
        restart(id);
    }
}

void Cluster::preset(uint64_t id, HardState hard, std::vector<std::pair<uint64_t, std::string>> log,
                     uint64_t applied) {
    Replica& replica = at(id);
    crash(id);
    replica.disk.hard = hard;
    replica.disk.entries.clear();
    replica.disk.applied = LogIndex(applied);
    for (auto& [term, text] : log)
        replica.disk.entries.push_back({Term(term), LogIndex(replica.disk.entries.size() + 1),
                                        EntryKind::Data, std::make_shared<const Bytes>(text)});
    for (uint64_t i = 1; i <= applied; ++i) committed_[LogIndex(i)] = replica.disk.entries[i - 1];
    restart(id);
}

void Cluster::timeout(uint64_t id) {
    at(id).core->campaign(now_);
    pump(id);
}

Result<LogIndex> Cluster::propose(uint64_t id, std::string text) {
    auto index = at(id).core->propose(now_, std::make_shared<const Bytes>(std::move(text)));
    pump(id);
    return index;
}

Result<void> Cluster::read(uint64_t id, uint64_t token) {
    reads_[token] = committed_.empty() ? LogIndex() : committed_.rbegin()->first;
    auto result = at(id).core->read_index(now_, token);
    pump(id);
    return result;
}

void Cluster::pass(Duration time) {
    now_ = now_ + time;
    for (uint64_t id = 1; id <= size(); ++id) {
        if (!up(id) || at(id).core->next_deadline() > now_) continue;
        at(id).core->tick(now_);
        pump(id);
    }
}

void Cluster::run(Duration time) {
    for (int64_t done = 0; done < time.ns && violation_.empty(); done += Duration::millis(50).ns) {
        pass(Duration::millis(50));
        settle();
    }
}

void Cluster::deliver(size_t place) {
    if (place >= queue_.size()) return;
    Parcel parcel = std::move(queue_[place]);
    queue_.erase(queue_.begin() + static_cast<ptrdiff_t>(place));
    uint64_t from = parcel.message.from.node.value, to = parcel.message.to.node.value;
    if (to == 0 || to > size() || !up(to) || (from <= size() && at(from).cut.contains(NodeId(to))))
        return lost(parcel);
    Replica& replica = at(to);
    if (!parcel.snapshot) {
        replica.core->step(now_, std::move(parcel.message));
        return pump(to);
    }
    LogIndex index = parcel.snapshot->index;
    if (index > replica.core->commit()) {
        // The store's pointer becomes durable first; recovery keeps a tail that matches.
        Disk& disk = replica.disk;
        bool matches = disk.holds(parcel.snapshot->position()) && index > disk.floor.index;
        std::erase_if(disk.entries, [&](const Entry& e) { return !matches || e.index <= index; });
        disk.floor = *parcel.snapshot;
        disk.applied = index;
        replica.applied = index;
    }
    bool taken = replica.core->restore(now_, *parcel.snapshot);
    (void)taken;
    pump(to);
    if (from <= size() && up(from)) {
        at(from).core->snapshot_finished(now_, NodeId(to), index, Core::Transfer::Done);
        pump(from);
    }
}

// Whoever serves a snapshot notices that it did not arrive.
void Cluster::lost(const Parcel& parcel) {
    uint64_t from = parcel.message.from.node.value;
    if (!parcel.snapshot || !up(from)) return;
    at(from).core->snapshot_finished(now_, parcel.message.to.node, parcel.snapshot->index,
                                     Core::Transfer::Failed);
    pump(from);
}

void Cluster::drop(size_t place) {
    if (place >= queue_.size()) return;
    Parcel parcel = std::move(queue_[place]);
    queue_.erase(queue_.begin() + static_cast<ptrdiff_t>(place));
    lost(parcel);
}

void Cluster::settle(size_t limit) {
    for (size_t i = 0; i < limit && !queue_.empty() && violation_.empty(); ++i) deliver(0);
    if (!queue_.empty() && violation_.empty()) fail("unsettled");
}

void Cluster::drop_from_to(uint64_t from, uint64_t to) {
    std::erase_if(queue_, [&](const Parcel& p) {
        return p.message.from.node.value == from && p.message.to.node.value == to;
    });
}

void Cluster::cut(uint64_t a, uint64_t b) {
    at(a).cut.insert(NodeId(b));
    at(b).cut.insert(NodeId(a));
}

void Cluster::cut_off(uint64_t id) {
    for (uint64_t other = 1; other <= size(); ++other)
        if (other != id) cut(id, other);
}

void Cluster::heal() {
    for (Replica& replica : replicas_) replica.cut.clear();
}

void Cluster::sync_one(uint64_t id) {
    Replica& replica = at(id);
    if (replica.unsynced.empty() || !replica.core) return;
    Output batch = std::move(replica.unsynced.front());
    replica.unsynced.pop_front();
    replica.disk.apply(batch);
    replica.core->persisted(now_, batch.sequence);
}

void Cluster::release(uint64_t id) {
    at(id).hold = false;
    if (up(id)) pump(id);
}

void Cluster::crash(uint64_t id, size_t kept) {
    Replica& replica = at(id);
    if (!replica.core) return;
    for (size_t i = 0; i < std::min(kept, replica.unsynced.size()); ++i)
        replica.disk.apply(replica.unsynced[i]);
    replica.unsynced.clear();
    replica.core.reset();
}

void Cluster::restart(uint64_t id) {
    Replica& replica = at(id);
    if (replica.core) return;
    const Disk& disk = replica.disk;
    Random random(7000 + id);
    auto made = Core::create(now_, replica.options, {disk.hard, disk.floor, disk.entries, disk.applied},
                             random.stream("raft.election", ++replica.life));
    if (!made.ok()) return fail("restart: " + made.error().text());
    replica.core = std::move(made).value();
    replica.core->set_campaign_allowed(now_, true);
    replica.term_seen = Term();
    replica.commit_seen = LogIndex();
    replica.led = Term();
    replica.applied = replica.core->applied_index();
    pump(id);
}

void Cluster::compact(uint64_t id, LogIndex index) {
    Replica& replica = at(id);
    index = std::min(index, std::min(replica.core->applied_index(), replica.core->durable()));
    if (index <= replica.core->log().floor().index) return;
    replica.core->compact(index);
    Disk& disk = replica.disk;
    disk.floor = replica.core->log().floor();
    disk.applied = std::max(disk.applied, index);
    std::erase_if(disk.entries, [&](const Entry& entry) { return entry.index <= index; });
}

void Cluster::pump(uint64_t id) {
    Replica& replica = at(id);
    if (!violation_.empty() || !replica.core) return;
    try {
        for (int turn = 0; turn < 1000; ++turn) {
            Output out = replica.core->take_output(now_);
            bool idle = out.empty() && (replica.hold || replica.unsynced.empty());
            handle(id, std::move(out));
            while (!replica.hold && !replica.unsynced.empty()) sync_one(id);
            apply_ready(id);
            watch(id);
            if (idle) return;
        }
        fail("a node never comes to rest");
    } catch (const CheckFailed& failed) {
        fail(failed.what());
    }
}

void Cluster::handle(uint64_t id, Output out) {
    Replica& replica = at(id);
    for (Message& message : out.messages) {
        if (replica.cut.contains(message.to.node)) continue;
        queue_.push_back({std::move(message), std::nullopt});
    }
    for (const SnapshotWanted& wanted : out.snapshots_wanted) {
        // A snapshot of what this node has applied; the log may have been cut no further.
        Core& core = *replica.core;
        LogIndex index = core.applied_index();
        std::optional<Term> term = core.log().term_at(index);
        if (!term) {  // a defect took entries away that were applied
            core.snapshot_finished(now_, wanted.member.node, index, Core::Transfer::Failed);
            continue;
        }
        Configuration configuration = core.log().floor().configuration;
        for (LogIndex i = core.log().floor().index.next(); i <= index; i = i.next())
            if (const Entry* entry = core.log().at(i); entry->kind == EntryKind::Config)
                configuration = Configuration::decode(entry->body_view()).value();
        core.snapshot_progress(now_, wanted.member.node, index);
        Parcel parcel{{replica.self, wanted.member, core.term(), Heartbeat{}},
                      Floor{index, *term, configuration}};
        queue_.push_back(std::move(parcel));
    }
    for (const ReadReady& read : out.reads_ready)
        if (auto asked = reads_.find(read.token); asked != reads_.end() && read.index < asked->second)
            fail("linearizable: a read of index " + std::to_string(read.index.value) +
                 " although " + std::to_string(asked->second.value) + " was committed before");
    std::move(out.reads_ready.begin(), out.reads_ready.end(), std::back_inserter(replica.reads_ready));
    std::move(out.reads_failed.begin(), out.reads_failed.end(), std::back_inserter(replica.reads_failed));
    std::move(out.refusals.begin(), out.refusals.end(), std::back_inserter(replica.refusals));
    if (out.sequence) {
        out.messages.clear();
        replica.unsynced.push_back(std::move(out));
    }
}

void Cluster::apply_ready(uint64_t id) {
    Replica& replica = at(id);
    Core& core = *replica.core;
    while (replica.applied < core.applicable()) {
        const Entry* entry = core.log().at(replica.applied.next());
        if (!entry) return fail("an applicable entry is not in the log");
        auto [known, fresh] = committed_.try_emplace(entry->index, *entry);
        if (!fresh && (known->second.term != entry->term ||
                       known->second.body_view() != entry->body_view()))
            return fail("state-machine safety: node " + std::to_string(id) + " applies another entry " +
                        std::to_string(entry->index.value));
        replica.applied = entry->index;
        core.applied(now_, entry->index);
    }
}

void Cluster::note_commit(Replica& replica) {
    Core& core = *replica.core;
    for (LogIndex i = std::max(replica.commit_seen, core.log().floor().index).next(); i <= core.commit();
         i = i.next()) {
        const Entry* entry = core.log().at(i);
        if (!entry) return fail("committed beyond the log");
        auto [known, fresh] = committed_.try_emplace(i, *entry);
        if (known->second.term != entry->term)
            return fail("state-machine safety: two entries committed at " + std::to_string(i.value));
        if (!fresh) continue;
        // Counted here, not asked of the configuration: that may be what is wrong.
        bool held = true;
        const Configuration& now = core.log().configuration();
        for (const auto* half : {&now.voters(), &now.outgoing()}) {
            size_t holders = 0;
            for (const Member& m : *half) holders += at(m.node.value).self == m && at(m.node.value).disk.holds(entry->position());
            held &= half->empty() || holders * 2 > half->size();
        }
        if (!held) return fail("durability: committed without a synced majority");
    }
    replica.commit_seen = core.commit();
}

void Cluster::watch(uint64_t id) {
    Replica& replica = at(id);
    Core& core = *replica.core;
    if (core.term() < replica.term_seen) return fail("the term fell");
    if (core.commit() < replica.commit_seen) return fail("the commit index fell");
    if (core.applied_index() > core.durable()) return fail("applied is ahead of durable");
    replica.term_seen = core.term();
    // Of a leader the newest committed entry is of its own term: only those are counted.
    if (core.role() == Role::Leader && replica.led == core.term() &&
        core.commit() > replica.commit_seen && core.log().term_at(core.commit()) != core.term())
        return fail("an entry of an earlier term was committed by counting");
    replica.led = core.role() == Role::Leader ? core.term() : Term();
    if (core.role() == Role::Leader) {
        auto [leads, fresh] = leaders_.try_emplace(core.term(), replica.self);
        if (leads->second != replica.self)
            return fail("two leaders in term " + std::to_string(core.term().value));
        for (const auto& [index, entry] : committed_)
            if (index > core.log().floor().index && fresh && core.log().term_at(index) != entry.term)
                return fail("leader completeness: entry " + std::to_string(index.value) +
                            " is not in the log of leader " + std::to_string(id));
    }
    note_commit(replica);
    for (Replica& other : replicas_)
        if (other.core && other.self != replica.self) match_logs(core, *other.core);
}

void Cluster::match_logs(Core& one, Core& other) {
    LogIndex low = std::max(one.log().floor().index, other.log().floor().index);
    bool meets = false;
    for (LogIndex i = std::min(one.log().last().index, other.log().last().index); i > low;
         i = i.previous()) {
        const Entry *a = one.log().at(i), *b = other.log().at(i);
        meets = meets || a->term == b->term;
        if (meets && (a->term != b->term || a->body_view() != b->body_view()))
            return fail("log matching at " + std::to_string(i.value));
    }
}

void Cluster::fail(std::string text) {
    if (violation_.empty()) violation_ = std::move(text);
}

uint64_t Cluster::leader() {
    uint64_t found = 0;
    Term term;
    for (uint64_t id = 1; id <= size(); ++id)
        if (up(id) && at(id).core->role() == Role::Leader && at(id).core->term() > term) {
            found = id;
            term = at(id).core->term();
        }
    return found;
}

std::string Cluster::log_text(uint64_t id) {
    std::string text;
    const LogView& log = at(id).core->log();
    for (LogIndex i = log.floor().index.next(); i <= log.last().index; i = i.next()) {
        const Entry* e = log.at(i);
        if (!text.empty()) text += ' ';
        text += std::to_string(e->term.value) + ":" +
                (e->kind == EntryKind::Data ? std::string(e->body_view())
                                            : std::string(entry_kind_name(e->kind)));
    }
    return text;
}

std::string Cluster::converges() {
    heal();
    for (uint64_t id = 1; id <= size(); ++id) {
        if (!up(id)) restart(id);
        release(id);
    }
    run(Duration::seconds(15));
    if (!violation_.empty()) return violation_;
    uint64_t leads = leader();
    if (leads == 0) return "no leader after everything healed";
    auto index = propose(leads, "last");
    if (!index.ok()) return "proposal refused at rest: " + index.error().text();
    run(Duration::seconds(1));
    if (!violation_.empty()) return violation_;
    for (uint64_t id = 1; id <= size(); ++id)
        if (at(leads).core->log().configuration().is_member(member(id)) &&
            (at(id).core->applied_index() < *index || at(id).core->log().last() != at(leads).core->log().last()))
            return "node " + std::to_string(id) + " has not caught up";
    return {};
}

namespace {

/// A joint change to the voters of a mask; or out of the joint configuration, when there is one.
void change_voters(Cluster& cluster, uint64_t mask) {
    uint64_t leads = cluster.leader();
    if (leads == 0) return;
    Configuration now = cluster[leads].log().configuration();
    std::vector<Member> next;
    for (uint64_t id = 1; id <= cluster.size(); ++id)
        if (mask >> (id - 1) & 1) next.push_back(member(id));
    auto made = now.joint() ? Configuration::make(now.voters()) : Configuration::make(next, now.voters());
    if (made.ok()) (void)cluster[leads].propose_configuration(cluster.now(), *made);
    cluster.pump(leads);
}

}  // namespace

std::string run_schedule(size_t nodes, const std::vector<Action>& actions, bool converge) {
    std::vector<uint64_t> ids;
    for (uint64_t id = 1; id <= nodes; ++id) ids.push_back(id);
    Options options = default_options();
    uint16_t flavour = actions.empty() ? 0 : actions[0].a;
    options.pre_vote = flavour & 1;
    options.check_quorum = flavour & 2;
    options.eager_commit = flavour & 4;
    options.max_append_entries = flavour & 8 ? 1 : 3;
    options.max_inflight_messages = flavour & 16 ? 2 : 8;
    Cluster cluster(nodes, voters(ids), options);
    uint64_t serial = 0;
    for (const Action& action : actions) {
        if (!cluster.violation().empty()) break;
        uint64_t id = 1 + action.a % nodes;
        auto& queue = cluster.queue();
        size_t place = queue.empty() ? 0 : action.b % queue.size();
        uint16_t kind = action.kind % 100;
        if (kind < 40) {
            for (int i = 0; i < 1 + action.b % 4; ++i) cluster.deliver(0);
        } else if (kind < 50) {
            cluster.deliver(place);
        } else if (kind < 54) {
            cluster.drop(place);
        } else if (kind < 57) {
            if (!queue.empty()) queue.push_back(queue[place]);
        } else if (kind < 65) {
            if (cluster.up(id)) (void)cluster.propose(id, "e" + std::to_string(++serial));
            if (uint64_t leads = cluster.leader())
                (void)cluster.propose(leads, "e" + std::to_string(++serial));
        } else if (kind < 70) {
            if (cluster.up(id)) (void)cluster.read(id, ++serial);
            if (uint64_t leads = cluster.leader()) (void)cluster.read(leads, ++serial);
        } else if (kind < 77) {
            cluster.pass(Duration::millis(50 * (1 + action.b % 30)));
        } else if (kind < 81) {
            if (cluster.up(id)) cluster.timeout(id);
        } else if (kind < 84) {
            if (cluster.at(id).hold) cluster.release(id);
            else cluster.hold(id);
        } else if (kind < 88) {
            if (cluster.up(id)) {
                cluster.sync_one(id);
                cluster.pump(id);
            }
        } else if (kind < 90) {
            cluster.crash(id, action.b % 4);
        } else if (kind < 94) {
            cluster.restart(id);
        } else if (kind < 96) {
            cluster.cut_off(id);
        } else if (kind < 97) {
            cluster.heal();
        } else if (kind < 98 && flavour % 3 == 0 && action.b % 2) {
            change_voters(cluster, action.a / 7);
        } else if (kind < 98) {
            if (cluster.up(id)) cluster.compact(id, cluster[id].applied_index());
        } else if (kind < 99) {
            if (cluster.up(id)) {
                (void)cluster[id].transfer(cluster.now(), NodeId(1 + action.b % nodes));
                cluster.pump(id);
            }
        } else if (cluster.up(id)) {
            cluster[id].unreachable(NodeId(1 + action.b % nodes));
        }
        while (queue.size() > 60) cluster.drop(0);
    }
    if (cluster.violation().empty() && converge) return cluster.converges();
    return cluster.violation();
}

}  // namespace raft::test
}  // namespace orrery
