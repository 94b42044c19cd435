# Passes if SOURCE compiles.
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/../../cmake/LockmapSyntaxCheck.cmake)
lockmap_syntax_check("${SOURCE}" result output)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "${output}")
endif()
