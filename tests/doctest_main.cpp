// The one place that compiles doctest's main(): 2.6 s that every test executable would pay otherwise.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
