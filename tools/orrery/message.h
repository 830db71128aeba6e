// What the program says when something is wrong: `WHERE: severity[CODE]: what is wrong; what to do`.
//
// Codes are stable; the table stands in the folder's README and every code has a test that provokes it. E04xx are this
// program's; a scenario's own problems carry the codes of sim/scenario.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/result.h"
#include "tools/orrery/exit_code.h"

namespace orrery::cli {

struct Message {
    std::string where;  // "orrery run", or FILE:LINE:COLUMN
    std::string code;   // "E0401"
    std::string what;   // lower case, values quoted, units given
    std::string to_do;  // may be empty when nothing can be done

    std::string text(std::string_view severity = "error") const;
};

/// A command that ended before it had a result.
struct Refusal {
    ExitCode exit;
    std::vector<Message> messages;
};

/// One message, with the exit code that fits the error's code.
Refusal refuse(const Error& error, std::string where, std::string code, std::string to_do);

/// The known word nearest to `word` by edit distance, or empty when none is near enough to be a slip of the pen.
std::string_view nearest(std::string_view word, const std::vector<std::string>& known);

}  // namespace orrery::cli
