// expect: lockmap: get returns a copy, so Value must be copyable
// Move-only values work in a map as long as nobody asks for a copy.
#include <lockmap/lockmap.hpp>
#include <memory>

int main() {
  lockmap::LockMap<int, std::unique_ptr<int>> map;
  map.insert(1, std::make_unique<int>(1));
#ifdef LOCKMAP_EXPECT_SUCCESS
  return **map.entry(1) - 1;
#else
  return **map.get(1) - 1;
#endif
}
