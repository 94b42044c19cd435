// With one shard the order is exact LRU. What makes a key the most recently used one, and what does
// not; and the whole against a reference that is too simple to be wrong.

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <unordered_map>
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
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

using Cache = LruLockMap<int, int>;
using Keys = std::vector<int>;

// The keys from the least to the most recently used. Empties the cache.
Keys drain(Cache& cache) {
  Keys keys;
  while (auto popped = cache.pop_lru()) keys.push_back(popped->first);
  EXPECT_TRUE(cache.empty());
  expect_quiet(cache);
  return keys;
}

class LruOrderTest : public testing::Test {
 protected:
  struct Touch {
    const char* name;
    std::function<void(Cache&)> run;
  };

  void SetUp() override { fill(); }

  void fill() {
    for (const int key : {1, 2, 3}) cache_.insert(key, 10 * key);
  }

  Cache cache_{one_shard(10)};
};

TEST_F(LruOrderTest, PopsInTheOrderOfInsertion) {
  EXPECT_EQ(cache_.pop_lru(), (std::pair<int, int>(1, 10)));
  EXPECT_EQ(cache_.pop_lru(), (std::pair<int, int>(2, 20)));
  EXPECT_EQ(cache_.size(), 1U);
  EXPECT_EQ(cache_.pop_lru(), (std::pair<int, int>(3, 30)));
  EXPECT_EQ(cache_.pop_lru(), std::nullopt);
  EXPECT_TRUE(cache_.empty());
}

TEST_F(LruOrderTest, WhatTouchesAKeyPromotesIt) {
  const std::vector<Touch> touches = {
      {"get", [](Cache& cache) { (void)cache.get(1); }},
      {"contains", [](Cache& cache) { (void)cache.contains(1); }},
      {"insert that replaces", [](Cache& cache) { (void)cache.insert(1, 11); }},
      {"try_insert that fails", [](Cache& cache) { EXPECT_FALSE(cache.try_insert(1, 11)); }},
      {"entry", [](Cache& cache) { (void)cache.entry(1); }},
      {"try_entry", [](Cache& cache) { (void)cache.try_entry(1); }},
      {"try_entry_for", [](Cache& cache) { (void)cache.try_entry_for(1, hours(1)); }},
      {"try_entry_for zero", [](Cache& cache) { (void)cache.try_entry_for(1, hours(0)); }},
      {"try_entry_until",
       [](Cache& cache) { (void)cache.try_entry_until(1, steady_clock::now() + hours(1)); }},
      {"get_or_insert_with",
       [](Cache& cache) { (void)cache.get_or_insert_with(1, [] { return 0; }); }},
      {"batch_lock", [](Cache& cache) { (void)cache.batch_lock({1}); }},
      {"try_batch_lock", [](Cache& cache) { (void)cache.try_batch_lock({1}); }},
      {"remove and insert",
       [](Cache& cache) {
         cache.remove(1);
         cache.insert(1, 11);
       }},
  };
  for (const Touch& touch : touches) {
    SCOPED_TRACE(touch.name);
    touch.run(cache_);
    EXPECT_EQ(drain(cache_), (Keys{2, 3, 1}));
    fill();
  }
}

TEST_F(LruOrderTest, WhatOnlyLooksPromotesNothing) {
  const std::vector<Touch> looks = {
      {"peek", [](Cache& cache) { EXPECT_EQ(cache.peek(1), 10); }},
      {"for_each", [](Cache& cache) { cache.for_each([](const int&, const int&) {}); }},
      {"retain", [](Cache& cache) { (void)cache.retain([](const int&, int&) { return true; }); }},
      {"size",
       [](Cache& cache) {
         EXPECT_EQ(cache.size(), 3U);
         EXPECT_FALSE(cache.empty());
       }},
      {"stats and bounds",
       [](Cache& cache) {
         (void)cache.stats();
         (void)cache.max_size();
         (void)cache.shard_count();
       }},
      {"set_max_size", [](Cache& cache) { cache.set_max_size(20); }},
      {"an absent key",
       [](Cache& cache) {
         (void)cache.get(4);
         (void)cache.contains(4);
         (void)cache.peek(4);
         (void)cache.remove(4);
         (void)cache.entry(4);
         (void)cache.try_batch_lock({4, 5});
       }},
  };
  for (const Touch& look : looks) {
    SCOPED_TRACE(look.name);
    look.run(cache_);
    EXPECT_EQ(drain(cache_), (Keys{1, 2, 3}));
    fill();
  }
}

