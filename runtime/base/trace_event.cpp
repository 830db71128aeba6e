#include "runtime/base/trace_event.h"

namespace orrery {

std::string_view severity_name(Severity severity) {
    switch (severity) {
        case Severity::Debug: return "debug";
        case Severity::Info: return "info";
        case Severity::Warning: return "warning";
        case Severity::Error: return "error";
    }
    return "?";
}

std::string TraceField::digits() const {
    return kind == Kind::Unsigned ? std::to_string(static_cast<uint64_t>(number)) : std::to_string(number);
}

int64_t TraceEvent::number(std::string_view field, int64_t otherwise) const {
    for (const TraceField& f : fields)
        if (f.name == field && !f.is_text()) return f.number;
    return otherwise;
}

std::string_view TraceEvent::text(std::string_view field) const {
    for (const TraceField& f : fields)
        if (f.name == field && f.is_text()) return f.text;
    return {};
}

std::string TraceEvent::format() const {
    std::string out(name);
    for (const TraceField& f : fields) {
        out += ' ';
        out += f.name;
        out += '=';
        if (f.is_text()) {
            out += '\'';
            out += f.text;
            out += '\'';
        } else {
            out += f.digits();
        }
    }
    return out;
}

}  // namespace orrery
