// As precompiled_product.h, for tests. CHECK is doctest's in all of them: what a test shares says ORRERY_CHECK when it means ours.
#include "precompiled_product.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>
