// expect: constant expression
// A negative number would lock a large one.
#include <lockmap/lockmap.hpp>

int main(int argc, char** /*argv*/) {
#ifdef LOCKMAP_EXPECT_SUCCESS
  lockmap::LockMap<long, int> map;
#else
  lockmap::LockMap<unsigned, int> map;
#endif
  return map.entry(argc).has_value() ? 1 : 0;
}
