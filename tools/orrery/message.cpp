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

// Insertions, deletions, changes and swaps of neighbours.
size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::vector<size_t>> at(a.size() + 1, std::vector<size_t>(b.size() + 1));
    for (size_t i = 0; i <= a.size(); ++i) {
        for (size_t j = 0; j <= b.size(); ++j) {
            if (i == 0 || j == 0) {
                at[i][j] = i + j;
                continue;
            }
            at[i][j] = std::min({at[i - 1][j] + 1, at[i][j - 1] + 1, at[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) at[i][j] = std::min(at[i][j], at[i - 2][j - 2] + 1);
        }
    }
    return at[a.size()][b.size()];
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
