// The skeleton of every daemon: what happens around a Process from the first flag to the exit code.
//
// A main parses its flags (CLI11 is a main's affair), hands them to prepare_daemon(), and ends with run_daemon():
//   SIGTERM, SIGINT: drain, then stop; a second one stops at once. SIGHUP: the reload hook. SIGPIPE: ignored.
#pragma once

#include <string>
#include <variant>

#include "runtime/real/config.h"
#include "runtime/real/real_env.h"

namespace orrery::real {

enum ExitCode : int {  // cli.md; part of the interface, never renumber
    kExitFine = 0,
    kExitUsage = 2,
    kExitCorrupt = 65,
    kExitUnreachable = 69,
    kExitBug = 70,
    kExitIo = 74,
    kExitTryAgain = 75,
};
/// What a daemon exits with when `error` is why it cannot go on.
int exit_code_of(const Error& error);

/// Adds the keys that every daemon has: data_dir, log.level, log.format, stop.drain_limit, disk.threads,
/// background.threads_high, background.threads_low, net.peer_silence_max.
void add_daemon_keys(ConfigSchema& schema);

/// What the main found on its command line.
struct DaemonCommandLine {
    std::optional<std::string> config_file;  // --config
    bool check_config = false;
    bool print_config = false;
    bool list_config = false;
    std::vector<std::pair<std::string, std::string>> flags;  // key name, value as typed
};

/// Loads the configuration and serves --check-config, --print-config and --list-config. The configuration, or the exit
/// code with which to end (everything was said already, errors on standard error).
std::variant<Config, int> prepare_daemon(const ConfigSchema& schema, const DaemonCommandLine& line);

struct DaemonOptions {
    std::string name;  // "orrery-kv": in messages and the log
    RealEnvOptions env;
    RealEnv::StopLimits stop;
    /// On SIGHUP, on the loop thread, not from a fiber.
    std::function<void(Env&)> on_reload{};
};
/// The options that the keys of add_daemon_keys() describe.
DaemonOptions daemon_options(std::string name, const Config& config);

/// Everything from here to the exit code, which it returns. Says on standard error why it ends, if not fine. Ends the
/// process itself only when fibers or a disk call refuse to end.
int run_daemon(DaemonOptions options, const Program& program);

}  // namespace orrery::real
