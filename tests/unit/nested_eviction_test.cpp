// Listeners that evict in turn: the stack stays small however long that goes on, every victim is
// reported once and in order, and no listener meets the key of the operation that evicted.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <deque>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "caches.hpp"
#include "maps.hpp"
#include "small_stack.hpp"
#include "threads.hpp"
#include "waiting.hpp"

namespace lockmap::test::nested_eviction {
namespace {

using Cache = LruLockMap<int, int>;
using Keys = std::vector<int>;

// A frame of a few hundred bytes for each of these would take many small stacks.
constexpr int depth = 100'000;

Keys sequence(int begin, int end) {
  Keys keys;
  for (int key = begin; key < end; ++key) keys.push_back(key);
  return keys;
}

// -- A constant stack ----------------------------------------------------------------------------

TEST(NestedEvictionTest, AListenerThatPutsTheEvictedKeyBack) {
  int calls = 0;
  Cache* cache_of_listener = nullptr;
  Cache cache(one_shard(1), [&](const int& key, int& value) {
    EXPECT_EQ(value, 10 * key);
    if (++calls < depth) cache_of_listener->insert(key, value);
  });
  cache_of_listener = &cache;
  run_on_small_stack([&] {
    cache.insert(1, 10);
    cache.insert(2, 20);
  });
  EXPECT_EQ(calls, depth);
  EXPECT_EQ(cache.stats().evictions, static_cast<std::size_t>(depth));
  EXPECT_EQ(cache.size(), 1U);
  expect_quiet(cache);
}

TEST(NestedEvictionTest, AListenerThatPutsItBackByAGuard) {
  int calls = 0;
  LruLockMap<int, std::string>* cache_of_listener = nullptr;
  LruLockMap<int, std::string> cache(one_shard(1), [&](const int& key, std::string& value) {
    EXPECT_EQ(value, std::to_string(key));
    if (++calls < depth) cache_of_listener->entry(key).insert(std::move(value));
  });
  cache_of_listener = &cache;
  run_on_small_stack([&] {
    cache.entry(1).insert("1");
    cache.entry(2).insert("2");
  });
  EXPECT_EQ(calls, depth);
  EXPECT_EQ(cache.size(), 1U);
  expect_quiet(cache);
}

TEST(NestedEvictionTest, TwoCachesThatSpillIntoEachOther) {
  // Three values in two places: one of them is always on its way.
  Cache* left = nullptr;
  Cache* right = nullptr;
  int to_right = 0;
  int to_left = 0;
  std::optional<int> lost;
  const auto spill = [&lost](Cache& cache, int& spilled, int key, int value) {
    EXPECT_EQ(value, 10 * key);
    if (++spilled < depth) {
      cache.insert(key, value);
    } else {
      EXPECT_FALSE(lost.has_value());
      lost = key;
    }
  };
  Cache first(one_shard(1),
              [&](const int& key, int& value) { spill(*right, to_right, key, value); });
  Cache second(one_shard(1),
               [&](const int& key, int& value) { spill(*left, to_left, key, value); });
  left = &first;
  right = &second;
  run_on_small_stack([&] {
    for (const int key : {1, 2, 3}) first.insert(key, 10 * key);
  });
  EXPECT_EQ(std::max(to_left, to_right), depth);
  ASSERT_TRUE(lost.has_value());
  Keys keys = {*lost};
  for (const Cache* cache : {left, right}) {
    cache->for_each([&](const int& key, const int& value) {
      EXPECT_EQ(value, 10 * key);
      keys.push_back(key);
    });
    expect_quiet(*cache);
  }
  std::sort(keys.begin(), keys.end());
  EXPECT_EQ(keys, (Keys{1, 2, 3}));
}

// A value whose destructor stores the next but one, which evicts the next.
class Successor {
 public:
  Successor(LruLockMap<int, Successor>& cache, int number) : cache_(&cache), number_(number) {}
  Successor(Successor&& other) noexcept
      : cache_(std::exchange(other.cache_, nullptr)), number_(other.number_) {}
  Successor& operator=(Successor&&) = delete;
  ~Successor() {
    if (cache_ == nullptr || number_ >= depth) return;
    cache_->insert(number_ + 2, Successor(*cache_, number_ + 2));
  }

