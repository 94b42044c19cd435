// Which keys are evicted, and when: never a key that somebody holds or waits for, never by waiting,
// and what could not be evicted goes when a guard is released.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <string>
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
using Keys = std::vector<int>;

class LruEvictionTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const int key : {1, 2, 3}) cache_.insert(key, 10 * key);
  }

  // All keys with a value. No key may be held.
  Keys keys() {
    Keys result;
    cache_.for_each([&](const int& key, const int&) { result.push_back(key); });
    std::sort(result.begin(), result.end());
    return result;
  }

  Cache cache_{one_shard(3)};
};

TEST_F(LruEvictionTest, EvictsTheLeastRecentlyUsedKey) {
  cache_.insert(4, 40);
  EXPECT_EQ(keys(), (Keys{2, 3, 4}));
  (void)cache_.get(2);
  cache_.insert(5, 50);
  EXPECT_EQ(keys(), (Keys{2, 4, 5}));
  cache_.insert(4, 41);
  EXPECT_EQ(keys(), (Keys{2, 4, 5}));
  expect_quiet(cache_);
}

TEST_F(LruEvictionTest, SkipsAKeyOfTheThreadsOwn) {
  {
    const auto own = cache_.entry(1);
    for (const int key : {2, 3}) (void)cache_.get(key);
    cache_.insert(4, 40);
    EXPECT_EQ(cache_.size(), 3U);
    cache_.insert(5, 50);
    EXPECT_EQ(cache_.size(), 3U);
    EXPECT_EQ(own.value(), 10);
  }
  EXPECT_EQ(keys(), (Keys{1, 4, 5}));
}

TEST_F(LruEvictionTest, SkipsKeysThatOthersHoldAndWaitFor) {
  Holder holder(cache_, 1, [](auto& entry) { ++entry.value(); });
  Worker waiter([&] { EXPECT_EQ(cache_.get(1), 11); });
  await([&] { return TestAccess::parked(cache_, 1) == 1; }, "the thread to wait");
  for (int key = 4; key <= 20; ++key) {
    cache_.insert(key, 10 * key);
    EXPECT_EQ(cache_.size(), 3U);
  }
  holder.release();
  waiter.join();
  EXPECT_EQ(keys(), (Keys{1, 19, 20}));
  expect_quiet(cache_);
}

TEST_F(LruEvictionTest, NeverWaitsAndNeverEvictsWhatWasJustStored) {
  {
    const auto all = cache_.batch_lock({1, 2, 3});
    cache_.insert(4, 40);
    EXPECT_EQ(cache_.size(), 4U);
    EXPECT_EQ(cache_.peek(4), 40);
    // The only key that nobody holds makes way for the next one.
    cache_.insert(5, 50);
    EXPECT_EQ(cache_.size(), 4U);
    EXPECT_EQ(cache_.peek(4), std::nullopt);
    EXPECT_EQ(cache_.peek(5), 50);
    EXPECT_NO_THROW(TestAccess::check_invariants(cache_));
  }
  // A batch lets go of its last key first, which is then the oldest that nobody holds.
  EXPECT_EQ(keys(), (Keys{1, 2, 5}));
  expect_quiet(cache_);
}

TEST_F(LruEvictionTest, NeverWaitsForKeysThatOthersHold) {
  std::deque<Holder<Cache>> holders;
  for (const int key : {1, 2, 3}) holders.emplace_back(cache_, key);
  cache_.insert(4, 40);
  EXPECT_TRUE(cache_.try_insert(5, 50));
  cache_.entry(6).insert(60);
  cache_.insert(7, 70);
  EXPECT_EQ(cache_.size(), 4U);
  EXPECT_EQ(cache_.peek(7), 70);
  holders.clear();
  EXPECT_EQ(cache_.size(), 3U);
  expect_quiet(cache_);
}

TEST_F(LruEvictionTest, AValueThatWasJustLoadedIsNotEvictedByItsLoad) {
  std::deque<Holder<Cache>> holders;
  for (const int key : {1, 2, 3}) holders.emplace_back(cache_, key);
  EXPECT_EQ(cache_.get_or_insert_with(4, [] { return 40; }), 40);
  EXPECT_EQ(cache_.peek(4), 40);
  EXPECT_EQ(cache_.get_or_insert_with(4, [] { return 41; }), 40);
  holders.clear();
  EXPECT_EQ(cache_.size(), 3U);
  expect_quiet(cache_);
}

