# Sets the sanitizer flags for everything in the build: mixing instrumented and plain code in one
# program gives wrong reports.
if(LOCKMAP_SANITIZE STREQUAL "address")
  set(sanitize_flags -fsanitize=address,undefined -fno-sanitize-recover=all)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 16)
    # With this check, older releases make code of coroutines that cannot be assembled.
    list(APPEND sanitize_flags -fno-sanitize=function)
  endif()
elseif(LOCKMAP_SANITIZE STREQUAL "thread")
  set(sanitize_flags -fsanitize=thread)
elseif(NOT LOCKMAP_SANITIZE STREQUAL "")
  message(FATAL_ERROR "LOCKMAP_SANITIZE is '${LOCKMAP_SANITIZE}'; use address, thread or nothing")
endif()
if(sanitize_flags)
  add_compile_options(${sanitize_flags} -fno-omit-frame-pointer)
  add_link_options(${sanitize_flags})
endif()
