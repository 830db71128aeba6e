// TomlWriter: `key = value` lines for every kind of field that faults and scenarios have.
#pragma once

#include <string>
#include <type_traits>
#include <vector>

#include "sim/fault/fault_fields.h"
#include "sim/fault/fault_plan.h"

namespace orrery::sim {

class TomlWriter {
 public:
    explicit TomlWriter(std::string& out) : out_(out) {}
    void raw(std::string_view line) { out_ += line; }
    void line(std::string_view key, std::string_view value) {
        out_ += key;
        out_ += " = ";
        out_ += value;
        out_ += '\n';
    }
    void operator()(std::string_view key, const std::string& value) {
        line(key, toml_quote(value));
    }
    void operator()(std::string_view key, Duration value) {
        line(key, toml_quote(duration_text(value)));
    }
    void operator()(std::string_view key, uint64_t value) { line(key, std::to_string(value)); }
    void operator()(std::string_view key, int64_t value) { line(key, std::to_string(value)); }
    void operator()(std::string_view key, double value) { line(key, toml_number(value)); }
    void operator()(std::string_view key, bool value) { line(key, value ? "true" : "false"); }
    void operator()(std::string_view key, const std::vector<std::string>& values) {
        std::string list = "[";
        for (const std::string& value : values)
            list += (list.size() > 1 ? ", " : "") + toml_quote(value);
        line(key, list + "]");
    }
    template <typename E>
    requires std::is_enum_v<E>
    void operator()(std::string_view key, E value) {
        line(key, toml_quote(kEnumWords<E>[static_cast<size_t>(value)]));
    }

 private:
    std::string& out_;
};

}  // namespace orrery::sim
