#include "sim/check/verdict.h"

#include <cctype>
#include <utility>

namespace orrery::check {

std::string normalise_site(std::string_view site) {
    std::string out;
    for (size_t i = 0; i < site.size();) {
        char c = site[i];
        if (std::isdigit(static_cast<unsigned char>(c))) {
            while (i < site.size() && std::isdigit(static_cast<unsigned char>(site[i]))) ++i;
            out += '#';
            continue;
        }
        size_t closing = c == '\'' || c == '"' ? site.find(c, i + 1) : std::string_view::npos;
        if (closing != std::string_view::npos) {
            out += '*';
            i = closing + 1;
            continue;
        }
        ++i;
        if (!std::isspace(static_cast<unsigned char>(c)))
            out += c;
        else if (!out.empty() && out.back() != ' ')
            out += ' ';
    }
    while (!out.empty() && out.back() == ' ') out.pop_back();
    return out;
}

std::string Violation::signature() const {
    std::string where = normalise_site(site);
    return where.empty() ? name : name + "@" + where;
}

std::string_view outcome_name(Outcome outcome) {
    switch (outcome) {
        case Outcome::Pass:
            return "pass";
        case Outcome::Violated:
            return "violated";
        case Outcome::Inconclusive:
            return "inconclusive";
    }
    return "?";
}

int Verdict::exit_code() const {
    return outcome == Outcome::Pass ? 0 : outcome == Outcome::Violated ? 1 : 3;
}

std::string Verdict::text() const {
    if (outcome == Outcome::Inconclusive) return "inconclusive: " + reason;
    if (outcome == Outcome::Pass) return "pass";
    std::string out;
    for (const Violation& violation : violations) {
        if (!out.empty()) out += '\n';
        out += violation.name + ": " + violation.text;
    }
    return out;
}

Verdict combine(std::vector<Verdict> parts) {
    Verdict all;
    if (parts.empty()) {
        all.reason = "nothing was checked";
        return all;
    }
    all.outcome = Outcome::Pass;
    for (Verdict& part : parts) {
        if (part.outcome == Outcome::Violated) all.outcome = Outcome::Violated;
        if (part.outcome == Outcome::Inconclusive) {
            if (all.outcome == Outcome::Pass) all.outcome = Outcome::Inconclusive;
            if (!all.reason.empty()) all.reason += "; ";
            all.reason += part.reason;
        }
        for (Violation& violation : part.violations) all.violations.push_back(std::move(violation));
    }
    return all;
}

void Violations::add(std::string_view name, std::string_view site, const Stamp& stamp,
                     std::string text) {
    ++total_;
    if (list_.size() >= limit_) return;
    list_.push_back({.name = std::string(name),
                     .text = std::move(text),
                     .at = stamp.at,
                     .sequence = stamp.sequence,
                     .site = std::string(site)});
}

}  // namespace orrery::check
