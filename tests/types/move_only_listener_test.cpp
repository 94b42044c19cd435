// Listeners that can only be moved.

#include <gtest/gtest.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

namespace lockmap {
namespace {

using Cache = LruLockMap<int, int>;
using Seen = std::vector<std::pair<int, int>>;

// Writes down what it hears of where it alone knows.
auto move_only_listener(Seen& seen) {
  return [&seen, token = std::make_unique<int>(1)](const int& key, int& value) {
    seen.emplace_back(key, value * *token);
  };
}
static_assert(!std::is_copy_constructible_v<decltype(move_only_listener(std::declval<Seen&>()))>);

TEST(MoveOnlyListenerTest, AsItIs) {
  Seen seen;
  Cache cache(LruOptions{.max_size = 1, .shard_count = 1}, move_only_listener(seen));
  cache.insert(1, 10);
  cache.insert(2, 20);
  EXPECT_EQ(seen, (Seen{{1, 10}}));
}

TEST(MoveOnlyListenerTest, AsAnEvictionListener) {
  Seen seen;
  Cache::EvictionListener listener(move_only_listener(seen));
  Cache cache(LruOptions{.max_size = 1, .shard_count = 1}, std::move(listener));
  cache.insert(1, 10);
  cache.insert(2, 20);
  EXPECT_EQ(seen.size(), 1U);
}

// A listener that can be copied still is accepted, and so is nothing at all.
TEST(MoveOnlyListenerTest, OthersAsBefore) {
  Seen seen;
  const std::function<void(const int&, int&)> function = [&seen](const int& key, int& value) {
    seen.emplace_back(key, value);
  };
  {
    Cache cache(LruOptions{.max_size = 1, .shard_count = 1}, function);
    cache.insert(1, 10);
    cache.insert(2, 20);
  }
  EXPECT_EQ(seen, (Seen{{1, 10}}));
  Cache without(LruOptions{.max_size = 1, .shard_count = 1}, {});
  without.insert(1, 10);
  without.insert(2, 20);
  EXPECT_EQ(without.size(), 1U);
}

}  // namespace
}  // namespace lockmap
