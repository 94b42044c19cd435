// Times of values: to live, to idle, of their own. A value that has expired is absent for all that
// comes later, and its listener hears of it once.

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "caches.hpp"
#include "fake_clock.hpp"
#include "maps.hpp"
#include "test_access.hpp"
#include "threads.hpp"
#include "waiting.hpp"

namespace lockmap::test {
namespace {
namespace expiry {

using namespace std::chrono_literals;
using Cache = LruLockMap<int, std::string>;
using detail::TestAccess;

struct Gone {
  int key;
  std::string value;
  EvictionCause cause;
  bool operator==(const Gone&) const = default;
};

Gone expired(int key, std::string value) {
  return {key, std::move(value), EvictionCause::expired};
}

class LruExpiryTest : public testing::Test {
 protected:
  static LruOptions options(std::chrono::nanoseconds to_live, std::chrono::nanoseconds to_idle = 0s,
                            std::size_t max_size = 100) {
    return {.max_size = max_size,
            .shard_count = 1,
            .time_to_live = to_live,
            .time_to_idle = to_idle,
            .now = &FakeClock::now};
  }
  auto listener() {
    return [this](const int& key, std::string& value, EvictionCause cause) {
      gone_.push_back({key, value, cause});
    };
  }

  std::vector<Gone> gone_;
};

TEST_F(LruExpiryTest, AValueIsAbsentFromItsDeadlineOn) {
  Cache cache(options(10s), listener());
  cache.insert(1, "one");
  FakeClock::advance(10s - 1ns);
  EXPECT_EQ(cache.get(1), "one");
  EXPECT_EQ(cache.peek(1), "one");
  FakeClock::advance(1ns);
  EXPECT_EQ(cache.size(), 1U);
  EXPECT_EQ(cache.peek(1), std::nullopt);
  EXPECT_EQ(cache.size(), 0U);
  EXPECT_EQ(gone_, (std::vector{expired(1, "one")}));
  EXPECT_EQ(cache.stats().expirations, 1U);
  EXPECT_EQ(cache.stats().evictions, 0U);
}

TEST_F(LruExpiryTest, EveryOperationFindsItAbsent) {
  const auto finds = [&](FunctionRef<bool(Cache&)> operation) {
    gone_.clear();
    Cache cache(options(10s), listener());
    cache.insert(1, "one");
    FakeClock::advance(10s);
    const bool found = operation(cache);
    cache.purge_expired();
    EXPECT_EQ(gone_.size(), 1U);
    EXPECT_EQ(gone_.at(0), expired(1, "one"));
    EXPECT_EQ(cache.stats().hits, 0U);
    TestAccess::check_invariants(cache);
    return found;
  };
  EXPECT_FALSE(finds([](Cache& cache) { return cache.get(1).has_value(); }));
  EXPECT_FALSE(finds([](Cache& cache) { return cache.contains(1); }));
  EXPECT_FALSE(finds([](Cache& cache) { return cache.read(1, [](const auto&) {}); }));
  EXPECT_FALSE(finds([](Cache& cache) { return cache.insert(1, "new").has_value(); }));
  EXPECT_TRUE(finds([](Cache& cache) { return cache.try_insert(1, "new"); }));
  EXPECT_FALSE(finds([](Cache& cache) { return cache.remove(1).has_value(); }));
  EXPECT_FALSE(finds([](Cache& cache) { return cache.entry(1).has_value(); }));
  EXPECT_FALSE(finds([](Cache& cache) { return cache.try_entry(1)->has_value(); }));
  EXPECT_FALSE(finds([](Cache& cache) { return cache.shared_entry(1).has_value(); }));
  EXPECT_FALSE(finds([](Cache& cache) { return cache.find_entry(1).has_value(); }));
  EXPECT_FALSE(finds([](Cache& cache) { return cache.find_shared_entry(1).has_value(); }));
  EXPECT_FALSE(finds([](Cache& cache) { return cache.batch_lock({1, 2})[0].has_value(); }));
  EXPECT_FALSE(finds([](Cache& cache) { return cache.pop_lru().has_value(); }));
  EXPECT_TRUE(finds([](Cache& cache) {
    return cache.get_or_insert_with(1, [] { return std::string("new"); }) == "new";
  }));
  EXPECT_TRUE(finds([](Cache& cache) {
    return cache.get_or_refresh(1, 1s, [] { return std::string("new"); }) == "new";
  }));
  EXPECT_FALSE(finds([](Cache& cache) {
    bool visited = false;
    cache.for_each([&](const int&, const std::string&) { visited = true; });
    EXPECT_EQ(cache.retain([](const int&, std::string&) { return false; }), 0U);
    cache.clear();
    return visited;
  }));
}

TEST_F(LruExpiryTest, WhoHoldsTheKeyKeepsTheValue) {
  Cache cache(options(10s), listener());
  cache.insert(1, "one");
  {
    auto entry = cache.entry(1);
    FakeClock::advance(1min);
    EXPECT_EQ(cache.purge_expired(), 0U);
    EXPECT_EQ(entry.value(), "one");
    EXPECT_TRUE(gone_.empty());
  }
  EXPECT_EQ(gone_, (std::vector{expired(1, "one")}));
  EXPECT_TRUE(cache.empty());
}

TEST_F(LruExpiryTest, AWaiterOfTheKeyFindsItAbsent) {
  Cache cache(options(10s), listener());
  cache.insert(1, "one");
  {
    std::optional<Cache::Entry> entry(cache.entry(1));
    const Worker waiter([&] { EXPECT_FALSE(cache.entry(1).has_value()); });
    await_waiters(cache, 1, 1);
    FakeClock::advance(10s);
    entry.reset();
  }
  EXPECT_EQ(gone_, (std::vector{expired(1, "one")}));
  EXPECT_TRUE(cache.empty());
  TestAccess::check_invariants(cache);
}

TEST_F(LruExpiryTest, AReaderThatHoldsItLongerKeepsItForItselfOnly) {
  Cache cache(options(10s), listener());
  cache.insert(1, "one");
  std::optional<Cache::SharedEntry> early(cache.shared_entry(1));
  FakeClock::advance(10s);
  const auto late = cache.shared_entry(1);
  EXPECT_EQ(early->value(), "one");
  EXPECT_FALSE(late.has_value());
  EXPECT_EQ(cache.get(1), std::nullopt);
  early.reset();
  EXPECT_TRUE(gone_.empty());
}

TEST_F(LruExpiryTest, TheListenerHearsAfterTheRelease) {
  std::vector<std::string> heard;
  Cache* all = nullptr;
  Cache cache(options(10s), [&](const int& key, std::string& value, EvictionCause cause) {
    EXPECT_EQ(cause, EvictionCause::expired);
    EXPECT_TRUE(all->try_entry(key).has_value());
    heard.push_back(value);
  });
  all = &cache;
  cache.insert(1, "a");
  FakeClock::advance(10s);
  {
    auto entry = cache.entry(1);
    EXPECT_FALSE(entry.has_value());
    EXPECT_EQ(entry.insert("b"), std::nullopt);
    EXPECT_TRUE(heard.empty());
  }
  EXPECT_EQ(heard, (std::vector<std::string>{"a"}));
  EXPECT_EQ(cache.get(1), "b");
  FakeClock::advance(10s);
  {
    auto entry = cache.entry(1);
    entry.emplace("c");
    EXPECT_EQ(entry.remove(), "c");
  }
  EXPECT_EQ(heard, (std::vector<std::string>{"a", "b"}));
  cache.insert(1, "d");
  FakeClock::advance(10s);
  {
    const auto shared = cache.entry(1).downgrade();
    EXPECT_FALSE(shared.has_value());
  }
  EXPECT_TRUE(cache.empty());
  TestAccess::check_invariants(cache);
}

TEST_F(LruExpiryTest, ATimeOfItsOwnReplacesTheCaches) {
  Cache cache(options(10s), listener());
  const auto start = FakeClock::now();
  cache.insert(1, "short", expires_in(1s));
  cache.insert(2, "long", expires_in(1h));
  EXPECT_FALSE(cache.try_insert(2, "longer", expires_in(2h)));
  EXPECT_TRUE(cache.try_insert(3, "own", expires_in(2s)));
  cache.insert(4, "for ever", expires_in(std::chrono::hours::max()));
  EXPECT_EQ(cache.entry(1).expires_at(), start + 1s);
  EXPECT_EQ(cache.entry(2).expires_at(), start + 1h);
  EXPECT_EQ(cache.entry(3).expires_at(), start + 2s);
  EXPECT_EQ(cache.entry(4).expires_at(), std::nullopt);
  EXPECT_EQ(cache.entry(5).expires_at(), std::nullopt);
  cache.insert(1, "as the cache says");
  EXPECT_EQ(cache.entry(1).expires_at(), start + 10s);
  FakeClock::advance(5s);
  cache.entry(1)->append(", still");
  EXPECT_EQ(cache.entry(1).expires_at(), start + 10s);
  cache.entry(1).expire_in(1s);
  EXPECT_EQ(cache.entry(1).expires_at(), start + 6s);
  EXPECT_EQ(cache.entry(1).swap("again"), "as the cache says, still");
  EXPECT_EQ(cache.entry(1).expires_at(), start + 15s);
  (void)cache.purge_expired();
  EXPECT_EQ(gone_, (std::vector{expired(3, "own")}));
  EXPECT_THROW(cache.entry(9).expire_in(1s), std::bad_optional_access);
}

TEST_F(LruExpiryTest, ACacheWithoutTimesTakesThemLater) {
  Cache cache({.max_size = 100, .shard_count = 1}, listener());
  for (int key = 0; key < 50; ++key) cache.insert(key, "plain");
  cache.insert(50, "gone at once", expires_in(0s));
  EXPECT_EQ(gone_, (std::vector{expired(50, "gone at once")}));
  EXPECT_EQ(cache.size(), 50U);
  cache.entry(7).expire_in(-1s);
  EXPECT_EQ(cache.get(7), std::nullopt);
  EXPECT_EQ(cache.get(8), "plain");
  EXPECT_EQ(cache.size(), 49U);
  EXPECT_EQ(cache.stats().insertions, 51U);
  EXPECT_EQ(cache.stats().expirations, 2U);
  TestAccess::check_invariants(cache);
}

TEST_F(LruExpiryTest, MakersMaySayHowLong) {
  Cache cache(options(10s));
  const auto start = FakeClock::now();
  EXPECT_EQ(cache.get_or_insert_with(1, [] { return Expiring<std::string>{"one", 1s}; }), "one");
  EXPECT_EQ(cache.entry(2).or_insert_with([] { return Expiring{std::string("two"), 2s}; }), "two");
  EXPECT_EQ(cache.entry(1).expires_at(), start + 1s);
  EXPECT_EQ(cache.entry(2).expires_at(), start + 2s);
}

TEST_F(LruExpiryTest, MakersMaySayHowLongInACacheThatHadNoTimes) {
  const auto make = [] { return Expiring<std::string>{"gone at once", 0s}; };
  Cache loaded(10);
  EXPECT_EQ(loaded.get_or_insert_with(1, make), "gone at once");
  EXPECT_EQ(loaded.get(1), std::nullopt);
  Cache guarded(10);
  EXPECT_EQ(guarded.entry(1).or_insert_with(make), "gone at once");
  EXPECT_EQ(guarded.get(1), std::nullopt);
}

TEST_F(LruExpiryTest, ATouchPutsOffTheEndOfTheIdleTime) {
  Cache cache(options(0s, 256s), listener());
  cache.insert(1, "touched");
  cache.insert(2, "peeked");
  for (int i = 0; i < 3; ++i) {
    FakeClock::advance(200s);
    EXPECT_EQ(cache.get(1), "touched");
    if (i == 0) {
      EXPECT_EQ(cache.peek(2), "peeked");
    }
  }
  EXPECT_EQ(cache.peek(2), std::nullopt);
  FakeClock::advance(256s);  // one second is how coarse it may be
  EXPECT_EQ(cache.peek(1), "touched");
  FakeClock::advance(1s);
  EXPECT_EQ(cache.get(1), std::nullopt);
  EXPECT_EQ(cache.get(1), std::nullopt);
  EXPECT_EQ(gone_.size(), 2U);
}

TEST_F(LruExpiryTest, WhatHasExpiredGoesBeforeAnythingLive) {
  Cache cache(options(0s, 0s, 3), listener());
  cache.insert(1, "old");
  cache.insert(2, "short", expires_in(5s));
  cache.insert(3, "new");
  FakeClock::advance(5s);
  cache.insert(4, "four");
  EXPECT_EQ(gone_, (std::vector{expired(2, "short")}));
  cache.insert(5, "five");
  EXPECT_EQ(gone_.back(), (Gone{1, "old", EvictionCause::capacity}));
}

TEST_F(LruExpiryTest, MemoryComesBackWithinABoundedNumberOfWrites) {
  Cache cache(options(10s, 0s, 1'000'000));
  for (int key = 0; key < 10'000; ++key) cache.insert(key, "value");
  const std::size_t room = TestAccess::slab_capacity(cache);
  FakeClock::advance(10s);
  for (int key = 10'000; key < 20'001; ++key) {
    cache.insert(key, "value");
    FakeClock::advance(1ms);
  }
  EXPECT_LE(cache.size(), 10'001U);
  EXPECT_LE(TestAccess::slab_capacity(cache), 2 * room);
  FakeClock::advance(1min);
  const std::size_t left = cache.size();
  EXPECT_EQ(cache.purge_expired(), left);
  EXPECT_TRUE(cache.empty());
}

TEST_F(LruExpiryTest, AClockThatGoesBackRevivesNothingThatWasFoundExpired) {
  Cache cache(options(10s), listener());
  cache.insert(1, "one");
  FakeClock::advance(10s);
  {
    const auto entry = cache.entry(1);
    EXPECT_FALSE(entry.has_value());
    FakeClock::advance(-5s);
    EXPECT_FALSE(entry.has_value());
  }
  EXPECT_EQ(cache.get(1), std::nullopt);
  EXPECT_EQ(gone_, (std::vector{expired(1, "one")}));
}

TEST_F(LruExpiryTest, KeysAndValuesThatCannotBeMovedOutOfTheWay) {
  using Pinned = LruLockMap<std::unique_ptr<int>, std::unique_ptr<std::string>>;
  int heard = 0;
  Pinned cache({.max_size = 10, .shard_count = 1, .now = &FakeClock::now},
               [&](const std::unique_ptr<int>&, std::unique_ptr<std::string>& value) {
                 EXPECT_EQ(*value, "old");
                 ++heard;
               });
  {
    auto entry = cache.entry(std::make_unique<int>(1));
    entry.insert(std::make_unique<std::string>("old"));
    entry.expire_in(0s);
    EXPECT_EQ(**entry, "old");
  }
  EXPECT_EQ(heard, 1);
  EXPECT_TRUE(cache.empty());
}

TEST_F(LruExpiryTest, BadTimesAreNamed) {
  expect_invalid([] { Cache(options(-1ns)); }, "time_to_live", "-1");
  expect_invalid([] { Cache(options(0s, -2ns)); }, "time_to_idle", "-2");
  Cache cache(options(10s));
  expect_invalid([&] { (void)cache.get_or_refresh(1, -3s, [] { return std::string(); }); },
                 "refresh_after", "-3");
}

TEST_F(LruExpiryTest, KeysMoveTogetherWithTheirTimes) {
  Cache cache(options(10s, 0s, 100'000));
  const auto start = FakeClock::now();
  for (int key = 0; key < 10'000; ++key) {
    cache.insert(key, "value", expires_in(std::chrono::seconds(key + 1)));
  }
  const std::size_t room = TestAccess::slab_capacity(cache);
  {
    const auto held = cache.entry(5000);  // so its neighbours' nodes stay, too
    for (int key = 100; key < 10'000; ++key) {
      if (key != 5000) cache.remove(key);
    }
    ASSERT_LT(TestAccess::slab_capacity(cache), room);  // keys have moved
  }
  cache.remove(5000);
  for (int key = 100; key < 1000; ++key) {
    cache.insert(key, "value", expires_in(std::chrono::seconds(key + 1)));
  }
  for (int key = 0; key < 1000; ++key) {
    ASSERT_EQ(cache.entry(key).expires_at(), start + std::chrono::seconds(key + 1));
  }
  for (int key = 0; key < 1000; ++key) {
    FakeClock::advance(1s);
    ASSERT_EQ(cache.purge_expired(), 1U);
  }
  EXPECT_TRUE(cache.empty());
}

TEST_F(LruExpiryTest, ManyTimesInAnyOrder) {
  Cache cache(options(0s, 0s, 100'000));
  constexpr int keys = 5000;
  for (int i = 0; i < keys; ++i) {
    const int key = i * 2999 % keys;
    cache.insert(key, std::to_string(key), expires_in(std::chrono::seconds(key + 1)));
  }
  for (int time = 1; time <= keys; ++time) {
    FakeClock::advance(1s);
    ASSERT_EQ(cache.purge_expired(), 1U);
    ASSERT_EQ(cache.get(time - 1), std::nullopt);
  }
  EXPECT_TRUE(cache.empty());
  TestAccess::check_invariants(cache);
}

// While a key is held whose value has expired, others are stored.
TEST_F(LruExpiryTest, AValueInPlaceOfAnExpiredOneIsAsYoungAsItsTouch) {
  Cache cache(options(0s, 0s, 3));
  cache.insert(1, "one", expires_in(1s));
  cache.insert(2, "two");
  cache.insert(3, "three");
  FakeClock::advance(1s);
  auto guard = cache.entry(1);  // now 2 and 3 are older
  cache.insert(4, "four");
  guard.insert("another one");
  guard.unlock();
  cache.insert(5, "five");
  EXPECT_EQ(cache.peek(1), "another one");
  EXPECT_EQ(cache.peek(2), std::nullopt);
  EXPECT_EQ(cache.peek(3), std::nullopt);
}

TEST_F(LruExpiryTest, TouchesCountWhileAnExpiredValueIsStillToBeHeardOf) {
  Cache cache(options(0s, 10s), [](const int&, std::string&) {});
  cache.insert(1, "one");
  FakeClock::advance(11s);
  auto guard = cache.entry(1);
  guard.insert("another one");
  const auto shared = std::move(guard).downgrade();
  for (int i = 0; i < 3; ++i) {
    FakeClock::advance(6s);
    EXPECT_EQ(cache.get(1), "another one");
  }
}

}  // namespace expiry
}  // namespace
}  // namespace lockmap::test
