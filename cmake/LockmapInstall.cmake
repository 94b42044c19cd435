# A relocatable package. It holds headers only, so it goes to share/ and fits every architecture.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(package_dir ${CMAKE_INSTALL_DATADIR}/cmake/lockmap)
install(
  TARGETS lockmap
  EXPORT lockmapTargets
  FILE_SET HEADERS
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  COMPONENT lockmap)
install(
  EXPORT lockmapTargets
  NAMESPACE lockmap::
  DESTINATION ${package_dir}
  COMPONENT lockmap)
configure_package_config_file(cmake/lockmapConfig.cmake.in lockmapConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
# Until 1.0 a minor release may change the interface.
write_basic_package_version_file(
  lockmapConfigVersion.cmake
  COMPATIBILITY SameMinorVersion
  ARCH_INDEPENDENT)
install(
  FILES ${CMAKE_CURRENT_BINARY_DIR}/lockmapConfig.cmake
        ${CMAKE_CURRENT_BINARY_DIR}/lockmapConfigVersion.cmake
  DESTINATION ${package_dir}
  COMPONENT lockmap)

# For builds without CMake.
set(pc_dir ${CMAKE_INSTALL_FULL_DATADIR}/pkgconfig)
file(RELATIVE_PATH prefix_from_pc ${pc_dir} ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" prefix_from_pc "${prefix_from_pc}")
file(RELATIVE_PATH includedir_from_pc ${pc_dir} ${CMAKE_INSTALL_FULL_INCLUDEDIR})
configure_file(cmake/lockmap.pc.in lockmap.pc @ONLY)
install(
  FILES ${CMAKE_CURRENT_BINARY_DIR}/lockmap.pc
  DESTINATION ${CMAKE_INSTALL_DATADIR}/pkgconfig
  COMPONENT lockmap)

install(
  FILES cmake/debuggers/lockmap.natvis cmake/debuggers/lockmap_gdb.py
  DESTINATION ${CMAKE_INSTALL_DATADIR}/lockmap
  COMPONENT lockmap)
install(
  FILES LICENSE
  DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/lockmap
  COMPONENT lockmap_license)
