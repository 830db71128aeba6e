// orreryctl: the operators' program.
//
// It runs the same client code as everything else (sessions over the real Env), so what it can not do in the simulator
// it can not do here.
#include <cstdio>

#include "runtime/real/config.h"
#include "runtime/real/daemon.h"
#include "tools/orreryctl/command_tree.h"

namespace {

using namespace orrery;

/// Says so if the line names a command that there is not, of which CLI11 tells only that one is missing.
bool told_of_unknown_command(const CLI::App& app) {
    const CLI::App* at = &app;
    std::string where = app.get_name();
    for (std::vector<CLI::App*> next; next = at->get_subcommands(), !next.empty(); at = next.front()) where += " " + next.front()->get_name();
    const std::vector<std::string> rest = at->remaining();
    std::vector<std::string> known;
    for (const CLI::App* command : at->get_subcommands([](const CLI::App*) { return true; })) known.push_back(command->get_name());
    if (known.empty() || rest.empty() || rest.front().starts_with('-')) return false;
    const std::optional<std::string> meant = real::did_you_mean(rest.front(), known);
    const std::string what_to_do = meant ? "did you mean '" + *meant + "'?" : "see '" + where + " --help'";
    std::fprintf(stderr, "%s: error[E0311]: there is no command '%s'; %s\n", where.c_str(), rest.front().c_str(), what_to_do.c_str());
    return true;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("orreryctl: operate an Orrery cluster", "orreryctl");
    app.set_version_flag("--version", "orreryctl 0.1.0");
    app.require_subcommand(1);
    ctl::CommandTree tree;
    CLI::App* master = app.add_subcommand("master", "the masters: founding them, their members, who leads")->require_subcommand(1);
    ctl::add_member_commands(tree, master, "master");
    ctl::add_master_views(tree, &app);
    CLI::App* kv = app.add_subcommand("kv", "KV clusters: founding them, their members, who leads, reads under leases, time")->require_subcommand(1);
    ctl::add_member_commands(tree, kv, "node");
    ctl::add_kv_commands(tree, kv);
    try {
        app.parse(argc, argv);
    } catch (const CLI::RequiredError& error) {
        if (!told_of_unknown_command(app)) (void)app.exit(error);
        return real::kExitUsage;
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? real::kExitFine : real::kExitUsage;
    }
    return tree.run();
}
