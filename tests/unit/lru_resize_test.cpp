// set_max_size and set_max_evict: what they do at once, what later operations do, what they refuse.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "caches.hpp"
#include "maps.hpp"
#include "test_access.hpp"
#include "threads.hpp"

namespace lockmap::test {
namespace {

using detail::TestAccess;

void fill(SpreadCache& cache, int keys) {
  for (int key = 0; key < keys; ++key) cache.insert(key, key);
}

class LruResizeTest : public testing::Test {
 protected:
  SpreadCache cache_{LruOptions{.max_size = 10, .shard_count = 1}};
};

TEST_F(LruResizeTest, ASmallerBoundEvictsBeforeTheCallReturns) {
  fill(cache_, 10);
  cache_.set_max_size(4);
  EXPECT_EQ(cache_.max_size(), 4U);
  EXPECT_EQ(cache_.size(), 4U);
  for (int key = 0; key < 10; ++key) EXPECT_EQ(cache_.peek(key).has_value(), key >= 6) << key;
  EXPECT_EQ(cache_.stats().evictions, 6U);
  cache_.insert(10, 10);
  EXPECT_EQ(cache_.size(), 4U);
  cache_.set_max_size(1);
  EXPECT_EQ(cache_.size(), 1U);
  EXPECT_EQ(cache_.peek(10), 10);
  expect_quiet(cache_);
}

TEST_F(LruResizeTest, ALargerBoundMakesRoom) {
  fill(cache_, 20);
  cache_.set_max_size(15);
  EXPECT_EQ(cache_.max_size(), 15U);
  EXPECT_EQ(cache_.size(), 10U);
  fill(cache_, 100);
  EXPECT_EQ(cache_.size(), 15U);
  cache_.set_max_size(unlimited);
  fill(cache_, 100);
  EXPECT_EQ(cache_.size(), 100U);
  expect_quiet(cache_);
}

TEST_F(LruResizeTest, TheBoundIsExactForEverySizeAndShardCount) {
  for (std::size_t shards = 1; shards <= 12; ++shards) {
    SpreadCache cache(LruOptions{.max_size = 40, .shard_count = shards});
    fill(cache, 500);
    for (const std::size_t size : {30U, 20U, 13U, 12U, 25U, 12U, 40U}) {
      cache.set_max_size(size);
      EXPECT_LE(cache.size(), size) << shards << " shards";
      fill(cache, 500);
      EXPECT_EQ(cache.size(), size) << shards << " shards";
      expect_quiet(cache);
    }
  }
}

TEST_F(LruResizeTest, RefusesZeroAndLessThanTheShards) {
  expect_invalid([&] { cache_.set_max_size(0); }, "max_size", "0");
  SpreadCache cache(LruOptions{.max_size = 100, .shard_count = 17});
  fill(cache, 1000);
  expect_invalid([&] { cache.set_max_size(0); }, "max_size", "0");
  expect_invalid([&] { cache.set_max_size(16); }, "max_size", "16");
  EXPECT_EQ(cache.max_size(), 100U);
  EXPECT_EQ(cache.size(), 100U);
  cache.set_max_size(17);
  EXPECT_EQ(cache.size(), 17U);
  expect_quiet(cache);
}

TEST_F(LruResizeTest, HeldKeysGoWhenTheyAreReleased) {
  fill(cache_, 10);
  {
    const auto batch = cache_.batch_lock({0, 1, 2, 3, 4});
    cache_.set_max_size(2);
    EXPECT_EQ(cache_.size(), 5U);
    EXPECT_EQ(cache_.max_size(), 2U);
    EXPECT_NO_THROW(TestAccess::check_invariants(cache_));
  }
  EXPECT_EQ(cache_.size(), 2U);
  expect_quiet(cache_);
}

TEST_F(LruResizeTest, DoesNotWaitForHeldKeys) {
  fill(cache_, 10);
  Holder holder(cache_, 0, [](auto& entry) { EXPECT_TRUE(entry.has_value()); });
  cache_.set_max_size(1);
  EXPECT_EQ(cache_.size(), 1U);
  cache_.insert(1, 1);
  EXPECT_EQ(cache_.size(), 2U);
  holder.release();
  EXPECT_EQ(cache_.size(), 1U);
}

TEST_F(LruResizeTest, GrowingAgainBeforeTheReleaseKeepsTheValues) {
  fill(cache_, 10);
  {
    const auto batch = cache_.batch_lock({0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
    cache_.set_max_size(2);
    cache_.set_max_size(10);
  }
  EXPECT_EQ(cache_.size(), 10U);
  EXPECT_EQ(cache_.stats().evictions, 0U);
  expect_quiet(cache_);
}

TEST_F(LruResizeTest, TheOldestGoFirst) {
  std::vector<int> evicted;
  SpreadCache cache(LruOptions{.max_size = 5, .shard_count = 1},
                    [&](const int& key, int&) { evicted.push_back(key); });
  fill(cache, 5);
  (void)cache.get(0);
  cache.set_max_size(2);
  EXPECT_EQ(evicted, (std::vector<int>{1, 2, 3}));
}

class LruMaxEvictTest : public testing::Test {
 protected:
  std::uint64_t evictions() const { return cache_.stats().evictions; }

  SpreadCache cache_{LruOptions{.max_size = 20, .shard_count = 1, .max_evict = 3}};
};

TEST_F(LruMaxEvictTest, ASmallerBoundIsReachedStepByStep) {
  fill(cache_, 20);
  cache_.set_max_size(5);
  EXPECT_EQ(cache_.size(), 17U);
  int key = 100;
  for (const std::size_t expected : {15U, 13U, 11U, 9U, 7U, 5U, 5U, 5U}) {
    const std::uint64_t before = evictions();
    cache_.insert(key++, 0);
    EXPECT_EQ(cache_.size(), expected);
    EXPECT_LE(evictions() - before, 3U);
  }
  expect_quiet(cache_);
}

TEST_F(LruMaxEvictTest, KeepsTheBoundWithOneEvictionPerInsertion) {
  cache_.set_max_evict(1);
  fill(cache_, 100);
  EXPECT_EQ(cache_.size(), 20U);
  EXPECT_EQ(evictions(), 80U);
}

TEST_F(LruMaxEvictTest, CountsPerShard) {
  SpreadCache cache(LruOptions{.max_size = 400, .shard_count = 4, .max_evict = 5});
  fill(cache, 4000);
  ASSERT_EQ(cache.size(), 400U);
  cache.set_max_size(4);
  EXPECT_EQ(cache.size(), 380U);
  expect_quiet(cache);
}

TEST_F(LruMaxEvictTest, CanBeChanged) {
  fill(cache_, 20);
  cache_.set_max_evict(1);
  cache_.set_max_size(5);
  EXPECT_EQ(cache_.size(), 19U);
  cache_.set_max_evict(4);
  cache_.insert(100, 0);
  EXPECT_EQ(cache_.size(), 16U);
  cache_.set_max_evict(unlimited);
  cache_.insert(101, 0);
  EXPECT_EQ(cache_.size(), 5U);
}

TEST_F(LruMaxEvictTest, ReleasesOneByOneAreEnough) {
  std::vector<int> keys;
  for (int key = 0; key < 40; ++key) keys.push_back(key);
  {
    auto batch = cache_.batch_lock(keys);
    for (auto& entry : batch) entry.insert(1);
    EXPECT_EQ(cache_.size(), 40U);
  }
  EXPECT_EQ(cache_.size(), 20U);
  expect_quiet(cache_);
}

TEST_F(LruMaxEvictTest, RefusesZero) {
  expect_invalid([&] { cache_.set_max_evict(0); }, "max_evict", "0");
  fill(cache_, 100);
  EXPECT_EQ(cache_.size(), 20U);
}

TEST_F(LruResizeTest, TheBoundMovesWhileThreadsWork) {
  constexpr int threads = 4;
  SpreadCache cache(LruOptions{.max_size = 16, .shard_count = 4});
  run_together(threads, [&](int thread) {
    for (int i = 0; i < scaled(4000); ++i) {
      if (i % 50 == 0) {
        cache.set_max_size(static_cast<std::size_t>(4 + (i + thread) % 40));
      } else {
        cache.insert(i % 97 + thread, i);
      }
    }
  });
  EXPECT_LE(cache.size(), cache.max_size());
  cache.set_max_size(7);
  EXPECT_LE(cache.size(), 7U);
  fill(cache, 500);
  EXPECT_EQ(cache.size(), 7U);
  expect_quiet(cache);
}

}  // namespace
}  // namespace lockmap::test
