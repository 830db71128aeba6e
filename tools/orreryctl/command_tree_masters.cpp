// The commands about what the masters keep: nodes, volumes, partitions.
#include <cstdio>

#include "runtime/real/daemon.h"
#include "tools/orreryctl/command_tree.h"
#include "tools/orreryctl/run_errand.h"

namespace orrery::ctl {

namespace {

using Views = MasterViews;

constexpr const char* kRefusedByMasters = "E0308";
constexpr const char* kAtMasters = "service addresses of masters, HOST:PORT; any one that answers is enough";

/// The options of every question to the masters, and what it does.
void add_view(CommandTree& tree, CLI::App* command, std::function<Result<void>(const MasterViews&, Fiber&, Env&)> work) {
    Typed& typed = tree.typed;
    tree.with_at(command, kAtMasters);
    tree.with_form(command);
    command->add_flag("--watch", typed.watch, "again every 2 seconds, until interrupted");
    tree.with_timeout(command, "seconds to look for a master that answers");
    tree.does(command, [&typed, work = std::move(work)]() -> int {
        using Times = MasterViews::Times;
        MasterViews views{{}, typed.timeout(), typed.shown_as(), typed.watch ? Times::Repeated : Times::Once};
        if (!parse_addresses("--at", typed.at, views.at)) return real::kExitUsage;
        return run_errand([&](Fiber& fiber, Env& env) { return work(views, fiber, env); },
                               {.refused = kRefusedByMasters, .ends = typed.watch ? Ends::ByInterrupt : Ends::Itself});
    });
}

int run_change(const Typed& typed, const std::function<Result<void>(const MasterChanges&, Fiber&, Env&)>& work) {
    MasterChanges changes{{}, typed.timeout()};
    if (!parse_addresses("--at", typed.at, changes.at)) return real::kExitUsage;
    return run_errand([&](Fiber& fiber, Env& env) { return work(changes, fiber, env); }, {.refused = kRefusedByMasters});
}

int run_volume_create(Typed& typed) {
    if (!typed.capacity.empty()) {
        Result<uint64_t> bytes = real::parse_size(typed.capacity);
        if (!bytes.ok()) {
            std::fprintf(stderr, "--capacity: error[E0309]: %s\n", bytes.error().context.c_str());
            return real::kExitUsage;
        }
        typed.volume.capacity_bytes = *bytes;
    }
    typed.volume.name = typed.name;
    return run_change(typed, [&](const MasterChanges& changes, Fiber& fiber, Env& env) { return changes.create_volume(fiber, env, typed.volume); });
}

int run_volume_delete(const Typed& typed) {
    if (!typed.yes) {
        std::fprintf(stderr, "orreryctl: error[E0310]: volume '%s' would be deleted with all that is in it, for good; if that is meant, say so with --yes\n",
                     typed.name.c_str());
        return real::kExitUsage;
    }
    return run_change(typed, [&](const MasterChanges& changes, Fiber& fiber, Env& env) { return changes.delete_volume(fiber, env, typed.name); });
}

void add_volume_commands(CommandTree& tree, CLI::App* volume) {
    using Views = MasterViews;
    Typed& typed = tree.typed;
    CLI::App* create = volume->add_subcommand("create", "make a volume; its partitions are placed on the nodes that are registered now");
    create->add_option("name", typed.name, "letters, digits, '.', '_' and '-', the first a letter or digit")->required();
    create->add_option("--replicas", typed.volume.replicas, "of each partition, every one on a node of its own")->capture_default_str()->check(from_one());
    create->add_option("--partitions", typed.volume.partitions, "into how many parts it is split")->capture_default_str()->check(from_one());
    create->add_option("--max-partitions", typed.volume.max_partitions, "it is never extended beyond; as far as masters allow if not given")->check(from_one());
    create->add_option("--capacity", typed.capacity, "the most that it may hold: bytes, or a number and KiB, MiB, GiB or TiB; no limit if not given");
    tree.with_at(create, kAtMasters);
    tree.with_timeout(create, "seconds to wait until it is committed");
    tree.does(create, [&] { return run_volume_create(typed); });

    add_view(tree, volume->add_subcommand("list", "all volumes"), [](const Views& views, Fiber& fiber, Env& env) { return views.volumes(fiber, env); });

    CLI::App* info = volume->add_subcommand("info", "one volume, its partitions and where their members are");
    info->add_option("name", typed.name, "of the volume")->required();
    add_view(tree, info, [&](const Views& views, Fiber& fiber, Env& env) { return views.volume(fiber, env, typed.name); });

    CLI::App* extend = volume->add_subcommand("extend", "give a volume more partitions; it is never made smaller");
    extend->add_option("name", typed.name, "of the volume")->required();
    extend->add_option("--partitions", typed.more_partitions, "how many more")->required()->check(from_one());
    tree.with_at(extend, kAtMasters);
    tree.with_timeout(extend, "seconds to wait until it is committed");
    tree.does(extend, [&] {
        return run_change(typed, [&](const MasterChanges& changes, Fiber& fiber, Env& env) { return changes.extend_volume(fiber, env, typed.name, typed.more_partitions); });
    });

    CLI::App* remove = volume->add_subcommand("delete", "delete a volume with all that is in it, for good");
    remove->add_option("name", typed.name, "of the volume")->required();
    remove->add_flag("--yes", typed.yes, "it is meant; nothing is deleted without this");
    tree.with_at(remove, kAtMasters);
    tree.with_timeout(remove, "seconds to wait until it is committed");
    tree.does(remove, [&] { return run_volume_delete(typed); });
}

void add_partition_commands(CommandTree& tree, CLI::App* partition) {
    using Views = MasterViews;
    Typed& typed = tree.typed;
    CLI::App* list = partition->add_subcommand("list", "the partitions of a volume and where their members are");
    list->add_option("volume", typed.name, "its name")->required();
    add_view(tree, list, [&](const Views& views, Fiber& fiber, Env& env) { return views.partitions(fiber, env, typed.name); });
    CLI::App* info = partition->add_subcommand("info", "one partition and its members");
    info->add_option("id", typed.id, "of the partition")->required()->check(from_one());
    add_view(tree, info, [&](const Views& views, Fiber& fiber, Env& env) { return views.partition(fiber, env, PartitionId(typed.id)); });
}

void add_node_commands(CommandTree& tree, CLI::App* node) {
    Typed& typed = tree.typed;
    add_view(tree, node->add_subcommand("list", "all that are registered at the masters"), [](const Views& views, Fiber& fiber, Env& env) { return views.nodes(fiber, env); });
    CLI::App* info = node->add_subcommand("info", "one node, its disks, and what is being moved to or from it");
    info->add_option("node", typed.id, "its id")->required()->check(from_one());
    add_view(tree, info, [&](const Views& views, Fiber& fiber, Env& env) { return views.node(fiber, env, NodeId(typed.id)); });

    auto add = [&](const char* name, const char* text, Result<void> (MasterChanges::*work)(Fiber&, Env&, NodeId, DiskId) const) {
        CLI::App* command = node->add_subcommand(name, text);
        command->add_option("node", typed.id, "its id")->required()->check(from_one());
        command->add_option("--disk", typed.disk, "only this disk of it")->check(from_one());
        tree.with_at(command, kAtMasters);
        tree.with_timeout(command, "seconds to wait until it is committed");
        tree.does(command, [&typed, work] {
            return run_change(typed, [&](const MasterChanges& changes, Fiber& fiber, Env& env) { return (changes.*work)(fiber, env, NodeId(typed.id), DiskId(typed.disk)); });
        });
    };
    add("decommission", "have everything on a node, or one disk, moved elsewhere", &MasterChanges::decommission);
    add("decommission-cancel", "let a node or disk stay after all", &MasterChanges::cancel_decommission);
}

void add_task_commands(CommandTree& tree, CLI::App* task) {
    Typed& typed = tree.typed;
    add_view(tree, task->add_subcommand("list", "what is being moved and repaired, and what it waits for"),
             [](const Views& views, Fiber& fiber, Env& env) { return views.tasks(fiber, env); });
    CLI::App* info = task->add_subcommand("info", "one task: its step, what it waits for, since when, and what comes next");
    info->add_option("id", typed.id, "of the task")->required()->check(from_one());
    add_view(tree, info, [&](const Views& views, Fiber& fiber, Env& env) { return views.task(fiber, env, TaskId(typed.id)); });
}

/// 0: as it should be, or as it was waited for; 1: it is not.
void add_health_commands(CommandTree& tree, CLI::App* parent) {
    Typed& typed = tree.typed;
    auto views_of = [&typed](MasterViews& views) {
        views = {{}, typed.timeout(), typed.shown_as(), typed.watch ? MasterViews::Times::Repeated : MasterViews::Times::Once};
        return parse_addresses("--at", typed.at, views.at);
    };
    CLI::App* health = parent->add_subcommand("health", "whether everything is there that should be: exit code 0, else 1");
    tree.with_at(health, kAtMasters);
    tree.with_form(health);
    health->add_option("--wait-until", typed.wait_until, "waits for at most --timeout until it is so, or better")->check(CLI::IsMember({"healthy", "degraded"}));
    health->add_flag("--watch", typed.watch, "again every 2 seconds, until interrupted")->excludes("--wait-until");
    tree.with_timeout(health, "seconds to look for a master that answers, and to wait");
    tree.does(health, [&typed, views_of]() -> int {
        MasterViews views;
        if (!views_of(views)) return real::kExitUsage;
        std::optional<Health> wanted;
        if (!typed.wait_until.empty()) wanted = typed.wait_until == "healthy" ? Health::Healthy : Health::Degraded;
        Health found = Health::Unavailable;
        const int code = run_errand([&](Fiber& fiber, Env& env) { return views.health(fiber, env, wanted, found); },
                                    {.refused = kRefusedByMasters, .ends = typed.watch ? Ends::ByInterrupt : Ends::Itself});
        return code != 0 ? code : found <= wanted.value_or(Health::Healthy) ? 0 : 1;
    });
    CLI::App* check = parent->add_subcommand("check", "everything that is not as it should be, and what to do: exit code 1 if there is anything");
    tree.with_at(check, kAtMasters);
    tree.with_form(check);
    check->add_flag("--watch", typed.watch, "again every 2 seconds, until interrupted");
    tree.with_timeout(check, "seconds to look for a master that answers");
    tree.does(check, [&typed, views_of]() -> int {
        MasterViews views;
        if (!views_of(views)) return real::kExitUsage;
        Health worst = Health::Unavailable;
        const int code = run_errand([&](Fiber& fiber, Env& env) { return views.check(fiber, env, worst); },
                                    {.refused = kRefusedByMasters, .ends = typed.watch ? Ends::ByInterrupt : Ends::Itself});
        return code != 0 ? code : worst == Health::Healthy ? 0 : 1;
    });
}

}  // namespace

void add_master_views(CommandTree& tree, CLI::App* parent) {
    auto group = [parent](const char* name, const char* text) { return parent->add_subcommand(name, text)->require_subcommand(1); };
    add_view(tree, parent->add_subcommand("status", "who leads the masters, and how much there is"),
             [](const Views& views, Fiber& fiber, Env& env) { return views.status(fiber, env); });
    add_health_commands(tree, parent);
    add_node_commands(tree, group("node", "nodes that hold data: look at, empty"));
    add_volume_commands(tree, group("volume", "volumes: make, look at, extend, delete"));
    add_partition_commands(tree, group("partition", "the partitions of volumes"));
    add_task_commands(tree, group("task", "moves and repairs that are under way"));
}

}  // namespace orrery::ctl
