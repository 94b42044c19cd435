// stats(): every lookup is a hit or a miss, and each counter counts what it says and nothing else.

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>

#include <lockmap/lockmap.hpp>

#include "maps.hpp"
#include "threads.hpp"

namespace lockmap::test {
namespace {

using Cache = LruLockMap<int, int>;

void expect_stats(const LruStats& stats, std::uint64_t hits, std::uint64_t misses,
                  std::uint64_t insertions, std::uint64_t evictions) {
  EXPECT_EQ(stats.hits, hits) << "hits";
  EXPECT_EQ(stats.misses, misses) << "misses";
  EXPECT_EQ(stats.insertions, insertions) << "insertions";
  EXPECT_EQ(stats.evictions, evictions) << "evictions";
}

class LruStatsTest : public testing::Test {
 protected:
  Cache cache_{LruOptions{.max_size = 3, .shard_count = 1}};
};

TEST_F(LruStatsTest, BeginAtZero) {
  expect_stats(cache_.stats(), 0, 0, 0, 0);
}

TEST_F(LruStatsTest, LookupsAreHitsOrMisses) {
  (void)cache_.get(1);
  expect_stats(cache_.stats(), 0, 1, 0, 0);
  (void)cache_.contains(1);
  expect_stats(cache_.stats(), 0, 2, 0, 0);
  (void)cache_.get_or_insert_with(1, [] { return 1; });
  expect_stats(cache_.stats(), 0, 3, 1, 0);
  (void)cache_.get_or_insert_with(1, [] { return 1; });
  expect_stats(cache_.stats(), 1, 3, 1, 0);
  (void)cache_.get(1);
  expect_stats(cache_.stats(), 2, 3, 1, 0);
  (void)cache_.contains(1);
  expect_stats(cache_.stats(), 3, 3, 1, 0);
}

TEST_F(LruStatsTest, ALoaderThatThrowsIsAMissAndStoresNothing) {
  const auto load = []() -> int { throw std::runtime_error("no luck"); };
  EXPECT_THROW((void)cache_.get_or_insert_with(1, load), std::runtime_error);
  expect_stats(cache_.stats(), 0, 1, 0, 0);
}

TEST_F(LruStatsTest, OnlyLookupsAreLookups) {
  cache_.insert(1, 1);
  for (const int key : {1, 2}) {
    (void)cache_.peek(key);
    (void)cache_.entry(key);
    (void)cache_.try_entry(key);
    (void)cache_.try_entry_for(key, std::chrono::seconds(0));
    (void)cache_.batch_lock({key});
    (void)cache_.try_batch_lock({key});
    (void)cache_.entry(key).value_or(0);
  }
  cache_.for_each([](const int&, const int&) {});
  (void)cache_.retain([](const int&, int&) { return true; });
  (void)cache_.size();
  (void)cache_.pop_lru();
  cache_.clear();
  expect_stats(cache_.stats(), 0, 0, 1, 0);
}

TEST_F(LruStatsTest, InsertionsAreValuesUnderKeysThatHadNone) {
  std::uint64_t insertions = 0;
  const auto expect_more = [&](bool one, const char* what) {
    if (one) ++insertions;
    EXPECT_EQ(cache_.stats().insertions, insertions) << what;
  };
  cache_.insert(1, 1);
  expect_more(true, "insert");
  cache_.insert(1, 2);
  expect_more(false, "insert that replaces");
  (void)cache_.try_insert(1, 3);
  expect_more(false, "try_insert that fails");
  cache_.remove(1);
  (void)cache_.try_insert(1, 3);
  expect_more(true, "try_insert");

  auto entry = cache_.entry(1);
  entry.insert(4);
  expect_more(false, "Entry::insert that replaces");
  entry.emplace(4);
  expect_more(false, "Entry::emplace that replaces");
  entry.swap(5);
  expect_more(false, "Entry::swap that replaces");
  entry.or_insert(6);
  entry.or_insert_with([] { return 6; });
  expect_more(false, "or_insert with a value there");
  entry.swap(std::nullopt);
  entry.remove();
  expect_more(false, "removal");
  entry.insert(7);
  expect_more(true, "Entry::insert");
  entry.remove();
  entry.emplace(8);
  expect_more(true, "Entry::emplace");
  entry.remove();
  entry.swap(9);
  expect_more(true, "Entry::swap");
  entry.remove();
  entry.or_insert(10);
  expect_more(true, "Entry::or_insert");
  entry.remove();
  entry.or_insert_with([] { return 11; });
  expect_more(true, "Entry::or_insert_with");
  entry.unlock();
  expect_more(false, "unlock");

  cache_.batch_lock({2}).at(2).insert(2);
  expect_more(true, "a batch");
  (void)cache_.get_or_insert_with(3, [] { return 3; });
  expect_more(true, "get_or_insert_with");
  (void)cache_.entry(4);
  expect_more(false, "a key that is only locked");
}

TEST_F(LruStatsTest, AnInsertionIsCountedOnceAlthoughTheGuardLives) {
  auto entry = cache_.entry(1);
  entry.insert(1);
  EXPECT_EQ(cache_.stats().insertions, 1U);
  EXPECT_EQ(cache_.size(), 1U);
  entry.unlock();
  EXPECT_EQ(cache_.stats().insertions, 1U);
}

struct Refusing {
  explicit Refusing(bool refuse) {
    if (refuse) throw std::runtime_error("refused");
  }
};

TEST(LruStatsOfFailuresTest, AConstructorThatThrowsStoresNothing) {
  LruLockMap<int, Refusing> cache(3);
  {
    auto entry = cache.entry(1);
    EXPECT_THROW(entry.emplace(true), std::runtime_error);
    EXPECT_EQ(cache.stats().insertions, 0U);
    entry.emplace(false);
    EXPECT_EQ(cache.stats().insertions, 1U);
    EXPECT_THROW(entry.emplace(true), std::runtime_error);
    EXPECT_FALSE(entry.has_value());
    entry.emplace(false);
    EXPECT_EQ(cache.stats().insertions, 2U);
  }
  EXPECT_EQ(cache.size(), 1U);
}

TEST_F(LruStatsTest, EvictionsAreWhatGoesBecauseOfTheBound) {
  for (int key = 0; key < 10; ++key) cache_.insert(key, key);
  expect_stats(cache_.stats(), 0, 0, 10, 7);
  cache_.set_max_size(1);
  expect_stats(cache_.stats(), 0, 0, 10, 9);
  cache_.remove(9);
  cache_.insert(10, 10);
  (void)cache_.pop_lru();
  cache_.insert(11, 11);
  cache_.clear();
  cache_.insert(12, 12);
  (void)cache_.retain([](const int&, int&) { return false; });
  expect_stats(cache_.stats(), 0, 0, 13, 9);
}

TEST_F(LruStatsTest, AreSummedOverTheShards) {
  Cache cache(LruOptions{.max_size = 100, .shard_count = 16});
  for (int key = 0; key < 1000; ++key) {
    (void)cache.get(key);
    cache.insert(key, key);
    (void)cache.get(key);
  }
  const LruStats stats = cache.stats();
  EXPECT_EQ(stats.hits, 1000U);
  EXPECT_EQ(stats.misses, 1000U);
  EXPECT_EQ(stats.insertions, 1000U);
  EXPECT_EQ(stats.evictions, 1000U - cache.size());
}

TEST_F(LruStatsTest, LookupsThatWaitAreCountedOnce) {
  cache_.insert(1, 1);
  for (const bool removed : {false, true}) {
    const LruStats before = cache_.stats();
    Holder holder(cache_, 1, [&](auto& entry) {
      if (removed) entry.remove();
    });
    Worker get([&] { (void)cache_.get(1); });
    Worker contains([&] { (void)cache_.contains(1); });
    await([&] { return detail::TestAccess::waiters(cache_, 1) == 2; }, "the threads to wait");
    holder.release();
    get.join();
    contains.join();
    const LruStats after = cache_.stats();
    EXPECT_EQ(after.hits - before.hits, removed ? 0U : 2U);
    EXPECT_EQ(after.misses - before.misses, removed ? 2U : 0U);
  }
}

// With values that are copied under the key's lock instead of the shard's.
TEST(LruStatsOfStringsTest, CountTheSame) {
  LruLockMap<std::string, std::string> cache(2);
  (void)cache.get("a");
  cache.insert("a", "1");
  (void)cache.get("a");
  (void)cache.contains("a");
  (void)cache.get_or_insert_with("b", [] { return std::string("2"); });
  (void)cache.get_or_insert_with("b", [] { return std::string("3"); });
  expect_stats(cache.stats(), 3, 2, 2, 0);
}

// More readers than stripes of their own; one that is in no slot counts beside one that is.
TEST(LruStatsOfThreadsTest, NoCountIsLostWhereThreadsShareAStripe) {
  constexpr std::uint64_t lookups = scaled(200'000);
  detail::LookupCounts counts(1);
  const std::array<std::size_t, 6> slots{0, 1, 2, 4, 6, static_cast<std::size_t>(-1)};
  run_together(static_cast<int>(slots.size()), [&](int thread) {
    const std::size_t slot = slots[static_cast<std::size_t>(thread)];
    for (std::uint64_t i = 0; i < lookups; ++i) counts.add(slot, i % 4 != 0);
  });
  EXPECT_EQ(counts.hits(), slots.size() * lookups * 3 / 4);
  EXPECT_EQ(counts.misses(), slots.size() * lookups / 4);
}

TEST(LruStatsOfThreadsTest, HitsAndMissesAddUpToTheLookups) {
  constexpr int threads = 4;
  constexpr int lookups = scaled(20'000);
  constexpr int keys = 100;
  Cache cache(LruOptions{.max_size = 20, .shard_count = 4});
  std::atomic<std::uint64_t> hits = 0;
  std::atomic<std::uint64_t> loads = 0;
  run_together(threads, [&](int thread) {
    for (int i = 0; i < lookups; ++i) {
      const int key = (i * (7 + 2 * thread) + i / 100) % keys;
      switch (i % 3) {
        case 0:
          if (cache.get(key)) ++hits;
          break;
        case 1:
          if (cache.contains(key)) ++hits;
          break;
        default: {
          bool loaded = false;
          (void)cache.get_or_insert_with(key, [&] {
            loaded = true;
            return key;
          });
          if (loaded) ++loads;
          if (!loaded) ++hits;
          break;
        }
      }
    }
  });
  const LruStats stats = cache.stats();
  EXPECT_EQ(stats.hits, hits);
  EXPECT_EQ(stats.hits + stats.misses, static_cast<std::uint64_t>(threads * lookups));
  EXPECT_EQ(stats.insertions, loads);
  EXPECT_EQ(stats.insertions - stats.evictions, cache.size());
  expect_quiet(cache);
}

}  // namespace
}  // namespace lockmap::test
