// Which build this is: runs record it, and a replay compares hashes only with runs of the same one.
#pragma once

#include <cstdint>
#include <string>

namespace orrery::cli {

struct BuildInfo {
    std::string version;          // "0.1.0"
    std::string commit;           // of the sources, "-dirty" behind it when they differ from it; "unknown" without git
    std::string id;               // the linker's hash over the whole program: equal bytes, equal id
    std::string rocksdb_version;
    uint64_t rocksdb_option_hash = 0;

    bool same_build(const BuildInfo& other) const { return id == other.id && !id.empty(); }
    bool operator==(const BuildInfo&) const = default;
};

/// Of the running program.
BuildInfo this_build();

}  // namespace orrery::cli
