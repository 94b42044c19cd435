# lockmap_compile(<source> <result variable> <output variable> [<flag>...])
#
# For test scripts: compiles one file with the compiler of the build, and the flags given. Reads CXX,
# FLAGS, and INCLUDE_DIRS and IMPLICIT_INCLUDE_DIRS, each separated by `|`.
function(lockmap_compile source result_variable output_variable)
  separate_arguments(flags UNIX_COMMAND "${FLAGS}")
  string(REPLACE "|" ";" include_dirs "${INCLUDE_DIRS}")
  string(REPLACE "|" ";" implicit_include_dirs "${IMPLICIT_INCLUDE_DIRS}")
  # Naming a directory that the compiler searches anyway would break its #include_next.
  list(REMOVE_ITEM include_dirs "" ${implicit_include_dirs})
  list(REMOVE_DUPLICATES include_dirs)
  list(TRANSFORM include_dirs PREPEND -I)
  execute_process(
    COMMAND ${CMAKE_COMMAND} -E env LC_ALL=C "${CXX}" ${flags} ${include_dirs} ${ARGN} "${source}"
    RESULT_VARIABLE result
    OUTPUT_VARIABLE output
    ERROR_VARIABLE output)
  set(${result_variable} "${result}" PARENT_SCOPE)
  set(${output_variable} "${output}" PARENT_SCOPE)
endfunction()

# lockmap_syntax_check(<source> <result variable> <output variable> [<flag>...])
#
# As lockmap_compile, without producing anything.
function(lockmap_syntax_check source result_variable output_variable)
  lockmap_compile("${source}" result output ${ARGN} -fsyntax-only)
  set(${result_variable} "${result}" PARENT_SCOPE)
  set(${output_variable} "${output}" PARENT_SCOPE)
endfunction()
