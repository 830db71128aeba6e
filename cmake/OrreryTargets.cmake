# orrery_library(NAME [TOGETHER] SOURCES... [ALONE...] [DEPS...] [PRIVATE_DEPS...]): a static library of one folder. Every
# header of the folder joins a header set, so that `all_verify_interface_header_sets` compiles each alone.
#
# TOGETHER: four sources are compiled as one (except with -DORRERY_TOGETHER=OFF, as the debug preset has it, where a missing
# include shows), which takes a third less time, most of it spent on headers. Then no two sources of the library may have a
# private function, type or constant of one name: the compiler says so, or, of overloads, tidy.private_names. ALONE are those
# of SOURCES that it does not suit. Never for an archive whose objects are linked or replaced one by one (check_failed(),
# --wrap): one object then brings them all, and what is called inside one object is not wrapped.
function(orrery_library name)
    cmake_parse_arguments(arg "TOGETHER" "" "SOURCES;ALONE;DEPS;PRIVATE_DEPS" ${ARGN})
    add_library(${name} STATIC ${arg_SOURCES})
    orrery_together(${name} ${arg_TOGETHER} "${arg_ALONE}")
    file(GLOB headers CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.h)
    if(headers)
        target_sources(${name} PUBLIC FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR} FILES ${headers})
    endif()
    set_target_properties(${name} PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON)
    target_link_libraries(${name} PUBLIC orrery_flags ${arg_DEPS} PRIVATE ${arg_PRIVATE_DEPS})
    orrery_precompiled(${name} product)
    file(RELATIVE_PATH folder ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
    set_property(GLOBAL APPEND PROPERTY ORRERY_ARCHIVES "${folder}\t$<TARGET_FILE:${name}>")
endfunction()

# What TOGETHER and ALONE, as above, mean for a target.
function(orrery_together target together alone)
    if(together AND ORRERY_TOGETHER)
        set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 4)
        set_source_files_properties(${alone} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
    endif()
endfunction()

# Writes <build>/orrery_archives.txt (folder, tab, archive): what the symbol purity test has to look at, so that
# an archive that was not built is a failure and not silently left out.
function(orrery_write_archive_list)
    get_property(archives GLOBAL PROPERTY ORRERY_ARCHIVES)
    list(JOIN archives "\n" text)
    file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/orrery_archives.txt CONTENT "${text}\n")
endfunction()

# orrery_cold(TARGET): code whose speed nobody feels (tests, command lines) takes a third less time to compile at -O1 and without
# line numbers of its own, which the debug and sanitizer builds keep. With ASan it is left out of UBSan (ORRERY_COLD: see
# OrreryOptions.cmake), which looks at the product, and compiled at -O0: doctest's macros, JSON and CLI11's templates would cost
# half of that build.
function(orrery_cold target)
    orrery_precompiled(${target} cold)
    set_target_properties(${target} PROPERTIES ORRERY_COLD ON)
    if(ORRERY_SANITIZE STREQUAL "address")
        target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O0>)
    elseif(ORRERY_SANITIZE)
        target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1>)
    else()
        target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1 -g0>)
    endif()
endfunction()

# How tests are compiled. At -O0, a fourth less work than at -O1: most of them run for less time than they
# compile. BUSY are those that run for more than a second or two; what they inline of the product's headers counts too.
function(orrery_test_options target busy)
    orrery_cold(${target})
    if(busy)
        orrery_precompiled(${target} busy)
    else()
        orrery_precompiled(${target} test)
    endif()
    if(NOT busy AND NOT ORRERY_SANITIZE)
        target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O0>)
    elseif(busy AND ORRERY_SANITIZE)
        target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1>)
    endif()
endfunction()