 private:
  LruLockMap<int, Successor>* cache_;  // null: moved from
  int number_;
};

TEST(NestedEvictionTest, DestructorsThatStore) {
  LruLockMap<int, Successor> cache(one_shard(1));
  run_on_small_stack([&] {
    for (const int number : {0, 1}) cache.insert(number, Successor(cache, number));
  });
  EXPECT_EQ(cache.stats().evictions, static_cast<std::size_t>(depth + 1));
  EXPECT_TRUE(cache.contains(depth + 1));
  expect_quiet(cache);
}

// -- Each victim once, and in order --------------------------------------------------------------

// A cache of one shard and its listener: victims are told of in the order in which they
// went,
// and the insertions of the listener evict in turn.
class Model {
 public:
  Model(std::size_t bound, std::function<std::optional<int>(int)> reinsert)
      : bound_(bound), reinsert_(std::move(reinsert)) {}

  void insert(int key) {
    store(key);
    while (!victims_.empty()) {
      const int victim = victims_.front();
      victims_.pop_front();
      told_.push_back(victim);
      if (const auto next = reinsert_(victim)) store(*next);
    }
  }

  const Keys& told() const { return told_; }
  const std::deque<int>& keys() const { return keys_; }

 private:
  void store(int key) {
    std::erase(keys_, key);
    keys_.push_back(key);
    if (keys_.size() <= bound_) return;
    victims_.push_back(keys_.front());
    keys_.pop_front();
  }

