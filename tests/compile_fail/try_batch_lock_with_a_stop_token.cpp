// expect: lockmap: [^\n]*none with a stop token
// A stop token is no comparator, and the compiler names the calls that wait.
#include <lockmap/lockmap.hpp>
#include <stop_token>
#include <vector>

int main() {
  lockmap::LockMap<int, int> map;
  const std::vector<int> keys{1, 2};
#ifdef LOCKMAP_EXPECT_SUCCESS
  return map.try_batch_lock(keys).has_value() ? 0 : 1;
#else
  return map.try_batch_lock(keys, std::stop_token()).has_value() ? 0 : 1;
#endif
}
