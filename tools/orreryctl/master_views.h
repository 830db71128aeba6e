// What the masters told, as text: a table for people, one JSON object for programs. Pure; every text ends with a line end.
//
// Sizes are rounded with their unit in tables, and bytes in JSON. Lists come in pages, each of its own version: where something
// changed between the first page and the last, a table says so, and in JSON `last_version` differs from `version`.
#pragma once

#include <string>

#include "node/wire/master.h"
#include "tools/orreryctl/form.h"

namespace orrery::ctl {

/// All pages of an answer as one.
struct Listing {
    wire::MasterView all;    // of the first page, with the records of all pages
    LogIndex last_version;   // of the last page
};

std::string nodes_text(const Listing& nodes, Form form);
std::string volumes_text(const Listing& volumes, Form form);
/// Requires, of this and the next: the volume is the only one of `all.volumes`; its partitions are all there.
std::string volume_text(const Listing& volume, Form form);
std::string partitions_text(const Listing& volume, Form form);
/// Requires: one partition.
std::string partition_text(const wire::MasterView& view, Form form);
/// Requires: one node. With the tasks that concern it.
std::string node_text(const wire::MasterView& view, Form form);
std::string tasks_text(const Listing& tasks, Form form);
/// Requires: one task.
std::string task_text(const wire::MasterView& view, Form form);
std::string status_text(const wire::MasterView& view, Form form);

/// "100 GiB", "1.5 TiB", "0 B": to a tenth of the largest unit that fits.
std::string size_for_people(uint64_t bytes);

}  // namespace orrery::ctl
