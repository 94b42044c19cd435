# `cpack` makes liblockmap-dev, a Debian package of the headers. Debian's Abseil comes with it as a
# dependency, whichever Abseil the build of lockmap itself uses.
include(GNUInstallDirs)

# Where Debian wants the licence.
install(
  FILES LICENSE
  DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/liblockmap-dev
  RENAME copyright
  COMPONENT debian
  EXCLUDE_FROM_ALL)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME liblockmap-dev)
set(CPACK_PACKAGE_CONTACT "the lockmap authors")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
    "Header-only C++20 library: a hash map and an LRU cache for many threads,
in which a thread can hold the exclusive lock of one key, present or not,
while every other key stays free.")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_PACKAGE_DEPENDS libabsl-dev)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ
                                                GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
# A fetched Abseil has install rules, too; these are ours.
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_COMPONENTS_ALL lockmap debian)
include(CPack)
