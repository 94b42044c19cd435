// expect: has no member named 'pop_lru'|no member named 'pop_lru'
// The operations of caches alone are no members of LockMap.
#include <lockmap/lockmap.hpp>

int main() {
#ifdef LOCKMAP_EXPECT_SUCCESS
  lockmap::LruLockMap<int, int> map(10);
#else
  lockmap::LockMap<int, int> map;
#endif
  return map.pop_lru().has_value() ? 1 : 0;
}
