#include <fstream>

#include "tests/runtime/real/harness.h"

namespace orrery::real::test {
namespace {

ConfigSchema sample() {
    ConfigSchema schema;
    schema.add({.name = "data_dir", .doc = "Where files are.", .required = true})
        .add({.name = "peers", .type = ConfigType::TextList, .by_default = "", .doc = "The others."})
        .add({.name = "raft.election_timeout", .type = ConfigType::Duration, .by_default = "1s", .doc = "Patience.",
              .change = ConfigChange::Online, .low = Duration::millis(10).ns, .high = Duration::seconds(60).ns})
        .add({.name = "raft.batch", .type = ConfigType::Size, .by_default = "64KiB", .doc = "Bytes of a batch.", .low = 1,
              .high = 1 << 30})
        .add({.name = "log.level", .by_default = "info", .doc = "Least severity.", .choices = {"debug", "info"}})
        .add({.name = "log.colour", .type = ConfigType::Boolean, .by_default = "false", .doc = "Colours."})
        .add({.name = "peer.listen", .type = ConfigType::Address, .by_default = "127.0.0.1:7101", .doc = "Peers."})
        .add({.name = "threads", .type = ConfigType::Integer, .by_default = "2", .doc = "How many.", .low = 1, .high = 8})
        .add({.name = "token", .by_default = "", .doc = "A secret.", .secret = true});
    return schema;
}

struct Loaded {
    ConfigLoad load;
    std::string problems;
};

Loaded load(const std::string& text, std::vector<std::pair<std::string, std::string>> environment = {},
            std::vector<std::pair<std::string, std::string>> flags = {}, const ConfigSchema& schema = sample()) {
    TemporaryDirectory directory;
    const std::string path = directory.path() + "/kv.toml";
    std::ofstream(path) << text;
    Loaded out{load_config(schema, {.file = path, .environment = std::move(environment), .flags = std::move(flags)}), ""};
    for (const ConfigProblem& problem : out.load.problems) {
        std::string line = problem.text();
        if (line.rfind(path, 0) == 0) line = "kv.toml" + line.substr(path.size());
        out.problems += line + "\n";
    }
    return out;
}

TEST_CASE("config: default < file < environment < flag, and each value knows where it stands") {
    const Loaded got = load("data_dir = \"/a\"\nthreads = 3\n[raft]\nelection_timeout = \"250ms\"\nbatch = 4096\n",
                            {{"ORRERY_THREADS", "4"}, {"ORRERY_RAFT_BATCH", "2KiB"}, {"HOME", "/root"}},
                            {{"threads", "5"}, {"peers", "a:1,b:2"}});
    CHECK(got.problems == "");
    if (!got.load.config) return;
    const Config& config = *got.load.config;
    CHECK(config.text("data_dir") == "/a");
    CHECK(config.integer("threads") == 5);
    CHECK(config.where("threads") == "--threads");
    CHECK(config.size_bytes("raft.batch") == 2048);
    CHECK(config.source("raft.batch") == ConfigSource::Environment);
    CHECK(config.duration("raft.election_timeout") == Duration::millis(250));
    CHECK(config.where("raft.election_timeout").ends_with("kv.toml:4:1"));
    CHECK(config.list("peers") == std::vector<std::string>{"a:1", "b:2"});
    CHECK(config.text("peer.listen") == "127.0.0.1:7101");
    CHECK(config.where("peer.listen") == "default");
}

TEST_CASE("config: every problem is told at once, with its place, a code and what to do") {
    const Loaded got = load("thread = 3\n"
                            "[raft]\n"
                            "election_timeout = \"5ms\"\n"
                            "batch = \"many\"\n"
                            "[log]\n"
                            "level = \"loud\"\n"
                            "colour = 1\n"
                            "[elsewhere]\n"
                            "x = 1\n",
                            {{"ORRERY_PEER_LISTEN", "nowhere"}, {"ORRERY_THREDS", "1"}}, {{"threads", "9"}});
    CHECK(!got.load.config.has_value());
    CHECK(got.problems ==
          "kv.toml:1:1: error[E0202]: there is no key 'thread'; did you mean 'threads'?\n"
          "kv.toml:3:1: error[E0204]: 'raft.election_timeout' is 5ms, outside its range; give 10ms to 1min\n"
          "kv.toml:4:1: error[E0203]: 'many' is not a size such as \"64MiB\"; give 'raft.batch' a size such as \"64MiB\"\n"
          "kv.toml:6:1: error[E0204]: 'log.level' is 'loud'; give one of debug, info\n"
          "kv.toml:7:1: error[E0203]: '1' is not true or false; give 'log.colour' true or false\n"
          "kv.toml:8:2: error[E0202]: there is no key 'elsewhere'; see --list-config for those there are\n"
          "ORRERY_PEER_LISTEN: error[E0203]: 'nowhere' is not an address HOST:PORT; give 'peer.listen' an address HOST:PORT\n"
          "ORRERY_THREDS: error[E0202]: there is no key 'ORRERY_THREDS'; did you mean 'ORRERY_THREADS'?\n"
          "--threads: error[E0204]: 'threads' is 9, outside its range; give 1 to 8\n"
          "configuration: error[E0205]: 'data_dir' is not set and has no default; set it in the file, as ORRERY_DATA_DIR "
          "or as --data-dir\n");
}

TEST_CASE("config: a file that is no TOML, or not there, is one problem with a place") {
    const Loaded broken = load("data_dir = \"/a\"\nthreads = = 3\n");
    CHECK(broken.problems.rfind("kv.toml:2:11: error[E0201]: not valid TOML: ", 0) == 0);
    const ConfigLoad missing = load_config(sample(), {.file = "/nonexistent/kv.toml", .flags = {{"data_dir", "/a"}}});
    CHECK(missing.problems.size() == 1);
    CHECK(missing.problems[0].text() ==
          "/nonexistent/kv.toml: error[E0200]: the configuration file cannot be read; check the path and its permissions");
}

TEST_CASE("config: rules over several keys run only on values that are right by themselves") {
    ConfigSchema schema = sample();
    int asked = 0;
    schema.add_rule([&asked](const Config& config, std::vector<ConfigProblem>& problems) {
        ++asked;
        if (config.integer("threads") == 7)
            problems.push_back({config.where("threads"), "E0299", "seven is unlucky", "take another"});
    });
    CHECK(load("data_dir = \"/a\"\nthreads = 7\n", {}, {}, schema).problems ==
          "kv.toml:2:1: error[E0299]: seven is unlucky; take another\n");
    CHECK(asked == 1);
    CHECK(!load("threads = 7\n", {}, {}, schema).load.config.has_value());
    CHECK(asked == 1);
}

TEST_CASE("config: what print_config prints gives the same configuration again") {
    const std::string text = "data_dir = \"/with \\\"quotes\\\"\"\npeers = [\"1=a:1\", \"2=b:2\"]\ntoken = \"s3cret\"\n"
                             "[raft]\nelection_timeout = \"1500ms\"\n";
    const Loaded first = load(text);
    CHECK(first.problems == "");
    if (!first.load.config) return;
    const std::string printed = print_config(sample(), *first.load.config);
    CHECK(printed.find("s3cret") == std::string::npos);
    CHECK(printed.find("threads = 2  # default\n") != std::string::npos);
    const Loaded second = load(printed);
    CHECK(second.problems == "");
    if (!second.load.config) return;
    CHECK(second.load.config->text("data_dir") == "/with \"quotes\"");
    CHECK(second.load.config->list("peers") == std::vector<std::string>{"1=a:1", "2=b:2"});
    CHECK(second.load.config->duration("raft.election_timeout") == Duration::millis(1500));
    const std::string listed = list_config(sample());
    CHECK(listed.find("raft.election_timeout  duration, 10ms to 1min, default 1s, online\n") != std::string::npos);
    CHECK(listed.find("--raft-election-timeout  ORRERY_RAFT_ELECTION_TIMEOUT") != std::string::npos);
}

TEST_CASE("config: durations and sizes") {
    CHECK(parse_duration("250ms").value() == Duration::millis(250));
    CHECK(parse_duration("2min").value() == Duration::seconds(120));
    CHECK(parse_duration("0").value() == Duration{});
    for (const char* bad : {"", "5", "ms", "-1s", "1.5s", "1 s", "9999999999h", "1S"}) CHECK(!parse_duration(bad).ok());
    CHECK(parse_size("64KiB").value() == 65536);
    CHECK(parse_size("10MB").value() == 10'000'000);
    CHECK(parse_size("17").value() == 17);
    for (const char* bad : {"", "KiB", "-1", "1kib", "99999999TiB"}) CHECK(!parse_size(bad).ok());
    CHECK(duration_text(Duration::millis(1500)) == "1500ms");
    CHECK(size_text(3 << 20) == "3MiB");
    CHECK(did_you_mean("lisen", {"listen", "level"}) == "listen");
    CHECK(!did_you_mean("zzzzzz", {"listen", "level"}).has_value());
}

}  // namespace
}  // namespace orrery::real::test
