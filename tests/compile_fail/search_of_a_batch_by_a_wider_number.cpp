// expect: constant expression
// A batch is searched as its map is.
#include <cstdint>
#include <lockmap/lockmap.hpp>

int main(int argc, char** /*argv*/) {
  lockmap::LockMap<int, int> map;
  auto batch = map.batch_lock({1, 2});
#ifdef LOCKMAP_EXPECT_SUCCESS
  const auto account = static_cast<std::int16_t>(argc);
#else
  const std::int64_t account = argc;
#endif
  return batch.at(account).has_value() ? 1 : 0;
}
