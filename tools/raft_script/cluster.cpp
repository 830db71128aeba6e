// The harness behind cluster.h. A failed CHECK in the core is one more violation here, so it throws.
#include "tools/raft_script/cluster.h"

#include <algorithm>
#include <stdexcept>

#include "runtime/base/defect.h"

namespace orrery {
namespace {
DefectSet on;
}  // namespace

const DefectSet& active_defects() { return on; }
void check_failed(const char* file, int line, const std::string& text) {
    throw raft::script::CheckFailed(std::string(file) + ":" + std::to_string(line) + " " + text);
}

namespace raft::script {

void set_defects(const DefectSet& set) { on = set; }

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

Cluster::Cluster(size_t count, Configuration configuration, Options options)
    : Cluster(
          [&] {
              std::vector<uint64_t> ids;
              for (uint64_t id = 1; id <= count; ++id) ids.push_back(id);
              return ids;
          }(),
          std::move(configuration), options) {}

Cluster::Cluster(const std::vector<uint64_t>& ids, Configuration configuration, Options options) {
    for (uint64_t id : ids) {
        Replica& replica = replicas_[id];
        replica.self = options.self = member(id);
        replica.options = options;
        replica.disk.floor.configuration = configuration;
    }
    for (uint64_t id : ids) restart(id);
}

void Cluster::preset(uint64_t id, HardState hard, std::vector<std::pair<uint64_t, std::string>> log,
                     uint64_t applied) {
    std::vector<Entry> entries;
    for (auto& [term, text] : log)
        entries.push_back({Term(term), LogIndex(entries.size() + 1), EntryKind::Data,
                           std::make_shared<const Bytes>(text)});
    preset(id, hard, std::move(entries), LogIndex(applied));
}

void Cluster::preset(uint64_t id, HardState hard, std::vector<Entry> log, LogIndex applied) {
    Replica& replica = at(id);
    crash(id);
    replica.disk.hard = hard;
    replica.disk.entries = std::move(log);
    replica.disk.applied = applied;
    for (const Entry& entry : replica.disk.entries)
        if (entry.index <= applied) committed_.try_emplace(entry.index, Committed{entry, hard.term});
    restart(id);
}

void Cluster::timeout(uint64_t id) {
    at(id).core->campaign(now(id));
    pump(id);
}

Result<LogIndex> Cluster::propose(uint64_t id, std::string text) {
    auto index = at(id).core->propose(now(id), std::make_shared<const Bytes>(std::move(text)));
    pump(id);
    return index;
}

Result<void> Cluster::read(uint64_t id, uint64_t token) {
    reads_[token] = committed_.empty() ? LogIndex() : committed_.rbegin()->first;
    const Core& core = *at(id).core;
    if (core.may_read_under_lease() && core.applied_index() == core.commit() && now(id) < core.lease_until()) {
        at(id).reads_ready.push_back({token, core.commit()});
        check_read(id, at(id).reads_ready.back());
        pump(id);
        return {};
    }
    auto result = at(id).core->read_index(now(id), token);
    pump(id);
    return result;
}

void Cluster::pass(Duration time) {
    now_ = now_ + time;
    for (auto& [id, replica] : replicas_) {
        if (!replica.core || replica.core->next_deadline() > now(id)) continue;
        replica.core->tick(now(id));
        pump(id);
    }
}

void Cluster::tick(uint64_t id, Duration period) {
    Replica& replica = at(id);
    replica.ahead = replica.ahead + period;
    Core& core = *replica.core;
    Instant time = now(id);
    if (core.role() == Role::Leader) {
        core.tick(time);
    } else if (core.next_deadline() != Instant::never() &&
               time - replica.armed_at >= replica.options.election_timeout_min * 2) {
        core.campaign(time);
    }
    pump(id);
}

// The core draws its wait and does not say what it drew; it says when it is over, so a new deadline means "armed now".
void Cluster::note_deadline(uint64_t id) {
    Replica& replica = at(id);
    bool leads = replica.core->role() == Role::Leader;
    Instant deadline = leads ? Instant{} : replica.core->next_deadline();
    if (deadline == replica.deadline_seen) return;
    replica.deadline_seen = deadline;
    replica.armed_at = now(id);
}

void Cluster::run(Duration time) {
    for (int64_t done = 0; done < time.ns && violation_.empty(); done += Duration::millis(50).ns) {
        pass(Duration::millis(50));
        settle();
    }
}

void Cluster::deliver(size_t place) {
    if (place >= queue_.size()) return;
    uint64_t from = queue_[place].message.from.node.value, to = queue_[place].message.to.node.value;
    if (at(from).cut.contains(NodeId(to))) return drop(place);
    if (!up(to)) return;
    Parcel parcel = std::move(queue_[place]);
    queue_.erase(queue_.begin() + static_cast<ptrdiff_t>(place));
    Replica& replica = at(to);
    try {
        if (parcel.snapshot) {
            install(parcel);
        } else if (parcel.installed) {
            if (replica.core->term() == parcel.message.term)
                replica.core->snapshot_finished(
                    now(to), NodeId(from), *parcel.installed,
                    *parcel.installed ? Core::Transfer::Done : Core::Transfer::Failed);
        } else {
            replica.core->step(now(to), std::move(parcel.message));
        }
    } catch (const CheckFailed& failed) {
        fail("check", failed.what());
    }
    pump(to);
}

void Cluster::install(const Parcel& parcel) {
    Replica& replica = at(parcel.message.to.node.value);
    Core& core = *replica.core;
    LogIndex index = parcel.snapshot->index;
    // As the driver: a leader takes none, and nobody one of an earlier term's leader.
    bool refused = core.role() == Role::Leader || parcel.message.term < core.term();
    if (!refused && index > core.commit()) {
        // The store's pointer becomes durable first; recovery keeps a tail that matches.
        Disk& disk = replica.disk;
        bool matches = disk.holds(parcel.snapshot->position()) && index > disk.floor.index;
        std::erase_if(disk.entries, [&](const Entry& e) { return !matches || e.index <= index; });
        if (core.log().term_at(index) != parcel.snapshot->term)
            for (Output& batch : replica.unsynced) {  // what the floor makes void is taken out of the queue
                batch.entries.clear();
                batch.truncate_from.reset();
            }
        disk.floor = *parcel.snapshot;
        disk.applied = index;
        replica.applied = index;
    }
    if (!refused) (void)core.restore(now(parcel.message.to.node.value), *parcel.snapshot);
    Parcel answer{{replica.self, parcel.message.from, parcel.message.term, Heartbeat{}},
                  std::nullopt, refused ? LogIndex() : index};
    if (replica.cut.contains(parcel.message.from.node)) lost(answer);
    else queue_.push_back(std::move(answer));
}

// Whoever serves a snapshot notices that it, or its answer, did not arrive. The caller pumps.
void Cluster::lost(const Parcel& parcel) {
    if (!parcel.snapshot && !parcel.installed) return;
    Member server = parcel.snapshot ? parcel.message.from : parcel.message.to;
    Member member = parcel.snapshot ? parcel.message.to : parcel.message.from;
    Core* core = at(server.node.value).core.get();
    if (!core || core->term() != parcel.message.term) return;
    core->snapshot_finished(now(server.node.value), member.node, LogIndex(), Core::Transfer::Failed);
}

void Cluster::drop(size_t place) {
    if (place >= queue_.size()) return;
    Parcel parcel = std::move(queue_[place]);
    queue_.erase(queue_.begin() + static_cast<ptrdiff_t>(place));
    lost(parcel);
    pump((parcel.snapshot ? parcel.message.from : parcel.message.to).node.value);
}

bool Cluster::settle(size_t limit, const std::set<uint64_t>& among) {
    auto takes_part = [&](Member m) { return among.empty() || among.contains(m.node.value); };
    for (size_t i = 0; violation_.empty(); ++i) {
        auto next = std::find_if(queue_.begin(), queue_.end(), [&](const Parcel& p) {
            return takes_part(p.message.from) && takes_part(p.message.to) && up(p.message.to.node.value);
        });
        if (next == queue_.end()) break;
        if (i == limit) return false;
        deliver(static_cast<size_t>(next - queue_.begin()));
    }
    return true;
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
    for (const auto& [other, replica] : replicas_)
        if (other != id) cut(id, other);
}

void Cluster::heal() {
    for (auto& [id, replica] : replicas_) replica.cut.clear();
}

void Cluster::sync_one(uint64_t id) {
    Replica& replica = at(id);
    if (replica.unsynced.empty() || !replica.core) return;
    Output batch = std::move(replica.unsynced.front());
    replica.unsynced.pop_front();
    replica.disk.apply(batch);
    replica.core->persisted(now(id), batch.sequence);
}

void Cluster::release(uint64_t id) {
    at(id).hold = false;
    if (up(id)) pump(id);
}

void Cluster::crash(uint64_t id, size_t kept) {
    Replica& replica = at(id);
    for (size_t i = 0; i < std::min(kept, replica.unsynced.size()); ++i)
        replica.disk.apply(replica.unsynced[i]);
    replica.unsynced.clear();
    replica.core.reset();
}

void Cluster::crash_process(uint64_t id) { at(id).core.reset(); }

void Cluster::restart(uint64_t id) {
    Replica& replica = at(id);
    if (replica.core) return;
    for (const Output& batch : replica.unsynced) replica.disk.apply(batch);
    replica.unsynced.clear();
    const Disk& disk = replica.disk;
    Random random(7000 + id);
    auto made = Core::create(now(id), replica.options,
                             {disk.hard, disk.floor, disk.entries, disk.applied},
                             random.stream("raft.election", ++replica.life));
    if (!made.ok()) return fail("restart", "node " + std::to_string(id) + ": " + made.error().text());
    replica.core = std::move(made).value();
    replica.core->set_campaign_allowed(now(id), true);
    replica.term_seen = Term();
    replica.commit_seen = LogIndex();
    replica.led = Term();
    replica.applied = replica.core->applied_index();
    replica.deadline_seen = Instant{};
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

void Cluster::take_snapshot(uint64_t id) {
    Disk& disk = at(id).disk;
    disk.snapshot = at(id).core->applied_index();
    disk.applied = std::max(disk.applied, disk.snapshot);
}

void Cluster::pump(uint64_t id) {
    Replica& replica = at(id);
    if (!violation_.empty() || !replica.core) return;
    try {
        bool idle = false;
        for (int turn = 0; turn < 1000 && !idle && violation_.empty(); ++turn) {
            Output out = replica.core->take_output(now(id));
            idle = out.empty() && (replica.hold || replica.unsynced.empty());
            handle(id, std::move(out));
            while (!replica.hold && !replica.unsynced.empty()) sync_one(id);
            apply_ready(id);
            watch(id);
            if (leave_joint_ && leave_joint(id)) idle = false;
        }
        if (!idle) return fail("rest", "node " + std::to_string(id) + " never comes to rest");
        note_deadline(id);
    } catch (const CheckFailed& failed) {
        fail("check", failed.what());
    }
    if (observer_ && violation_.empty()) observer_(id);
}

bool Cluster::leave_joint(uint64_t id) {
    Core& core = *at(id).core;
    const Configuration& present = core.log().configuration();
    if (core.role() != Role::Leader || !present.joint() || core.log().configuration_index() > core.commit())
        return false;
    Configuration::Parts next = present.parts();
    next.outgoing.clear();
    return core.propose_configuration(now(id), Configuration::make(std::move(next)).value()).ok();  // not ready yet: at a later pump
}

void Cluster::handle(uint64_t id, Output out) {
    Replica& replica = at(id);
    for (Message& message : out.messages) {
        if (replica.cut.contains(message.to.node)) continue;
        queue_.push_back({std::move(message), std::nullopt, std::nullopt});
    }
    for (const SnapshotWanted& wanted : out.snapshots_wanted) send_snapshot(replica, wanted);
    for (const ReadReady& read : out.reads_ready) check_read(id, read);
    std::move(out.reads_ready.begin(), out.reads_ready.end(), std::back_inserter(replica.reads_ready));
    std::move(out.reads_failed.begin(), out.reads_failed.end(), std::back_inserter(replica.reads_failed));
    std::move(out.refusals.begin(), out.refusals.end(), std::back_inserter(replica.refusals));
    if (out.sequence) {
        out.messages.clear();
        replica.unsynced.push_back(std::move(out));
    }
}

// The one that was taken, where the log goes on from it; else of what this node has applied now.
void Cluster::send_snapshot(Replica& replica, const SnapshotWanted& wanted) {
    Core& core = *replica.core;
    const LogView& log = core.log();
    LogIndex index = replica.disk.snapshot >= log.floor().index && replica.disk.snapshot
                         ? replica.disk.snapshot
                         : core.applied_index();
    std::optional<Term> term = log.term_at(index);
    if (!term) {  // a defect took entries away that were applied
        core.snapshot_finished(now(replica.self.node.value), wanted.member.node, index,
                               Core::Transfer::Failed);
        return;
    }
    Configuration configuration = log.floor().configuration;
    for (LogIndex i = log.floor().index.next(); i <= index; i = i.next())
        if (const Entry* entry = log.at(i); entry->kind == EntryKind::Config)
            configuration = Configuration::decode(entry->body_view()).value();
    core.snapshot_progress(now(replica.self.node.value), wanted.member.node, index);
    Parcel parcel{{replica.self, wanted.member, core.term(), Heartbeat{}},
                  Floor{index, *term, configuration}, std::nullopt};
    if (replica.cut.contains(wanted.member.node)) lost(parcel);
    else queue_.push_back(std::move(parcel));
}

void Cluster::apply_ready(uint64_t id) {
    Replica& replica = at(id);
    Core& core = *replica.core;
    replica.applied = std::max(replica.applied, core.log().floor().index);  // came in with a snapshot
    while (replica.applied < core.applicable() && violation_.empty()) {
        const Entry* entry = core.log().at(replica.applied.next());
        if (!entry) return fail("state-machine-safety", "an applicable entry is not in the log");
        check_applied(id, *entry);
        replica.applied = entry->index;
        core.applied(now(id), entry->index);
    }
}

uint64_t Cluster::leader() {
    uint64_t found = 0;
    Term term;
    for (const auto& [id, replica] : replicas_)
        if (replica.core && replica.core->role() == Role::Leader && replica.core->term() > term) {
            found = id;
            term = replica.core->term();
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

}  // namespace raft::script
}  // namespace orrery
