// expect: no matching (member )?function for call to [^\n]*get_many
// None of many keys may narrow either.
#include <cstdint>
#include <lockmap/lockmap.hpp>
#include <vector>

int main() {
  const lockmap::LockMap<int, int> map;
#ifdef LOCKMAP_EXPECT_SUCCESS
  const std::vector<std::int16_t> accounts{1, 2};
#else
  const std::vector<std::int64_t> accounts{1, 2};
#endif
  return static_cast<int>(map.get_many(accounts).size()) - 2;
}
