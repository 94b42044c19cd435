// size() and empty() beside writers: what they return was true, of a shard and of the map.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>

#include <lockmap/lockmap.hpp>

#include "maps.hpp"
#include "threads.hpp"

namespace lockmap::test {
namespace {

constexpr int enough = scaled(300'000);

// Runs `write()` on one thread beside `look()` on another, until both have run often enough.
template <class Write, class Look>
void look_beside(Write write, Look look) {
  std::atomic<bool> over = false;
  std::atomic<int> writes = 0;
  Worker writer([&] {
    for (; !over; ++writes) write();
  });
  for (int looks = 0; looks < enough || writes < enough; ++looks) {
    look();
    if (testing::Test::HasFailure()) break;
  }
  over = true;
}

template <class Family>
class CountsStressTest : public testing::Test {
 protected:
  using TestedMap = MapOf<Family, int, int>;

  // A value wanders over the keys; the next is stored before the last one goes.
  template <class Store, class Remove>
  void expect_never_empty(std::size_t shards, Store store, Remove remove) {
    constexpr int keys = 64;
    auto map = make_map<TestedMap>(shards);
    map.insert(0, 0);
    int last = 0;
    look_beside(
        [&] {
          const int next = (last + 1) % keys;
          store(map, next);
          remove(map, last);
          last = next;
        },
        [&] {
          std::size_t least = 1;
          std::size_t most = 1;
          for (int i = 0; i < 50; ++i) {
            const std::size_t size = map.size();
            least = std::min(least, size);
            most = std::max(most, size);
          }
          EXPECT_EQ(least, 1U);
          EXPECT_LE(most, 2U);
          EXPECT_FALSE(map.empty());
        });
    EXPECT_EQ(map.size(), 1U);
    expect_quiet(map);
  }

  static void by_insert(TestedMap& map, int key) { map.insert(key, key); }
  static void by_storing_guard(TestedMap& map, int key) { map.entry(key).insert(key); }
  static void by_remove(TestedMap& map, int key) { map.remove(key); }
  static void by_removing_guard(TestedMap& map, int key) { map.entry(key).remove(); }
};

LOCKMAP_TEST_BOTH(CountsStressTest, AValueThatWandersWithinAShard) {
  this->expect_never_empty(1, &TestFixture::by_insert, &TestFixture::by_remove);
}
LOCKMAP_TEST_BOTH(CountsStressTest, AValueThatIsStoredByAGuard) {
  this->expect_never_empty(1, &TestFixture::by_storing_guard, &TestFixture::by_remove);
}
LOCKMAP_TEST_BOTH(CountsStressTest, AValueThatIsRemovedByAGuard) {
  this->expect_never_empty(1, &TestFixture::by_insert, &TestFixture::by_removing_guard);
}
LOCKMAP_TEST_BOTH(CountsStressTest, AValueThatIsStoredAndRemovedByGuards) {
  this->expect_never_empty(1, &TestFixture::by_storing_guard, &TestFixture::by_removing_guard);
}

// The shards are not looked at in one moment, so `size` may count such a value twice, or miss it if
// the writer never pauses; but a map that always has one is never empty.
LOCKMAP_TEST_BOTH(CountsStressTest, AValueThatWandersBetweenShards) {
  constexpr int keys = 64;
  auto map = make_map<typename TestFixture::TestedMap>(8);
  map.insert(0, 0);
  int last = 0;
  look_beside(
      [&] {
        const int next = (last + 1) % keys;
        map.insert(next, next);
        map.remove(last);
        last = next;
      },
      [&] {
        bool ever_empty = false;
        for (int i = 0; i < 50; ++i) ever_empty |= map.empty();
        EXPECT_FALSE(ever_empty);
      });
  EXPECT_EQ(map.size(), 1U);
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(CountsStressTest, AValueThatAGuardStoresAndRemovesBesideOneThatStays) {
  for (const std::size_t shards : {1U, 4U}) {
    auto map = make_map<typename TestFixture::TestedMap>(shards);
    map.insert(0, 0);
    look_beside(
        [&] {
          auto entry = map.entry(1);
          entry.insert(1);
          entry.remove();
          entry.insert(1);
          entry.unlock();
          map.remove(1);
        },
        [&] {
          EXPECT_FALSE(map.empty());
          EXPECT_GE(map.size(), 1U);
          EXPECT_LE(map.size(), 2U);
        });
    EXPECT_EQ(map.size(), 1U);
    expect_quiet(map);
  }
}

using Cache = LruLockMap<int, int>;

// Several threads that only insert, and one that counts.
void expect_within_the_bound(std::size_t max_size, std::size_t shards) {
  Cache cache(LruOptions{.max_size = max_size, .shard_count = shards});
  constexpr int writers = 3;
  std::atomic<int> writing = writers;
  run_together(writers + 1, [&](int thread) {
    if (thread < writers) {
      for (int i = 0; i < enough; ++i) cache.insert(thread + writers * i, i);
      --writing;
    } else {
      std::size_t most = 0;
      while (writing != 0) most = std::max(most, cache.size());
      EXPECT_LE(most, max_size);
    }
  });
  EXPECT_EQ(cache.size(), max_size);
  expect_quiet(cache);
}

TEST(CacheCountsStressTest, NeverOverTheBoundInOneShard) {
  expect_within_the_bound(4, 1);
  expect_within_the_bound(64, 1);
}
TEST(CacheCountsStressTest, NeverOverTheBoundInSeveralShards) {
  expect_within_the_bound(4, 4);
  expect_within_the_bound(64, 5);
}

// Values come and go by all means that leave no guard behind.
TEST(CacheCountsStressTest, NeverOverTheBoundWhateverStores) {
  constexpr std::size_t max_size = 4;
  Cache cache(LruOptions{.max_size = max_size, .shard_count = 2});
  int key = 0;
  look_beside(
      [&] {
        key = (key + 1) % 1'000'000;
        cache.insert(key, key);
        cache.insert(key, key);
        cache.try_insert(key + 1, key);
        cache.remove(key);
        (void)cache.pop_lru();
        (void)cache.get(key + 1);
      },
      [&] { EXPECT_LE(cache.size(), max_size); });
  expect_quiet(cache);
}

}  // namespace
}  // namespace lockmap::test
