# An overlay port, which builds the checkout that it lies in:
#   vcpkg install lockmap --overlay-ports=<checkout>/cmake/vcpkg
cmake_path(GET CURRENT_PORT_DIR PARENT_PATH source_path)
cmake_path(GET source_path PARENT_PATH source_path)

# Headers only: there is nothing to build a debug version of.
set(VCPKG_BUILD_TYPE release)
vcpkg_cmake_configure(
  SOURCE_PATH ${source_path}
  OPTIONS -DLOCKMAP_BUILD_TESTS=OFF -DLOCKMAP_BUILD_BENCH=OFF -DLOCKMAP_BUILD_EXAMPLES=OFF)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH share/cmake/lockmap)
vcpkg_fixup_pkgconfig()
file(REMOVE_RECURSE ${CURRENT_PACKAGES_DIR}/share/doc)
vcpkg_install_copyright(FILE_LIST ${source_path}/LICENSE)
