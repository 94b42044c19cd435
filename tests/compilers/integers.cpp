// Unsigned arithmetic that wraps around on purpose is no finding of clang's -fsanitize=integer.
// (Its
// findings in Abseil are Abseil's.)
#include <cstdint>
#include <functional>
#include <lockmap/lockmap.hpp>
#include <string>
#include <tuple>
#include <vector>

namespace {

template <class Map>
void use(Map& map) {
  for (std::uint64_t key = 0; key < 1000; ++key) {
    const std::uint64_t spread = key << 50U;
    map.insert(spread, key);
    if (key % 3 == 0) map.remove(spread);
    map.entry(spread).emplace(key);
  }
  std::ignore = map.batch_lock(std::vector<std::uint64_t>{3, 2, 1}).size();
  map.retain([](std::uint64_t, std::uint64_t value) { return value % 2 == 0; });
  map.clear();
}

}  // namespace

int main() {
  using Hash = std::hash<std::uint64_t>;
  lockmap::LockMap<std::uint64_t, std::uint64_t, Hash> map;
  use(map);
  lockmap::LruLockMap<std::uint64_t, std::uint64_t, Hash> cache(100);
  use(cache);
  lockmap::LockMap<std::u16string, int> texts;
  texts.insert(u"text", 1);
  return texts.contains(u"text") ? 0 : 1;
}
