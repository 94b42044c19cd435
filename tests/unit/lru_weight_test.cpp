// Weights of values: the bound is exact, a value that is too heavy is not kept, and what a guard
// changed is weighed again.

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "caches.hpp"
#include "maps.hpp"
#include "test_access.hpp"
#include "threads.hpp"
#include "waiting.hpp"

namespace lockmap::test {
namespace {
namespace weight {

using Cache = LruLockMap<int, std::string>;
using detail::TestAccess;

class LruWeightTest : public testing::Test {
 protected:
  static LruOptions options(std::size_t max_weight) {
    return {.shard_count = 1, .max_weight = max_weight};
  }

  std::vector<int> evicted_;
  int weighed_ = 0;
  bool refuses_ = false;
  Cache cache_{options(10),
               {.on_evict =
                    [this](const int& key, std::string& /*value*/, EvictionCause cause) {
                      EXPECT_EQ(cause, EvictionCause::capacity);
                      evicted_.push_back(key);
                    },
                .weigh =
                    [this](const int& /*key*/, const std::string& value) {
                      ++weighed_;
                      if (refuses_) throw std::domain_error("weigher");
                      return value.size();
                    }}};
};

TEST_F(LruWeightTest, TheSumStaysWithinTheBound) {
  for (int key = 0; key < 20; ++key) {
    cache_.insert(key, std::string(static_cast<std::size_t>(key % 5), 'x'));
    EXPECT_LE(cache_.weight(), 10U);
    TestAccess::check_invariants(cache_);
  }
  EXPECT_EQ(cache_.weight(), 10U);
  EXPECT_EQ(cache_.max_weight(), 10U);
  EXPECT_EQ(weighed_, 20);
  EXPECT_EQ(cache_.remove(19), "xxxx");
  EXPECT_EQ(cache_.weight(), 6U);
  EXPECT_EQ(cache_.insert(18, ""), "xxx");
  EXPECT_EQ(cache_.weight(), 3U);
  cache_.clear();
  EXPECT_EQ(cache_.weight(), 0U);
}

TEST_F(LruWeightTest, WhatIsTooHeavyGoesFirst) {
  cache_.insert(1, "aaaaa");
  cache_.insert(2, "bbbbb");
  cache_.insert(3, std::string(11, 'c'));
  EXPECT_EQ(evicted_, (std::vector{3}));
  EXPECT_EQ(cache_.weight(), 10U);
  EXPECT_EQ(cache_.stats().insertions, 3U);
  EXPECT_EQ(cache_.stats().evictions, 1U);
  {
    auto entry = cache_.entry(1);
    entry->append("aaaaaa");
    EXPECT_EQ(evicted_.size(), 1U);
  }
  EXPECT_EQ(evicted_, (std::vector{3, 1}));
  EXPECT_EQ(cache_.weight(), 5U);
  expect_quiet(cache_);
}

TEST_F(LruWeightTest, TooHeavyWhileOthersWaitOrRead) {
  cache_.insert(1, "a");
  {
    std::optional<Cache::Entry> entry(cache_.entry(1));
    const Worker reader([&] {
      const auto shared = cache_.shared_entry(1);
      EXPECT_EQ(shared->size(), 20U);
    });
    await_waiters(cache_, 1, 1);
    (*entry)->assign(20, 'a');
    entry.reset();
  }
  EXPECT_EQ(evicted_, (std::vector{1}));
  cache_.insert(2, "b");
  {
    auto entry = cache_.entry(2);
    entry->assign(20, 'b');
    auto shared = std::move(entry).downgrade();
    EXPECT_EQ(shared->size(), 20U);
    EXPECT_EQ(evicted_.size(), 1U);
  }
  EXPECT_EQ(evicted_, (std::vector{1, 2}));
  EXPECT_EQ(cache_.weight(), 0U);
  expect_quiet(cache_);
}

TEST_F(LruWeightTest, AGuardIsWeighedAgain) {
  cache_.insert(1, "a");
  cache_.insert(2, "b");
  cache_.insert(3, "c");
  cache_.entry(3)->append("cccccccc");
  EXPECT_EQ(cache_.weight(), 10U);
  EXPECT_EQ(evicted_, (std::vector{1}));
  cache_.entry(3)->clear();
  EXPECT_EQ(cache_.weight(), 1U);
}

TEST_F(LruWeightTest, AWeigherThatThrowsChangesNothing) {
  cache_.insert(1, "one");
  refuses_ = true;
  EXPECT_THROW(cache_.insert(1, "two"), std::domain_error);
  EXPECT_THROW(cache_.insert(2, "two"), std::domain_error);
  EXPECT_THROW(cache_.try_insert(2, "two"), std::domain_error);
  EXPECT_THROW((void)cache_.get_or_insert_with(2, [] { return std::string(); }), std::domain_error);
  {
    auto entry = cache_.entry(1);
    EXPECT_THROW(entry.insert("three"), std::domain_error);
    EXPECT_EQ(*entry, "one");
    refuses_ = false;
  }
  refuses_ = true;
  {
    auto entry = cache_.entry(2);
    EXPECT_THROW(entry.emplace("two"), std::domain_error);
    EXPECT_THROW(entry.or_insert("two"), std::domain_error);
    EXPECT_FALSE(entry.has_value());
  }
  EXPECT_EQ(cache_.get(1), "one");
  EXPECT_EQ(cache_.weight(), 3U);
  EXPECT_EQ(cache_.size(), 1U);
  expect_quiet(cache_);
}

TEST_F(LruWeightTest, ASmallerBoundEvictsAtOnce) {
  for (int key = 0; key < 5; ++key) cache_.insert(key, "xx");
  cache_.set_max_weight(5);
  EXPECT_EQ(cache_.weight(), 4U);
  EXPECT_EQ(cache_.max_weight(), 5U);
  EXPECT_EQ(evicted_, (std::vector{0, 1, 2}));
  expect_invalid([&] { cache_.set_max_weight(0); }, "max_weight", "0");
}

using LruWeightDeathTest = LruWeightTest;

TEST_F(LruWeightDeathTest, AWeigherMustNotThrowAtARelease) {
  cache_.insert(1, "one");
  const auto release = [&] {
    const auto entry = cache_.entry(1);
    refuses_ = true;
  };
  EXPECT_DEATH(release(), "");
}

TEST(LruWeightOptionsTest, BadOptionsAreNamed) {
  const auto weigh = [](const int&, const std::string&) { return std::size_t{1}; };
  const std::string huge = std::to_string(unlimited);
  expect_invalid([] { Cache cache(LruOptions{}); }, "neither max_size nor max_weight", huge);
  expect_invalid([] { Cache cache({.max_weight = 7}); }, "max_weight needs a weigher", "7");
  expect_invalid([&] { Cache cache({.max_weight = 0}, {.weigh = weigh}); }, "max_weight", "0");
  expect_invalid([&] { Cache cache({.max_size = 0}, {.weigh = weigh}); }, "max_size", "0");
  Cache unweighed(5);
  expect_invalid([&] { unweighed.set_max_weight(5); }, "max_weight needs a weigher", "5");
  EXPECT_EQ(unweighed.weight(), 0U);
  EXPECT_EQ(unweighed.max_weight(), unlimited);
  Cache both({.max_size = 2, .shard_count = 1, .max_weight = 100}, {.weigh = weigh});
  for (int key = 0; key < 5; ++key) both.insert(key, "value");
  EXPECT_EQ(both.size(), 2U);
  EXPECT_EQ(both.weight(), 2U);
}

TEST(LruWeightOptionsTest, ThePartsOfTheShardsAddUp) {
  Cache cache({.shard_count = 7, .max_weight = 100},
              {.weigh = [](const int&, const std::string&) { return 1; }});
  EXPECT_EQ(cache.shard_count(), 7U);
  for (int key = 0; key < 5000; ++key) cache.insert(key, "value");
  EXPECT_EQ(cache.weight(), 100U);
  EXPECT_EQ(cache.size(), 100U);
  Cache few({.shard_count = 7, .max_weight = 3},
            {.weigh = [](const int&, const std::string&) { return 1; }});
  EXPECT_EQ(few.shard_count(), 3U);
}

TEST(LruWeightOptionsTest, HooksMayBeMoveOnlyAndTakeWhatTheyLike) {
  auto seen = std::make_unique<int>(0);
  int* const count = seen.get();
  {
    Cache cache({.max_size = 1, .shard_count = 1},
                [seen = std::move(seen)](const int&, std::string&) { ++*seen; });
    cache.insert(1, "one");
    cache.insert(2, "two");
    EXPECT_EQ(*count, 1);
  }
  Cache::Hooks hooks;
  hooks.weigh = [weight = std::make_unique<std::size_t>(5)](const int&, std::string&) {
    return *weight;
  };
  Cache weighing({.shard_count = 1, .max_weight = 12}, std::move(hooks));
  for (int key = 0; key < 5; ++key) weighing.insert(key, "value");
  EXPECT_EQ(weighing.weight(), 10U);
  const Cache none({.max_size = 1}, {});
  const Cache null({.max_size = 1}, nullptr);
}

TEST_F(LruWeightTest, AReleaseEvictsNoMoreThanMaxEvict) {
  cache_.insert(1, "x");
  cache_.insert(2, "x");
  {
    auto one = cache_.entry(1);
    const auto two = cache_.entry(2);
    cache_.set_max_weight(1);  // meets both
    cache_.set_max_weight(10);
    for (int key = 3; key < 8; ++key) cache_.insert(key, "x");
    cache_.set_max_evict(1);
    cache_.set_max_weight(1);
    EXPECT_EQ(evicted_, std::vector({3}));
    one.unlock();
    EXPECT_EQ(evicted_, std::vector({3, 1}));
  }
  EXPECT_EQ(evicted_, std::vector({3, 1, 2}));
}

}  // namespace weight
}  // namespace
}  // namespace lockmap::test
