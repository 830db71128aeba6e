// What a start does about damage, before anything of the node is talked to.
//
// A damaged Store: the log is whole, so every promise stands; the Store is set aside and each group makes its state again, by
// replay where its log begins at 0, by a snapshot of its leader otherwise.
// A log that lost what nobody can name, or a hard state: promises may be broken, so the replica ends for good and the node
// returns as another one. In both cases only where others hold what is lost here; else nothing is touched.
#include <algorithm>

#include "node/raft/group_host.h"
#include "runtime/store/damage.h"

namespace orrery::raft {

namespace {

/// The newest configuration that can be read in the log, the Store or the directory, with where it was said.
struct Known {
    LogIndex since;
    Configuration configuration;
};

Known newest_known(const NodeDirectory& directory, const StoredGroup* stored, const log::GroupReport* report) {
    Known out;
    if (directory.joined()) {
        if (Result<Configuration> then = Configuration::decode(directory.joined()->configuration); then.ok()) out = {directory.joined()->since, std::move(*then)};
    } else if (Result<Configuration> founders = founding_configuration(directory); founders.ok()) {
        out.configuration = std::move(*founders);
    }
    auto take = [&](LogIndex since, Result<Configuration> newer) {
        if (newer.ok() && !newer->empty() && since >= out.since) out = {since, std::move(*newer)};
    };
    if (report != nullptr && report->configuration && !report->configuration->empty()) take(report->floor.index, Configuration::decode(*report->configuration));
    if (stored != nullptr && stored->applied) take(stored->applied->applied.index, stored->applied->configuration);
    if (report != nullptr)
        for (const log::Entry& entry : report->entries)
            if (static_cast<EntryKind>(entry.kind) == EntryKind::Config && !entry.body.empty()) take(entry.index, Configuration::decode(entry.body));
    return out;
}

bool has_others(NodeId self, const Configuration& configuration) {
    for (const Member& member : configuration.members())
        if (member.node != self && configuration.is_voter(member)) return true;
    return false;
}

const StoredGroup* find_stored(const std::map<GroupId, StoredGroup>& stored, GroupId id) {
    auto found = stored.find(id);
    return found == stored.end() ? nullptr : &found->second;
}

}  // namespace

bool GroupHost::others_have(GroupId id, const std::map<GroupId, StoredGroup>& stored, const log::GroupReport* report) const {
    // A node that joined did so because others were there.
    return directory_.joined() || has_others(directory_.identity().node, newest_known(directory_, find_stored(stored, id), report).configuration);
}

Result<std::optional<std::string>> GroupHost::open_store(Fiber& fiber, std::map<GroupId, StoredGroup>& stored) {
    TRY(std::optional<std::string> marked, store::damage_mark(fiber, env_, options_.store));
    if (marked) return marked;
    Result<std::unique_ptr<store::Store>> opened = store::Store::open(fiber, env_, options_.store);
    if (opened.failed_with(Code::Corrupt)) return std::optional(opened.error().context);
    if (!opened.ok()) return opened.error();
    store_ = std::move(*opened);
    Result<std::map<GroupId, StoredGroup>> read = read_stored_groups(fiber, *store_);
    if (read.ok()) {
        stored = std::move(*read);
        return std::optional<std::string>();
    }
    if (read.code() != Code::Corrupt && !store_->damage()) return read.error();
    store_.reset();
    return std::optional(read.error().context);
}

Result<void> GroupHost::renew_store(Fiber& fiber, const std::string& damage) {
    const std::string what = "the store at '" + options_.store.path + "' is damaged (" + damage + ")";
    if (options_.repair == DamageRepair::Off)
        return Error(Code::Corrupt, what + "; repair is switched off: move the directory away and start again, the node then fetches the state of its "
                                           "groups from their other members");
    for (const auto& [id, report] : recovery_.groups)
        if (report.floor.index > LogIndex(0) && !others_have(id, {}, &report))
            return Error(Code::Corrupt, what + ", and group " + std::to_string(id.value) + " has no other member that could give its state up to index " +
                                            std::to_string(report.floor.index.value) + "; nothing was changed: restore the directory from a backup");
    TRY(const std::string aside, store::set_aside(fiber, env_, options_.store));
    env_.tracer.error("store.set_aside", {{"kept", aside}, {"why", damage}, {"next", "the state of every group is made again, from its log or its leader"}});
    env_.tracer.probe("store.set_aside");
    TRY(store_, store::Store::open(fiber, env_, options_.store));
    return {};
}

std::string GroupHost::broken_promises(const std::map<GroupId, StoredGroup>& stored) const {
    for (const auto& [id, report] : recovery_.groups) {
        const std::string group = "group " + std::to_string(id.value) + ": ";
        const LogIndex last = report.entries.empty() ? report.floor.index : report.entries.back().index;
        if (!report.hard_state && last > LogIndex(0)) return group + "its term and vote are lost";
    }
    for (const auto& [id, group] : stored) {
        if (!group.applied) continue;
        auto found = recovery_.groups.find(id);
        LogIndex last;
        if (found != recovery_.groups.end()) last = found->second.entries.empty() ? found->second.floor.index : found->second.entries.back().index;
        // The pointer of a snapshot may be ahead of its log, when a crash came between the two.
        last = std::max(last, group.pointer->base.index);
        if (group.applied->applied.index > last)
            return "group " + std::to_string(id.value) + ": its log ends at index " + std::to_string(last.value) + ", before the applied index " +
                   std::to_string(group.applied->applied.index.value) + " of the store";
    }
    return "";
}

Error GroupHost::retire(Fiber& fiber, const Error& damage, const std::map<GroupId, StoredGroup>& stored) {
    std::vector<GroupId> ids = options_.groups;
    for (const auto& [id, group] : stored) ids.push_back(id);
    for (const auto& [id, group] : recovery_.groups) ids.push_back(id);
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    if (options_.repair == DamageRepair::Off) return damage;
    if (ids.size() != 1) return damage.within("a node with " + std::to_string(ids.size()) + " groups is not taken back by itself");
    auto report = recovery_.groups.find(ids.front());
    Known known = newest_known(directory_, find_stored(stored, ids.front()), report == recovery_.groups.end() ? nullptr : &report->second);
    // Without us there has to be a majority, or nobody could ever take us back: then the files stay where an operator looks for them.
    const NodeId self = directory_.identity().node;
    if (known.configuration.quorum_value([&](Member member) -> uint64_t { return member.node != self ? 1 : 0; }) == 0) return damage;
    NodeDirectory::Retired record{*directory_.founding(), ids.front(), ReplicaId(directory_.identity().incarnation.value), known.since,
                                  known.configuration.encode()};
    if (Result<void> retired = directory_.retire(fiber, std::move(record), damage.context); !retired.ok()) return retired.error();
    return Error(Code::Stale, "the replica was retired: " + damage.context);
}

// ---- damage that shows while the node runs ----------------------------------------------------------------------

/// Every group here has other voters.
bool GroupHost::others_vote() const {
    return std::all_of(groups_.begin(), groups_.end(), [&](const auto& item) {
        const Group& group = *item.second;
        return !group.core_ || has_others(directory_.identity().node, group.core_->log().configuration());
    });
}

void GroupHost::end_for_repair(std::string why) {
    if (failed_) return;
    failed_ = Error(Code::Corrupt, std::move(why));
    failed_event_.set();
}

void GroupHost::look_at_log() {
    const std::optional<Error>& sealed = log_->sealed_error();
    if (!sealed || sealed->code != Code::Corrupt || options_.repair == DamageRepair::Off || !others_vote()) return;
    end_for_repair("the log is damaged (" + sealed->context + "); the next start judges what is lost and repairs it");
}

void GroupHost::watch_store(Fiber& fiber) {
    while (!store_->damage())
        if (!store_->health_changed().wait(fiber).ok()) return;
    if (record_store_damage(fiber).failed_with(Code::Cancelled)) return;
    if (options_.repair == DamageRepair::Off || !others_vote()) return;  // what can still be read here is all there is
    end_for_repair("the store is damaged (" + *store_->damage() + "); the next start sets it aside and makes the state of its groups again");
}

Result<void> GroupHost::record_store_damage(Fiber& fiber) {
    if (!store_->damage() || damage_recorded_) return {};
    const bool repairable = options_.repair == DamageRepair::Automatic && others_vote();
    env_.tracer.error("store.damaged", {{"why", *store_->damage()}, {"repaired_at_next_start", repairable ? 1 : 0}});
    damage_recorded_ = true;
    // Where nobody could give the state again, the next start opens what is there.
    if (!repairable) return {};
    Result<void> marked = store::mark_damaged(fiber, env_, options_.store, *store_->damage());
    if (!marked.ok() && marked.code() != Code::Cancelled) env_.tracer.warning("store.not_marked", {{"error", marked.error().text()}});
    return marked;
}

void GroupHost::drop_retired(Fiber& fiber) {
    // The committed removal of the old replica's own id, on our own disk: from then on nothing of it is ever asked for.
    while (directory_.retired()) {
        if (!env_.sleep(fiber, Duration::seconds(1)).ok() || stopping_) return;
        const NodeId self = directory_.identity().node;
        const bool replaced = !groups_.empty() && std::all_of(groups_.begin(), groups_.end(), [&](const auto& item) {
            const Group& group = *item.second;
            if (!group.core_ || group.stopped_ || group.durable_applied_ < group.core_->log().configuration_index()) return false;
            const Configuration& now = group.core_->log().configuration();
            const std::vector<Member> members = now.members();
            return now.names(group.self()) && std::none_of(members.begin(), members.end(), [&](const Member& member) { return member.node == self && member != group.self(); });
        });
        if (!replaced) continue;
        Result<void> dropped = directory_.drop_retired(fiber);
        if (dropped.failed_with(Code::Cancelled)) return;
        if (!dropped.ok()) env_.tracer.warning("replica.not_dropped", {{"error", dropped.error().text()}});
    }
}

}  // namespace orrery::raft
