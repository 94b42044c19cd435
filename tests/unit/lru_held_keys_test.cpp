// Eviction beside very many held keys: they are passed over, the bound and the order of the others
// hold, and a key that is released comes back at the old end.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <random>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "maps.hpp"
#include "test_access.hpp"
#include "threads.hpp"
#include "waiting.hpp"

namespace lockmap::test::lru_held_keys {
namespace {

using Cache = LruLockMap<int, int>;
using Keys = std::vector<int>;

constexpr int capacity = scaled(30'000);
constexpr int held_keys = scaled(20'000);
constexpr int fresh = 1'000'000;  // and what follows: keys that are inserted later

class LruHeldKeysTest : public testing::Test {
 protected:
  // A full cache whose older two thirds are held.
  void SetUp() override {
    for (int key = 0; key < capacity; ++key) cache_.insert(key, key);
    for (int key = 0; key < held_keys; ++key) held_.push_back(cache_.entry(key));
    for (int key = held_keys; key < capacity; ++key) ASSERT_EQ(cache_.get(key), key);
  }

  void insert_fresh(int count) {
    for (int i = 0; i < count; ++i) {
      cache_.insert(fresh + inserted_, inserted_);
      ++inserted_;
      ASSERT_EQ(cache_.size(), static_cast<std::size_t>(capacity));
    }
  }

  Keys take_evicted() { return std::exchange(evicted_, {}); }

  static Keys sequence(int begin, int end) {
    Keys keys;
    for (int key = begin; key < end; ++key) keys.push_back(key);
    return keys;
  }

  Keys evicted_;
  Cache cache_{LruOptions{.max_size = static_cast<std::size_t>(capacity), .shard_count = 1},
               [this](const int& key, int& value) {
                 EXPECT_EQ(value, key < fresh ? key : key - fresh);
                 evicted_.push_back(key);
               }};
  std::vector<Cache::Entry> held_;
  int inserted_ = 0;
};

TEST_F(LruHeldKeysTest, TheOthersGoInTheirOrder) {
  insert_fresh(capacity);
  // First the old ones that nobody holds, then the fresh ones.
  Keys expected = sequence(held_keys, capacity);
  for (const int key : sequence(fresh, fresh + held_keys)) expected.push_back(key);
  EXPECT_EQ(take_evicted(), expected);
  for (const auto& entry : held_) ASSERT_EQ(entry.value(), entry.key());
  held_.clear();
  EXPECT_EQ(cache_.size(), static_cast<std::size_t>(capacity));
  EXPECT_TRUE(take_evicted().empty());
  expect_quiet(cache_);
}

TEST_F(LruHeldKeysTest, WhatIsReleasedGoesFirst) {
  insert_fresh(10);
  take_evicted();
  std::shuffle(held_.begin(), held_.end(), std::mt19937(1));
  for (int round = 0; round < 100; ++round) {
    // One after the other, each before everything else that nobody holds.
    const int key = held_.back().key();
    held_.pop_back();
    EXPECT_TRUE(evicted_.empty());
    insert_fresh(1);
    ASSERT_EQ(take_evicted(), Keys{key});
  }
  // Many at once.
  Keys released;
  for (int i = 0; i < held_keys / 2; ++i) {
    released.push_back(held_.back().key());
    held_.pop_back();
  }
  insert_fresh(held_keys / 2);
  Keys evicted = take_evicted();
  std::sort(evicted.begin(), evicted.end());
  std::sort(released.begin(), released.end());
  EXPECT_EQ(evicted, released);
  held_.clear();
  expect_quiet(cache_);
}

TEST_F(LruHeldKeysTest, WhatIsUsedAfterItsReleaseIsAsNewAsAnyOther) {
  insert_fresh(10);
  take_evicted();
  held_.clear();
  EXPECT_EQ(cache_.get(0), 0);
  EXPECT_EQ(cache_.insert(1, 1), 1);
  insert_fresh(held_keys - 2);
  Keys evicted = take_evicted();
  std::sort(evicted.begin(), evicted.end());
  EXPECT_EQ(evicted, sequence(2, held_keys));
  EXPECT_EQ(cache_.peek(0), 0);
  EXPECT_EQ(cache_.peek(1), 1);
  expect_quiet(cache_);
}

// Whoever waits for a key uses it when it gets it.
TEST_F(LruHeldKeysTest, WhatIsHandedOverIsUsed) {
  insert_fresh(10);
  take_evicted();
  {
    Worker waiter([this] { EXPECT_EQ(cache_.get(0), 0); });
    await_waiters(cache_, 0, 1);
    held_.erase(held_.begin());
  }
  insert_fresh(100);
  EXPECT_EQ(take_evicted(), sequence(held_keys + 10, held_keys + 110));
  EXPECT_EQ(cache_.peek(0), 0);
  held_.clear();
  expect_quiet(cache_);
}

TEST_F(LruHeldKeysTest, PopTakesWhatNobodyHolds) {
  for (int key = held_keys; key < held_keys + 100; ++key) {
    EXPECT_EQ(cache_.pop_lru(), (std::pair<int, int>(key, key)));
  }
  for (int i = 0; i < 100; ++i) {
    const int key = held_.back().key();
    held_.pop_back();
    ASSERT_EQ(cache_.pop_lru(), (std::pair<int, int>(key, key)));
  }
  held_.clear();
  expect_quiet(cache_);
}

TEST_F(LruHeldKeysTest, ASmallerBoundIsReachedWithTheLastRelease) {
  constexpr int small = 100;
  cache_.set_max_size(small);
  EXPECT_EQ(cache_.size(), held_.size());
  EXPECT_EQ(take_evicted(), sequence(held_keys, capacity));
  while (!held_.empty()) {
    held_.pop_back();
    ASSERT_EQ(cache_.size(), std::max<std::size_t>(held_.size(), small));
  }
  // The last that were released are the oldest, and those in the way of the bound went at once.
  EXPECT_EQ(evicted_.size(), static_cast<std::size_t>(held_keys - small));
  std::sort(evicted_.begin(), evicted_.end());
  EXPECT_EQ(std::unique(evicted_.begin(), evicted_.end()), evicted_.end());
  expect_quiet(cache_);
}

TEST_F(LruHeldKeysTest, WhatIsRemovedByItsHolderIsNotEvicted) {
  insert_fresh(10);
  take_evicted();
  for (auto& entry : held_) EXPECT_EQ(entry.remove(), entry.key());
  held_.clear();
  EXPECT_EQ(cache_.size(), static_cast<std::size_t>(capacity - held_keys));
  for (int i = 0; i < held_keys; ++i) cache_.insert(-1 - i, -1 - i);
  EXPECT_TRUE(take_evicted().empty());
  expect_quiet(cache_);
}

TEST(LruLargeBatchTest, AsLargeAsFortyCaches) {
  constexpr int bound = scaled(1000);
  constexpr int keys = 40 * bound;
  std::vector<int> evicted;
  Cache cache(LruOptions{.max_size = bound, .shard_count = 1}, [&](const int& key, int& value) {
    EXPECT_EQ(value, key);
    evicted.push_back(key);
  });
  for (int i = 0; i < bound; ++i) cache.insert(-1 - i, -1 - i);
  {
    Keys wanted;
    for (int key = 0; key < keys; ++key) wanted.push_back(key);
    auto batch = cache.batch_lock(wanted);
    ASSERT_EQ(batch.size(), static_cast<std::size_t>(keys));
    EXPECT_EQ(evicted.size(), static_cast<std::size_t>(bound));  // the keys take places
    for (auto& entry : batch) entry.insert(entry.key());
    EXPECT_EQ(cache.size(), static_cast<std::size_t>(keys));
    EXPECT_EQ(evicted.size(), static_cast<std::size_t>(bound));
  }
  EXPECT_EQ(cache.size(), static_cast<std::size_t>(bound));
  EXPECT_EQ(evicted.size(), static_cast<std::size_t>(keys));
  std::sort(evicted.begin(), evicted.end());
  EXPECT_EQ(std::unique(evicted.begin(), evicted.end()), evicted.end());
  EXPECT_EQ(cache.stats().evictions, evicted.size());
  cache.for_each([&](const int& key, const int&) {
    EXPECT_FALSE(std::binary_search(evicted.begin(), evicted.end(), key));
  });
  expect_quiet(cache);
}

TEST(LruLargeBatchTest, WithoutValuesItLeavesNothing) {
  constexpr int bound = scaled(1000);
  Cache cache(LruOptions{.max_size = bound, .shard_count = 1});
  for (int i = 0; i < bound; ++i) cache.insert(i, i);
  {
    Keys wanted;
    for (int key = bound / 2; key < 40 * bound; ++key) wanted.push_back(key);
    const auto batch = cache.batch_lock(wanted);
    EXPECT_EQ(cache.size(), static_cast<std::size_t>(bound / 2));  // those that the batch holds
  }
  EXPECT_EQ(cache.size(), static_cast<std::size_t>(bound / 2));
  for (int i = bound / 2; i < bound; ++i) ASSERT_EQ(cache.peek(i), i);
  expect_quiet(cache);
}

}  // namespace
}  // namespace lockmap::test::lru_held_keys
