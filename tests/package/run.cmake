# One package test; CASE says which. The others use what `install` leaves behind.
cmake_minimum_required(VERSION 3.25)

set(prefix ${SCRATCH}/prefix)
set(build ${SCRATCH}/${CASE}-${WANTED})
set(configure
    ${CMAKE_COMMAND}
    -S ${CONSUMER}
    -B ${build}
    -G ${GENERATOR}
    -DCMAKE_MAKE_PROGRAM=${MAKE_PROGRAM}
    -DCMAKE_CXX_COMPILER=${CXX}
    -DCMAKE_CXX_FLAGS=${CXX_FLAGS}
    -DCMAKE_PREFIX_PATH=${prefix}
    -DLOCKMAP_WANTED=${WANTED})
# The same Abseil as in the build of lockmap.
if(ABSL_SOURCE_DIR)
  list(APPEND configure -DFETCHCONTENT_SOURCE_DIR_ABSL=${ABSL_SOURCE_DIR})
elseif(ABSL_DIR)
  list(APPEND configure -Dabsl_DIR=${ABSL_DIR})
endif()

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()

function(build_and_run_consumer)
  file(REMOVE_RECURSE ${build})
  run(${configure} ${ARGN})
  run(${CMAKE_COMMAND} --build ${build})
  run(${build}/consumer)
endfunction()

if(CASE STREQUAL "install")
  # Moved after installation: the package must not depend on where it was installed to.
  file(REMOVE_RECURSE ${prefix} ${SCRATCH}/staging)
  run(${CMAKE_COMMAND} --install ${LOCKMAP_BINARY_DIR} --prefix ${SCRATCH}/staging)
  file(RENAME ${SCRATCH}/staging ${prefix})
  file(GLOB_RECURSE package_files ${prefix}/share/cmake/lockmap/*.cmake)
  if(NOT package_files)
    message(FATAL_ERROR "no package files under ${prefix}")
  endif()
  foreach(package_file IN LISTS package_files)
    file(READ ${package_file} text)
    foreach(path IN ITEMS ${LOCKMAP_SOURCE_DIR} ${LOCKMAP_BINARY_DIR} ${SCRATCH})
      string(FIND "${text}" "${path}" position)
      if(NOT position EQUAL -1)
        message(FATAL_ERROR "${package_file} mentions ${path}")
      endif()
    endforeach()
  endforeach()
elseif(CASE STREQUAL "find_package")
  build_and_run_consumer(-DLOCKMAP_FROM=find_package)
elseif(CASE STREQUAL "refuses")
  file(REMOVE_RECURSE ${build})
  execute_process(
    COMMAND ${configure} -DLOCKMAP_FROM=find_package
    RESULT_VARIABLE result
    OUTPUT_VARIABLE output
    ERROR_VARIABLE output)
  if(result EQUAL 0)
    message(FATAL_ERROR "find_package(lockmap ${WANTED}) is accepted")
  endif()
  # It has to be seen and refused; a package that is not found at all would fail as well.
  if(NOT output MATCHES "${prefix}/share/cmake/lockmap/lockmapConfig.cmake, version:")
    message(FATAL_ERROR "lockmap ${WANTED} fails for another reason than its version\n${output}")
  endif()
elseif(CASE STREQUAL "add_subdirectory")
  build_and_run_consumer(-DLOCKMAP_FROM=add_subdirectory -DLOCKMAP_SOURCE_DIR=${LOCKMAP_SOURCE_DIR})
elseif(CASE STREQUAL "FetchContent")
  build_and_run_consumer(-DLOCKMAP_FROM=FetchContent
                         -DFETCHCONTENT_SOURCE_DIR_LOCKMAP=${LOCKMAP_SOURCE_DIR})
else()
  message(FATAL_ERROR "CASE is '${CASE}'")
endif()
