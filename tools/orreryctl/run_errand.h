// What is around every command of orreryctl: a real Env for as long as it runs, its exit code, and what is said when it fails.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "runtime/env/env.h"

namespace orrery::ctl {

using Work = std::function<Result<void>(Fiber&, Env&)>;

enum class Ends : uint8_t {
    Itself,       // an interrupt breaks it off
    ByInterrupt,  // that is how it is meant to end
};
struct ErrandOptions {
    /// The message code of an error that is a refusal, whose text is then for people by itself.
    const char* refused = nullptr;  // null: said as any other error
    Ends ends = Ends::Itself;
};

/// 0 or the exit code; what went wrong was said. An interrupt (SIGINT, SIGTERM, SIGHUP) leaves nothing behind, and ends this process
/// by the same signal.
int run_errand(const Work& work, ErrandOptions options = {});

/// Of an error that ends a command.
int exit_code_of_command(Code code);

/// False: said why, which names `flag`.
bool parse_addresses(const char* flag, const std::vector<std::string>& texts, std::vector<Address>& out);

}  // namespace orrery::ctl
