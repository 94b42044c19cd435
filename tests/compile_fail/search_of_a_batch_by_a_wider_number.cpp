// expect: Constant
// A batch is searched as its map is.
#include <cstdint>
#include <lockmap/lockmap.hpp>

int main() {
  lockmap::LockMap<int, int> map;
  auto batch = map.batch_lock({1, 2});
#ifdef LOCKMAP_EXPECT_SUCCESS
  const std::int16_t account = 1;
#else
  const std::int64_t account = 1;
#endif
  return batch.at(account).has_value() ? 1 : 0;
}
