#include "tools/orrery/exit_code.h"

#include <array>

namespace orrery::cli {

ExitCode exit_code_of(Code code) {
    switch (code) {
        case Code::Corrupt:
            return ExitCode::Corrupt;
        case Code::Io:
        case Code::NoSpace:
            return ExitCode::Io;
        case Code::Unreachable:
        case Code::Timeout:
            return ExitCode::Unreachable;
        case Code::Overloaded:
        case Code::NotReady:
        case Code::NotLeader:
        case Code::Cancelled:
            return ExitCode::TryAgain;
        case Code::Invalid:
        case Code::NotFound:
        case Code::Exists:
        case Code::Unsupported:
        case Code::Stale:
            return ExitCode::Usage;
        case Code::Unknown:
            return ExitCode::Inconclusive;
    }
    return ExitCode::OwnBug;
}

ExitCode worse(ExitCode a, ExitCode b) {
    constexpr std::array kWorstFirst = {
        ExitCode::Interrupted, ExitCode::NotDeterministic, ExitCode::Violated, ExitCode::Corrupt,
        ExitCode::OwnBug,      ExitCode::Io,               ExitCode::Usage,    ExitCode::Unreachable,
        ExitCode::Inconclusive, ExitCode::TryAgain,
    };
    for (ExitCode code : kWorstFirst)
        if (a == code || b == code) return code;
    return ExitCode::Fine;
}

}  // namespace orrery::cli
