// The eviction listener: told of every value that goes because of the bound, on the thread that
// evicted it, outside every internal lock, and of nothing else.

#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "caches.hpp"
#include "maps.hpp"
#include "test_access.hpp"
#include "threads.hpp"

namespace lockmap::test {
namespace {

using detail::TestAccess;

using Cache = LruLockMap<int, int>;
using Pairs = std::vector<std::pair<int, int>>;

class LruListenerTest : public testing::Test {
 protected:
  Pairs evicted_;
  Cache cache_{one_shard(3),
               [this](const int& key, int& value) { evicted_.emplace_back(key, value); }};
};

TEST_F(LruListenerTest, SeesKeysAndValuesInTheOrderOfEviction) {
  for (int key = 1; key <= 6; ++key) cache_.insert(key, 10 * key);
  EXPECT_EQ(evicted_, (Pairs{{1, 10}, {2, 20}, {3, 30}}));
  EXPECT_EQ(cache_.stats().evictions, 3U);
  cache_.set_max_size(1);
  EXPECT_EQ(evicted_, (Pairs{{1, 10}, {2, 20}, {3, 30}, {4, 40}, {5, 50}}));
}

TEST_F(LruListenerTest, IsToldOfEveryOperationThatEvicts) {
  cache_.set_max_size(1);
  cache_.insert(0, 0);
  EXPECT_TRUE(cache_.try_insert(1, 10));
  cache_.entry(2).insert(20);
  cache_.entry(3).emplace(30);
  cache_.try_entry(4).value().or_insert(40);
  (void)cache_.get_or_insert_with(5, [] { return 50; });
  cache_.batch_lock({6}).at(6).swap(60);
  EXPECT_EQ(evicted_, (Pairs{{0, 0}, {1, 10}, {2, 20}, {3, 30}, {4, 40}, {5, 50}}));
}

TEST_F(LruListenerTest, IsNotToldOfValuesThatLeaveInAnotherWay) {
  for (const int key : {1, 2, 3}) cache_.insert(key, 10 * key);
  cache_.insert(1, 11);
  cache_.entry(1).insert(12);
  cache_.entry(1).emplace(13);
  cache_.entry(1).swap(14);
  cache_.entry(1).swap(std::nullopt);
  EXPECT_EQ(cache_.remove(2), 20);
  EXPECT_EQ(cache_.entry(3).remove(), 30);
  for (const int key : {1, 2, 3}) cache_.insert(key, 10 * key);
  EXPECT_EQ(cache_.pop_lru(), (std::pair<int, int>(1, 10)));
  EXPECT_EQ(cache_.retain([](const int& key, int&) { return key == 3; }), 1U);
  cache_.clear();
  (void)cache_.entry(4);
  EXPECT_TRUE(evicted_.empty());
  EXPECT_EQ(cache_.stats().evictions, 0U);
}

TEST_F(LruListenerTest, IsNotToldOfKeysWithoutAValue) {
  cache_.set_max_size(1);
  { const auto locked = cache_.batch_lock({1, 2, 3, 4}); }
  EXPECT_TRUE(evicted_.empty());
}

TEST_F(LruListenerTest, IsNotToldWhenTheCacheIsDestroyed) {
  {
    Cache cache(one_shard(3),
                [this](const int& key, int& value) { evicted_.emplace_back(key, value); });
    for (const int key : {1, 2, 3}) cache.insert(key, key);
  }
  EXPECT_TRUE(evicted_.empty());
}

TEST(LruListenerThreadTest, RunsOnTheThreadThatEvicts) {
  std::thread::id called_on;
  int calls = 0;
  Cache cache(one_shard(1), [&](const int&, int&) {
    called_on = std::this_thread::get_id();
    ++calls;
  });
  cache.insert(1, 1);
  cache.insert(2, 2);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(called_on, std::this_thread::get_id());

  in_another_thread([&] {
    cache.insert(3, 3);
    EXPECT_EQ(calls, 2);
    EXPECT_EQ(called_on, std::this_thread::get_id());
  });

  // The holder's release brings the cache back to its bound.
  Holder holder(cache, 3);
  cache.insert(4, 4);
  EXPECT_EQ(calls, 2);
  holder.release();
  EXPECT_EQ(calls, 3);
  EXPECT_NE(called_on, std::this_thread::get_id());
}

TEST(LruListenerThreadTest, RunsOutsideEveryInternalLock) {
  std::atomic<int> depth = 0;
  int calls = 0;
  Cache* cache_of_listener = nullptr;
  Cache cache(one_shard(2), [&](const int& key, int&) {
    if (depth++ == 0) {
      ++calls;
      // Another thread can use the same shard, and the evicted key, while the listener runs.
      in_another_thread([&] {
        EXPECT_EQ(cache_of_listener->peek(key), std::nullopt);
        EXPECT_TRUE(cache_of_listener->try_insert(1000 + key, 1));
        EXPECT_LE(cache_of_listener->size(), 2U);
        EXPECT_EQ(cache_of_listener->remove(1000 + key), 1);
        (void)cache_of_listener->entry(2000 + key);
        EXPECT_NO_THROW(TestAccess::check_invariants(*cache_of_listener));
      });
    }
    --depth;
  });
  cache_of_listener = &cache;
  for (int key = 0; key < 4; ++key) cache.insert(key, key);
  EXPECT_GE(calls, 1);
  cache.set_max_size(1);
  for (int key = 10; key < 14; ++key) cache.entry(key).insert(key);
  EXPECT_GE(calls, 4);
  expect_quiet(cache);
}

TEST(LruListenerUseTest, MayUseOtherKeysOfTheCache) {
  Cache* cache_of_listener = nullptr;
  int depth = 0;
  std::vector<int> evicted;
  // Keeps under key -1 how many were evicted; that touches -1 each time, so it is never the oldest.
  Cache cache(one_shard(4), [&](const int& key, int&) {
    ASSERT_EQ(depth++, 0);
    evicted.push_back(key);
    ++cache_of_listener->entry(-1).value();
    EXPECT_EQ(cache_of_listener->peek(key), std::nullopt);
    --depth;
  });
  cache_of_listener = &cache;
  for (int key = 0; key < 3; ++key) cache.insert(key, key);
  cache.insert(-1, 0);
  for (int key = 3; key < 10; ++key) cache.insert(key, key);
  for (int key = 10; key < 20; ++key) cache.entry(key).insert(key);
  for (int key = 20; key < 30; ++key) (void)cache.get_or_insert_with(key, [&] { return key; });
  EXPECT_EQ(cache.peek(-1), static_cast<int>(evicted.size()));
  EXPECT_EQ(evicted.size(), 27U);
  for (int i = 0; i < 27; ++i) EXPECT_EQ(evicted[static_cast<std::size_t>(i)], i);
  expect_quiet(cache);
}

TEST(LruListenerUseTest, MayAskForTheKeyThatGetOrInsertWithWasCalledFor) {
  Cache* cache_of_listener = nullptr;
  std::vector<int> loaded;
  int asked_for = 0;
  Cache cache(one_shard(1), [&](const int&, int&) {
    // Without waiting, since a deadlock error must not leave a listener.
    const auto entry = cache_of_listener->try_entry(asked_for);
    EXPECT_TRUE(entry.has_value()) << "the key is still held";
    if (entry.has_value() && entry->has_value()) loaded.push_back(**entry);
  });
  cache_of_listener = &cache;
  for (asked_for = 1; asked_for <= 3; ++asked_for) {
    EXPECT_EQ(cache.get_or_insert_with(asked_for, [&] { return 10 * asked_for; }), 10 * asked_for);
  }
  EXPECT_EQ(loaded, (std::vector<int>{20, 30}));
  expect_quiet(cache);
}

TEST(LruListenerUseTest, MayInsertAndSoEvictAgain) {
  Cache* cache_of_listener = nullptr;
  int reinserted = 0;
  std::vector<int> evicted;
  Cache cache(one_shard(3), [&](const int& key, int& value) {
    evicted.push_back(key);
    // Gives every tenth key a second chance under another name.
    if (key % 10 == 0 && key < 1000) {
      ++reinserted;
      cache_of_listener->insert(key + 1000, value);
    }
  });
  cache_of_listener = &cache;
  for (int key = 0; key < 100; ++key) cache.insert(key, key);
  EXPECT_EQ(cache.size(), 3U);
  EXPECT_EQ(reinserted, 10);
  EXPECT_EQ(evicted.size(), 100U + 10U - 3U);
  EXPECT_EQ(cache.stats().evictions, evicted.size());
  expect_quiet(cache);
}

TEST(LruListenerUseTest, MayTakeTheValueAway) {
  std::map<std::string, std::unique_ptr<int>> store;
  LruLockMap<std::string, std::unique_ptr<int>> cache(
      one_shard(2),
      [&](const std::string& key, std::unique_ptr<int>& value) { store[key] = std::move(value); });
  int number = 0;
  for (const char* key : {"a", "b", "c", "d"}) cache.insert(key, std::make_unique<int>(++number));
  ASSERT_EQ(store.size(), 2U);
  EXPECT_EQ(*store.at("a"), 1);
  EXPECT_EQ(*store.at("b"), 2);
}

// A write-back cache: what the listener stores, the loader reads again.
TEST(LruListenerUseTest, WriteBackAndLoadLoseNothing) {
  constexpr int keys = 40;
  constexpr int rounds = 2000;
  for (const std::size_t shards : {1U, 4U}) {
    std::map<int, int> store;
    Cache cache(LruOptions{.max_size = 8, .shard_count = shards},
                [&](const int& key, int& value) { store[key] = value; });
    int loads = 0;
    const auto load = [&](int key) {
      ++loads;
      const auto found = store.find(key);
      return found == store.end() ? 0 : found->second;
    };
    std::map<int, int> expected;
    std::mt19937 random(1);
    for (int round = 0; round < rounds; ++round) {
      const int key = static_cast<int>(random() % keys);
      ++expected[key];
      if (round % 2 == 0) {
        auto entry = cache.entry(key);
        ++entry.or_insert_with([&] { return load(key); });
      } else {
        const int old = cache.get_or_insert_with(key, [&] { return load(key); });
        cache.insert(key, old + 1);
      }
    }
    EXPECT_GT(loads, keys);
    cache.for_each([&](const int& key, const int& value) { store[key] = value; });
    EXPECT_EQ(store, expected);
  }
}

TEST(LruListenerUseTest, EveryValueIsEvictedOrKeptOnce) {
  constexpr int threads = 4;
  constexpr int per_thread = scaled(2000);
  std::vector<std::atomic<int>> fate(threads * per_thread);
  LruLockMap<int, int> cache(LruOptions{.max_size = 10, .shard_count = 2},
                             [&](const int& key, int& value) {
                               EXPECT_EQ(key, value % 50);
                               ++fate[static_cast<std::size_t>(value)];
                             });
  run_together(threads, [&](int thread) {
    for (int i = 0; i < per_thread; ++i) {
      const int value = thread * per_thread + i;
      if (const auto replaced = cache.insert(value % 50, value)) {
        ++fate[static_cast<std::size_t>(*replaced)];
      }
    }
  });
  cache.for_each([&](const int&, const int& value) { ++fate[static_cast<std::size_t>(value)]; });
  for (const auto& count : fate) EXPECT_EQ(count, 1);
  expect_quiet(cache);
}

TEST(LruListenerDeathTest, AnExceptionEndsTheProgram) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        Cache cache(one_shard(1),
                    [](const int&, int&) { throw std::runtime_error("not allowed"); });
        try {
          cache.insert(1, 1);
          cache.insert(2, 2);
        } catch (const std::runtime_error&) {
          std::exit(0);
        }
      },
      "");
}

}  // namespace
}  // namespace lockmap::test
