// Loads a configuration: every source is read to its end, so that all problems are found in one go.
#include "runtime/real/config.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>
#include <toml++/toml.h>

#include "runtime/base/check.h"
#include "runtime/env/net.h"

namespace orrery::real {

// ---- schema ---------------------------------------------------------------------------------------------------------

std::string ConfigKey::flag() const {
    std::string out = name;
    for (char& c : out)
        if (c == '.' || c == '_') c = '-';
    return out;
}

std::string ConfigKey::environment() const {
    std::string out = "ORRERY_" + name;
    for (char& c : out) {
        if (c == '.') c = '_';
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
    return out;
}

ConfigSchema& ConfigSchema::add_rule(ConfigRule rule) {
    rules_.push_back(std::move(rule));
    return *this;
}

const ConfigKey* ConfigSchema::find(std::string_view name) const {
    for (const ConfigKey& key : keys_)
        if (key.name == name) return &key;
    return nullptr;
}

std::string ConfigProblem::text() const { return where + ": error[" + code + "]: " + what + "; " + to_do; }

// ---- values -----------------------------------------------------------------------------------------------------------

namespace {

constexpr const char* kUnreadable = "E0200";
constexpr const char* kSyntax = "E0201";
constexpr const char* kUnknownKey = "E0202";
constexpr const char* kWrongType = "E0203";
constexpr const char* kOutOfRange = "E0204";
constexpr const char* kMissing = "E0205";

using ConfigValue = std::variant<int64_t, bool, std::string, std::vector<std::string>>;

/// A problem of a value, wherever the value stands.
struct BadValue {
    const char* code;
    std::string what;
    std::string to_do;
};
using ValueOrBad = std::variant<ConfigValue, BadValue>;

const char* type_text(ConfigType type) {
    switch (type) {
        case ConfigType::Integer: return "an integer";
        case ConfigType::Boolean: return "true or false";
        case ConfigType::Duration: return "a duration such as \"250ms\"";
        case ConfigType::Size: return "a size such as \"64MiB\"";
        case ConfigType::Text: return "a text";
        case ConfigType::Address: return "an address HOST:PORT";
        case ConfigType::TextList: return "a list of texts";
    }
    return "?";
}

std::string number_text(ConfigType type, int64_t number) {
    if (type == ConfigType::Duration) return duration_text({number});
    if (type == ConfigType::Size) return size_text(static_cast<uint64_t>(number));
    return std::to_string(number);
}

BadValue wrong_type(const ConfigKey& key, std::string_view text) {
    const std::string shown = key.secret ? "***" : std::string(text);
    return {kWrongType, "'" + shown + "' is not " + type_text(key.type), "give '" + key.name + "' " + type_text(key.type)};
}

ValueOrBad number_in_range(const ConfigKey& key, int64_t number) {
    if (number >= key.low && number <= key.high) return ConfigValue(number);
    const std::string range = key.high == INT64_MAX
                                  ? "at least " + number_text(key.type, key.low)
                                  : number_text(key.type, key.low) + " to " + number_text(key.type, key.high);
    return BadValue{kOutOfRange, "'" + key.name + "' is " + number_text(key.type, number) + ", outside its range",
                    "give " + range};
}

ValueOrBad chosen(const ConfigKey& key, std::string text) {
    if (key.choices.empty() || std::find(key.choices.begin(), key.choices.end(), text) != key.choices.end())
        return ConfigValue(std::move(text));
    std::string list;
    for (const std::string& choice : key.choices) list += (list.empty() ? "" : ", ") + choice;
    return BadValue{kOutOfRange, "'" + key.name + "' is '" + text + "'", "give one of " + list};
}

std::vector<std::string> split_list(std::string_view text) {
    std::vector<std::string> out;
    while (!text.empty()) {
        const size_t comma = std::min(text.find(','), text.size());
        out.emplace_back(text.substr(0, comma));
        text.remove_prefix(std::min(comma + 1, text.size()));
    }
    return out;
}

/// A value as text: of a default, a variable, a flag, or a TOML string.
ValueOrBad value_of_text(const ConfigKey& key, std::string_view text) {
    switch (key.type) {
        case ConfigType::Integer: {
            int64_t number = 0;
            const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
            if (failure != std::errc() || end != text.data() + text.size()) return wrong_type(key, text);
            return number_in_range(key, number);
        }
        case ConfigType::Boolean:
            if (text == "true") return ConfigValue(true);
            if (text == "false") return ConfigValue(false);
            return wrong_type(key, text);
        case ConfigType::Duration: {
            const Result<Duration> duration = parse_duration(text);
            return duration.ok() ? number_in_range(key, duration->ns) : ValueOrBad(wrong_type(key, text));
        }
        case ConfigType::Size: {
            const Result<uint64_t> bytes = parse_size(text);
            return bytes.ok() ? number_in_range(key, static_cast<int64_t>(*bytes)) : ValueOrBad(wrong_type(key, text));
        }
        case ConfigType::Text: return chosen(key, std::string(text));
        case ConfigType::Address:
            if (text.empty() || !Address::parse(text).ok()) return wrong_type(key, text);
            return ConfigValue(std::string(text));
        case ConfigType::TextList: return ConfigValue(split_list(text));
    }
    UNREACHABLE(static_cast<int>(key.type));
}

ValueOrBad value_of_node(const ConfigKey& key, const toml::node& node) {
    std::ostringstream shown;
    if (const auto* string = node.as_string())
        shown << string->get();  // without TOML's quotes: the message has its own
    else
        node.visit([&shown](const auto& of_type) { shown << of_type; });
    switch (key.type) {
        case ConfigType::Boolean:
            if (const auto* boolean = node.as_boolean()) return ConfigValue(boolean->get());
            return wrong_type(key, shown.str());
        case ConfigType::Integer:
            if (const auto* number = node.as_integer()) return number_in_range(key, number->get());
            return wrong_type(key, shown.str());
        case ConfigType::Size:
            if (const auto* number = node.as_integer()) return number_in_range(key, number->get());
            break;
        case ConfigType::TextList: {
            const toml::array* array = node.as_array();
            if (array == nullptr) return wrong_type(key, shown.str());
            std::vector<std::string> out;
            for (const toml::node& one : *array) {
                if (!one.is_string()) return wrong_type(key, shown.str());
                out.push_back(one.as_string()->get());
            }
            return ConfigValue(std::move(out));
        }
        default: break;
    }
    if (const auto* text = node.as_string()) return value_of_text(key, text->get());
    return wrong_type(key, shown.str());
}

}  // namespace

ConfigSchema& ConfigSchema::add(ConfigKey key) {
    for (const ConfigKey& other : keys_) {
        CHECK(other.flag() != key.flag() && other.environment() != key.environment(), key.name, other.name);
        CHECK(other.name.rfind(key.name + ".", 0) != 0 && key.name.rfind(other.name + ".", 0) != 0, key.name, other.name);
    }
    CHECK(!key.doc.empty() && std::count(key.name.begin(), key.name.end(), '.') <= 1, key.name);
    if (!key.required) CHECK(std::holds_alternative<ConfigValue>(value_of_text(key, key.by_default)), key.name);
    keys_.push_back(std::move(key));
    return *this;
}

// ---- loading ----------------------------------------------------------------------------------------------------------

class ConfigLoader {
 public:
    explicit ConfigLoader(const ConfigSchema& schema) : schema_(schema) {
        for (const ConfigKey& key : schema_.keys()) {
            known_.push_back(key.name);
            if (!key.required) take(key, value_of_text(key, key.by_default), ConfigSource::Default, "default");
        }
    }

    void read_file(const std::string& path) {
        std::ifstream in(path, std::ios::binary);
        std::ostringstream text;
        if (in) text << in.rdbuf();
        if (!in || in.bad()) {
            problem(path, {kUnreadable, "the configuration file cannot be read", "check the path and its permissions"});
            return;
        }
        try {
            const toml::table table = toml::parse(text.str(), path);
            read_table(path, table, "");
        } catch (const toml::parse_error& error) {
            problem(place(path, error.source()),
                    {kSyntax, "not valid TOML: " + std::string(error.description()), "correct the line"});
        }
    }

    void read_environment(const std::vector<std::pair<std::string, std::string>>& environment) {
        std::vector<std::string> names;
        for (const ConfigKey& key : schema_.keys()) names.push_back(key.environment());
        for (const auto& [name, text] : environment) {
            if (name.rfind("ORRERY_", 0) != 0) continue;
            const auto found = std::find(names.begin(), names.end(), name);
            if (found == names.end()) {
                unknown(name, name, names);
                continue;
            }
            const ConfigKey& key = schema_.keys()[static_cast<size_t>(found - names.begin())];
            take(key, value_of_text(key, text), ConfigSource::Environment, name);
        }
    }

    void read_flags(const std::vector<std::pair<std::string, std::string>>& flags) {
        for (const auto& [name, text] : flags) {
            const ConfigKey* key = schema_.find(name);
            if (key == nullptr)
                unknown("--" + name, name, known_);
            else
                take(*key, value_of_text(*key, text), ConfigSource::Flag, "--" + key->flag());
        }
    }

    ConfigLoad finish() {
        // A key that was given, but wrongly, has been reported with its place already.
        for (const ConfigKey& key : schema_.keys())
            if (config_.items_.find(key.name) == config_.items_.end() &&
                std::find(refused_.begin(), refused_.end(), key.name) == refused_.end())
                problem("configuration", {kMissing, "'" + key.name + "' is not set and has no default",
                                          "set it in the file, as " + key.environment() + " or as --" + key.flag()});
        if (problems_.empty())
            for (const ConfigRule& rule : schema_.rules()) rule(config_, problems_);
        ConfigLoad out;
        if (problems_.empty()) out.config = std::move(config_);
        out.problems = std::move(problems_);
        return out;
    }

 private:
    static std::string place(const std::string& path, const toml::source_region& region) {
        return path + ":" + std::to_string(region.begin.line) + ":" + std::to_string(region.begin.column);
    }

    /// In order of position: the parser sorts a table by name.
    void read_table(const std::string& path, const toml::table& table, const std::string& prefix) {
        struct Found {
            toml::source_region region;
            std::string name;
            const toml::node* node;
        };
        std::vector<Found> found;
        for (const auto& [name, node] : table)
            found.push_back({name.source(), prefix + std::string(name.str()), &node});
        std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) {
            return std::pair(a.region.begin.line, a.region.begin.column) <
                   std::pair(b.region.begin.line, b.region.begin.column);
        });
        for (const Found& entry : found) {
            const ConfigKey* key = schema_.find(entry.name);
            if (key != nullptr) {
                const std::string where = place(path, entry.region);
                take(*key, value_of_node(*key, *entry.node), ConfigSource::File, where);
            } else if (const toml::table* inner = entry.node->as_table(); inner != nullptr && is_table(entry.name)) {
                read_table(path, *inner, entry.name + ".");
            } else {
                unknown(place(path, entry.region), entry.name, known_);
            }
        }
    }