TEST_F(LruEvictionTest, GrowsWhileAllKeysAreHeldAndComesBackAsTheyAreReleased) {
  constexpr int guards = 10;
  std::deque<Cache::Entry> held;
  cache_.clear();
  for (int key = 1; key <= guards; ++key) {
    held.push_back(cache_.entry(key));
    held.back().insert(key);
    EXPECT_EQ(cache_.size(), static_cast<std::size_t>(key));
  }
  EXPECT_NO_THROW(TestAccess::check_invariants(cache_));
  for (std::size_t size = guards; !held.empty(); size = std::max<std::size_t>(size - 1, 3)) {
    EXPECT_EQ(cache_.size(), size);
    held.pop_front();
  }
  EXPECT_EQ(keys(), (Keys{8, 9, 10}));
  EXPECT_EQ(cache_.stats().evictions, 7U);
  expect_quiet(cache_);
}

TEST_F(LruEvictionTest, EveryWayToReleaseEvicts) {
  Cache cache(one_shard(1));
  const auto overfill = [&] {
    cache.insert(100, 1);
    cache.insert(101, 1);
    EXPECT_GE(cache.size(), 2U);
  };
  const auto expect_back = [&](const char* how) {
    EXPECT_EQ(cache.size(), 1U) << how;
    expect_quiet(cache);
    cache.clear();
    cache.insert(1, 1);
  };
  Cache other(one_shard(1));
  cache.insert(1, 1);

  {
    auto entry = cache.entry(1);
    overfill();
    entry.unlock();
    expect_back("unlock");
  }
  {
    auto entry = cache.entry(1);
    overfill();
    entry = other.entry(1);
    expect_back("assignment");
  }
  {
    auto batch = cache.batch_lock({1, 2});
    batch.at(2).insert(2);
    overfill();
  }
  expect_back("batch");
  cache.for_each([&](const int& key, const int&) {
    if (key == 1) overfill();
  });
  expect_back("for_each");
  (void)cache.retain([&](const int& key, int&) {
    if (key == 1) overfill();
    return true;
  });
  expect_back("retain");
  cache.clear();
  (void)cache.get_or_insert_with(1, [&] {
    cache.insert(100, 1);
    return 1;
  });
  expect_back("get_or_insert_with");
  {
    Holder holder(cache, 1);
    overfill();
  }
  expect_back("another thread");
}

TEST_F(LruEvictionTest, AKeyThatIsHandedOverIsNotEvictedInBetween) {
  Cache cache(one_shard(1));
  cache.insert(1, 10);
  {
    Holder holder(cache, 1);
    std::deque<Worker> waiters;
    for (int i = 0; i < 3; ++i) {
      waiters.emplace_back([&] {
        auto entry = cache.entry(1);
        ASSERT_TRUE(entry.has_value());
        ++*entry;
      });
      await([&] { return TestAccess::parked(cache, 1) == waiters.size(); }, "the threads to wait");
    }
    cache.insert(2, 20);
    EXPECT_EQ(cache.size(), 2U);
    holder.release();
  }
  EXPECT_EQ(cache.size(), 1U);
  expect_quiet(cache);
}

TEST_F(LruEvictionTest, AKeyThatIsOnlyLockedTakesAPlaceWhileItsGuardLives) {
  {
    const auto locked = cache_.entry(4);
    EXPECT_FALSE(locked.has_value());
    EXPECT_GE(cache_.size(), 2U);
    EXPECT_LE(cache_.size(), 3U);
    EXPECT_LE(cache_.stats().evictions, 1U);
    EXPECT_NO_THROW(TestAccess::check_invariants(cache_));
  }
  EXPECT_EQ(TestAccess::node_count(cache_), cache_.size());
  cache_.insert(5, 50);
  cache_.insert(6, 60);
  EXPECT_EQ(cache_.size(), 3U);
  expect_quiet(cache_);
}

TEST_F(LruEvictionTest, AMissingKeyThatIsAskedForTakesNoPlace) {
  (void)cache_.get(4);
  (void)cache_.contains(5);
  (void)cache_.peek(6);
  (void)cache_.remove(7);
  EXPECT_EQ(keys(), (Keys{1, 2, 3}));
  EXPECT_EQ(cache_.stats().evictions, 0U);
}

