// How a command shows what it was told: for people, or for programs.
#pragma once

#include <cstdint>

namespace orrery::ctl {

enum class Form : uint8_t { Table, Json };

}  // namespace orrery::ctl
