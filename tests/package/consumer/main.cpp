// A user's program: both maps, with keys of both kinds of hash, a listener and an exception.

#include <lockmap/lockmap.hpp>

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>
#include <system_error>
#include <utility>

int main() {
  lockmap::LockMap<std::string, int> counts;
  {
    auto entry = counts.entry("apple");
    entry.or_insert(1) += 1;
  }
  bool deadlock_is_reported = false;
  try {
    const auto entry = counts.entry("apple");
    counts.remove("apple");
  } catch (const std::system_error&) {
    deadlock_is_reported = true;
  }
  {
    auto shared = counts.shared_entry("apple");
    auto entry = std::move(shared).try_upgrade();
    if (entry.has_value()) shared = std::move(*entry).downgrade();
    const auto batch = counts.shared_batch_lock({"apple", "pear"});
    counts.read("apple", [&](int apples) { deadlock_is_reported &= apples == *batch.at("apple"); });
  }
  int evicted = 0;
  lockmap::LruLockMap<std::uint64_t, std::string> cache(
      lockmap::LruOptions{.max_size = 2},
      [&evicted](const std::uint64_t& /*key*/, std::string& /*value*/) { ++evicted; });
  for (std::uint64_t key = 0; key < 5; ++key) cache.insert(key, std::to_string(key));

  std::cout << "lockmap " LOCKMAP_VERSION ": " << counts.get("apple").value_or(0) << " apples, "
            << cache.size() << " cached\n";
  const bool works =
      counts.get("apple") == 2 && deadlock_is_reported && cache.size() == 2 && evicted == 3;
  return works ? EXIT_SUCCESS : EXIT_FAILURE;
}
