// expect: KeyMustNotNarrow
// The keys of a batch are made from the elements of the range, without narrowing either.
#include <cstdint>
#include <lockmap/lockmap.hpp>
#include <vector>

int main() {
  lockmap::LockMap<int, int> map;
#ifdef LOCKMAP_EXPECT_SUCCESS
  const std::vector<std::int16_t> accounts{1, 2};
#else
  const std::vector<std::int64_t> accounts{1, 2};
#endif
  return static_cast<int>(map.batch_lock(accounts).size()) - 2;
}
