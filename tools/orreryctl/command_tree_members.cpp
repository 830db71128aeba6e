// The commands about the members of a KV cluster and of the masters, and about what KV clusters alone have.
#include <cstdio>

#include "runtime/real/daemon.h"
#include "tools/orreryctl/calendar.h"
#include "tools/orreryctl/command_tree.h"
#include "tools/orreryctl/kv_time.h"
#include "tools/orreryctl/members.h"
#include "tools/orreryctl/run_errand.h"

namespace orrery::ctl {

namespace {

/// The one group of a KV cluster, and of the masters.
constexpr GroupId kGroup{1};
constexpr const char* kAtMembers = "peer addresses of members, HOST:PORT; any one that answers is enough";

/// `work` gets the addresses of `flag`.
int run_members(const CommandTree& tree, const char* flag, const std::vector<std::string>& texts,
                const std::function<Result<void>(const Members&, Fiber&, Env&)>& work) {
    Members members{{}, kGroup, tree.typed.timeout()};
    if (!parse_addresses(flag, texts, members.at)) return real::kExitUsage;
    return run_errand([&](Fiber& fiber, Env& env) { return work(members, fiber, env); });
}

void add_kv_leases(CommandTree& tree, CLI::App* kv) {
    Typed& typed = tree.typed;
    CLI::App* leases = kv->add_subcommand(
        "leases", "reads without a round of messages, while members promise the leader not to elect another; stale only if clocks differ by more than stated");
    leases->add_option("state", typed.leases, "on or off, for all members")->required()->check(CLI::IsMember({"on", "off"}));
    leases->add_option("--drift-ppm", typed.drift_ppm, "the most by which the rates of two members' clocks may differ; a lease ends that much earlier")
        ->capture_default_str()
        ->check(CLI::Range(1u, 400'000u));
    tree.with_at(leases, kAtMembers);
    tree.with_timeout(leases, "seconds to wait until it is committed");
    tree.does(leases, [&] {
        return run_members(tree, "--at", typed.at, [&](const Members& members, Fiber& fiber, Env& env) {
            return members.leases(fiber, env, typed.leases == "on", typed.drift_ppm);
        });
    });
}

int run_kv_time(const Typed& typed) {
    std::vector<Address> peers;
    if (!parse_addresses("--members", typed.members, peers)) return real::kExitUsage;
    std::optional<int64_t> to;
    if (!typed.time_set.empty() && typed.time_set != "now" && !(to = parse_rfc3339(typed.time_set))) {
        std::fprintf(stderr, "--set: error[E0304]: '%s' is no time; write 'now' or a time with its zone, such as 2026-11-27T12:00:00Z\n", typed.time_set.c_str());
        return real::kExitUsage;
    }
    const Duration patience = Duration::seconds(typed.time_timeout_s);
    return run_errand([&](Fiber& fiber, Env& env) -> Result<void> {
        if (typed.time_set.empty()) return show_times(fiber, env, peers, patience);
        return set_time(fiber, env, peers, {to ? *to : env.clock.wall().ns}, patience);
    });
}

void add_kv_time(CommandTree& tree, CLI::App* kv) {
    Typed& typed = tree.typed;
    CLI::App* time = kv->add_subcommand("time", "state-machine time, which expiries go by, and how far each node's wall clock is from it");
    time->add_option("--members", typed.members, "peer addresses of the nodes to ask, HOST:PORT")->required()->delimiter(',');
    time->add_option("--set", typed.time_set,
                     "move it forward, for the whole cluster: 'now' (the clock of this machine) or a time such as 2026-11-27T12:00:00Z. "
                     "WARNING: every key with an expiry goes earlier by that step, those that would have expired in it at once and for good. "
                     "It never goes back: if it is ahead, it is slewed to wall time by at most 500 ppm (1 s takes 33 minutes)");
    time->add_option("--timeout", typed.time_timeout_s, "seconds to wait for each node")->capture_default_str()->check(CLI::Range(1u, 3600u));
    tree.does(time, [&] { return run_kv_time(typed); });
}

}  // namespace

void add_member_commands(CommandTree& tree, CLI::App* parent, const std::string& node) {
    Typed& typed = tree.typed;

    CLI::App* init = parent->add_subcommand("init", "found a cluster of " + node + "s that wait for it; repeating it is harmless");
    init->add_option("--members", typed.members, "peer addresses of all founding members, HOST:PORT")->required()->delimiter(',');
    tree.with_timeout(init, "seconds to wait for members that are still starting");
    tree.does(init, [&] {
        return run_members(tree, "--members", typed.members, [](const Members& members, Fiber& fiber, Env& env) { return members.found(fiber, env); });
    });

    CLI::App* show = parent->add_subcommand("members", "who is in the cluster, and how far each has got");
    tree.with_at(show, kAtMembers);
    CLI::Option* form = tree.with_form(show);
    show->add_flag("--json", typed.json, "the same as -o json")->excludes(form);
    tree.with_timeout(show, "seconds to look for a leader");
    tree.does(show, [&] {
        return run_members(tree, "--at", typed.at,
                           [&](const Members& members, Fiber& fiber, Env& env) { return members.show(fiber, env, typed.shown_as()); });
    });

    CLI::App* add = parent->add_subcommand("add", "take in a " + node + " that belongs to no cluster, also in place of its own lost data directory");
    add->add_option("address", typed.address, "its peer address, HOST:PORT")->required();
    add->add_flag("--learner", typed.learner, "it receives everything and counts for nothing; adding it again without this promotes it");
    tree.with_at(add, kAtMembers);
    tree.with_timeout(add, "seconds to wait until it has caught up");
    tree.does(add, [&] {
        std::vector<Address> added;
        if (!parse_addresses("address", {typed.address}, added)) return static_cast<int>(real::kExitUsage);
        return run_members(tree, "--at", typed.at, [&](const Members& members, Fiber& fiber, Env& env) {
            return members.add(fiber, env, added.front(), typed.learner ? raft::AddAs::Learner : raft::AddAs::Voter);
        });
    });

    CLI::App* remove = parent->add_subcommand("remove", "take a " + node + " out; refused where no majority would be in touch");
    remove->add_option("node", typed.id, "its node id")->required()->check(from_one());
    tree.with_at(remove, kAtMembers);
    tree.with_timeout(remove, "seconds to wait until it is committed");
    tree.does(remove, [&] {
        return run_members(tree, "--at", typed.at,
                           [&](const Members& members, Fiber& fiber, Env& env) { return members.remove(fiber, env, NodeId(typed.id)); });
    });

    CLI::App* transfer = parent->add_subcommand("transfer", "hand leadership to a voter");
    transfer->add_option("node", typed.id, "its node id")->required()->check(from_one());
    tree.with_at(transfer, kAtMembers);
    tree.with_timeout(transfer, "seconds to wait until it leads");
    tree.does(transfer, [&] {
        return run_members(tree, "--at", typed.at,
                           [&](const Members& members, Fiber& fiber, Env& env) { return members.transfer(fiber, env, NodeId(typed.id)); });
    });
}

void add_kv_commands(CommandTree& tree, CLI::App* kv) {
    add_kv_leases(tree, kv);
    add_kv_time(tree, kv);
}

}  // namespace orrery::ctl
