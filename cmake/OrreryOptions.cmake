# Compiler flags, the sanitizer choice, packages. Presets set ORRERY_SANITIZE.
set(ORRERY_SANITIZE "" CACHE STRING "address (with most of undefined), undefined (all of it) or thread; empty for none")
option(ORRERY_TOGETHER "what many sources include is compiled once, and libraries that allow it four sources at a time" ON)

add_library(orrery_flags INTERFACE)
target_include_directories(orrery_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(orrery_flags INTERFACE -Wall -Wextra -Wno-missing-field-initializers
    -fno-omit-frame-pointer -msse4.2
    # Errors are the warnings that the front end decides exactly (an ignored Result among them). A plain
    # -Werror stays off: g++ 12.2's -Wrestrict, -Wmaybe-uninitialized and -Wstringop-* depend on the
    # optimiser, misfire on std::string, std::optional and std::variant, and differ between -O2 and the sanitizer
    # builds. The presets switch -Wmaybe-uninitialized off: every one of its reports so far was about a std::variant.
    -Werror=unused-result -Werror=return-type -Werror=switch -Werror=reorder
    -Werror=delete-non-virtual-dtor -Werror=overloaded-virtual)
# A target's own options stand before these, so it can not take a sanitizer back; it says ORRERY_COLD instead.
set(hot $<NOT:$<BOOL:$<TARGET_PROPERTY:ORRERY_COLD>>>)
if(ORRERY_SANITIZE STREQUAL "address")
    # The four checks that are left out look at every access through a pointer, and a third of the build was theirs. Of what they
    # see, ASan sees the access to null and the one behind an object's end; wrong alignments and dynamic types are left to
    # the preset `undefined`, which tools/nightly runs.
    target_compile_options(orrery_flags INTERFACE -fsanitize=address
        $<${hot}:-fsanitize=undefined> $<${hot}:-fno-sanitize=null,object-size,alignment,vptr>
        $<${hot}:-fno-sanitize-recover=undefined>)
    target_link_options(orrery_flags INTERFACE -fsanitize=address,undefined)
elseif(ORRERY_SANITIZE STREQUAL "undefined")
    target_compile_options(orrery_flags INTERFACE $<${hot}:-fsanitize=undefined> $<${hot}:-fno-sanitize-recover=undefined>)
    target_link_options(orrery_flags INTERFACE -fsanitize=undefined)
elseif(ORRERY_SANITIZE STREQUAL "thread")
    target_compile_options(orrery_flags INTERFACE -fsanitize=thread -Wno-tsan)
    target_link_options(orrery_flags INTERFACE -fsanitize=thread)
endif()

find_program(ORRERY_MOLD mold)
if(ORRERY_MOLD)
    target_link_options(orrery_flags INTERFACE -fuse-ld=mold)
endif()

set(Boost_NO_WARN_NEW_VERSIONS ON)
set(Boost_USE_STATIC_LIBS ON)
find_package(Boost 1.81 REQUIRED COMPONENTS context)
find_package(CapnProto REQUIRED)
find_package(RocksDB REQUIRED)
find_package(absl REQUIRED)
find_package(CLI11 REQUIRED)
find_package(doctest REQUIRED)
find_package(rapidcheck REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(fmt REQUIRED)
find_package(prometheus-cpp REQUIRED COMPONENTS core)
find_library(ORRERY_ISAL isal REQUIRED)
find_library(ORRERY_XXHASH xxhash REQUIRED)
find_library(ORRERY_CRYPTO crypto REQUIRED)
find_library(ORRERY_JEMALLOC jemalloc REQUIRED)
