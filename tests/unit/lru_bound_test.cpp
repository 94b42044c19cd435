// The bound is exact, for every combination of size and shard count.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "caches.hpp"
#include "maps.hpp"
#include "test_access.hpp"
#include "threads.hpp"

namespace lockmap::test {
namespace {

class LruBoundTest : public testing::TestWithParam<std::size_t> {
 protected:
  // Enough keys that every shard gets more than its bound.
  static constexpr int keys = 600;
};

TEST_P(LruBoundTest, IsExactForEveryShardCount) {
  const std::size_t max_size = GetParam();
  for (std::size_t shards = 0; shards <= 20; ++shards) {
    SCOPED_TRACE("shard_count " + std::to_string(shards));
    SpreadCache cache(LruOptions{.max_size = max_size, .shard_count = shards});
    EXPECT_EQ(cache.max_size(), max_size);
    if (shards == 0) {
      EXPECT_GE(cache.shard_count(), 1U);
      EXPECT_LE(cache.shard_count(), max_size);
    } else {
      EXPECT_EQ(cache.shard_count(), std::min(shards, max_size));
    }
    std::size_t largest = 0;
    for (int key = 0; key < keys; ++key) {
      cache.insert(key, key);
      ASSERT_TRUE(cache.peek(key).has_value()) << "a key that was just stored was evicted";
      largest = std::max(largest, cache.size());
    }
    EXPECT_EQ(largest, max_size);
    EXPECT_EQ(cache.size(), max_size);
    expect_quiet(cache);
  }
}

TEST_P(LruBoundTest, IsExactForEveryWayToStore) {
  const std::size_t max_size = GetParam();
  for (const std::size_t shards : {0U, 1U, 7U}) {
    SCOPED_TRACE("shard_count " + std::to_string(shards));
    SpreadCache cache(LruOptions{.max_size = max_size, .shard_count = shards});
    for (int key = 0; key < keys; ++key) {
      switch (key % 6) {
        case 0:
          EXPECT_TRUE(cache.try_insert(key, key));
          break;
        case 1:
          EXPECT_EQ(cache.get_or_insert_with(key, [&] { return key; }), key);
          break;
        case 2:
          cache.entry(key).insert(key);
          break;
        case 3:
          cache.try_entry(key).value().emplace(key);
          break;
        case 4:
          cache.entry(key).or_insert_with([&] { return key; });
          break;
        default:
          cache.batch_lock({key}).at(key).swap(key);
          break;
      }
      ASSERT_LE(cache.size(), max_size);
      ASSERT_EQ(cache.peek(key), key);
    }
    EXPECT_EQ(cache.size(), max_size);
    expect_quiet(cache);
  }
}

TEST_P(LruBoundTest, HoldsAfterABatchThatIsLargerThanTheCache) {
  const std::size_t max_size = GetParam();
  for (const std::size_t shards : {0U, 1U, 3U}) {
    SpreadCache cache(LruOptions{.max_size = max_size, .shard_count = shards});
    std::vector<int> batch_keys;
    for (int key = 0; key < 100; ++key) batch_keys.push_back(key);
    {
      auto batch = cache.batch_lock(batch_keys);
      for (auto& entry : batch) entry.insert(1);
      EXPECT_EQ(cache.size(), batch_keys.size());
    }
    EXPECT_EQ(cache.size(), max_size);
    expect_quiet(cache);
  }
}

TEST_P(LruBoundTest, LocksWithoutValuesLeaveNothing) {
  const std::size_t max_size = GetParam();
  SpreadCache cache(LruOptions{.max_size = max_size});
  for (int key = 0; key < keys; ++key) (void)cache.entry(key);
  EXPECT_TRUE(cache.empty());
  expect_quiet(cache);
}

INSTANTIATE_TEST_SUITE_P(MaxSizes, LruBoundTest, testing::Range<std::size_t>(1, 21));

TEST(LruShardCountTest, TheDefaultIsNeverMoreThanTheSize) {
  for (std::size_t max_size = 1; max_size <= 300; ++max_size) {
    const SpreadCache cache(max_size);
    EXPECT_GE(cache.shard_count(), 1U);
    EXPECT_LE(cache.shard_count(), max_size);
    EXPECT_EQ(cache.max_size(), max_size);
  }
}

TEST(LruShardCountTest, TheDefaultDividesLargeCaches) {
  const SpreadCache cache(1'000'000);
  EXPECT_GT(cache.shard_count(), 1U);
}

TEST(LruShardCountTest, ACacheWithAHugeBoundNeverEvicts) {
  SpreadCache cache(LruOptions{.max_size = unlimited - 1, .shard_count = 3});
  EXPECT_EQ(cache.max_size(), unlimited - 1);
  for (int key = 0; key < 5000; ++key) cache.insert(key, key);
  EXPECT_EQ(cache.size(), 5000U);
  EXPECT_EQ(cache.stats().evictions, 0U);
}

TEST(LruShardCountTest, TheBoundHoldsWhileThreadsInsert) {
  constexpr int threads = 4;
  for (const std::size_t max_size : {1U, 3U, 20U}) {
    SpreadCache cache(max_size);
    run_together(threads, [&](int thread) {
      for (int i = 0; i < scaled(5000); ++i) {
        cache.insert(i * threads + thread, i);
        // No guard is alive, and an insertion evicts before it returns.
        EXPECT_LE(cache.size(), max_size + threads);
      }
    });
    EXPECT_LE(cache.size(), max_size);
    EXPECT_GE(cache.size(), 1U);
    expect_quiet(cache);
  }
}

TEST(LruConstructionTest, RefusesABoundOfZero) {
  expect_invalid([] { SpreadCache cache(0); }, "max_size", "0");
  expect_invalid([] { SpreadCache cache(LruOptions{.max_size = 0}); }, "max_size", "0");
  expect_invalid([] { SpreadCache cache(LruOptions{.max_size = 0, .shard_count = 4}); }, "max_size",
                 "0");
}

TEST(LruConstructionTest, RefusesToEvictNothing) {
  expect_invalid([] { SpreadCache cache(LruOptions{.max_size = 10, .max_evict = 0}); }, "max_evict",
                 "0");
}

TEST(LruConstructionTest, TakesCapacitiesBeyondTheBound) {
  SpreadCache cache(LruOptions{.max_size = 3, .initial_capacity = 1000, .shard_count = 1});
  for (int key = 0; key < 10; ++key) cache.insert(key, key);
  EXPECT_EQ(cache.size(), 3U);
}

}  // namespace
}  // namespace lockmap::test