TEST_F(LruOrderTest, ReleasingAGuardPromotesNothing) {
  {
    const auto entry = cache_.entry(1);
    (void)cache_.get(2);
  }
  EXPECT_EQ(drain(cache_), (Keys{3, 1, 2}));
}

TEST_F(LruOrderTest, StoringThroughAGuardKeepsThePlaceOfItsAcquisition) {
  {
    auto entry = cache_.entry(4);
    (void)cache_.get(1);
    entry.insert(40);
  }
  EXPECT_EQ(drain(cache_), (Keys{2, 3, 4, 1}));
}

TEST_F(LruOrderTest, ABatchPromotesInItsSortedOrder) {
  (void)cache_.batch_lock({3, 1});
  EXPECT_EQ(drain(cache_), (Keys{2, 1, 3}));
}

TEST_F(LruOrderTest, AnAttemptThatFailsPromotesNothing) {
  Holder holder(cache_, 1);  // and this is its promotion
  for (const int key : {2, 3}) (void)cache_.get(key);
  EXPECT_FALSE(cache_.try_entry(1).has_value());
  EXPECT_FALSE(cache_.try_entry_for(1, hours(0)).has_value());
  EXPECT_FALSE(cache_.try_entry_for(1, milliseconds(1)).has_value());
  EXPECT_FALSE(cache_.try_entry_until(1, steady_clock::time_point::min()).has_value());
  EXPECT_FALSE(cache_.try_batch_lock({1}).has_value());
  holder.release();
  EXPECT_EQ(drain(cache_), (Keys{1, 2, 3}));
}

TEST_F(LruOrderTest, AWaiterPromotesWhenItGetsTheKey) {
  const std::vector<Touch> touches = {
      {"get", [](Cache& cache) { (void)cache.get(1); }},
      {"contains", [](Cache& cache) { (void)cache.contains(1); }},
      {"insert", [](Cache& cache) { (void)cache.insert(1, 11); }},
      {"try_insert", [](Cache& cache) { (void)cache.try_insert(1, 11); }},
      {"entry", [](Cache& cache) { (void)cache.entry(1); }},
      {"try_entry_for", [](Cache& cache) { (void)cache.try_entry_for(1, hours(1)); }},
      {"batch_lock", [](Cache& cache) { (void)cache.batch_lock({1}); }},
      {"get_or_insert_with",
       [](Cache& cache) { (void)cache.get_or_insert_with(1, [] { return 0; }); }},
  };
  for (const Touch& touch : touches) {
    SCOPED_TRACE(touch.name);
    Holder holder(cache_, 1);
    Worker waiter([&] { touch.run(cache_); });
    await([&] { return TestAccess::parked(cache_, 1) == 1; }, "the thread to wait");
    for (const int key : {2, 3}) (void)cache_.get(key);
    holder.release();
    waiter.join();
    EXPECT_EQ(drain(cache_), (Keys{2, 3, 1}));
    fill();
  }
}

TEST_F(LruOrderTest, AWaiterThatOnlyLooksPromotesNothing) {
  Holder holder(cache_, 1);
  Worker peek([&] { EXPECT_EQ(cache_.peek(1), 10); });
  Worker visit([&] { cache_.for_each([](const int&, const int&) {}); });
  await([&] { return TestAccess::parked(cache_, 1) == 2; }, "the threads to wait");
  for (const int key : {2, 3}) (void)cache_.get(key);
  holder.release();
  peek.join();
  visit.join();
  EXPECT_EQ(drain(cache_), (Keys{1, 2, 3}));
}

TEST_F(LruOrderTest, PopLruSkipsHeldKeys) {
  (void)cache_.get(3);
  Holder holder(cache_, 1);
  for (const int key : {2, 3}) (void)cache_.get(key);
  {
    const auto own = cache_.entry(2);
    EXPECT_EQ(cache_.pop_lru(), (std::pair<int, int>(3, 30)));
    EXPECT_EQ(cache_.pop_lru(), std::nullopt);
    EXPECT_EQ(cache_.size(), 2U);
  }
  EXPECT_EQ(cache_.pop_lru(), (std::pair<int, int>(2, 20)));
  EXPECT_EQ(cache_.pop_lru(), std::nullopt);
  holder.release();
  EXPECT_EQ(drain(cache_), (Keys{1}));
}

