// A held key blocks all use of that key, and nothing else. All maps
// have one shard, so that keys have nothing to keep them apart but their own locks.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "maps.hpp"
#include "threads.hpp"
#include "waiting.hpp"

namespace lockmap {
namespace {

using detail::TestAccess;
using test::make_map;
using test::MapOf;

constexpr int held_present = 1;
constexpr int held_absent = 2;
constexpr int other_present = 3;
constexpr int other_absent = 4;

template <class Family>
class BlockingTest : public ::testing::Test {
 protected:
  using Map = MapOf<Family, int, std::string>;

  BlockingTest() {
    map_.insert(held_present, "held");
    map_.insert(other_present, "other");
  }

  // Expects f to come back though another thread holds a key with a value, or one without.
  template <class F>
  void expect_not_blocked(F f) {
    test::expect_not_blocked(map_, held_present, f);
    test::expect_not_blocked(map_, held_absent, f);
    test::expect_quiet(map_);
  }

  // Everything that can be done with one key or several.
  void use_key(int key) {
    std::ignore = map_.get(key);
    std::ignore = map_.contains(key);
    map_.insert(key, "inserted");
    EXPECT_EQ(map_.get(key), "inserted");
    EXPECT_FALSE(map_.try_insert(key, "again"));
    EXPECT_EQ(map_.entry(key).value(), "inserted");
    EXPECT_TRUE(map_.try_entry(key).has_value());
    EXPECT_TRUE(map_.try_entry_for(key, std::chrono::hours(1)).has_value());
    EXPECT_EQ(map_.get_or_insert_with(key, [] { return "made"; }), "inserted");
    EXPECT_EQ(map_.batch_lock({key, key + 100}).size(), 2u);
    EXPECT_TRUE(map_.try_batch_lock({key, key + 100}).has_value());
    EXPECT_EQ(map_.remove(key), "inserted");
    EXPECT_FALSE(map_.remove(key).has_value());
    EXPECT_FALSE(map_.entry(key).has_value());
    EXPECT_EQ(map_.get_or_insert_with(key, [] { return "made"; }), "made");
    map_.remove(key);
  }

