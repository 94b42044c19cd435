// expect: lockmap: [^\n]*try_batch_lock_for
// A time limit is no comparator, and the compiler names the call that takes one.
#include <chrono>
#include <lockmap/lockmap.hpp>
#include <vector>

int main() {
  lockmap::LockMap<int, int> map;
  const std::vector<int> keys{1, 2};
#ifdef LOCKMAP_EXPECT_SUCCESS
  return map.try_batch_lock_for(keys, std::chrono::seconds(1)).has_value() ? 0 : 1;
#else
  return map.try_batch_lock(keys, std::chrono::seconds(1)).has_value() ? 0 : 1;
#endif
}
