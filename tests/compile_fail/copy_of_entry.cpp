// expect: (use of deleted function|call to deleted constructor)
// There is one guard of a key at a time.
#include <lockmap/lockmap.hpp>
#include <utility>

int main() {
  lockmap::LockMap<int, int> map;
  auto entry = map.entry(1);
#ifdef LOCKMAP_EXPECT_SUCCESS
  auto other = std::move(entry);
#else
  auto other = entry;
#endif
  return other.has_value() ? 1 : 0;
}
