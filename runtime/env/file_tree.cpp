#include "runtime/env/file_tree.h"

namespace orrery {

Result<void> remove_tree(Blocking& blocking, Disk& disk, const std::string& path) {
    Result<std::vector<Disk::Entry>> entries = disk.list(blocking, path);
    if (entries.failed_with(Code::NotFound)) return {};
    if (!entries.ok()) return entries.error();
    for (const Disk::Entry& entry : *entries) {
        const std::string below = path + "/" + entry.name;
        if (entry.is_dir) {
            TRY(remove_tree(blocking, disk, below));
        } else {
            TRY(disk.remove(blocking, below));
        }
    }
    return disk.remove_dir(blocking, path);
}

}  // namespace orrery