# orrery_test_part(NAME [BUSY] [TOGETHER] SOURCES... [ALONE...] [DEPS...]): what several tests share, compiled once; they name it
# in their DEPS.
function(orrery_test_part name)
    cmake_parse_arguments(arg "BUSY;TOGETHER" "" "SOURCES;ALONE;DEPS" ${ARGN})
    add_library(${name} OBJECT ${arg_SOURCES})
    target_link_libraries(${name} PUBLIC orrery_flags doctest::doctest ${arg_DEPS})
    orrery_together(${name} ${arg_TOGETHER} "${arg_ALONE}")
    orrery_test_options(${name} ${arg_BUSY})
endfunction()

# orrery_test(NAME [BUSY] [TOGETHER] SOURCES... [ALONE...] [DEPS...] [LABELS...] [TIMEOUT seconds]): a doctest executable, run by
# ctest as one test. TOGETHER as for a library: a third less time again.
function(orrery_test name)
    cmake_parse_arguments(arg "BUSY;TOGETHER" "TIMEOUT" "SOURCES;ALONE;DEPS;LABELS" ${ARGN})
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 300)
    endif()
    add_executable(${name} ${arg_SOURCES})
    target_link_libraries(${name} PRIVATE orrery_flags orrery_doctest_main ${arg_DEPS})
    orrery_together(${name} ${arg_TOGETHER} "${arg_ALONE}")
    orrery_test_options(${name} ${arg_BUSY})
    add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "${arg_LABELS}")
endfunction()

# orrery_replay_twice(NAME COMMAND target-or-path ARGUMENTS...): a ctest test that runs the command twice in surroundings that
# must not matter (tools/tidy/replay_twice) and compares standard output. Files are named by absolute paths.
function(orrery_replay_twice name)
    cmake_parse_arguments(arg "" "" "COMMAND" ${ARGN})
    list(POP_FRONT arg_COMMAND program)
    if(TARGET ${program})
        set(program $<TARGET_FILE:${program}>)
    endif()
    add_test(NAME ${name} COMMAND ${PROJECT_SOURCE_DIR}/tools/tidy/replay_twice ${program} ${arg_COMMAND})
    set_tests_properties(${name} PROPERTIES LABELS simulator TIMEOUT 300)
endfunction()

# orrery_precompiled(TARGET KIND): the standard headers that most sources include are compiled once for each kind of options, a
# fourth less work. KIND is product, cold, test or busy: how the target is compiled, as above. Sources include what they use all
# the same: a missing include shows in the debug preset (ORRERY_TOGETHER=OFF), which tools/nightly builds.
function(orrery_precompiled target kind)
    if(ORRERY_TOGETHER AND NOT target MATCHES "^orrery_precompiled_") # those have their own
        set_target_properties(${target} PROPERTIES PRECOMPILE_HEADERS_REUSE_FROM orrery_precompiled_${kind})
        target_compile_options(${target} PRIVATE -fpch-preprocess) # without it ccache would not keep what uses them
    endif()
endfunction()

# The target that carries the precompiled header of a kind.
function(orrery_precompiled_carrier kind header)
    set(carrier orrery_precompiled_${kind})
    add_library(${carrier} OBJECT ${PROJECT_SOURCE_DIR}/cmake/precompiled.cpp)
    target_link_libraries(${carrier} PRIVATE orrery_flags ${ARGN})
    if(kind STREQUAL "cold")
        orrery_cold(${carrier})
    elseif(NOT kind STREQUAL "product")
        string(COMPARE EQUAL ${kind} "busy" busy)
        orrery_test_options(${carrier} ${busy})
    endif()
    target_precompile_headers(${carrier} PRIVATE ${PROJECT_SOURCE_DIR}/cmake/${header})
endfunction()

if(ORRERY_TOGETHER)
    orrery_precompiled_carrier(product precompiled_product.h)
    orrery_precompiled_carrier(cold precompiled_product.h)
    orrery_precompiled_carrier(test precompiled_test.h doctest::doctest rapidcheck)
    orrery_precompiled_carrier(busy precompiled_test.h doctest::doctest rapidcheck)
endif()
