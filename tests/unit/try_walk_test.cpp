// try_for_each and try_retain: walks that pass over what is held, and say how much that was.

#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <deque>
#include <optional>
#include <set>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include <lockmap/lockmap.hpp>

#include "maps.hpp"
#include "threads.hpp"
#include "waiting.hpp"

namespace lockmap::test::try_walk {
namespace {

constexpr int keys = 100;

using Result = std::pair<std::size_t, std::size_t>;  // of try_retain: removed, passed over

template <class Family>
class TryWalkTest : public testing::Test {
 protected:
  using Map = MapOf<Family, int, int>;

  void SetUp() override {
    for (int key = 0; key < keys; ++key) map_.insert(key, -key);
  }

  // The keys that a walk visits, which passes over `held` keys.
  std::set<int> visited(std::size_t held) {
    std::set<int> visited;
    const std::size_t passed_over = map_.try_for_each([&](const int& key, const int& value) {
      EXPECT_EQ(value, -key);
      EXPECT_TRUE(visited.insert(key).second);
    });
    EXPECT_EQ(passed_over, held);
    return visited;
  }

  static std::set<int> all_but(const std::set<int>& left_out) {
    std::set<int> result;
    for (int key = 0; key < keys; ++key) {
      if (!left_out.contains(key)) result.insert(key);
    }
    return result;
  }

