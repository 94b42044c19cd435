# lockmap_extract_readme(<readme> <directory> <programs variable> <snippets variable>)
#
# Writes every ```cpp block of the file into the directory, named by its line, and returns the
# paths: blocks with a main() as programs, the others, wrapped in a function, as snippets. `#line`
# makes diagnostics name the line of the README. The text is never handled as a list, because
# semicolons and brackets would not survive that.
function(lockmap_extract_readme readme directory programs_variable snippets_variable)
  set(programs "")
  set(snippets "")
  set(text "")
  if(EXISTS "${readme}")
    file(READ "${readme}" text)
  endif()
  string(PREPEND text "\n")
  set(opening "\n```cpp\n")
  string(LENGTH "${opening}" opening_length)
  set(line 0)
  while(TRUE)
    string(FIND "${text}" "${opening}" begin)
    if(begin EQUAL -1)
      break()
    endif()
    math(EXPR begin "${begin} + ${opening_length}")
    string(SUBSTRING "${text}" 0 ${begin} before)
    string(REGEX MATCHALL "\n" newlines "${before}")
    list(LENGTH newlines count)
    math(EXPR line "${line} + ${count}")
    string(SUBSTRING "${text}" ${begin} -1 text)
    string(FIND "${text}" "\n```" end)
    if(end EQUAL -1)
      message(FATAL_ERROR "${readme}: the block at line ${line} has no end")
    endif()
    math(EXPR end "${end} + 1")
    string(SUBSTRING "${text}" 0 ${end} block)
    string(SUBSTRING "${text}" ${end} -1 text)

    set(first_line ${line})
    string(REGEX MATCHALL "\n" newlines "${block}")
    list(LENGTH newlines count)
    math(EXPR line "${line} + ${count}")

    set(file "${directory}/line_${first_line}.cpp")
    if(block MATCHES "int main *\\(")
      set(source "#line ${first_line} \"${readme}\"\n${block}")
      list(APPEND programs "${file}")
    else()
      # An #include has to stay outside the function.
      string(REGEX MATCHALL "#include [<\"][^\n>\"]+[>\"]" includes "${block}")
      list(JOIN includes "\n" includes)
      string(REGEX REPLACE "#include [<\"][^\n]+[>\"]" "" block "${block}")
      set(source "#include <lockmap/lockmap.hpp>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>
${includes}
void readme_block();
void readme_block() {
#line ${first_line} \"${readme}\"
${block}}
")
      list(APPEND snippets "${file}")
    endif()
    # An unchanged file keeps its time, so that nothing is rebuilt for it.
    set(old_source "")
    if(EXISTS "${file}")
      file(READ "${file}" old_source)
    endif()
    if(NOT old_source STREQUAL source)
      file(WRITE "${file}" "${source}")
    endif()
  endwhile()
  set(${programs_variable} "${programs}" PARENT_SCOPE)
  set(${snippets_variable} "${snippets}" PARENT_SCOPE)
endfunction()
