# Passes if the compiler warns, of WARNING, in the lines of SOURCE that end in a comment that is MARK,
# and in no other.
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/../../cmake/LockmapSyntaxCheck.cmake)

lockmap_syntax_check("${SOURCE}" result output ${WARNING})
if(NOT result EQUAL 0)
  message(FATAL_ERROR "${SOURCE}: does not compile\n${output}")
endif()

file(READ "${SOURCE}" text)
string(REPLACE ";" " " text "${text}")
string(REPLACE "\n" ";" lines "${text}")
set(number 0)
set(marked "")
foreach(line IN LISTS lines)
  math(EXPR number "${number} + 1")
  if(line MATCHES "// ${MARK}$")
    list(APPEND marked ${number})
  endif()
endforeach()

cmake_path(GET SOURCE FILENAME name)
string(REGEX MATCHALL "${name}:[0-9]+:[0-9]+: warning: " warnings "${output}")
list(TRANSFORM warnings REPLACE "^${name}:([0-9]+):.*" "\\1")
list(REMOVE_DUPLICATES warnings)
if(marked STREQUAL "" OR NOT marked STREQUAL warnings)
  message(FATAL_ERROR "${SOURCE}: warnings in lines ${warnings} instead of ${marked}\n${output}")
endif()
