// expect: constant expression
// The number of an enumerator may not fit either.
#include <cstdint>
#include <lockmap/lockmap.hpp>

#ifdef LOCKMAP_EXPECT_SUCCESS
enum Planet : std::int8_t { earth };
#else
enum Planet : std::int64_t { earth };
#endif

int main(int argc, char** /*argv*/) {
  const lockmap::LruLockMap<int, int> cache(10);
  return cache.peek(static_cast<Planet>(argc)).has_value() ? 1 : 0;
}
