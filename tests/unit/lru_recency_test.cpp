// Recency: which touches reorder, and what those that do not leave unwritten.

#include <gtest/gtest.h>

#include <cstddef>
#include <optional>

#include <lockmap/lockmap.hpp>

#include "caches.hpp"
#include "test_access.hpp"
#include "threads.hpp"

namespace lockmap::test {
namespace {
namespace recency {

using Cache = LruLockMap<int, int, std::hash<int>>;
using detail::TestAccess;

LruOptions options(Recency recency, std::size_t shards = 1) {
  return {.max_size = 1000, .shard_count = shards, .recency = recency};
}

void fill(Cache& cache, int count = 100) {
  for (int key = 0; key < count; ++key) cache.insert(key, key);
}

// So many reads in a row that readers announce themselves and hits write nothing shared.
void bias(const Cache& cache) {
  for (int i = 0; i < 1000 && TestAccess::biased_shards(cache) == 0; ++i) (void)cache.get(99);
  ASSERT_EQ(TestAccess::biased_shards(cache), 1U);
}

int pop(Cache& cache) {
  return cache.pop_lru().value().first;
}

TEST(LruRecencyTest, ExactReordersWithEveryTouch) {
  Cache cache(options(Recency::exact));
  fill(cache);
  (void)cache.get(90);
  for (int i = 0; i < 1000; ++i) (void)cache.get(0);
  EXPECT_EQ(TestAccess::biased_shards(cache), 0U);
  for (int key = 1; key < 100; ++key) {
    if (key != 90) {
      EXPECT_EQ(pop(cache), key);
    }
  }
  EXPECT_EQ(pop(cache), 90);
  EXPECT_EQ(pop(cache), 0);
}

TEST(LruRecencyTest, AutomaticIsExactWithOneShardOnly) {
  Cache one(options(Recency::automatic));
  fill(one);
  for (int i = 0; i < 1000; ++i) (void)one.get(99);
  EXPECT_EQ(TestAccess::biased_shards(one), 0U);
  Cache two(options(Recency::automatic, 2));
  fill(two);
  for (int i = 0; i < 1000; ++i) (void)two.get(99);
  EXPECT_EQ(TestAccess::biased_shards(two), 1U);
}

TEST(LruRecencyTest, RelaxedLeavesTheNewestQuarterAsItIs) {
  for (const bool biased : {false, true}) {
    Cache cache(options(Recency::relaxed));
    fill(cache);
    if (biased) bias(cache);
    for (int key = 99; key >= 76; --key) EXPECT_EQ(cache.get(key), key);
    for (int key = 0; key < 100; ++key) EXPECT_EQ(pop(cache), key);
  }
}

TEST(LruRecencyTest, RelaxedKeepsOlderKeysThatWereTouched) {
  for (const bool biased : {false, true}) {
    Cache cache(options(Recency::relaxed));
    fill(cache);
    if (biased) bias(cache);
    for (const int key : {0, 3, 50}) EXPECT_EQ(cache.get(key), key);
    EXPECT_EQ(TestAccess::biased_shards(cache), biased ? 1U : 0U);
    cache.set_max_size(95);
    for (const int key : {0, 3, 50}) EXPECT_EQ(cache.peek(key), key);
    for (const int key : {1, 2, 4, 5, 6}) EXPECT_EQ(cache.peek(key), std::nullopt);
    for (int key = 7; key < 100; ++key) {
      if (key != 50) {
        EXPECT_EQ(pop(cache), key);
      }
    }
    for (const int key : {0, 3, 50}) EXPECT_EQ(pop(cache), key);
  }
}

TEST(LruRecencyTest, AllKeysTouched) {
  Cache cache(options(Recency::relaxed));
  fill(cache);
  bias(cache);
  for (int key = 0; key < 100; ++key) (void)cache.get(key);
  cache.set_max_size(60);
  EXPECT_EQ(cache.size(), 60U);
  TestAccess::check_invariants(cache);
}

TEST(LruRecencyTest, CountsAreExactHoweverTheyAreTaken) {
  Cache cache(options(Recency::relaxed, 3));
  fill(cache);
  constexpr int threads = 4;
  constexpr int rounds = 20'000;
  run_together(threads, [&](int thread) {
    for (int i = 0; i < rounds; ++i) (void)cache.get((i + thread) % 200);
  });
  EXPECT_EQ(cache.stats().hits, threads * rounds / 2U);
  EXPECT_EQ(cache.stats().misses, threads * rounds / 2U);
}

}  // namespace recency
}  // namespace
}  // namespace lockmap::test