TEST_F(LruEvictionTest, LockedKeysWithoutValuesDoNotStopInsertions) {
  Cache cache(one_shard(1));
  {
    const auto locked = cache.batch_lock({1, 2, 3});
    cache.insert(4, 40);
    EXPECT_EQ(cache.size(), 1U);
    EXPECT_EQ(cache.peek(4), 40);
    cache.insert(5, 50);
    EXPECT_EQ(cache.size(), 1U);
    EXPECT_EQ(cache.peek(5), 50);
    EXPECT_EQ(TestAccess::node_count(cache), 4U);
  }
  EXPECT_LE(cache.size(), 1U);
  cache.insert(6, 60);
  EXPECT_EQ(cache.get(6), 60);
  EXPECT_EQ(cache.size(), 1U);
  expect_quiet(cache);
}

TEST_F(LruEvictionTest, AValueRemovedUnderItsGuardFreesItsPlace) {
  {
    auto entry = cache_.entry(2);
    entry.remove();
  }
  EXPECT_EQ(TestAccess::node_count(cache_), 2U);
  cache_.insert(4, 40);
  EXPECT_EQ(keys(), (Keys{1, 3, 4}));
}

TEST_F(LruEvictionTest, FindsAFreeKeyBehindManyHeldOnes) {
  constexpr int held = 200;
  Cache cache(one_shard(held + 1));
  Keys held_keys;
  for (int key = 0; key < held; ++key) held_keys.push_back(key);
  {
    auto batch = cache.batch_lock(held_keys);
    for (auto& entry : batch) entry.insert(1);
    for (int key = held; key < held + 100; ++key) {
      cache.insert(key, 1);
      EXPECT_EQ(cache.size(), held + 1U);
      EXPECT_EQ(cache.peek(key), 1);
    }
  }
  EXPECT_EQ(cache.size(), held + 1U);
  EXPECT_EQ(cache.stats().evictions, 99U);
  expect_quiet(cache);
}

TEST_F(LruEvictionTest, ValuesMayBeMoveOnly) {
  LruLockMap<std::string, std::unique_ptr<int>> cache(one_shard(2));
  for (const char* key : {"a", "b", "c"}) cache.insert(key, std::make_unique<int>(1));
  EXPECT_FALSE(cache.contains("a"));
  EXPECT_TRUE(cache.contains("b"));
  EXPECT_TRUE(cache.contains("c"));
}

// Says something when it dies, unless it was moved away.
class Mortal {
 public:
  explicit Mortal(std::function<void()> last_words = {}) : last_words_(std::move(last_words)) {}
  Mortal(Mortal&& other) noexcept : last_words_(std::exchange(other.last_words_, nullptr)) {}
  Mortal& operator=(Mortal&& other) noexcept {
    std::swap(last_words_, other.last_words_);
    return *this;
  }
  ~Mortal() {
    if (last_words_) last_words_();
  }

 private:
  std::function<void()> last_words_;
};

TEST(LruEvictionOfObjectsTest, TheDestructorOfAnEvictedValueMayUseTheCache) {
  for (const bool on_release : {false, true}) {
    LruLockMap<int, Mortal> cache(one_shard(2));
    int deaths = 0;
    const auto last_words = [&] {
      ++deaths;
      EXPECT_FALSE(cache.contains(1));
      EXPECT_TRUE(cache.contains(3));
      EXPECT_EQ(cache.size(), 2U);
      EXPECT_TRUE(cache.try_insert(100, Mortal()));  // evicts one that is silent
      EXPECT_EQ(cache.remove(100).has_value(), true);
    };
    if (on_release) {
      auto first = cache.entry(1);
      first.emplace(last_words);
      auto second = cache.entry(2);
      second.emplace();
      cache.insert(3, Mortal());
      EXPECT_EQ(cache.size(), 3U);
      EXPECT_EQ(deaths, 0);
      first.unlock();
    } else {
      cache.insert(1, Mortal(last_words));
      cache.insert(2, Mortal());
      EXPECT_EQ(deaths, 0);
      cache.insert(3, Mortal());
    }
    EXPECT_EQ(deaths, 1);
    expect_quiet(cache);
  }
}

TEST(LruEvictionOfObjectsTest, EvictedValuesDieBeforeTheOperationEnds) {
  const auto token = std::make_shared<int>(0);
  LruLockMap<int, std::shared_ptr<int>> cache(one_shard(5));
  for (int key = 0; key < 50; ++key) {
    cache.insert(key, token);
    EXPECT_EQ(static_cast<std::size_t>(token.use_count()), cache.size() + 1);
  }
  cache.set_max_size(2);
  EXPECT_EQ(token.use_count(), 3);
}

}  // namespace
}  // namespace lockmap::test
