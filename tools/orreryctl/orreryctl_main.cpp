// orreryctl: the operators' program. This part: founding a KV cluster, and asking nodes for their status.
//
// It runs the same client code as everything else (sessions over the real Env), so what it can not do in the simulator
// it can not do here.
#include <stdlib.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>

#include "node/raft/found_cluster.h"
#include "runtime/env/errand.h"
#include "runtime/real/daemon.h"

namespace {

using namespace orrery;

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
            code = done.code() == Code::Exists || done.code() == Code::Invalid ? real::kExitUsage
                   : done.code() == Code::Timeout                              ? real::kExitUnreachable
                                                                               : real::exit_code_of(done.error());
        }
    }
    // Only what RealEnv itself made is in there.
    (void)unlink((std::string(directory) + "/LOCK").c_str());
    (void)rmdir(directory);
    return code;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("orreryctl: operate an Orrery cluster");
    app.set_version_flag("--version", "orreryctl 0.1.0");
    app.require_subcommand(1);
    CLI::App* kv = app.add_subcommand("kv", "KV clusters");
    kv->require_subcommand(1);
    CLI::App* init = kv->add_subcommand("init", "found a cluster of nodes that wait for it; repeating it is harmless");
    std::vector<std::string> members;
    uint32_t timeout_s = 30;
    init->add_option("--members", members, "peer addresses of all founding members, HOST:PORT")->required()->delimiter(',');
    init->add_option("--timeout", timeout_s, "seconds to wait for nodes that are still starting")->capture_default_str()->check(CLI::Range(1u, 3600u));
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? real::kExitFine : real::kExitUsage;
    }
    std::vector<Address> peers;
    for (const std::string& member : members) {
        Result<Address> address = Address::parse(member);
        if (!address.ok()) {
            std::fprintf(stderr, "--members: error[E0303]: %s\n", address.error().context.c_str());
            return real::kExitUsage;
        }
        peers.push_back(*address);
    }
    return run_errand([&](Fiber& fiber, Env& env) -> Result<void> {
        TRY(wire::FoundingRecord record, raft::found_cluster(fiber, env, peers, env.now() + Duration::seconds(timeout_s)));
        std::printf("founded cluster %016llx with %zu members:", static_cast<unsigned long long>(record.cluster().value), record.members.size());
        for (const wire::NodeIdentity& member : record.members) std::printf(" %llu", static_cast<unsigned long long>(member.node.value));
        std::printf("\n");
        return {};
    });
}