  std::size_t bound_;
  std::function<std::optional<int>(int)> reinsert_;
  std::deque<int> keys_;  // the least recently used first
  std::deque<int> victims_;
  Keys told_;
};

TEST(NestedEvictionTest, VictimsAreReportedInTheOrderOfEviction) {
  constexpr int insertions = 200;
  const auto reinsert = [](int key) -> std::optional<int> {
    return key < 10'000 ? std::optional<int>(key + 3000) : std::nullopt;
  };
  for (const std::size_t bound : {1U, 2U, 5U}) {
    SCOPED_TRACE(bound);
    Keys told;
    int depth_of_listener = 0;
    Cache* cache_of_listener = nullptr;
    Cache cache(one_shard(bound), [&](const int& key, int& value) {
      EXPECT_EQ(value, key);
      EXPECT_EQ(++depth_of_listener, 1);
      told.push_back(key);
      if (const auto next = reinsert(key)) cache_of_listener->insert(*next, *next);
      --depth_of_listener;
    });
    cache_of_listener = &cache;
    Model model(bound, reinsert);
    for (int key = 0; key < insertions; ++key) {
      cache.insert(key, key);
      model.insert(key);
      ASSERT_EQ(told, model.told());  // all of them, when the operation returns
    }
    for (const int key : model.keys()) EXPECT_EQ(cache.peek(key), key);
    EXPECT_EQ(cache.stats().evictions, told.size());
    expect_quiet(cache);
  }
}

// All that one release evicts, and that its listeners evict, is reported before it returns.
TEST(NestedEvictionTest, AReleaseReportsAllOfThem) {
  Keys told;
  Cache* cache_of_listener = nullptr;
  Cache cache(one_shard(3), [&](const int& key, int& value) {
    EXPECT_EQ(value, key);
    told.push_back(key);
    if (key < 1000) cache_of_listener->insert(key + 1000, key + 1000);
  });
  cache_of_listener = &cache;
  std::vector<Cache::Entry> held;
  for (int key = 0; key < 10; ++key) {
    held.push_back(cache.entry(key));
    held.back().insert(key);
  }
  EXPECT_TRUE(told.empty());
  held.clear();
  EXPECT_EQ(cache.size(), 3U);
  // Each of the ten went or stays; so did the successors of those that went.
  std::sort(told.begin(), told.end());
  EXPECT_EQ(std::unique(told.begin(), told.end()), told.end());
  EXPECT_EQ(cache.stats().evictions, told.size());
  EXPECT_EQ(cache.stats().insertions, told.size() + 3);
  cache.for_each([&](const int& key, const int&) {
    EXPECT_FALSE(std::binary_search(told.begin(), told.end(), key));
  });
  expect_quiet(cache);
}

// A smaller bound and a listener that makes the cache smaller still.
TEST(NestedEvictionTest, AListenerThatLowersTheBound) {
  Keys told;
  Cache* cache_of_listener = nullptr;
  Cache cache(one_shard(100), [&](const int& key, int&) {
    told.push_back(key);
    const std::size_t bound = cache_of_listener->max_size();
    if (bound > 1) cache_of_listener->set_max_size(bound - 1);
  });
  cache_of_listener = &cache;
  for (int key = 0; key <= 100; ++key) cache.insert(key, key);
  EXPECT_EQ(cache.max_size(), 1U);
  EXPECT_EQ(cache.size(), 1U);
  EXPECT_EQ(told, sequence(0, 100));
  EXPECT_EQ(cache.peek(100), 100);
  expect_quiet(cache);
}

// -- The key of the operation that evicted -------------------------------------------------------

using Texts = LruLockMap<int, std::string>;

// Whatever a listener may ask a cache for, of a key that the operation has just stored or used.
void use_in_every_way(Texts& cache, int key) {
  (void)cache.contains(key);
  (void)cache.get(key);
  (void)cache.peek(key);
  (void)cache.get_or_insert_with(key, [] { return std::string("made by the listener"); });
  (void)cache.insert(key, "stored by the listener");
  (void)cache.try_insert(key, "unused");
  (void)cache.entry(key).get();
  (void)cache.batch_lock({key, key + 1000});
  (void)cache.remove(key);
  (void)cache.insert(key, "by the listener");
}

struct EvictingOperation {
  const char* name;
  std::function<void(Texts&, int key)> run;  // of a key that has no value
};

std::vector<EvictingOperation> evicting_operations() {
  return {
      {"insert", [](Texts& cache, int key) { cache.insert(key, "new"); }},
      {"try_insert", [](Texts& cache, int key) { EXPECT_TRUE(cache.try_insert(key, "new")); }},
      {"get_or_insert_with",
       [](Texts& cache, int key) {
         EXPECT_EQ(cache.get_or_insert_with(key, [] { return std::string("new"); }), "new");
       }},
      {"get_or_insert_with that throws",
       [](Texts& cache, int key) {
         EXPECT_THROW((void)cache.get_or_insert_with(
                          key, []() -> std::string { throw std::runtime_error("no value"); }),
                      std::runtime_error);
       }},
      {"set_max_size",
       [](Texts& cache, int key) {
         cache.set_max_size(2);
         cache.insert(key, "new");
         cache.set_max_size(1);
       }},
      {"a guard that is released",
       [](Texts& cache, int key) {
         const auto other = cache.entry(0);
         auto entry = cache.entry(key);
         entry.insert("new");
         entry.unlock();
       }},
  };
}

TEST(NestedEvictionTest, AListenerMayUseTheKeyOfTheOperation) {
  constexpr int key = 5;
  for (const auto& operation : evicting_operations()) {
    SCOPED_TRACE(operation.name);
    int calls = 0;
    Texts* cache_of_listener = nullptr;
    Texts cache(one_shard(1), [&](const int&, std::string&) {
      if (calls++ != 0) return;
      EXPECT_NO_THROW(use_in_every_way(*cache_of_listener, key));
    });
    cache_of_listener = &cache;
    cache.insert(0, "old");
    operation.run(cache, key);
    EXPECT_GE(calls, 1);
    EXPECT_EQ(cache.peek(key), "by the listener");
    EXPECT_EQ(cache.size(), 1U);
    expect_quiet(cache);
  }
}

// A load keeps its key until it is done, and only then waits for what its listener wants.
TEST(NestedEvictionTest, AListenerThatWaitsForAKeyIsInNoCycleWithItsLoad) {
  constexpr int loaded = 1;
  constexpr int wanted = 2;
  LockMap<int, int> store;
  std::atomic<int> written = 0;
  Texts cache(one_shard(1), [&](const int& key, std::string&) {
    EXPECT_EQ(key, 0);
    EXPECT_NO_THROW(written = store.entry(wanted).or_insert(7));
  });
  cache.insert(0, "old");
  std::optional<Worker> other;
  std::atomic<bool> holds = false;
  EXPECT_EQ(cache.get_or_insert_with(loaded,
                                     [&] {
                                       other.emplace([&] {
                                         auto entry = store.entry(wanted);
                                         holds = true;
                                         EXPECT_EQ(cache.get(loaded), "new");
                                         entry.insert(8);
                                       });
                                       await([&] { return holds.load(); }, "the other to hold");
                                       await_waiters(cache, loaded, 1);
                                       return std::string("new");
                                     }),
            "new");
  other.reset();
  EXPECT_EQ(written, 8);
  expect_quiet(cache);
  expect_quiet(store);
}

}  // namespace
}  // namespace lockmap::test::nested_eviction
