# lockmap_extract_blocks(<page> <directory> <programs variable> <snippets variable>)
#
# Writes the ```cpp blocks of a Markdown page into the directory and returns the paths: of each block
# with a main(), named by its line, as a program; and of one source with all others, or nothing if
# there are none. There, a block with an inline variable is at namespace scope, any other the body of
# a function. `#line` makes diagnostics name the line of the page. The text is never handled as a
# list, because semicolons and brackets would not survive that.
function(lockmap_extract_blocks page directory programs_variable snippets_variable)
  set(programs "")
  set(snippets "")
  set(all_includes "")
  file(READ "${page}" text)
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
      message(FATAL_ERROR "${page}: the block at line ${line} has no end")
    endif()
    math(EXPR end "${end} + 1")
    string(SUBSTRING "${text}" 0 ${end} block)
    string(SUBSTRING "${text}" ${end} -1 text)

    set(first_line ${line})
    string(REGEX MATCHALL "\n" newlines "${block}")
    list(LENGTH newlines count)
    math(EXPR line "${line} + ${count}")

    set(position "#line ${first_line} \"${page}\"\n")
    if(block MATCHES "int main *\\(")
      set(file "${directory}/line_${first_line}.cpp")
      lockmap_write_if_new("${file}" "${position}${block}")
      list(APPEND programs "${file}")
    else()
      # An #include has to stay outside of the function.
      string(REGEX MATCHALL "#include [<\"][^\n>\"]+[>\"]" includes "${block}")
      list(JOIN includes "\n" includes)
      string(APPEND all_includes "${includes}\n")
      string(REGEX REPLACE "#include [<\"][^\n]+[>\"]" "" block "${block}")
      if(NOT "\n${block}" MATCHES "\ninline ")
        set(block "void block();\nvoid block() {\n${position}${block}}\n")
      endif()
      string(APPEND snippets "namespace line_${first_line} {\n${position}${block}}\n")
    endif()
  endwhile()
  set(${programs_variable} "${programs}" PARENT_SCOPE)
  set(${snippets_variable} "" PARENT_SCOPE)
  if(NOT snippets STREQUAL "")
    lockmap_write_if_new("${directory}/snippets.cpp" "#include <lockmap/lockmap.hpp>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <vector>
${all_includes}
// Of a coroutine library: the least that there is.
struct Task {
  struct promise_type {
    Task get_return_object() { return {}; }
    std::suspend_never initial_suspend() { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};
${snippets}")
    set(${snippets_variable} "${directory}/snippets.cpp" PARENT_SCOPE)
  endif()
endfunction()

# An unchanged file keeps its time, so that nothing is rebuilt for it.
function(lockmap_write_if_new file text)
  set(old "")
  if(EXISTS "${file}")
    file(READ "${file}" old)
  endif()
  if(NOT old STREQUAL text)
    file(WRITE "${file}" "${text}")
  endif()
endfunction()