TEST_F(LruOrderTest, PopLruIgnoresKeysThatAreOnlyLocked) {
  cache_.clear();
  const auto entry = cache_.entry(1);
  EXPECT_EQ(cache_.pop_lru(), std::nullopt);
  cache_.insert(2, 20);
  EXPECT_EQ(cache_.pop_lru(), (std::pair<int, int>(2, 20)));
}

TEST(LruPopTest, WithManyShardsEveryEntryComesOnce) {
  for (const std::size_t shards : {2U, 3U, 16U}) {
    Cache cache(LruOptions{.max_size = 1000, .shard_count = shards});
    for (int key = 0; key < 300; ++key) cache.insert(key, key);
    std::set<int> popped;
    {
      const auto held = cache.entry(7);
      while (const auto entry = cache.pop_lru()) {
        EXPECT_EQ(entry->first, entry->second);
        EXPECT_TRUE(popped.insert(entry->first).second);
      }
      EXPECT_EQ(popped.size(), 299U);
      EXPECT_FALSE(popped.contains(7));
    }
    EXPECT_EQ(drain(cache), (Keys{7}));
  }
}

// Numbers the shards of a cache, from outside: in a cache with room for one key per shard, a new
// key evicts the key that shares its shard.
std::vector<std::size_t> shards_of_keys(int keys, std::size_t shards) {
  std::vector<std::size_t> result;
  std::optional<int> evicted;
  Cache cache(LruOptions{.max_size = shards, .shard_count = shards},
              [&](const int& key, int&) { evicted = key; });
  std::size_t seen = 0;
  for (int key = 0; key < keys; ++key) {
    evicted.reset();
    cache.insert(key, 0);
    result.push_back(evicted ? result[static_cast<std::size_t>(*evicted)] : seen++);
  }
  EXPECT_EQ(seen, shards);
  return result;
}

TEST(LruPopTest, TakesTheOldestOfEachShardInTurn) {
  constexpr std::size_t shards = 4;
  constexpr int keys = 200;
  const std::vector<std::size_t> shard_of = shards_of_keys(keys, shards);
  Cache cache(LruOptions{.max_size = shards * keys, .shard_count = shards});
  for (int key = 0; key < keys; ++key) cache.insert(key, key);
  std::vector<int> left(shards, 0);
  for (const std::size_t shard : shard_of) ++left[shard];
  std::vector<int> last(shards, -1);
  const auto all_left = [&] { return *std::min_element(left.begin(), left.end()) > 0; };
  while (all_left()) {
    std::set<std::size_t> turn;
    for (std::size_t i = 0; i < shards; ++i) {
      const int key = cache.pop_lru().value().first;
      const std::size_t shard = shard_of[static_cast<std::size_t>(key)];
      EXPECT_TRUE(turn.insert(shard).second) << "shard " << shard << " twice in one turn";
      EXPECT_GT(key, last[shard]) << "not the oldest of shard " << shard;
      last[shard] = key;
      --left[shard];
    }
  }
}

