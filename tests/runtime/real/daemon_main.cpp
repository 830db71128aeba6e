// A smallest daemon: echoes lines on a port. What every *_main.cpp looks like.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>

#include "runtime/real/daemon.h"

namespace {

using namespace orrery;

class EchoProcess final : public Process {
 public:
    EchoProcess(Env& env, Address listen, bool stubborn) : env_(env), listen_(std::move(listen)), stubborn_(stubborn) {}

    Result<void> run(Fiber& fiber) override {
        TRY(listener_, env_.net.listen(listen_));
        env_.tracer.info("echo.listening", {{"address", listener_->local().text()}});
        while (!stopping_) {
            auto conn = listener_->accept(fiber);
            if (!conn.ok()) break;
            env_.spawn("echo.session", [held = std::move(*conn)](Fiber& session) {
                char buffer[4096];
                for (;;) {
                    auto got = held->read(session, buffer);
                    if (!got.ok() || *got == 0) return;
                    if (!held->write_all(session, {buffer, *got}).ok()) return;
                }
            });
        }
        while (stubborn_) TRY(env_.sleep(fiber, Duration::millis(10)));
        return {};
    }
    void request_stop() override {
        stopping_ = true;
        if (listener_) listener_->close();
    }

 private:
    Env& env_;
    Address listen_;
    bool stubborn_;  // never drained
    bool stopping_ = false;
    std::unique_ptr<Listener> listener_;
};

}  // namespace

int main(int argc, char** argv) {
    real::ConfigSchema schema;
    real::add_daemon_keys(schema);
    schema.add({.name = "listen", .type = real::ConfigType::Address, .by_default = "127.0.0.1:0", .doc = "Where it echoes."})
        .add({.name = "stubborn", .type = real::ConfigType::Boolean, .by_default = "false", .doc = "Never drains."});

    CLI::App app("echoes");
    real::DaemonCommandLine line;
    app.add_option("--config", line.config_file, "TOML file");
    app.add_flag("--check-config", line.check_config, "say what is wrong, start nothing");
    app.add_flag("--print-config", line.print_config, "print every value with its source");
    app.add_flag("--list-config", line.list_config, "print every key");
    std::map<std::string, std::string> values;
    for (const real::ConfigKey& key : schema.keys()) app.add_option("--" + key.flag(), values[key.name], key.doc);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? real::kExitFine : real::kExitUsage;
    }
    for (const real::ConfigKey& key : schema.keys())
        if (app.count("--" + key.flag()) > 0) line.flags.emplace_back(key.name, values[key.name]);

    auto prepared = real::prepare_daemon(schema, line);
    if (const int* code = std::get_if<int>(&prepared)) return *code;
    const real::Config& config = std::get<real::Config>(prepared);
    const Address listen = Address::parse(config.text("listen")).value();
    return real::run_daemon(real::daemon_options("orrery-echo", config), [&](Env& env) -> std::unique_ptr<Process> {
        return std::make_unique<EchoProcess>(env, listen, config.boolean("stubborn"));
    });
}
