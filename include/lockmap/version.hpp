#ifndef LOCKMAP_VERSION_HPP
#define LOCKMAP_VERSION_HPP

/// @file
/// The version of the library, and its only home: CMake and the package files read it here.

#define LOCKMAP_VERSION_MAJOR 0  ///< incompatible changes
#define LOCKMAP_VERSION_MINOR 4  ///< additions; until 1.0, incompatible changes too
#define LOCKMAP_VERSION_PATCH 0  ///< fixes

#define LOCKMAP_DETAIL_STRINGIZE_(major, minor, patch) #major "." #minor "." #patch
#define LOCKMAP_DETAIL_STRINGIZE(major, minor, patch) LOCKMAP_DETAIL_STRINGIZE_(major, minor, patch)

/// The version as text, "major.minor.patch".
#define LOCKMAP_VERSION \
  LOCKMAP_DETAIL_STRINGIZE(LOCKMAP_VERSION_MAJOR, LOCKMAP_VERSION_MINOR, LOCKMAP_VERSION_PATCH)

#endif  // LOCKMAP_VERSION_HPP
