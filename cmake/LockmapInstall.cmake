# A relocatable package. It holds headers only, so it goes to share/ and fits every architecture.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(package_dir ${CMAKE_INSTALL_DATADIR}/cmake/lockmap)
install(
  TARGETS lockmap
  EXPORT lockmapTargets
  FILE_SET HEADERS
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(
  EXPORT lockmapTargets
  NAMESPACE lockmap::
  DESTINATION ${package_dir})
configure_package_config_file(cmake/lockmapConfig.cmake.in lockmapConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
# Until 1.0 a minor release may change the interface.
write_basic_package_version_file(
  lockmapConfigVersion.cmake
  COMPATIBILITY SameMinorVersion
  ARCH_INDEPENDENT)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/lockmapConfig.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/lockmapConfigVersion.cmake DESTINATION ${package_dir})
install(FILES cmake/debuggers/lockmap.natvis cmake/debuggers/lockmap_gdb.py
        DESTINATION ${CMAKE_INSTALL_DATADIR}/lockmap)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/lockmap)
