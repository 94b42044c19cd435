# Passes if the filter makes DIRECTORY/expected.txt of DIRECTORY/lock_map.hpp.
cmake_minimum_required(VERSION 3.25)
execute_process(
  COMMAND "${PYTHON}" "${FILTER}" "${DIRECTORY}/lock_map.hpp"
  OUTPUT_VARIABLE actual COMMAND_ERROR_IS_FATAL ANY)
file(READ "${DIRECTORY}/expected.txt" expected)
if(NOT actual STREQUAL expected)
  message(FATAL_ERROR "the filter printed\n${actual}")
endif()
