# Passes if SOURCE fails to compile with a diagnostic that matches the regular expression of its
# first line, `// expect: <regex>`, and compiles with LOCKMAP_EXPECT_SUCCESS defined. The second
# check catches a file that fails for another reason than the one it is about.
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/../../cmake/LockmapSyntaxCheck.cmake)

file(READ "${SOURCE}" text)
if(NOT text MATCHES "^// expect: ([^\n]+)")
  message(FATAL_ERROR "${SOURCE}: the first line is not `// expect: <regex>`")
endif()
# CMake's regular expressions have no escapes for characters; this one is needed to stay on a line.
string(REPLACE "\\n" "\n" expected "${CMAKE_MATCH_1}")

lockmap_syntax_check("${SOURCE}" result output -DLOCKMAP_EXPECT_SUCCESS)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "${SOURCE}: does not compile with LOCKMAP_EXPECT_SUCCESS\n${output}")
endif()

lockmap_syntax_check("${SOURCE}" result output)
if(result EQUAL 0)
  message(FATAL_ERROR "${SOURCE}: compiles, but must not")
endif()
if(NOT output MATCHES "${expected}")
  message(FATAL_ERROR "${SOURCE}: the diagnostics do not match `${expected}`\n${output}")
endif()
