// expect: base operand of '->' has non-pointer type|member reference type [^\n]* is not a pointer
// A guard of a set points to nothing.
#include <lockmap/lockmap.hpp>

int main() {
  lockmap::LockSet<int> set;
  const auto guard = set.lock(1);
#ifdef LOCKMAP_EXPECT_SUCCESS
  return guard.key() - 1;
#else
  return guard->key() - 1;
#endif
}