    bool is_table(const std::string& name) const {
        return std::any_of(known_.begin(), known_.end(),
                           [&name](const std::string& key) { return key.rfind(name + ".", 0) == 0; });
    }

    void take(const ConfigKey& key, ValueOrBad value, ConfigSource source, const std::string& where) {
        if (const auto* bad = std::get_if<BadValue>(&value)) {
            refused_.push_back(key.name);
            problem(where, *bad);
            return;
        }
        config_.items_[key.name] = {key.type, std::get<ConfigValue>(std::move(value)), source, where};
    }

    void unknown(const std::string& where, const std::string& name, const std::vector<std::string>& known) {
        const std::optional<std::string> near = did_you_mean(name, known);
        problem(where, {kUnknownKey, "there is no key '" + name + "'",
                        near ? "did you mean '" + *near + "'?" : "see --list-config for those there are"});
    }

    void problem(const std::string& where, const BadValue& bad) {
        problems_.push_back({.where = where, .code = bad.code, .what = bad.what, .to_do = bad.to_do});
    }

    const ConfigSchema& schema_;
    std::vector<std::string> known_;
    Config config_;
    std::vector<std::string> refused_;
    std::vector<ConfigProblem> problems_;
};

ConfigLoad load_config(const ConfigSchema& schema, const ConfigInputs& inputs) {
    ConfigLoader loader(schema);
    if (inputs.file) loader.read_file(*inputs.file);
    loader.read_environment(inputs.environment);
    loader.read_flags(inputs.flags);
    return loader.finish();
}

