// expect: Constant
// A fraction is no key among whole numbers.
#include <lockmap/lockmap.hpp>

int main() {
#ifdef LOCKMAP_EXPECT_SUCCESS
  lockmap::LockMap<double, int> map;
#else
  lockmap::LockMap<int, int> map;
#endif
  return map.insert(705032705.9, 1).has_value() ? 1 : 0;
}
