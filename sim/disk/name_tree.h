// NameTree: directories, and the journal of changes of names that a crash could take away.
//
// A change is one or two edits of slots (directory, name), each with the inode before and after;
// undoing and redoing it is putting one or the other. It is durable once every directory it touches
// was synced after it, or once a durable change depends on it (a journal never holds the later of
// two changes of one slot or inode without the earlier).
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/disk/inode.h"

namespace orrery::sim {

using InodePtr = std::shared_ptr<Inode>;

struct NameEdit {
    InodePtr dir;
    std::string name;
    InodePtr before;  // null: no such name
    InodePtr after;
    Instant synced = Instant::never();  // instant of the sync_dir that covers this edit
};

struct NameChange {
    Instant at;
    std::vector<NameEdit> edits;
    Instant forced = Instant::never();  // a durable change depends on it
    Instant durable_at() const;
    bool moves_dir() const;
    bool depends_on(const NameChange& earlier) const;
};

class NameTree {
 public:
    NameTree();
    /// Where a path leads. `dir` is null when the parent is missing; `inode` when the last part is.
    /// For "" both are root.
    struct Found {
        InodePtr dir;
        std::string_view name;
        InodePtr inode;
    };
    /// Nonempty parts without "." and ".."; "" is the root.
    static bool is_valid(std::string_view path);
    Found find(std::string_view path) const;
    /// The same in the tree that surely survives a power loss at `now`.
    InodePtr find_durable(std::string_view path, Instant now) const;
    const InodePtr& root() const { return root_; }

    /// Makes the edits and remembers them.
    void change(Instant at, std::vector<NameEdit> edits);
    void sync_dir(const InodePtr& dir, Instant at);
    /// Forgets what is durable at `now`; the oldest of too many are taken as written back. True
    /// when it forgot any.
    bool settle(Instant now);
    size_t unsynced() const { return journal_.size(); }

    uint64_t undo_after(Instant at);
    /// Requires: undo_after() before.
    void lose_power(const PowerLoss& odds, RandomStream draws, CrashReport& report);

    /// Every entry below the root, parents first, names in order.
    void walk(const std::function<void(const std::string& path, const InodePtr&)>& visit) const;
    void walk_durable(
        Instant now,
        const std::function<void(const std::string& path, const InodePtr&)>& visit) const;

 private:
    void put(const NameEdit& edit, const InodePtr& inode);
    InodePtr durable_entry(const InodePtr& dir, std::string_view name, Instant now) const;

    InodePtr root_;
    std::deque<NameChange> journal_;
    Instant next_durable_ = Instant::never();
};

}  // namespace orrery::sim
