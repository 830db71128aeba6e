// The tree of orreryctl's commands and their options: what its parts share. A command that was typed is run after the whole line was
// found right.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "tools/orreryctl/form.h"
#include "tools/orreryctl/master_commands.h"

namespace orrery::ctl {

/// The options of all commands. One is run, so they share them.
struct Typed {
    std::vector<std::string> members, at;
    std::string address, name;
    std::string form = "table";
    std::string wait_until;  // of health
    uint32_t timeout_s = 30;
    uint64_t id = 0;
    uint32_t disk = 0, more_partitions = 0;
    bool json = false, learner = false, watch = false, yes = false;
    std::string leases;
    uint32_t drift_ppm = 50'000;
    std::string time_set;
    uint32_t time_timeout_s = 5;
    NewVolume volume;
    std::string capacity;

    Duration timeout() const { return Duration::seconds(timeout_s); }
    Form shown_as() const { return json || form == "json" ? Form::Json : Form::Table; }
};

struct CommandTree {
    using Run = std::function<int()>;

    Typed typed;
    Run run;  // what was typed; its exit code

    void does(CLI::App* command, Run what) {
        command->callback([this, what = std::move(what)] { run = what; });
    }
    void with_timeout(CLI::App* command, const char* text) {
        command->add_option("--timeout", typed.timeout_s, text)->capture_default_str()->check(CLI::Range(1u, 3600u));
    }
    void with_at(CLI::App* command, const char* text) { command->add_option("--at", typed.at, text)->required()->delimiter(','); }
    CLI::Option* with_form(CLI::App* command) {
        return command->add_option("-o,--output", typed.form, "how it is shown: a table for people, or one JSON object a line")
            ->capture_default_str()
            ->check(CLI::IsMember({"table", "json"}));
    }
};

/// For ids and counts: what CLI11 has of this kind says its bounds as floating point numbers.
inline CLI::Validator from_one() {
    return CLI::Validator(
        [](std::string& text) {
            const bool right = text.find_first_not_of("0123456789") == std::string::npos && text.find_first_not_of('0') != std::string::npos;
            return right ? std::string() : "'" + text + "' is no number from 1 on";
        },
        "from 1");
}

/// init, members, add, remove and transfer. `node`: what a member is called.
void add_member_commands(CommandTree& tree, CLI::App* parent, const std::string& node);
/// What KV clusters alone have: leases and time.
void add_kv_commands(CommandTree& tree, CLI::App* kv);
/// What the masters keep: status, node, volume, partition and task. `parent`: the program.
void add_master_views(CommandTree& tree, CLI::App* parent);

}  // namespace orrery::ctl
