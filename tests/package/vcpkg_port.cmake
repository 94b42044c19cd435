# Runs cmake/vcpkg/portfile.cmake with stand-ins for vcpkg's functions that do the essential of what
# vcpkg does, and compares vcpkg.json with the library. Reads LOCKMAP_SOURCE_DIR, SCRATCH, VERSION,
# DESCRIPTION and, for CMake, GENERATOR, MAKE_PROGRAM, CXX and ABSL_DIR.
cmake_minimum_required(VERSION 3.25)
set(CURRENT_PORT_DIR ${LOCKMAP_SOURCE_DIR}/cmake/vcpkg)
set(CURRENT_PACKAGES_DIR ${SCRATCH}/vcpkg/packages)
set(build ${SCRATCH}/vcpkg/build)
file(REMOVE_RECURSE ${SCRATCH}/vcpkg)

file(READ ${CURRENT_PORT_DIR}/vcpkg.json manifest)
foreach(field IN ITEMS "name=lockmap" "version=${VERSION}" "description=${DESCRIPTION}"
                       "license=MIT")
  string(REGEX MATCH "^([a-z]+)=(.*)$" field "${field}")
  string(JSON found GET "${manifest}" ${CMAKE_MATCH_1})
  if(NOT found STREQUAL CMAKE_MATCH_2)
    message(FATAL_ERROR "vcpkg.json: ${CMAKE_MATCH_1} is `${found}` instead of `${CMAKE_MATCH_2}`")
  endif()
endforeach()
string(JSON found GET "${manifest}" dependencies 0)
if(NOT found STREQUAL "abseil")
  message(FATAL_ERROR "vcpkg.json: the first dependency is `${found}` instead of `abseil`")
endif()

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()

function(vcpkg_cmake_configure)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "SOURCE_PATH" "OPTIONS")
  run(${CMAKE_COMMAND}
      -S
      ${arg_SOURCE_PATH}
      -B
      ${build}
      -G
      ${GENERATOR}
      -DCMAKE_MAKE_PROGRAM=${MAKE_PROGRAM}
      -DCMAKE_CXX_COMPILER=${CXX}
      -DCMAKE_INSTALL_PREFIX=${CURRENT_PACKAGES_DIR}
      -Dabsl_DIR=${ABSL_DIR}
      ${arg_OPTIONS})
endfunction()

function(vcpkg_cmake_install)
  run(${CMAKE_COMMAND} --build ${build} --target install)
endfunction()

function(vcpkg_cmake_config_fixup)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "CONFIG_PATH" "")
  file(COPY ${CURRENT_PACKAGES_DIR}/${arg_CONFIG_PATH} DESTINATION ${CURRENT_PACKAGES_DIR}/share)
  file(REMOVE_RECURSE ${CURRENT_PACKAGES_DIR}/share/cmake)
endfunction()

function(vcpkg_fixup_pkgconfig)
  if(NOT EXISTS ${CURRENT_PACKAGES_DIR}/share/pkgconfig/lockmap.pc)
    message(FATAL_ERROR "no .pc file where vcpkg looks for it")
  endif()
endfunction()

function(vcpkg_install_copyright)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "" "FILE_LIST")
  file(COPY_FILE ${arg_FILE_LIST} ${CURRENT_PACKAGES_DIR}/share/lockmap/copyright)
endfunction()

include(${CURRENT_PORT_DIR}/portfile.cmake)

file(
  GLOB installed
  RELATIVE ${CURRENT_PACKAGES_DIR}
  ${CURRENT_PACKAGES_DIR}/*/* ${CURRENT_PACKAGES_DIR}/share/lockmap/*)
list(JOIN installed " " installed)
set(wanted "include/lockmap share/lockmap share/lockmap/copyright share/lockmap/lockmap.natvis")
foreach(part IN ITEMS Config ConfigVersion Targets)
  string(APPEND wanted " share/lockmap/lockmap${part}.cmake")
endforeach()
string(APPEND wanted " share/lockmap/lockmap_gdb.py share/pkgconfig")
if(NOT installed STREQUAL wanted)
  message(FATAL_ERROR "the port installs ${installed}")
endif()
