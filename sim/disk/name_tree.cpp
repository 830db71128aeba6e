#include "sim/disk/name_tree.h"

#include <algorithm>
#include <set>

#include "runtime/base/hash.h"
#include "sim/disk/sim_disk.h"

namespace orrery::sim {

namespace {
constexpr size_t kJournalMax = 4096;
}

Instant NameChange::durable_at() const {
    Instant latest{INT64_MIN};
    for (const NameEdit& edit : edits) latest = std::max(latest, edit.synced);
    return std::min(latest, forced);
}

bool NameChange::moves_dir() const {
    return edits.size() == 2 && edits[1].after && edits[1].after->is_dir;
}

bool NameChange::depends_on(const NameChange& earlier) const {
    // Moves of directories keep their order among themselves, or leaving one out could close a
    // circle.
    if (moves_dir() && earlier.moves_dir()) return true;
    for (const NameEdit& mine : edits) {
        for (const NameEdit& other : earlier.edits) {
            if (mine.dir == other.dir && mine.name == other.name) return true;
            for (const InodePtr& inode : {mine.before, mine.after})
                if (inode && (inode == other.before || inode == other.after)) return true;
        }
    }
    return false;
}

NameTree::NameTree() : root_(std::make_shared<Inode>(true, std::make_shared<Domain>())) {
    root_->linked = true;
    root_->path_hash = hash_name("");
}

bool NameTree::is_valid(std::string_view path) {
    while (!path.empty()) {
        const size_t slash = path.find('/');
        const std::string_view part = path.substr(0, slash);
        if (part.empty() || part == "." || part == "..") return false;
        if (slash == std::string_view::npos) return true;
        path.remove_prefix(slash + 1);
        if (path.empty()) return false;
    }
    return true;
}

NameTree::Found NameTree::find(std::string_view path) const {
    if (path.empty()) return {root_, "", root_};
    InodePtr dir = root_;
    for (;;) {
        const size_t slash = path.find('/');
        const std::string_view part = path.substr(0, slash);
        auto entry = dir->entries.find(part);
        const bool last = slash == std::string_view::npos;
        if (entry == dir->entries.end()) return {last ? dir : nullptr, part, nullptr};
        if (last) return {dir, part, entry->second};
        if (!entry->second->is_dir) return {nullptr, part, nullptr};
        dir = entry->second;
        path.remove_prefix(slash + 1);
    }
}

// The oldest change that is not durable tells what the slot held on the medium.
InodePtr NameTree::durable_entry(const InodePtr& dir, std::string_view name, Instant now) const {
    for (const NameChange& change : journal_)
        if (change.durable_at() > now)
            for (const NameEdit& edit : change.edits)
                if (edit.dir == dir && edit.name == name) return edit.before;
    auto entry = dir->entries.find(name);
    return entry == dir->entries.end() ? nullptr : entry->second;
}

InodePtr NameTree::find_durable(std::string_view path, Instant now) const {
    InodePtr inode = root_;
    while (!path.empty()) {
        if (!inode || !inode->is_dir) return nullptr;
        const size_t slash = path.find('/');
        inode = durable_entry(inode, path.substr(0, slash), now);
        path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    }
    return inode;
}

void NameTree::put(const NameEdit& edit, const InodePtr& inode) {
    if (inode) {
        edit.dir->entries[edit.name] = inode;
    } else {
        edit.dir->entries.erase(edit.name);
    }
}

void NameTree::change(Instant at, std::vector<NameEdit> edits) {
    // Removals first: a rename within one directory must not erase what it has just put.
    for (const NameEdit& edit : edits)
        if (!edit.after) put(edit, nullptr);
    for (const NameEdit& edit : edits)
        if (edit.after) put(edit, edit.after);
    journal_.push_back({.at = at, .edits = std::move(edits)});
}

void NameTree::sync_dir(const InodePtr& dir, Instant at) {
    for (size_t i = 0; i < journal_.size(); ++i) {
        NameChange& change = journal_[i];
        bool touched = false;
        for (NameEdit& edit : change.edits) {
            if (edit.dir != dir) continue;
            edit.synced = std::min(edit.synced, at);
            touched = true;
        }
        const Instant durable = change.durable_at();
        if (!touched || durable == Instant::never()) continue;
        next_durable_ = std::min(next_durable_, durable);
        // Walking back, every change that this one or one that it needs depends on.
        std::vector<size_t> needed{i};
        for (size_t k = i; k-- > 0;) {
            NameChange& earlier = journal_[k];
            if (earlier.durable_at() <= durable) continue;
            if (std::any_of(needed.begin(), needed.end(),
                            [&](size_t n) { return journal_[n].depends_on(earlier); })) {
                earlier.forced = durable;
                needed.push_back(k);
            }
        }
    }
}

bool NameTree::settle(Instant now) {
    const size_t before = journal_.size();
    if (next_durable_ <= now) {
        std::erase_if(journal_,
                      [&](const NameChange& change) { return change.durable_at() <= now; });
        next_durable_ = Instant::never();
        for (const NameChange& change : journal_)
            next_durable_ = std::min(next_durable_, change.durable_at());
    }
    while (journal_.size() > kJournalMax && journal_.front().at <= now) journal_.pop_front();
    return journal_.size() != before;
}

uint64_t NameTree::undo_after(Instant at) {
    uint64_t undone = 0;
    // Instants grow within a slot and an inode but not over the whole journal, and changes apart
    // commute.
    for (size_t i = journal_.size(); i-- > 0;) {
        NameChange& change = journal_[i];
        for (NameEdit& edit : change.edits)
            if (edit.synced > at) edit.synced = Instant::never();
        if (change.forced > at) change.forced = Instant::never();
        if (change.at <= at) continue;
        for (const NameEdit& edit : change.edits) put(edit, edit.before);
        journal_.erase(journal_.begin() + static_cast<ptrdiff_t>(i));
        ++undone;
    }
    next_durable_ = at;
    settle(at);
    return undone;
}

void NameTree::lose_power(const PowerLoss& odds, RandomStream draws, CrashReport& report) {
    if (journal_.empty()) return;
    for (size_t i = journal_.size(); i-- > 0;)
        for (const NameEdit& edit : journal_[i].edits) put(edit, edit.before);

    double mode = draws.unit();
    const auto falls_in = [&](double chance) { return (mode -= chance) < 0; };
    enum { All, None, Prefix, Subset } pick = Subset;
    if (falls_in(odds.keep_all)) {
        pick = All;
    } else if (falls_in(odds.lose_all)) {
        pick = None;
    } else if (falls_in(odds.prefix)) {
        pick = Prefix;
    }
    const size_t prefix = pick == All      ? journal_.size()
                          : pick == Prefix ? draws.below(journal_.size() + 1)
                                           : 0;

    std::vector<const NameChange*> dropped;
    for (size_t i = 0; i < journal_.size(); ++i) {
        const NameChange& change = journal_[i];
        const bool wanted = pick == Subset ? draws.chance(0.5) : i < prefix;
        const bool possible =
            std::none_of(dropped.begin(), dropped.end(),
                         [&](const NameChange* earlier) { return change.depends_on(*earlier); });
        if (!wanted || !possible) {
            dropped.push_back(&change);
            ++report.names_lost;
            continue;
        }
        ++report.names_kept;
        for (const NameEdit& edit : change.edits)
            if (!edit.after) put(edit, nullptr);
        for (const NameEdit& edit : change.edits)
            if (edit.after) put(edit, edit.after);
    }
    journal_.clear();
    next_durable_ = Instant::never();
}

void NameTree::walk(const std::function<void(const std::string&, const InodePtr&)>& visit) const {
    auto below = [&](auto& self, const std::string& prefix, const InodePtr& dir) -> void {
        for (const auto& [name, inode] : dir->entries) {
            const std::string path = prefix + name;
            visit(path, inode);
            if (inode->is_dir) self(self, path + "/", inode);
        }
    };
    below(below, "", root_);
}

void NameTree::walk_durable(
    Instant now, const std::function<void(const std::string&, const InodePtr&)>& visit) const {
    auto below = [&](auto& self, const std::string& prefix, const InodePtr& dir) -> void {
        std::set<std::string> names;
        for (const auto& [name, inode] : dir->entries) names.insert(name);
        for (const NameChange& change : journal_)
            for (const NameEdit& edit : change.edits)
                if (edit.dir == dir) names.insert(edit.name);
        for (const std::string& name : names) {
            const InodePtr inode = durable_entry(dir, name, now);
            if (!inode) continue;
            visit(prefix + name, inode);
            if (inode->is_dir) self(self, prefix + name + "/", inode);
        }
    };
    below(below, "", root_);
}

}  // namespace orrery::sim
