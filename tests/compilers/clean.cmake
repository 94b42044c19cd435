# Passes if SOURCE compiles with the flags WARNINGS (separated by `|`), and the compiler says nothing.
# g++ optimises, for some of its warnings come from what it learns by that.
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/../../cmake/LockmapSyntaxCheck.cmake)

string(REPLACE "|" ";" warnings "${WARNINGS}")
set(mode -fsyntax-only)
if(CXX MATCHES "g\\+\\+$" AND NOT CXX MATCHES "clang")
  set(mode -O2 -S -o /dev/null)
endif()
lockmap_compile("${SOURCE}" result output ${warnings} ${mode})
if(NOT result EQUAL 0 OR NOT output STREQUAL "")
  message(FATAL_ERROR "${SOURCE}: the compiler has something to say\n${output}")
endif()
