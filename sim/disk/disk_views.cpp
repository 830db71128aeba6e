// What checkers and people see of a disk.
#include <sstream>

#include "sim/disk/disk_state.h"

namespace orrery::sim {

std::optional<Bytes> SimDisk::peek(std::string_view path, View view) const {
    if (!NameTree::is_valid(path)) return std::nullopt;
    const Instant now = timeline_.now();
    const InodePtr inode = view == View::Visible ? state_->names.find(path).inode
                                                 : state_->names.find_durable(path, now);
    if (!inode || inode->is_dir) return std::nullopt;
    const auto read = [](const Contents& contents) {
        Bytes out(contents.size(), '\0');
        contents.read(0, out);
        return out;
    };
    return view == View::Visible ? read(inode->contents()) : read(inode->durable(now));
}

std::vector<Disk::Entry> SimDisk::tree(View view) const {
    std::vector<Entry> out;
    const Instant now = timeline_.now();
    const auto visit = [&](const std::string& path, const InodePtr& inode) {
        Entry entry{.name = inode->is_dir ? path + "/" : path, .is_dir = inode->is_dir};
        if (!inode->is_dir)
            entry.size_bytes =
                view == View::Visible ? inode->contents().size() : inode->durable(now).size();
        out.push_back(std::move(entry));
    };
    if (view == View::Visible) {
        state_->names.walk(visit);
    } else {
        state_->names.walk_durable(now, visit);
    }
    return out;
}

uint64_t SimDisk::unsynced_bytes() const {
    state_->settle();
    uint64_t sum = 0;
    for (const InodePtr& inode : state_->dirty) sum += inode->unsynced_bytes();
    return sum;
}

uint64_t SimDisk::unsynced_changes() const {
    state_->settle();
    uint64_t sum = state_->names.unsynced();
    for (const InodePtr& inode : state_->dirty) sum += inode->resizes_unsynced();
    return sum;
}

uint64_t SimDisk::allocated_bytes() const {
    return state_->allocated_bytes;
}

std::string SimDisk::dump() const {
    state_->settle();
    std::ostringstream out;
    out << "disk " << entity_ << " life " << life_ << (frozen_ ? " frozen" : "") << ", operation "
        << operation_number_ << ", allocated " << state_->allocated_bytes << " of "
        << state_->options.capacity_bytes << " bytes, " << state_->names.unsynced()
        << " unsynced names\n";
    state_->names.walk([&](const std::string& path, const InodePtr& inode) {
        out << path << (inode->is_dir ? "/" : "");
        if (!inode->is_dir) out << ' ' << inode->contents().size();
        if (!inode->records().empty())
            out << " unsynced " << inode->unsynced_bytes() << " in " << inode->records().size()
                << " records";
        if (inode->has_lost()) out << " lost by a failed sync";
        if (!inode->broken_sectors.empty())
            out << " broken sectors " << inode->broken_sectors.size();
        out << '\n';
    });
    return out.str();
}

}  // namespace orrery::sim
