// DiskImage: all names and contents of a disk at one moment, parents before children; pages are
// shared with the disk.
#pragma once

#include <string>
#include <vector>

#include "sim/disk/contents.h"

namespace orrery::sim {

class DiskImage {
 public:
    struct Entry {
        std::string path;
        bool is_dir = false;
        Contents contents;
    };
    std::vector<Entry> entries;
};

}  // namespace orrery::sim