  Map map_ = make_map<Map>(3);
};

LOCKMAP_TEST_BOTH(TryWalkTest, ResultTypes) {
  const auto& map = this->map_;
  using Size = typename TestFixture::Map::size_type;
  static_assert(std::is_same_v<decltype(map.try_for_each([](const int&, const int&) {})), Size>);
  static_assert(
      std::is_same_v<decltype(this->map_.try_retain([](const int&, int&) { return true; })),
                     std::pair<Size, Size>>);
}

LOCKMAP_TEST_BOTH(TryWalkTest, AllKeysIfNoneIsHeld) {
  EXPECT_EQ(this->visited(0), this->all_but({}));
  this->map_.clear();
  EXPECT_TRUE(this->visited(0).empty());
  expect_quiet(this->map_);
}

LOCKMAP_TEST_BOTH(TryWalkTest, PassesOverKeysThatOthersHold) {
  std::deque<Holder<typename TestFixture::Map>> holders;
  for (const int key : {3, 50, 99}) holders.emplace_back(this->map_, key);
  EXPECT_EQ(this->visited(3), this->all_but({3, 50, 99}));
  holders.pop_back();
  EXPECT_EQ(this->visited(2), this->all_but({3, 50}));
  holders.clear();
  EXPECT_EQ(this->visited(0), this->all_but({}));
}

LOCKMAP_TEST_BOTH(TryWalkTest, PassesOverTheCallersOwn) {
  {
    const auto own = this->map_.batch_lock({0, 1, 2, 3});
    EXPECT_EQ(this->visited(4), this->all_but({0, 1, 2, 3}));
    EXPECT_EQ(own.size(), 4U);
  }
  EXPECT_EQ(this->visited(0), this->all_but({}));
  expect_quiet(this->map_);
}

// Inside another walk, whose key it passes over.
LOCKMAP_TEST_BOTH(TryWalkTest, InsideAWalk) {
  int walks = 0;
  this->map_.for_each([&](const int&, const int&) {
    EXPECT_EQ(this->visited(0), this->all_but({})) << "both only read";
    return ++walks < 10;
  });
  EXPECT_EQ(walks, 10);
  this->map_.retain([&](const int& key, int&) {
    if (--walks >= 0) {
      EXPECT_EQ(this->visited(1), this->all_but({key}));
    }
    return true;
  });
  expect_quiet(this->map_);
}

LOCKMAP_TEST_BOTH(TryWalkTest, AKeyThatIsWaitedForIsHeldAsWell) {
  Holder holder(this->map_, 7);
  Worker waiter([&] { EXPECT_EQ(this->map_.get(7), -7); });
  await_waiters(this->map_, 7, 1);
  EXPECT_EQ(this->visited(1), this->all_but({7}));
  await_waiters(this->map_, 7, 1);
  holder.release();
  waiter.join();
  EXPECT_EQ(this->visited(0), this->all_but({}));
}

LOCKMAP_TEST_BOTH(TryWalkTest, HoldsTheKeyThatItVisits) {
  int visits = 0;
  (void)this->map_.try_for_each([&](const int& key, const int&) {
    if (visits++ % 20 == 0) {
      in_another_thread([&] { EXPECT_FALSE(is_free(this->map_, key)); });
    }
  });
  EXPECT_EQ(visits, keys);
}

LOCKMAP_TEST_BOTH(TryWalkTest, StopsWhenItIsTold) {
  int visits = 0;
  const auto passed_over = this->map_.try_for_each([&](const int&, const int&) {
    ++visits;
    return false;
  });
  EXPECT_EQ(visits, 1);
  EXPECT_EQ(passed_over, 0U);
}

LOCKMAP_TEST_BOTH(TryWalkTest, WhatTheCallbackThrowsPassesThrough) {
  int visits = 0;
  EXPECT_THROW((void)this->map_.try_for_each([&](const int&, const int&) {
    if (++visits == 5) throw std::runtime_error("enough");
  }),
               std::runtime_error);
  EXPECT_EQ(visits, 5);
  EXPECT_EQ(this->visited(0), this->all_but({}));
  expect_quiet(this->map_);
}

LOCKMAP_TEST_BOTH(TryWalkTest, RetainRemovesWhereItCan) {
  auto& map = this->map_;
  const auto is_even = [](const int& key, int& value) {
    EXPECT_EQ(value, -key);
    return key % 2 == 0;
  };
  {
    Holder holder(map, 11);
    const auto own = map.batch_lock({12, 13});
    EXPECT_EQ(map.try_retain(is_even), Result(keys / 2 - 2, 3));
    EXPECT_EQ(map.size(), static_cast<std::size_t>(keys / 2 + 2));
    EXPECT_EQ(own.at(13).value(), -13);
  }
  EXPECT_EQ(map.get(11), -11);
  EXPECT_EQ(map.get(15), std::nullopt);
  EXPECT_EQ(map.try_retain(is_even), Result(2, 0));
  EXPECT_EQ(map.try_retain(is_even), Result(0, 0));
  EXPECT_EQ(map.size(), static_cast<std::size_t>(keys / 2));
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(TryWalkTest, RetainMayChangeWhatItKeeps) {
  const auto result = this->map_.try_retain([](const int& key, int& value) {
    value = key;
    return key != 0;
  });
  EXPECT_EQ(result, Result(1, 0));
  for (int key = 1; key < keys; ++key) EXPECT_EQ(this->map_.get(key), key);
  expect_quiet(this->map_);
}

// Beside threads that hold keys all the time: each key is visited or passed over.
LOCKMAP_TEST_BOTH(TryWalkTest, BesideHolders) {
  auto& map = this->map_;
  std::atomic<bool> over = false;
  std::deque<Worker> workers;
  for (int thread = 0; thread < 2; ++thread) {
    workers.emplace_back([&, thread] {
      for (int i = thread; !over; ++i) {
        auto entry = map.entry(i % keys);
        EXPECT_EQ(entry.value(), -entry.key());
      }
    });
  }
  for (int round = 0; round < scaled(2000); ++round) {
    std::size_t visits = 0;
    const std::size_t passed_over = map.try_for_each([&](const int&, const int&) { ++visits; });
    EXPECT_EQ(visits + passed_over, static_cast<std::size_t>(keys));
    const auto [removed, held] = map.try_retain([](const int&, int&) { return true; });
    EXPECT_EQ(removed, 0U);
    // A holder may move on to a key that the walk has yet to meet, so more than two may be held.
    EXPECT_LE(held, static_cast<std::size_t>(keys));
  }
  over = true;
}

}  // namespace
}  // namespace lockmap::test::try_walk
