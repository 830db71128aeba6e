// Standard headers that most sources include: see orrery_precompiled() in OrreryTargets.cmake. Sources include what they use
// all the same. No <iostream>: it would put a static initialiser into every object; nothing of threads, clocks or files either.
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>
