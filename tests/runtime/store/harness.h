// model.h for doctest's files: the CHECK that follows is doctest's.
#pragma once

#include "tests/runtime/store/model.h"

#undef CHECK
#include <doctest/doctest.h>
