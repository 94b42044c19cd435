// expect: has no member named 'value'|no member named 'value'
// A guard of a set has a key, and no value.
#include <lockmap/lockmap.hpp>

int main() {
  lockmap::LockSet<int> set;
#ifdef LOCKMAP_EXPECT_SUCCESS
  return set.lock(1).key() - 1;
#else
  return set.lock(1).value() - 1;
#endif
}
