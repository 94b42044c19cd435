# Passes if SOURCE compiles with the flags WARNINGS (separated by `|`), and the compiler says nothing.
# It optimises, for some warnings come from what it learns by that.
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/../../cmake/LockmapSyntaxCheck.cmake)

string(REPLACE "|" ";" warnings "${WARNINGS}")
lockmap_compile("${SOURCE}" result output ${warnings} -O2 -S -o /dev/null)
if(NOT result EQUAL 0 OR NOT output STREQUAL "")
  message(FATAL_ERROR "${SOURCE}: the compiler has something to say\n${output}")
endif()
