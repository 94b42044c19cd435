#ifndef LOCKMAP_VERSION_HPP
#define LOCKMAP_VERSION_HPP

// The one place where the version lives: CMake and the package files read it here.
#define LOCKMAP_VERSION_MAJOR 0
#define LOCKMAP_VERSION_MINOR 3
#define LOCKMAP_VERSION_PATCH 0

#define LOCKMAP_DETAIL_STRINGIZE_(major, minor, patch) #major "." #minor "." #patch
#define LOCKMAP_DETAIL_STRINGIZE(major, minor, patch) LOCKMAP_DETAIL_STRINGIZE_(major, minor, patch)

// The version as text, "major.minor.patch".
#define LOCKMAP_VERSION \
  LOCKMAP_DETAIL_STRINGIZE(LOCKMAP_VERSION_MAJOR, LOCKMAP_VERSION_MINOR, LOCKMAP_VERSION_PATCH)

#endif  // LOCKMAP_VERSION_HPP
