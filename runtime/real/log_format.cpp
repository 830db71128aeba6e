// How an event looks as a line: for people, and as JSON.
#include <time.h>

#include <cstdio>

#include "runtime/real/log_tracer.h"

namespace orrery::real {

namespace {

/// Length of the well-formed UTF-8 sequence at the front of `text`, or 0.
size_t utf8_length(std::string_view text) {
    const auto byte = [&text](size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char first = byte(0);
    if (first < 0x80) return 1;
    const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
    for (size_t i = 1; i < length; ++i)
        if ((byte(i) & 0xc0) != 0x80) return 0;
    // Overlong forms, surrogates, and what lies beyond U+10FFFF.
    if (first == 0xe0 && byte(1) < 0xa0) return 0;
    if (first == 0xed && byte(1) > 0x9f) return 0;
    if (first == 0xf0 && byte(1) < 0x90) return 0;
    if (first == 0xf4 && byte(1) > 0x8f) return 0;
    return length;
}

/// "2026-11-21T22:04:24.123456Z".
std::string wall_text(WallTime wall) {
    int64_t seconds = wall.ns / 1'000'000'000;
    int64_t rest = wall.ns % 1'000'000'000;
    if (rest < 0) {
        rest += 1'000'000'000;
        --seconds;
    }
    const time_t time = static_cast<time_t>(seconds);
    tm parts{};
    gmtime_r(&time, &parts);
    char out[80];
    std::snprintf(out, sizeof(out), "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", parts.tm_year + 1900, parts.tm_mon + 1,
                  parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, static_cast<int>(rest / 1000));
    return out;
}

/// Names that the line itself has; a field of that name would make a JSON object with a name twice.
bool is_taken(std::string_view name) {
    return name == "time" || name == "severity" || name == "node" || name == "event" || name == "at_ns";
}

/// Control characters of a peer's text must not move a terminal's cursor or forge a second line.
void append_text_value(std::string& out, std::string_view text) {
    bool plain = !text.empty();
    for (const char c : text) {
        const unsigned char byte = static_cast<unsigned char>(c);
        if (byte <= 0x20 || byte >= 0x7f || c == '"' || c == '\\' || c == '=') plain = false;
    }
    if (plain) {
        out += text;
        return;
    }
    append_json_string(out, text);
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
    static constexpr char kHex[] = "0123456789abcdef";
    out += '"';
    while (!text.empty()) {
        const unsigned char c = static_cast<unsigned char>(text.front());
        size_t length = 1;
        if (c == '"' || c == '\\') {
            out += '\\';
            out += static_cast<char>(c);
        } else if (c == '\n') {
            out += "\\n";
        } else if (c == '\r') {
            out += "\\r";
        } else if (c == '\t') {
            out += "\\t";
        } else if (c < 0x20 || c == 0x7f) {
            out += "\\u00";
            out += kHex[c >> 4];
            out += kHex[c & 15];
        } else if (length = utf8_length(text); length == 0) {
            out += "\xef\xbf\xbd";
            length = 1;
        } else {
            out += text.substr(0, length);
        }
        text.remove_prefix(length);
    }
    out += '"';
}

std::string format_log_json(std::string_view node, WallTime wall, const TraceEvent& event) {
    std::string out = "{\"time\":\"" + wall_text(wall) + "\",\"severity\":\"";
    out += severity_name(event.severity);
    out += '"';
    if (!node.empty()) {
        out += ",\"node\":";
        append_json_string(out, node);
    }
    out += ",\"event\":";
    append_json_string(out, event.name);
    out += ",\"at_ns\":" + std::to_string(event.at.ns);
    for (const TraceField& field : event.fields) {
        out += ',';
        append_json_string(out, is_taken(field.name) ? "field." + std::string(field.name) : std::string(field.name));
        out += ':';
        if (field.is_text())
            append_json_string(out, field.text);
        else
            out += field.digits();
    }
    out += '}';
    return out;
}

std::string format_log_text(std::string_view node, WallTime wall, const TraceEvent& event) {
    std::string out = wall_text(wall) + ' ';
    const std::string_view severity = severity_name(event.severity);
    out += severity;
    out.append(severity.size() < 8 ? 8 - severity.size() : 1, ' ');
    if (!node.empty()) {
        append_text_value(out, node);
        out += ' ';
    }
    out += event.name;
    for (const TraceField& field : event.fields) {
        out += ' ';
        out += field.name;
        out += '=';
        if (field.is_text())
            append_text_value(out, field.text);
        else
            out += field.digits();
    }
    return out;
}

}  // namespace orrery::real
