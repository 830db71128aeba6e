// orreryctl: the operators' program. This part: KV clusters: founding them, their members, who leads, state-machine time.
//
// It runs the same client code as everything else (sessions over the real Env), so what it can not do in the simulator
// it can not do here.
#include <stdlib.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>

#include "kv/time_report.h"
#include "tools/orreryctl/kv_members.h"
#include "node/raft/found_cluster.h"
#include "runtime/env/errand.h"
#include "runtime/real/daemon.h"
#include "tools/orreryctl/calendar.h"

namespace {

using namespace orrery;

int exit_code(const Error& error) {
    switch (error.code) {
        case Code::Exists:
        case Code::Invalid: return real::kExitUsage;
        case Code::Unknown:
        case Code::Timeout: return real::kExitUnreachable;
        case Code::NotReady: return real::kExitTryAgain;
        default: return real::exit_code_of(error);
    }
}

/// 0 or the exit code; what went wrong was said.
int run_errand(const std::function<Result<void>(Fiber&, Env&)>& work) {
    char directory[] = "/tmp/orreryctl-XXXXXX";
    if (mkdtemp(directory) == nullptr) {
        std::fprintf(stderr, "orreryctl: error[E0301]: no temporary directory could be made below /tmp; check its permissions\n");
        return real::kExitIo;
    }
    int code = real::kExitFine;
    {
        real::RealEnvOptions options;
        options.data_directory = directory;
        options.log.least = Severity::Error;
        Result<std::unique_ptr<real::RealEnv>> env = real::RealEnv::open(std::move(options));
        Result<void> done = env.ok() ? (*env)->run([&](Env& inner) { return std::make_unique<Errand>(inner, work); }) : Result<void>(env.error());
        if (!done.ok()) {
            std::fprintf(stderr, "orreryctl: error[E0302]: %s\n", done.error().text().c_str());
            code = exit_code(done.error());
        }
    }
    // Only what RealEnv itself made is in there.
    (void)unlink((std::string(directory) + "/LOCK").c_str());
    (void)rmdir(directory);
    return code;
}

/// False: said why.
bool parse_addresses(const char* flag, const std::vector<std::string>& texts, std::vector<Address>& out) {
    for (const std::string& text : texts) {
        Result<Address> address = Address::parse(text);
        if (!address.ok()) {
            std::fprintf(stderr, "%s: error[E0303]: %s\n", flag, address.error().context.c_str());
            return false;
        }
        out.push_back(*address);
    }
    return true;
}

/// One line a node; what a node that does not answer said goes to standard error.
Result<void> show_times(Fiber& fiber, Env& env, const std::vector<Address>& peers, Duration patience) {
    Result<void> outcome;
    std::printf("%-24s %-6s %-32s %14s  %-9s %s\n", "address", "node", "state time", "ahead of wall", "source", "leads");
    for (const Address& peer : peers) {
        Result<kv::TimeReport> report = kv::ask_time(fiber, env, peer, env.now() + patience);
        if (report.failed_with(Code::Cancelled)) return report.error();
        if (!report.ok()) {
            std::fprintf(stderr, "%s: warning[W0305]: no answer: %s\n", peer.text().c_str(), report.error().text().c_str());
            outcome = report.error().within("node at " + peer.text());
            continue;
        }
        const auto& view = report->view;
        const bool known = view.origin != kv::TimeOrigin::None;
        std::printf("%-24s %-6llu %-32s %11lld ms  %-9.*s %s\n", peer.text().c_str(), static_cast<unsigned long long>(report->node.value),
                    known ? ctl::rfc3339(view.time.ns).c_str() : "-", known ? static_cast<long long>(view.ahead().as_millis()) : 0LL,
                    static_cast<int>(kv::time_origin_name(view.origin).size()), kv::time_origin_name(view.origin).data(),
                    report->leader == report->node ? "leader" : "");
    }
    return outcome;
}

/// Through the first node that takes it: any of them knows the way to the leader.
Result<void> set_time(Fiber& fiber, Env& env, const std::vector<Address>& peers, kv::LogTime to, Duration patience) {
    Result<kv::LogTime> from = Error(Code::Unreachable, "no node was asked");
    for (const Address& peer : peers) {
        from = kv::set_time(fiber, env, peer, to, env.now() + patience);
        if (from.ok()) break;
        // A refusal holds everywhere, and what may have taken effect is not sent again behind the operator's back.
        if (from.code() == Code::Cancelled || from.code() == Code::Invalid || from.code() == Code::Unknown) break;
        if (from.code() == Code::Timeout) return Error(Code::Unknown, "node at " + peer.text() + " did not answer in time: the change may or may not have "
                                                                      "taken effect; look with `orreryctl kv time`. Setting the same time again is harmless");
        std::fprintf(stderr, "%s: warning[W0305]: not through this node: %s\n", peer.text().c_str(), from.error().text().c_str());
    }
    if (!from.ok()) return from.error();
    std::printf("state-machine time moved from %s to %s; keys expire earlier by %.3f s\n", ctl::rfc3339(from->ns).c_str(), ctl::rfc3339(to.ns).c_str(),
                static_cast<double>(to.ns - from->ns) / 1e9);
    return {};
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("orreryctl: operate an Orrery cluster");
    app.set_version_flag("--version", "orreryctl 0.1.0");
    app.require_subcommand(1);
    CLI::App* kv = app.add_subcommand("kv", "KV clusters");
    kv->require_subcommand(1);
    std::vector<std::string> members, at;
    std::string address;
    uint32_t timeout_s = 30;
    uint64_t node = 0;
    bool json = false, learner = false;
    auto with_timeout = [&](CLI::App* command, const char* text) {
        command->add_option("--timeout", timeout_s, text)->capture_default_str()->check(CLI::Range(1u, 3600u));
    };
    auto with_at = [&](CLI::App* command) {
        command->add_option("--at", at, "peer addresses of members, HOST:PORT; any one that answers is enough")->required()->delimiter(',');
    };
    CLI::App* init = kv->add_subcommand("init", "found a cluster of nodes that wait for it; repeating it is harmless");
    init->add_option("--members", members, "peer addresses of all founding members, HOST:PORT")->required()->delimiter(',');
    with_timeout(init, "seconds to wait for nodes that are still starting");
    CLI::App* show = kv->add_subcommand("members", "who is in the cluster, and how far each has got");
    with_at(show);
    show->add_flag("--json", json, "one JSON object");
    with_timeout(show, "seconds to look for a leader");
    CLI::App* add = kv->add_subcommand("add", "take in a node that belongs to no cluster, also in place of its own lost data directory");
    add->add_option("address", address, "the node's peer address, HOST:PORT")->required();
    add->add_flag("--learner", learner, "it receives everything and counts for nothing; adding it again without this promotes it");
    with_at(add);
    with_timeout(add, "seconds to wait until it has caught up");
    CLI::App* remove = kv->add_subcommand("remove", "take a node out; refused where no majority would be in touch");
    remove->add_option("node", node, "its node id")->required()->check(CLI::PositiveNumber);
    with_at(remove);
    with_timeout(remove, "seconds to wait until it is committed");
    CLI::App* transfer = kv->add_subcommand("transfer", "hand leadership to a voter");
    transfer->add_option("node", node, "its node id")->required()->check(CLI::PositiveNumber);
    with_at(transfer);
    with_timeout(transfer, "seconds to wait until it leads");
    CLI::App* leases = kv->add_subcommand(
        "leases", "reads without a round of messages, while members promise the leader not to elect another; stale only if clocks differ by more than stated");
    std::string leases_state;
    uint32_t drift_ppm = 50'000;
    leases->add_option("state", leases_state, "on or off, for all members")->required()->check(CLI::IsMember({"on", "off"}));
    leases->add_option("--drift-ppm", drift_ppm, "the most by which the rates of two members' clocks may differ; a lease ends that much earlier")
        ->capture_default_str()
        ->check(CLI::Range(1u, 400'000u));
    with_at(leases);
    with_timeout(leases, "seconds to wait until it is committed");
    CLI::App* time = kv->add_subcommand("time", "state-machine time, which expiries go by, and how far each node's wall clock is from it");
    std::vector<std::string> time_members;
    std::string set;
    uint32_t time_timeout_s = 5;
    time->add_option("--members", time_members, "peer addresses of the nodes to ask, HOST:PORT")->required()->delimiter(',');
    time->add_option("--set", set,
                     "move it forward, for the whole cluster: 'now' (the clock of this machine) or a time such as 2026-11-27T12:00:00Z. "
                     "WARNING: every key with an expiry goes earlier by that step, those that would have expired in it at once and for good. "
                     "It never goes back: if it is ahead, it is slewed to wall time by at most 500 ppm (1 s takes 33 minutes)");
    time->add_option("--timeout", time_timeout_s, "seconds to wait for each node")->capture_default_str()->check(CLI::Range(1u, 3600u));
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? real::kExitFine : real::kExitUsage;
    }
    const Duration timeout = Duration::seconds(timeout_s);
    std::vector<Address> peers, added;
    if (time->parsed()) {
        if (!parse_addresses("--members", time_members, peers)) return real::kExitUsage;
        std::optional<int64_t> to;
        if (!set.empty() && set != "now" && !(to = ctl::parse_rfc3339(set))) {
            std::fprintf(stderr, "--set: error[E0304]: '%s' is no time; write 'now' or a time with its zone, such as 2026-11-27T12:00:00Z\n", set.c_str());
            return real::kExitUsage;
        }
        const Duration patience = Duration::seconds(time_timeout_s);
        return run_errand([&](Fiber& fiber, Env& env) -> Result<void> {
            if (set.empty()) return show_times(fiber, env, peers, patience);
            return set_time(fiber, env, peers, {to ? *to : env.clock.wall().ns}, patience);
        });
    }
    if (init->parsed()) {
        if (!parse_addresses("--members", members, peers)) return real::kExitUsage;
        return run_errand([&](Fiber& fiber, Env& env) -> Result<void> {
            TRY(wire::FoundingRecord record, raft::found_cluster(fiber, env, peers, env.now() + timeout));
            std::printf("founded cluster %016llx with %zu members:", static_cast<unsigned long long>(record.cluster().value), record.members.size());
            for (const wire::NodeIdentity& member : record.members) std::printf(" %llu", static_cast<unsigned long long>(member.node.value));
            std::printf("\n");
            return {};
        });
    }
    if (!parse_addresses("--at", at, peers)) return real::kExitUsage;
    if (add->parsed() && !parse_addresses("address", {address}, added)) return real::kExitUsage;
    const ctl::KvMembers command{peers, timeout};
    return run_errand([&](Fiber& fiber, Env& env) -> Result<void> {
        if (show->parsed()) return command.show(fiber, env, json ? ctl::Form::Json : ctl::Form::Table);
        if (add->parsed()) return command.add(fiber, env, added.front(), learner ? raft::AddAs::Learner : raft::AddAs::Voter);
        if (remove->parsed()) return command.remove(fiber, env, NodeId(node));
        if (leases->parsed()) return command.leases(fiber, env, leases_state == "on", drift_ppm);
        return command.transfer(fiber, env, NodeId(node));
    });
}
