#include "tools/orrery/message.h"

#include <algorithm>

namespace orrery::cli {

std::string Message::text(std::string_view severity) const {
    std::string out = where + ": ";
    out.append(severity);
    if (!code.empty()) out += "[" + code + "]";
    out += ": " + what;
    if (!to_do.empty()) out += "; " + to_do;
    return out;
}

Refusal refuse(const Error& error, std::string where, std::string code, std::string to_do) {
    return {exit_code_of(error.code), {{std::move(where), std::move(code), error.context, std::move(to_do)}}};
}

namespace {

size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<size_t> row(b.size() + 1);
    for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
    for (size_t i = 1; i <= a.size(); ++i) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.size(); ++j) {
            const size_t above = row[j];
            row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
            diagonal = above;
        }
    }
    return row[b.size()];
}

}  // namespace

std::string_view nearest(std::string_view word, const std::vector<std::string>& known) {
    constexpr size_t kLongestWord = 64;  // what is longer is no slip of the pen
    if (word.empty() || word.size() > kLongestWord) return {};
    std::string_view best;
    size_t best_distance = std::max<size_t>(word.size() / 3, 1) + 1;
    for (const std::string& candidate : known) {
        const size_t distance = edit_distance(word, candidate);
        if (distance < best_distance) best = candidate, best_distance = distance;
    }
    return best;
}

}  // namespace orrery::cli
