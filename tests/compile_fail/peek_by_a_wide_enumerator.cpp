// expect: Constant
// What an enumerator stands for may not fit either.
#include <cstdint>
#include <lockmap/lockmap.hpp>

#ifdef LOCKMAP_EXPECT_SUCCESS
enum Planet : std::int8_t { earth };
#else
enum Planet : std::int64_t { earth };
#endif

int main() {
  const lockmap::LruLockMap<int, int> cache(10);
  return cache.peek(earth).has_value() ? 1 : 0;
}
