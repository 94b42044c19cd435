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

# Moved after installation: the package must not depend on where it was installed to.
function(install_and_move binary_dir)
  file(REMOVE_RECURSE ${prefix} ${SCRATCH}/staging)
  run(${CMAKE_COMMAND} --install ${binary_dir} --prefix ${SCRATCH}/staging)
  file(RENAME ${SCRATCH}/staging ${prefix})
  file(
    GLOB_RECURSE package_files
    ${prefix}/*.cmake
    ${prefix}/*/lockmap.pc)
  foreach(package_file IN ITEMS cmake/lockmap/lockmapTargets.cmake pkgconfig/lockmap.pc)
    if(NOT "${prefix}/share/${package_file}" IN_LIST package_files)
      message(FATAL_ERROR "no ${package_file} under ${prefix}")
    endif()
  endforeach()
  foreach(package_file IN LISTS package_files)
    file(READ ${package_file} text)
    foreach(path IN ITEMS ${LOCKMAP_SOURCE_DIR} ${binary_dir} ${SCRATCH})
      string(FIND "${text}" "${path}" position)
      if(NOT position EQUAL -1)
        message(FATAL_ERROR "${package_file} mentions ${path}")
      endif()
    endforeach()
  endforeach()
endfunction()

# With nothing but the compiler and what pkg-config says of the packages under `root`.
function(build_and_run_consumer_by_pkg_config root)
  set(ENV{PKG_CONFIG_PATH} ${root}/share/pkgconfig)
  execute_process(
    COMMAND ${PKG_CONFIG} --cflags --libs lockmap
    OUTPUT_VARIABLE pkg_config_flags
    COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
  separate_arguments(pkg_config_flags UNIX_COMMAND "${pkg_config_flags}")
  separate_arguments(flags UNIX_COMMAND "${CXX_FLAGS} ${STANDARD_FLAG}")
  file(MAKE_DIRECTORY ${build})
  run(${CXX} ${flags} ${CONSUMER}/main.cpp -o ${build}/consumer ${pkg_config_flags})
  run(${build}/consumer)
endfunction()

# Expects the output of a command to be one line.
function(expect_output expected)
  execute_process(
    COMMAND ${ARGN}
    OUTPUT_VARIABLE output
    OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
  if(NOT output STREQUAL expected)
    message(FATAL_ERROR "`${output}` instead of `${expected}`")
  endif()
endfunction()

if(CASE STREQUAL "install")
  install_and_move(${LOCKMAP_BINARY_DIR})
elseif(CASE STREQUAL "find_package")
  build_and_run_consumer(-DLOCKMAP_FROM=find_package)
elseif(CASE STREQUAL "no_rtti")
  build_and_run_consumer(-DLOCKMAP_FROM=find_package "-DCMAKE_CXX_FLAGS=${CXX_FLAGS} -fno-rtti")
elseif(CASE STREQUAL "pkg_config")
  expect_output(${VERSION} ${CMAKE_COMMAND} -E env PKG_CONFIG_PATH=${prefix}/share/pkgconfig
                ${PKG_CONFIG} --modversion lockmap)
  build_and_run_consumer_by_pkg_config(${prefix})
elseif(CASE STREQUAL "fetched_absl")
  # Installing needs the whole of Abseil.
  file(REMOVE_RECURSE ${build}-lockmap)
  run(${CMAKE_COMMAND}
      -S
      ${LOCKMAP_SOURCE_DIR}
      -B
      ${build}-lockmap
      -G
      ${GENERATOR}
      -DCMAKE_MAKE_PROGRAM=${MAKE_PROGRAM}
      -DCMAKE_CXX_COMPILER=${CXX}
      -DCMAKE_CXX_FLAGS=${CXX_FLAGS}
      -DCMAKE_INSTALL_LIBDIR=lib
      -DFETCHCONTENT_SOURCE_DIR_ABSL=${ABSL_SOURCE_DIR}
      -DLOCKMAP_BUILD_TESTS=OFF
      -DLOCKMAP_BUILD_BENCH=OFF
      -DLOCKMAP_BUILD_EXAMPLES=OFF)
  run(${CMAKE_COMMAND} --build ${build}-lockmap --parallel)
  install_and_move(${build}-lockmap)
  build_and_run_consumer(-DLOCKMAP_FROM=find_package)
  # Not another Abseil that happens to be on the machine.
  file(STRINGS ${build}/CMakeCache.txt absl_dir REGEX "^absl_DIR:")
  if(NOT absl_dir MATCHES "=${prefix}/lib/cmake/absl$")
    message(FATAL_ERROR "the consumer uses another Abseil: ${absl_dir}")
  endif()
elseif(CASE STREQUAL "deb")
  set(root ${SCRATCH}/deb-root)
  file(REMOVE_RECURSE ${build} ${root})
  run(${CPACK} --config ${LOCKMAP_BINARY_DIR}/CPackConfig.cmake -B ${build})
  set(package ${build}/liblockmap-dev_${VERSION}_all.deb)
  foreach(field IN ITEMS "Package liblockmap-dev" "Version ${VERSION}" "Architecture all"
                         "Depends libabsl-dev" "Section libdevel")
    string(REGEX MATCH "^([^ ]+) (.+)$" field "${field}")
    expect_output("${CMAKE_MATCH_2}" ${DPKG_DEB} -f ${package} ${CMAKE_MATCH_1})
  endforeach()
  run(${DPKG_DEB} -x ${package} ${root})
  file(
    GLOB installed
    RELATIVE ${root}
    ${root}/* ${root}/usr/*/* ${root}/usr/share/doc/*/*)
  list(JOIN installed " " installed)
  set(wanted "usr usr/include/lockmap usr/share/cmake usr/share/doc")
  string(APPEND wanted " usr/share/doc/liblockmap-dev/copyright usr/share/lockmap")
  string(APPEND wanted " usr/share/pkgconfig")
  if(NOT installed STREQUAL wanted)
    message(FATAL_ERROR "${package} installs ${installed}")
  endif()
  set(prefix ${root}/usr)
  build_and_run_consumer(-DLOCKMAP_FROM=find_package -DCMAKE_PREFIX_PATH=${prefix})
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
