// Thousands of keys that each have a waiter, all in one shard: every release serves the waiter of
// its own key and no other.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <numeric>
#include <random>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "maps.hpp"
#include "threads.hpp"
#include "waiting.hpp"

namespace lockmap::test {
namespace {

constexpr int keys = scaled(2000);

// One thread waits for each of the keys, which the constructing thread holds.
template <class Map>
class Crowd {
 public:
  explicit Crowd(Map& map) : map_(map) {
    for (int key = 0; key < keys; ++key) {
      guards_.push_back(map.entry(key));
      guards_.back().insert(key);
    }
    for (int key = 0; key < keys; ++key) {
      waiters_.emplace_back([this, key] {
        auto entry = map_.entry(key);
        EXPECT_EQ(entry.value(), -key);
        entry.value() = 2 * key;
        ++served_;
      });
    }
    for (int key = 0; key < keys; ++key) await_waiters(map, key, 1);
  }

  // Stores what the waiter is to find, and lets it have the key.
  void release(int key) {
    auto& guard = guards_[static_cast<std::size_t>(key)];
    guard.value() = -key;
    guard.unlock();
  }

  // Returns when the waiter for the key has had it.
  void await_served(int key) { waiters_[static_cast<std::size_t>(key)].join(); }

  int served() const { return served_; }

 private:
  Map& map_;
  std::atomic<int> served_ = 0;
  std::deque<typename Map::Entry> guards_;
  std::deque<Worker> waiters_;
};

std::vector<int> ascending() {
  std::vector<int> order(keys);
  std::iota(order.begin(), order.end(), 0);
  return order;
}

template <class Family>
class ManyWaitersStressTest : public testing::Test {
 protected:
  using TestedMap = MapOf<Family, int, int>;

  // One by one: after each release exactly one more waiter has been served.
  void release_one_by_one(const std::vector<int>& order) {
    auto map = make_map<TestedMap>(1);
    {
      Crowd<TestedMap> crowd(map);
      int released = 0;
      for (const int key : order) {
        crowd.release(key);
        crowd.await_served(key);
        ASSERT_EQ(crowd.served(), ++released);
      }
    }
    expect_all_served(map);
  }

  static void expect_all_served(TestedMap& map) {
    EXPECT_EQ(map.size(), static_cast<std::size_t>(keys));
    for (int key = 0; key < keys; ++key) ASSERT_EQ(map.get(key), 2 * key);
    expect_quiet(map);
  }
};

LOCKMAP_TEST_BOTH(ManyWaitersStressTest, ReleasedInReverseOrder) {
  std::vector<int> order = ascending();
  std::reverse(order.begin(), order.end());
  this->release_one_by_one(order);
}

LOCKMAP_TEST_BOTH(ManyWaitersStressTest, ReleasedInRandomOrder) {
  std::vector<int> order = ascending();
  std::shuffle(order.begin(), order.end(), std::mt19937(1));
  this->release_one_by_one(order);
}

LOCKMAP_TEST_BOTH(ManyWaitersStressTest, ReleasedAllAtOnce) {
  auto map = make_map<typename TestFixture::TestedMap>(1);
  {
    Crowd crowd(map);
    for (const int key : ascending()) crowd.release(key);
    for (const int key : ascending()) crowd.await_served(key);
    EXPECT_EQ(crowd.served(), keys);
  }
  TestFixture::expect_all_served(map);
}

// Some give up while the others go on waiting.
LOCKMAP_TEST_BOTH(ManyWaitersStressTest, WaitersThatGiveUpLeaveTheOthersInPlace) {
  auto map = make_map<typename TestFixture::TestedMap>(1);
  {
    Crowd crowd(map);
    run_together(4, [&](int thread) {
      for (int key = thread; key < keys; key += 40) {
        EXPECT_FALSE(map.try_entry_for(key, std::chrono::microseconds(10)).has_value());
      }
    });
    EXPECT_EQ(crowd.served(), 0);
    for (const int key : ascending()) crowd.release(key);
    for (const int key : ascending()) crowd.await_served(key);
  }
  TestFixture::expect_all_served(map);
}

}  // namespace
}  // namespace lockmap::test
