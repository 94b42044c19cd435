// A shard that has become sparse moves its keys together, around those that somebody uses.

#include <gtest/gtest.h>

#include <cstddef>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "test_access.hpp"
#include "threads.hpp"

namespace lockmap::test::compaction {
namespace {

using detail::TestAccess;
using Map = LockMap<int, int>;

constexpr int keys = 2000;
constexpr int share = 20;

bool stays(int key) {
  return key % share == 0;
}

class CompactionTest : public testing::Test {
 protected:
  CompactionTest() {
    for (int key = 0; key < keys; ++key) map_.insert(key, -key);
    full_ = TestAccess::slab_capacity(map_);
  }

  void remove_all_but(int in_use) {
    for (int key = 0; key < keys; ++key) {
      if (!stays(key) && key != in_use) map_.remove(key);
    }
  }

  void expect_the_rest() {
    for (int key = 0; key < keys; key += share) ASSERT_EQ(map_.get(key), -key);
    TestAccess::check_invariants(map_);
    EXPECT_LT(TestAccess::slab_capacity(map_), full_ / 2);
  }

  Map map_ = Map(Options{.shard_count = 1});
  std::size_t full_ = 0;
};

TEST_F(CompactionTest, KeysThatAreLeftAreMovedTogether) {
  remove_all_but(-1);
  expect_the_rest();
}

TEST_F(CompactionTest, AKeyThatIsHeldStaysWhereItIs) {
  {
    auto held = map_.entry(0);
    const int* const key = &held.key();
    int* const value = held.get();
    remove_all_but(0);
    EXPECT_EQ(&held.key(), key);
    EXPECT_EQ(held.get(), value);
    *held = 7;
    EXPECT_LT(TestAccess::slab_capacity(map_), full_);
  }
  EXPECT_EQ(map_.get(0), 7);
  map_.insert(0, 0);
  expect_the_rest();
}

TEST_F(CompactionTest, AKeyThatIsWaitedForStaysAsWell) {
  auto held = map_.entry(share);
  int seen = 0;
  Worker waits([&] { seen = map_.entry(share).value(); });
  await([&] { return TestAccess::parked(map_, share) == 1; }, "the waiter");
  remove_all_but(share);
  held.unlock();
  waits.join();
  EXPECT_EQ(seen, -share);
  expect_the_rest();
}

TEST_F(CompactionTest, AWalkSeesEachKeyOnceThoughOthersGo) {
  std::vector<int> visits(keys);
  int visited = 0;
  map_.for_each([&](int key, int value) {
    EXPECT_EQ(value, -key);
    ++visits[static_cast<std::size_t>(key)];
    if (++visited == keys / 2) remove_all_but(key);
  });
  for (int key = 0; key < keys; key += share) {
    ASSERT_EQ(visits[static_cast<std::size_t>(key)], 1) << key;
  }
  expect_the_rest();  // once the walk is over
}

}  // namespace
}  // namespace lockmap::test::compaction
