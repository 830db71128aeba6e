// The schema and the configuration, shown: --list-config and --print-config.
#include <algorithm>
#include <sstream>

#include "runtime/base/check.h"
#include "runtime/real/config.h"
#include "runtime/real/log_tracer.h"

namespace orrery::real {

namespace {

const char* type_name(ConfigType type) {
    switch (type) {
        case ConfigType::Integer: return "integer";
        case ConfigType::Boolean: return "boolean";
        case ConfigType::Duration: return "duration";
        case ConfigType::Size: return "size";
        case ConfigType::Text: return "text";
        case ConfigType::Address: return "address";
        case ConfigType::TextList: return "list of texts";
    }
    return "?";
}

std::string quoted(std::string_view text) {
    std::string out;
    append_json_string(out, text);  // a TOML basic string has the same escapes
    return out;
}

/// Table of a key: "" at the top.
std::string table_of(const std::string& name) {
    const size_t dot = name.find('.');
    return dot == std::string::npos ? "" : name.substr(0, dot);
}

/// Keys of one table stand together, the top level first: TOML wants it so.
std::vector<const ConfigKey*> by_table(const ConfigSchema& schema) {
    std::vector<const ConfigKey*> out;
    for (const ConfigKey& key : schema.keys()) out.push_back(&key);
    std::stable_sort(out.begin(), out.end(),
                     [](const ConfigKey* a, const ConfigKey* b) { return table_of(a->name) < table_of(b->name); });
    return out;
}

std::string limit_text(ConfigType type, int64_t number) {
    if (type == ConfigType::Duration) return duration_text({number});
    if (type == ConfigType::Size) return size_text(static_cast<uint64_t>(number));
    return std::to_string(number);
}

std::string range_text(const ConfigKey& key) {
    if (!key.choices.empty()) {
        std::string out;
        for (const std::string& choice : key.choices) out += (out.empty() ? "one of " : ", ") + choice;
        return out;
    }
    if (key.low == INT64_MIN && key.high == INT64_MAX) return "";
    if (key.high == INT64_MAX) return "at least " + limit_text(key.type, key.low);
    return limit_text(key.type, key.low) + " to " + limit_text(key.type, key.high);
}

}  // namespace

std::string print_config(const ConfigSchema& schema, const Config& config) {
    std::ostringstream out;
    std::string table;
    for (const ConfigKey* key : by_table(schema)) {
        if (const std::string its = table_of(key->name); its != table) {
            table = its;
            out << "\n[" << table << "]\n";
        }
        const auto& item = config.items_.find(key->name)->second;
        out << (table.empty() ? key->name : key->name.substr(table.size() + 1)) << " = ";
        if (key->secret) {
            out << "\"***\"";
        } else if (const auto* number = std::get_if<int64_t>(&item.value)) {
            const bool bare = key->type == ConfigType::Integer;
            out << (bare ? std::to_string(*number) : quoted(limit_text(key->type, *number)));
        } else if (const auto* boolean = std::get_if<bool>(&item.value)) {
            out << (*boolean ? "true" : "false");
        } else if (const auto* text = std::get_if<std::string>(&item.value)) {
            out << quoted(*text);
        } else {
            out << '[';
            const char* separator = "";
            for (const std::string& one : std::get<std::vector<std::string>>(item.value)) {
                out << separator << quoted(one);
                separator = ", ";
            }
            out << ']';
        }
        out << "  # " << item.where << '\n';
    }
    return out.str();
}

std::string list_config(const ConfigSchema& schema) {
    std::ostringstream out;
    for (const ConfigKey* key : by_table(schema)) {
        out << key->name << "  " << type_name(key->type);
        if (const std::string range = range_text(*key); !range.empty()) out << ", " << range;
        if (key->required)
            out << ", required";
        else
            out << ", default " << (key->by_default.empty() ? "empty" : key->by_default);
        out << (key->change == ConfigChange::Online ? ", online" : ", restart") << '\n';
        out << "    " << key->doc << '\n';
        out << "    --" << key->flag() << "  " << key->environment() << '\n';
    }
    return out.str();
}

}  // namespace orrery::real
