# Flags of our own programs: tests, examples and benchmarks. Not exported.
add_library(lockmap_dev INTERFACE)
target_link_libraries(lockmap_dev INTERFACE lockmap::lockmap)
# What tests, examples and benchmarks share.
target_include_directories(lockmap_dev INTERFACE ${PROJECT_SOURCE_DIR}/tests/support)
# For programs that take a command line (tests/support/flags.hpp).
add_library(lockmap_dev_flags INTERFACE)
target_link_libraries(lockmap_dev_flags INTERFACE lockmap_dev absl::flags absl::flags_parse
                                                  absl::flags_usage)
if(MSVC)
  target_compile_options(lockmap_dev INTERFACE /W4 /bigobj $<$<BOOL:${LOCKMAP_WERROR}>:/WX>)
else()
  target_compile_options(
    lockmap_dev INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
                          $<$<BOOL:${LOCKMAP_WERROR}>:-Werror>)
endif()
