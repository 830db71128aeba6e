// Configuration of a daemon by schema: default < file (TOML) < environment < flag. All errors are found at once, each
// with its place, and nothing is started when there is one.
//
// A key `raft.election_timeout` is `election_timeout` in the table [raft] of the file, ORRERY_RAFT_ELECTION_TIMEOUT in
// the environment and `--raft-election-timeout` as a flag. Flags are parsed by the main (CLI11 stays there); it hands
// them over as pairs of key and text.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/base/time.h"

namespace orrery::real {

enum class ConfigType : uint8_t {
    Integer,
    Boolean,   // true, false
    Duration,  // "250ms", "10s", "5min"; kept in ns
    Size,      // bytes: a number, or "64KiB", "1GiB", "10MB"
    Text,
    Address,   // "HOST:PORT"
    TextList,  // an array of texts in the file; separated by commas elsewhere
};

enum class ConfigChange : uint8_t { Restart, Online };  // when a new value counts

struct ConfigKey {
    std::string name;  // lower case, `table.key` or `key`
    ConfigType type = ConfigType::Text;
    /// In the text form of the type. Empty and `required`: there is no default.
    std::string by_default;
    std::string doc;   // what it does and what breaks when it is wrong; one sentence
    ConfigChange change = ConfigChange::Restart;
    bool required = false;
    /// Integer, Duration (in ns) and Size: both included.
    int64_t low = INT64_MIN;
    int64_t high = INT64_MAX;
    std::vector<std::string> choices{};  // Text: the only values allowed; empty for any
    bool secret = false;                 // printed as "***"

    std::string flag() const;         // "raft-election-timeout"
    std::string environment() const;  // "ORRERY_RAFT_ELECTION_TIMEOUT"
};

enum class ConfigSource : uint8_t { Default, File, Environment, Flag };

struct ConfigProblem {
    std::string where;  // FILE:LINE:COL, or the variable's or flag's name
    std::string code;   // stable: "E0210"
    std::string what;
    std::string to_do;
    /// `WHERE: error[CODE]: what; what to do`.
    std::string text() const;
};

class Config;
/// A rule over several keys; adds what it finds.
using ConfigRule = std::function<void(const Config&, std::vector<ConfigProblem>&)>;

class ConfigSchema {
 public:
    /// CHECKs what only a programmer can get wrong: a key twice, a default that is out of its own range.
    ConfigSchema& add(ConfigKey key);
    ConfigSchema& add_rule(ConfigRule rule);
    const std::vector<ConfigKey>& keys() const { return keys_; }
    const std::vector<ConfigRule>& rules() const { return rules_; }
    const ConfigKey* find(std::string_view name) const;

 private:
    std::vector<ConfigKey> keys_;
    std::vector<ConfigRule> rules_;
};

class Config {
 public:
    // By key. Requires: the schema has it, with that type.
    int64_t integer(std::string_view key) const;
    bool boolean(std::string_view key) const;
    Duration duration(std::string_view key) const;
    uint64_t size_bytes(std::string_view key) const;
    const std::string& text(std::string_view key) const;  // Text and Address
    const std::vector<std::string>& list(std::string_view key) const;

    ConfigSource source(std::string_view key) const;
    /// Where the value stands: "default", "kv.toml:3:1", "ORRERY_DATA_DIR", "--data-dir". For messages.
    const std::string& where(std::string_view key) const;

 private:
    friend class ConfigLoader;
    friend std::string print_config(const ConfigSchema& schema, const Config& config);
    using Value = std::variant<int64_t, bool, std::string, std::vector<std::string>>;
    struct Item {
        ConfigType type;
        Value value;
        ConfigSource source = ConfigSource::Default;
        std::string where;
    };
    const Item& item(std::string_view key, ConfigType type) const;
    std::map<std::string, Item, std::less<>> items_;
};

struct ConfigInputs {
    std::optional<std::string> file;                              // path of the TOML file
    std::vector<std::pair<std::string, std::string>> environment; // all of it; only ORRERY_* is looked at
    std::vector<std::pair<std::string, std::string>> flags;       // key name, value as typed
};

struct ConfigLoad {
    std::optional<Config> config;         // nothing when there is a problem
    std::vector<ConfigProblem> problems;  // in order of file position, then environment, then flags, then rules
};

/// Blocks (reads the file).
ConfigLoad load_config(const ConfigSchema& schema, const ConfigInputs& inputs);
/// The environment of this process, sorted.
std::vector<std::pair<std::string, std::string>> process_environment();

/// `--print-config`: a TOML file that gives the same configuration, each line with the source of its value.
std::string print_config(const ConfigSchema& schema, const Config& config);
/// `--list-config`: every key with type, range, default, meaning, and whether a change needs a restart.
std::string list_config(const ConfigSchema& schema);

/// "250ms" -> ns. Units ns, us, ms, s, min, h. Errors: Invalid.
Result<Duration> parse_duration(std::string_view text);
/// "64KiB" -> bytes. Units B, KB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB. Errors: Invalid.
Result<uint64_t> parse_size(std::string_view text);
std::string duration_text(Duration duration);
std::string size_text(uint64_t bytes);
/// The known name nearest to `name`, when it is near enough to be what was meant.
std::optional<std::string> did_you_mean(std::string_view name, const std::vector<std::string>& known);

}  // namespace orrery::real
