# Passes if SOURCE compiles, and with the flags BREAKING (separated by `|`) fails with one error,
# whose text contains EXPECTED.
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/../../cmake/LockmapSyntaxCheck.cmake)

string(REPLACE "|" ";" breaking "${BREAKING}")

lockmap_syntax_check("${SOURCE}" result output)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "does not compile without ${breaking}\n${output}")
endif()

lockmap_syntax_check("${SOURCE}" result output ${breaking})
if(result EQUAL 0)
  message(FATAL_ERROR "compiles with ${breaking}, but must not")
endif()
string(REGEX MATCHALL "error: [^\n]*" errors "${output}")
list(LENGTH errors count)
if(NOT count EQUAL 1 OR NOT errors MATCHES "${EXPECTED}")
  message(FATAL_ERROR "${breaking} is not reported by one error about `${EXPECTED}`\n${output}")
endif()
