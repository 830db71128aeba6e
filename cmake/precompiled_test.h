// As precompiled_product.h, for tests. Without doctest: its CHECK has to come behind ours.
#include "precompiled_product.h"

#include <rapidcheck.h>