std::vector<std::pair<std::string, std::string>> process_environment() {
    std::vector<std::pair<std::string, std::string>> out;
    for (char** at = environ; at != nullptr && *at != nullptr; ++at) {
        const std::string_view entry = *at;
        const size_t equals = entry.find('=');
        if (equals != std::string_view::npos) out.emplace_back(entry.substr(0, equals), entry.substr(equals + 1));
    }
    std::sort(out.begin(), out.end());
    return out;
}

// ---- access -------------------------------------------------------------------------------------------------------------

const Config::Item& Config::item(std::string_view key, ConfigType type) const {
    const auto found = items_.find(key);
    CHECK(found != items_.end(), key, "is not in the schema");
    const bool both_texts = type == ConfigType::Text && found->second.type == ConfigType::Address;
    CHECK(found->second.type == type || both_texts, key, "asked for as another type");
    return found->second;
}

int64_t Config::integer(std::string_view key) const { return std::get<int64_t>(item(key, ConfigType::Integer).value); }
bool Config::boolean(std::string_view key) const { return std::get<bool>(item(key, ConfigType::Boolean).value); }
Duration Config::duration(std::string_view key) const {
    return {std::get<int64_t>(item(key, ConfigType::Duration).value)};
}
uint64_t Config::size_bytes(std::string_view key) const {
    return static_cast<uint64_t>(std::get<int64_t>(item(key, ConfigType::Size).value));
}
const std::string& Config::text(std::string_view key) const {
    return std::get<std::string>(item(key, ConfigType::Text).value);
}
const std::vector<std::string>& Config::list(std::string_view key) const {
    return std::get<std::vector<std::string>>(item(key, ConfigType::TextList).value);
}

ConfigSource Config::source(std::string_view key) const {
    const auto found = items_.find(key);
    CHECK(found != items_.end(), key);
    return found->second.source;
}
const std::string& Config::where(std::string_view key) const {
    const auto found = items_.find(key);
    CHECK(found != items_.end(), key);
    return found->second.where;
}

}  // namespace orrery::real
