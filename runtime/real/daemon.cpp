#include "runtime/real/daemon.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>

#include "runtime/base/check.h"
#include "runtime/real/crash.h"
#include "runtime/real/signals.h"

namespace orrery::real {

int exit_code_of(const Error& error) {
    switch (error.code) {
        case Code::Invalid:
        case Code::Unsupported: return kExitUsage;
        case Code::Corrupt: return kExitCorrupt;
        case Code::Unreachable:
        case Code::Timeout: return kExitUnreachable;
        case Code::Io:
        case Code::NoSpace:
        case Code::NotFound: return kExitIo;
        case Code::Exists:  // somebody else holds the port or the directory
        case Code::NotReady:
        case Code::Overloaded: return kExitTryAgain;
        case Code::NotLeader:
        case Code::Stale:
        case Code::Unknown:
        case Code::Cancelled: return kExitBug;  // none of these is a reason for a whole daemon to end
    }
    return kExitBug;
}

namespace {

const char* error_code_text(int exit_code) {
    switch (exit_code) {
        case kExitUsage: return "E0101";
        case kExitCorrupt: return "E0102";
        case kExitUnreachable: return "E0103";
        case kExitIo: return "E0104";
        case kExitTryAgain: return "E0105";
        default: return "E0100";
    }
}

const char* what_to_do(int exit_code) {
    switch (exit_code) {
        case kExitUsage: return "correct the configuration and start again";
        case kExitCorrupt: return "do not delete anything; keep the data directory and see the file named above";
        case kExitUnreachable: return "see the log for what it waited for";
        case kExitIo: return "check the file system, its space and permissions";
        case kExitTryAgain: return "stop the other holder, or try again later";
        default: return "this is a bug of orrery, please report it with the log";
    }
}

int say_why(const std::string& name, const Error& error) {
    const int code = exit_code_of(error);
    std::fprintf(stderr, "%s: error[%s]: %s; %s\n", name.c_str(), error_code_text(code),
                 error.context.empty() ? error.text().c_str() : error.context.c_str(), what_to_do(code));
    return code;
}

}  // namespace

void add_daemon_keys(ConfigSchema& schema) {
    const int64_t second = Duration::seconds(1).ns;
    schema
        .add({.name = "data_dir", .type = ConfigType::Text,
              .doc = "Directory of this node's files; one process at a time, created when missing.", .required = true})
        .add({.name = "log.level", .by_default = "info", .doc = "Least severity that is logged.",
              .choices = {"debug", "info", "warning", "error"}})
        .add({.name = "log.format", .by_default = "auto",
              .doc = "Form of the log; auto is text on a terminal and JSON lines otherwise.",
              .choices = {"auto", "text", "json"}})
        .add({.name = "stop.drain_limit", .type = ConfigType::Duration, .by_default = "10s",
              .doc = "How long a stop waits for what is under way before it cancels it.", .low = 0, .high = 3600 * second})
        .add({.name = "disk.threads", .type = ConfigType::Integer, .by_default = "2",
              .doc = "Threads for foreground disk work; too few queue behind a slow sync.", .low = 1, .high = 64})
        .add({.name = "background.threads_high", .type = ConfigType::Integer, .by_default = "1",
              .doc = "Threads for flushes of the store.", .low = 1, .high = 16})
        .add({.name = "background.threads_low", .type = ConfigType::Integer, .by_default = "1",
              .doc = "Threads for compaction of the store.", .low = 1, .high = 16})
        .add({.name = "net.peer_silence_max", .type = ConfigType::Duration, .by_default = "20s",
              .doc = "A stream whose peer acknowledges nothing for so long is given up.", .low = second,
              .high = 600 * second});
}

std::variant<Config, int> prepare_daemon(const ConfigSchema& schema, const DaemonCommandLine& line) {
    if (line.list_config) {
        std::fputs(list_config(schema).c_str(), stdout);
        return kExitFine;
    }
    ConfigLoad load = load_config(
        schema, {.file = line.config_file, .environment = process_environment(), .flags = line.flags});
    for (const ConfigProblem& problem : load.problems) std::fprintf(stderr, "%s\n", problem.text().c_str());
    if (!load.config) return kExitUsage;
    if (line.print_config) std::fputs(print_config(schema, *load.config).c_str(), stdout);
    if (line.print_config || line.check_config) return kExitFine;
    return std::move(*load.config);
}

DaemonOptions daemon_options(std::string name, const Config& config) {
    DaemonOptions out;
    out.name = std::move(name);
    out.env.data_directory = config.text("data_dir");
    const std::string& level = config.text("log.level");
    for (Severity severity : {Severity::Debug, Severity::Info, Severity::Warning, Severity::Error})
        if (severity_name(severity) == level) out.env.log.least = severity;
    const std::string& format = config.text("log.format");
    out.env.log.format = format == "json" ? LogFormat::Json : format == "text" ? LogFormat::Text : LogFormat::Auto;
    out.env.log.node = out.name;
    out.env.executor.blocking_threads = static_cast<uint32_t>(config.integer("disk.threads"));
    out.env.executor.background_threads_high = static_cast<uint32_t>(config.integer("background.threads_high"));
    out.env.executor.background_threads_low = static_cast<uint32_t>(config.integer("background.threads_low"));
    out.env.net.peer_silence_max = config.duration("net.peer_silence_max");
    out.stop.drain = config.duration("stop.drain_limit");
    return out;
}

int run_daemon(DaemonOptions options, const Program& program) {
    // A peer that has gone away is an errno of the write, not the end of the process.
    CHECK(::signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    // Before the loop's own are known they must not kill us half started: they wait, and are served by the first turn.
    sigset_t early;
    sigemptyset(&early);
    for (int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&early, signal);
    CHECK(pthread_sigmask(SIG_BLOCK, &early, nullptr) == 0);

    auto opened = RealEnv::open(options.env);
    if (!opened.ok()) return say_why(options.name, opened.error());
    std::unique_ptr<RealEnv> env = std::move(*opened);
    Tracer& log = env->tracer();
    CrashHandler crash(options.name.c_str(), &env->loop(), &env->tracer().recorder());

    int stops_asked = 0;
    Signals signals(env->loop(), {SIGTERM, SIGINT, SIGHUP}, [&](int signal) {
        log.info("process.signal", {{"signal", signal}});
        if (signal != SIGHUP)
            ++stops_asked;
        else if (options.on_reload)
            options.on_reload(env->env());
    });
    log.info("process.started", {{"pid", static_cast<int64_t>(getpid())}, {"data_dir", options.env.data_directory}});

    std::string stuck;
    const auto should_stop = [&stops_asked] {
        return stops_asked == 0 ? RealEnv::Stop::No : stops_asked == 1 ? RealEnv::Stop::Drain : RealEnv::Stop::Now;
    };
    const Result<void> ended = env->run(program, options.stop, should_stop, &stuck);
    if (!stuck.empty()) {
        const bool disk = env->executor().blocking_under_way() > 0;
        log.error("process.stuck", {{"fibers", stuck}});
        env->tracer().flush(Duration::seconds(1));
        const int code = say_why(options.name, disk ? Error(Code::Io, "the disk does not answer; waiting: " + stuck)
                                                    : Error(Code::Cancelled, ended.error().context));
        ::_exit(code);
    }
    log.info("process.stopped", {{"outcome", ended.ok() ? "fine" : ended.error().text()}});
    env->tracer().flush(Duration::seconds(1));
    return ended.ok() ? kExitFine : say_why(options.name, ended.error());
}

}  // namespace orrery::real