  Map map_ = make_map<Map>(1);
};

LOCKMAP_TEST_BOTH(BlockingTest, GetOfAnotherKey) {
  this->expect_not_blocked([&] {
    EXPECT_EQ(this->map_.get(other_present), "other");
    EXPECT_EQ(this->map_.get(other_absent), std::nullopt);
    EXPECT_TRUE(this->map_.contains(other_present));
    EXPECT_FALSE(this->map_.contains(other_absent));
  });
}

LOCKMAP_TEST_BOTH(BlockingTest, InsertOfAnotherKey) {
  this->expect_not_blocked([&] {
    EXPECT_EQ(this->map_.insert(other_present, "other"), "other");
    this->map_.insert(other_absent, "new");
    EXPECT_FALSE(this->map_.try_insert(other_present, "other"));
    this->map_.try_insert(other_absent + 1, "new");
  });
}

LOCKMAP_TEST_BOTH(BlockingTest, RemoveOfAnotherKey) {
  this->expect_not_blocked([&] {
    EXPECT_EQ(this->map_.remove(other_present), "other");
    EXPECT_EQ(this->map_.remove(other_absent), std::nullopt);
    this->map_.insert(other_present, "other");
  });
}

LOCKMAP_TEST_BOTH(BlockingTest, EntryOfAnotherKey) {
  this->expect_not_blocked([&] {
    EXPECT_TRUE(this->map_.entry(other_present).has_value());
    EXPECT_FALSE(this->map_.entry(other_absent).has_value());
    EXPECT_TRUE(this->map_.try_entry(other_present).has_value());
    EXPECT_TRUE(this->map_.try_entry(other_absent).has_value());
  });
}

LOCKMAP_TEST_BOTH(BlockingTest, SizesOfTheMap) {
  this->expect_not_blocked([&] {
    EXPECT_EQ(this->map_.size(), 2u);
    EXPECT_FALSE(this->map_.empty());
    EXPECT_EQ(this->map_.shard_count(), 1u);
  });
}

LOCKMAP_TEST_BOTH(BlockingTest, InsertsThatGrowTheTable) {
  constexpr int keys = 10'000;
  this->expect_not_blocked([&] {
    for (int key = 100; key < 100 + keys; ++key) this->map_.insert(key, "growth");
    EXPECT_EQ(this->map_.size(), std::size_t{keys} + 2);
    for (int key = 100; key < 100 + keys; ++key) this->map_.remove(key);
    EXPECT_EQ(this->map_.size(), 2u);
  });
  EXPECT_EQ(this->map_.get(held_present), "held");
}

LOCKMAP_TEST_BOTH(BlockingTest, GuardSurvivesTheGrowthOfTheTable) {
  auto present = this->map_.entry(held_present);
  auto absent = this->map_.entry(held_absent);
  const std::string* const value = present.get();
  test::in_another_thread([&] {
    for (int key = 100; key < 5000; ++key) this->map_.insert(key, "growth");
  });
  EXPECT_EQ(present.get(), value);
  EXPECT_EQ(*present, "held");
  EXPECT_EQ(absent.key(), held_absent);
  absent.insert("now here");
  absent.unlock();
  EXPECT_EQ(this->map_.get(held_absent), "now here");
}

LOCKMAP_TEST_BOTH(BlockingTest, EverythingWithOtherKeysUnderAnEntry) {
  this->expect_not_blocked([&] {
    this->use_key(other_absent);
    this->use_key(50);
  });
}

LOCKMAP_TEST_BOTH(BlockingTest, EverythingWithOtherKeysUnderABatch) {
  {
    auto batch = this->map_.batch_lock({held_present, held_absent});
    test::in_another_thread([&] { this->use_key(other_absent); });
  }
  test::expect_quiet(this->map_);
}

LOCKMAP_TEST_BOTH(BlockingTest, EverythingWithOtherKeysUnderCallbacks) {
  const auto others_go_on = [&] { test::in_another_thread([&] { this->use_key(other_absent); }); };
  this->map_.get_or_insert_with(held_absent, [&] {
    others_go_on();
    return "made";
  });
  this->map_.for_each([&](int, const std::string&) { others_go_on(); });
  this->map_.retain([&](int, std::string&) {
    others_go_on();
    return true;
  });
  test::expect_quiet(this->map_);
}

LOCKMAP_TEST_BOTH(BlockingTest, WaitersForTheHeldKeyBlockNobodyEither) {
  std::deque<test::Worker> waiters;
  {
    auto guard = this->map_.entry(held_present);
    for (int i = 0; i < 3; ++i) {
      waiters.emplace_back([&] { this->map_.entry(held_present)->append("+"); });
    }
    test::await_waiters(this->map_, held_present, 3);
    test::in_another_thread([&] { this->use_key(other_absent); });
  }
  waiters.clear();
  EXPECT_EQ(this->map_.get(held_present), "held+++");
  test::expect_quiet(this->map_);
}

// Whole-map operations wait for the held key, and while they do they hold no other.
LOCKMAP_TEST_BOTH(BlockingTest, WalksWaitOnlyForTheHeldKey) {
  for (int key = 100; key < 150; ++key) this->map_.insert(key, "walked");
  const auto others_are_free = [&](auto&) {
    for (int key = 100; key < 150; ++key) {
      EXPECT_TRUE(test::is_free(this->map_, key));
      std::ignore = this->map_.get(key);
    }
    EXPECT_TRUE(test::is_free(this->map_, other_present));
    this->map_.insert(500, "new");
    this->map_.remove(500);
  };
  std::atomic<int> visited = 0;
  test::expect_waits(
      this->map_, held_present,
      [&] { this->map_.for_each([&](int, const std::string&) { ++visited; }); }, others_are_free);
  EXPECT_EQ(visited, 52);
  const auto removed = test::expect_waits(
      this->map_, held_present,
      [&] { return this->map_.retain([](int key, std::string&) { return key != held_present; }); },
      others_are_free);
  EXPECT_EQ(removed, 1u);
  this->map_.insert(held_present, "held");
  test::expect_waits(
      this->map_, held_present, [&] { this->map_.clear(); }, [](auto&) {});
  EXPECT_TRUE(this->map_.empty());
  test::expect_quiet(this->map_);
}

LOCKMAP_TEST_BOTH(BlockingTest, EveryUseOfTheHeldKeyWaits) {
  auto& map = this->map_;
  const std::vector<std::function<void(int)>> uses = {
      [&](int key) { std::ignore = map.get(key); },
      [&](int key) { std::ignore = map.contains(key); },
      [&](int key) { map.insert(key, "x"); },
      [&](int key) { map.try_insert(key, "x"); },
      [&](int key) { std::ignore = map.entry(key).has_value(); },
      [&](int key) { std::ignore = map.try_entry_for(key, std::chrono::hours::max()).has_value(); },
      [&](int key) {
        std::ignore =
            map.try_entry_until(key, std::chrono::steady_clock::time_point::max()).has_value();
      },
      [&](int key) {
        std::ignore = map.batch_lock({key, 50}).size();
      },
      [&](int key) { map.get_or_insert_with(key, [] { return "x"; }); },
      [&](int key) { map.remove(key); },
  };
  for (std::size_t i = 0; i < uses.size(); ++i) {
    SCOPED_TRACE(i);
    for (int key : {held_present, held_absent}) {
      test::expect_waits(map, key, [&] { uses[i](key); });
    }
  }
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(BlockingTest, LockingAnAbsentKeyLeavesNoTrace) {
  const auto nodes = TestAccess::node_count(this->map_);
  for (int key = 100; key < 1100; ++key) {
    auto guard = this->map_.entry(key);
    EXPECT_EQ(TestAccess::node_count(this->map_), nodes + 1);
    EXPECT_EQ(this->map_.size(), 2u);
  }
  EXPECT_EQ(TestAccess::node_count(this->map_), nodes);
  test::expect_quiet(this->map_);
}

LOCKMAP_TEST_BOTH(BlockingTest, AbsentKeyWithWaitersLeavesNoTrace) {
  std::deque<test::Worker> waiters;
  {
    auto guard = this->map_.entry(held_absent);
    for (int i = 0; i < 4; ++i) {
      waiters.emplace_back([&] {
        EXPECT_FALSE(this->map_.entry(held_absent).has_value());
        EXPECT_FALSE(this->map_.contains(held_absent));
      });
    }
    test::await_waiters(this->map_, held_absent, 4);
  }
  waiters.clear();
  EXPECT_EQ(this->map_.size(), 2u);
  EXPECT_EQ(TestAccess::waiters(this->map_, held_absent), 0u);
  test::expect_quiet(this->map_);
}

// Threads take one key by every means, and none may find another inside.
LOCKMAP_TEST_BOTH(BlockingTest, NeverTwoThreadsInsideOneKey) {
  constexpr int threads = 4;
  constexpr int rounds = 500;
  auto map = make_map<MapOf<TypeParam, int, long>>(1);
  std::atomic<int> inside = 0;
  std::atomic<long> entered = 0;
  long unguarded = 0;  // a data race, for whoever looks for one, if two threads get in
  const auto critical = [&] {
    EXPECT_EQ(++inside, 1);
    ++unguarded;
    ++entered;
    --inside;
  };
  test::run_together(threads, [&](int thread) {
    for (int i = 0; i < rounds; ++i) {
      switch ((thread + i) % 5) {
        case 0: {
          auto guard = map.entry(7);
          critical();
          guard.insert(1);
          break;
        }
        case 1: {
          auto guard = map.entry(7);
          critical();
          guard.remove();
          break;
        }
        case 2:
          if (auto guard = map.try_entry(7)) critical();
          break;
        case 3: {
          auto batch = map.batch_lock({7, 8});
          critical();
          break;
        }
        default:
          map.retain([&](int key, long) {
            if (key == 7) critical();
            return true;
          });
      }
    }
  });
  EXPECT_EQ(unguarded, entered);
  EXPECT_GE(entered, threads * rounds / 5 * 3);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(BlockingTest, IncrementsUnderAGuardAreNotLost) {
  constexpr int threads = 4;
  constexpr int rounds = 2000;
  auto map = make_map<MapOf<TypeParam, int, int>>(1);
  test::run_together(threads, [&](int) {
    for (int i = 0; i < rounds; ++i) ++map.entry(i % 3).or_insert(0);
  });
  int total = 0;
  map.for_each([&](int, int value) { total += value; });
  EXPECT_EQ(total, threads * rounds);
  EXPECT_EQ(map.size(), 3u);
  test::expect_quiet(map);
}

}  // namespace
}  // namespace lockmap
