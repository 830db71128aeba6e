#include "sim/fault/fault_plan.h"

#include <charconv>

#include "sim/fault/fault_fields.h"
#include "sim/fault/toml_writer.h"

namespace orrery::sim {

std::string_view schedule_policy_name(SchedulePolicy policy) {
    return policy == SchedulePolicy::Fifo ? "fifo" : policy == SchedulePolicy::Pct ? "pct" : "random";
}

std::string toml_quote(std::string_view text) {
    static constexpr char kHex[] = "0123456789abcdef";
    std::string out = "\"";
    for (char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (c == '\n') {
            out += "\\n";
        } else if (byte < 0x20 || byte == 0x7f) {
            out += "\\u00";
            out += kHex[byte >> 4];
            out += kHex[byte & 15];
        } else {
            out += c;
        }
    }
    return out + '"';
}

std::string toml_number(double value) {
    char buffer[40];
    auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value);
    std::string out(buffer, end);
    if (out.find_first_of(".en") == std::string::npos) out += ".0";
    return out;
}

namespace {

/// Fields that differ from a default fault's; a field without a key in the file has its default.
template <typename F>
void write_changed_fields(const F& fault, TomlWriter& writer) {
    const F usual{};
    std::vector<std::string> usual_lines, lines;
    auto render = [](std::vector<std::string>& into) {
        return [&into](std::string_view key, const auto& value) {
            std::string text;
            TomlWriter field(text);
            field(key, value);
            into.push_back(std::move(text));
        };
    };
    visit_fields(usual, render(usual_lines));
    visit_fields(fault, render(lines));
    for (size_t i = 0; i < lines.size(); ++i)
        if (lines[i] != usual_lines[i]) writer.raw(lines[i]);
}

}  // namespace

std::string events_to_toml(const std::vector<PlannedFault>& events) {
    std::string out;
    for (const PlannedFault& event : events) {
        out += "\n[[event]]\n";
        TomlWriter writer(out);
        if (!event.id.empty()) writer("id", event.id);
        if (const auto* at = std::get_if<TriggerAt>(&event.trigger)) {
            writer("at", at->at);
        } else if (const auto* when = std::get_if<TriggerWhen>(&event.trigger)) {
            writer("when", when->point);
            if (!when->node.empty()) writer("node", when->node);
            if (when->nth != 1) writer("nth", when->nth);
            if (!when->where.empty()) writer("where", when->where);
        } else {
            const auto& after = std::get<TriggerAfter>(event.trigger);
            writer("after", after.event);
            if (after.delay != Duration{}) writer("delay", after.delay);
        }
        writer("do", std::string(fault_name(event.fault)));
        std::visit([&](const auto& fault) { write_changed_fields(fault, writer); }, event.fault);
    }
    return out;
}

}  // namespace orrery::sim
