"""The header check of cmake/OrreryTargets.cmake refuses a header that needs another one included before it."""
import os

import support

PROJECT = """cmake_minimum_required(VERSION 3.25)
project(planted LANGUAGES CXX)
set(CMAKE_CXX_STANDARD 20)
add_library(orrery_flags INTERFACE)
target_include_directories(orrery_flags INTERFACE ${{PROJECT_SOURCE_DIR}})
include({root}/cmake/OrreryTargets.cmake)
add_subdirectory(part)
"""


class HeadersAlone(support.TreeTest):
    def build(self, header):
        self.plant("CMakeLists.txt", PROJECT.format(root=support.ROOT))
        self.plant("part/CMakeLists.txt", "orrery_library(part SOURCES part.cpp)\n")
        self.plant("part/part.cpp", "#include <string>\n#include \"part/part.h\"\n")
        self.plant("part/part.h", header)
        build = os.path.join(self.tree, "build")
        self.assert_clean(self.run_command("cmake", "-G", "Ninja", "-S", self.tree, "-B", build))
        self.assert_clean(self.run_command("cmake", "--build", build))
        return self.run_command("cmake", "--build", build, "--target", "all_verify_interface_header_sets")

    def test_complete_header_passes(self):
        self.assert_clean(self.build("#pragma once\n#include <string>\nstd::string name();\n"))

    def test_header_that_leans_on_its_includer_is_reported(self):
        self.assert_reported(self.build("#pragma once\nstd::string name();\n"), "part/part.h", "error")


support.main()
