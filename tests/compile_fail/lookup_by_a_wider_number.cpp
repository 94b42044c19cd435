// expect: Constant
// An account number that does not fit would find another account.
#include <cstdint>
#include <lockmap/lockmap.hpp>

int main() {
  lockmap::LockMap<int, int> map;
#ifdef LOCKMAP_EXPECT_SUCCESS
  const std::int16_t account = 7;
#else
  const std::int64_t account = 5'000'000'007;
#endif
  return map.contains(account) ? 1 : 0;
}
