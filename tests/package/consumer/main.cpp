// A user's program: both maps, with keys of both kinds of hash.

#include <lockmap/lockmap.hpp>

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>

int main() {
  lockmap::LockMap<std::string, int> counts;
  {
    auto entry = counts.entry("apple");
    entry.or_insert(1) += 1;
  }
  lockmap::LruLockMap<std::uint64_t, std::string> cache(2);
  for (std::uint64_t key = 0; key < 5; ++key) cache.insert(key, std::to_string(key));

  std::cout << "lockmap " LOCKMAP_VERSION ": " << counts.get("apple").value_or(0) << " apples, "
            << cache.size() << " cached\n";
  return counts.get("apple") == 2 && cache.size() <= 2 ? EXIT_SUCCESS : EXIT_FAILURE;
}