TEST(LruOrderManyShardsTest, EachShardIsExact) {
  constexpr std::size_t shards = 3;
  constexpr std::size_t room = 5;
  constexpr int keys = 60;
  const std::vector<std::size_t> shard_of = shards_of_keys(keys, shards);
  Cache cache(LruOptions{.max_size = shards * room, .shard_count = shards});
  std::vector<std::list<int>> expected(shards);  // the most recently used key in front
  std::mt19937 random(7);
  for (int step = 0; step < scaled(10'000); ++step) {
    const int key = static_cast<int>(random() % keys);
    std::list<int>& order = expected[shard_of[static_cast<std::size_t>(key)]];
    cache.insert(key, step);
    order.remove(key);
    order.push_front(key);
    if (order.size() > room) order.pop_back();
  }
  for (std::size_t i = 0; i < shards * room; ++i) {
    const int key = cache.pop_lru().value().first;
    std::list<int>& order = expected[shard_of[static_cast<std::size_t>(key)]];
    EXPECT_EQ(key, order.back());
    order.pop_back();
  }
  EXPECT_TRUE(cache.empty());
}

TEST(LruPopTest, HandsOutMoveOnlyValues) {
  LruLockMap<int, std::unique_ptr<int>> cache(one_shard(2));
  cache.insert(1, std::make_unique<int>(10));
  const auto popped = cache.pop_lru();
  ASSERT_TRUE(popped.has_value());
  EXPECT_EQ(popped->first, 1);
  EXPECT_EQ(*popped->second, 10);
  EXPECT_TRUE(cache.empty());
}

// Movable, but only by copying, which might throw.
struct Copied {
  explicit Copied(int n) : number(n) {}
  Copied(const Copied& other) noexcept(false) : number(other.number) {}
  Copied& operator=(const Copied& other) = default;
  ~Copied() = default;
  int number;
};

TEST(LruPopTest, HandsOutValuesWhoseMoveMayThrow) {
  LruLockMap<int, Copied> cache(one_shard(2));
  cache.insert(1, Copied(10));
  cache.insert(2, Copied(20));
  cache.insert(3, Copied(30));
  const auto held = cache.entry(2);
  const auto popped = cache.pop_lru();
  ASSERT_TRUE(popped.has_value());
  EXPECT_EQ(popped->first, 3);
  EXPECT_EQ(popped->second.number, 30);
  EXPECT_EQ(cache.size(), 1U);
}

// A key that is held where room was wanted is out of the order; a touch brings it back into it,
// also one that would reorder nothing else, since the key is young.
TEST(LruRelaxedOrderTest, ATouchBringsAHeldKeyBackIntoTheOrder) {
  Cache cache(LruOptions{.max_size = 8, .shard_count = 1, .recency = Recency::relaxed});
  std::vector<Cache::SharedEntry> held;
  for (int key = 0; key < 8; ++key) {
    cache.insert(key, key);
    held.push_back(cache.shared_entry(key));
  }
  cache.set_max_size(1);
  held.push_back(cache.shared_entry(6));
  TestAccess::check_invariants(cache);
  held.clear();
  EXPECT_EQ(cache.pop_lru(), std::pair(6, 6));
  EXPECT_TRUE(cache.empty());
}

TEST(LruRelaxedOrderTest, TouchesReorderAllButTheNewestQuarter) {
  for (const int size : {1, 3, 4, 5, 8, 11}) {
    for (int touched = 0; touched < size; ++touched) {
      Cache cache(LruOptions{.max_size = 20, .shard_count = 1, .recency = Recency::relaxed});
      Keys expected;
      for (int key = 0; key < size; ++key) {
        cache.insert(key, key);
        expected.push_back(key);
      }
      cache.insert(touched, touched);
      const int newer = size - 1 - touched;
      if (newer >= size / 4) {
        expected.erase(expected.begin() + touched);
        expected.push_back(touched);
      }
      Keys order;
      while (const auto popped = cache.pop_lru()) order.push_back(popped->first);
      EXPECT_EQ(order, expected) << touched << " of " << size;
    }
  }
}

// The obvious LRU cache: a list, the most recently used entry in front.
class ReferenceLru {
 public:
  explicit ReferenceLru(std::size_t max_size) : max_size_(max_size) {}

  int* touch(int key) {
    const auto found = places_.find(key);
    if (found == places_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, found->second);
    return &found->second->second;
  }

  std::optional<int> peek(int key) const {
    const auto found = places_.find(key);
    if (found == places_.end()) return std::nullopt;
    return found->second->second;
  }

  void insert(int key, int value) {
    if (int* present = touch(key)) {
      *present = value;
      return;
    }
    entries_.emplace_front(key, value);
    places_[key] = entries_.begin();
    evict();
  }

  bool remove(int key) {
    const auto found = places_.find(key);
    if (found == places_.end()) return false;
    entries_.erase(found->second);
    places_.erase(found);
    return true;
  }

  std::optional<std::pair<int, int>> pop_lru() {
    if (entries_.empty()) return std::nullopt;
    const auto last = entries_.back();
    remove(last.first);
    return last;
  }

  void set_max_size(std::size_t max_size) {
    max_size_ = max_size;
    evict();
  }

  std::size_t size() const { return entries_.size(); }
  const std::vector<std::pair<int, int>>& evicted() const { return evicted_; }

 private:
  void evict() {
    while (entries_.size() > max_size_) evicted_.push_back(*pop_lru());
  }

  std::size_t max_size_;
  std::list<std::pair<int, int>> entries_;
  std::unordered_map<int, std::list<std::pair<int, int>>::iterator> places_;
  std::vector<std::pair<int, int>> evicted_;
};

TEST(LruReferenceTest, RandomOperationsEvictTheSameEntriesInTheSameOrder) {
  std::vector<std::pair<int, int>> evicted;
  Cache cache(one_shard(8), [&](const int& key, int& value) { evicted.emplace_back(key, value); });
  ReferenceLru reference(8);
  std::mt19937 random(1);
  constexpr int keys = 24;
  for (int step = 0; step < scaled(50'000); ++step) {
    const int key = static_cast<int>(random() % keys);
    switch (random() % 14) {
      case 0:
      case 1: {
        const int* expected = reference.touch(key);
        EXPECT_EQ(cache.get(key), expected ? std::optional(*expected) : std::nullopt);
        break;
      }
      case 2:
        EXPECT_EQ(cache.contains(key), reference.touch(key) != nullptr);
        break;
      case 3:
      case 4:
        EXPECT_EQ(cache.insert(key, step), reference.peek(key));
        reference.insert(key, step);
        break;
      case 5: {
        const bool expected = reference.touch(key) == nullptr;
        if (expected) reference.insert(key, step);
        EXPECT_EQ(cache.try_insert(key, step), expected);
        break;
      }
      case 6: {
        if (!reference.touch(key)) reference.insert(key, step);
        EXPECT_EQ(cache.get_or_insert_with(key, [&] { return step; }), reference.peek(key));
        break;
      }
      case 7: {
        auto entry = cache.entry(key);
        if (!reference.touch(key)) reference.insert(key, step);
        EXPECT_EQ(entry.or_insert(step), reference.peek(key));
        break;
      }
      case 8: {
        auto entry = cache.entry(key);
        entry.insert(step);
        reference.insert(key, step);
        break;
      }
      case 9: {
        // Absent keys of a batch may evict when they are locked or when they are stored.
        const int other = (key + 5) % keys;
        if (!reference.peek(key) || !reference.peek(other)) break;
        auto batch = cache.batch_lock({key, other});
        for (auto& entry : batch) {
          entry.insert(step);
          reference.insert(entry.key(), step);
        }
        break;
      }
      case 10:
        EXPECT_EQ(cache.remove(key).has_value(), reference.remove(key));
        break;
      case 11:
        EXPECT_EQ(cache.pop_lru(), reference.pop_lru());
        break;
      case 12: {
        const std::size_t max_size = 4 + random() % 8;
        cache.set_max_size(max_size);
        reference.set_max_size(max_size);
        break;
      }
      default:
        EXPECT_EQ(cache.peek(key), reference.peek(key));
        break;
    }
    ASSERT_EQ(evicted, reference.evicted()) << "step " << step;
    ASSERT_EQ(cache.size(), reference.size()) << "step " << step;
  }
  expect_quiet(cache);
  while (const auto expected = reference.pop_lru()) EXPECT_EQ(cache.pop_lru(), expected);
  EXPECT_TRUE(cache.empty());
}

// Requests for `keys` keys, the k-th most popular one with a weight of 1 / k.
std::vector<int> zipf_trace(int keys, int requests) {
  std::vector<double> sums;
  double sum = 0;
  for (int rank = 1; rank <= keys; ++rank) sums.push_back(sum += 1.0 / rank);
  std::mt19937_64 random(42);
  std::vector<int> trace;
  for (int i = 0; i < requests; ++i) {
    const double point = sum * std::ldexp(static_cast<double>(random() >> 11), -53);
    const auto place = std::upper_bound(sums.begin(), sums.end(), point) - sums.begin();
    // Popular keys are not neighbours.
    trace.push_back(static_cast<int>(place * 7919 % keys));
  }
  return trace;
}

class LruZipfTest : public testing::TestWithParam<std::size_t> {};

TEST_P(LruZipfTest, AsManyHitsAsTheReference) {
  const std::vector<int> trace = zipf_trace(5000, scaled(60'000));
  ReferenceLru reference(GetParam());
  Cache lookups(one_shard(GetParam()));
  Cache loads(one_shard(GetParam()));
  std::uint64_t hits = 0;
  for (const int key : trace) {
    if (reference.touch(key)) {
      ++hits;
    } else {
      reference.insert(key, key);
    }
    if (!lookups.get(key)) lookups.insert(key, key);
    EXPECT_EQ(loads.get_or_insert_with(key, [&] { return key; }), key);
  }
  for (const Cache* cache : {&lookups, &loads}) {
    const LruStats stats = cache->stats();
    EXPECT_EQ(stats.hits, hits);
    EXPECT_EQ(stats.misses, trace.size() - hits);
    EXPECT_EQ(stats.insertions, trace.size() - hits);
    EXPECT_EQ(stats.evictions, reference.evicted().size());
    EXPECT_EQ(cache->size(), reference.size());
    expect_quiet(*cache);
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, LruZipfTest, testing::Values(1, 2, 10, 100, 1000, 10'000));

}  // namespace
}  // namespace lockmap::test
