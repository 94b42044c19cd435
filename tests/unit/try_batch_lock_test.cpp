// try_batch_lock: all of the keys or none, without waiting.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "maps.hpp"
#include "test_access.hpp"
#include "threads.hpp"

namespace lockmap::test {
namespace {

using detail::TestAccess;

template <class Family>
class TryBatchLockTest : public testing::Test {
 public:
  using TestedMap = MapOf<Family, int, int>;

 protected:
  static std::vector<int> keys_of(const typename TestedMap::Batch& batch) {
    std::vector<int> keys;
    for (const auto& entry : batch) keys.push_back(entry.key());
    return keys;
  }

  // Each of 1 to 5 is free for another thread unless it is in `held`.
  void expect_held(const std::vector<int>& held) {
    in_another_thread([&] {
      for (int key = 1; key <= 5; ++key) {
        const bool expected = std::find(held.begin(), held.end(), key) == held.end();
        EXPECT_EQ(is_free(map_, key), expected) << "key " << key;
      }
    });
  }

  TestedMap map_ = make_map<TestedMap>();
};

LOCKMAP_TEST_BOTH(TryBatchLockTest, TakesFreeKeysInOrderAndOnce) {
  using Map = typename TestFixture::TestedMap;
  auto& map = this->map_;
  map.insert(2, 20);
  {
    auto batch = map.try_batch_lock({3, 1, 2, 3, 1});
    static_assert(std::is_same_v<decltype(batch), std::optional<typename Map::Batch>>);
    ASSERT_TRUE(batch.has_value());
    EXPECT_EQ(this->keys_of(*batch), (std::vector<int>{1, 2, 3}));
    EXPECT_EQ(batch->at(2).value(), 20);
    EXPECT_FALSE(batch->at(1).has_value());
    batch->at(3).insert(30);
    this->expect_held({1, 2, 3});
  }
  this->expect_held({});
  EXPECT_EQ(map.get(3), 30);
  EXPECT_EQ(map.size(), 2U);
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(TryBatchLockTest, TakesRangesAndComparators) {
  auto& map = this->map_;
  const std::vector<int> keys = {1, 3, 2};
  EXPECT_EQ(this->keys_of(map.try_batch_lock(keys).value()), (std::vector<int>{1, 2, 3}));
  const std::list<short> convertible = {2, 1};
  EXPECT_EQ(this->keys_of(map.try_batch_lock(convertible).value()), (std::vector<int>{1, 2}));
  EXPECT_EQ(this->keys_of(map.try_batch_lock(keys, std::greater<>()).value()),
            (std::vector<int>{3, 2, 1}));
  EXPECT_EQ(this->keys_of(map.try_batch_lock({1, 3, 2}, std::greater<>()).value()),
            (std::vector<int>{3, 2, 1}));
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(TryBatchLockTest, AnEmptyBatchSucceeds) {
  const auto batch = this->map_.try_batch_lock(std::vector<int>());
  ASSERT_TRUE(batch.has_value());
  EXPECT_TRUE(batch->empty());
}

LOCKMAP_TEST_BOTH(TryBatchLockTest, OneHeldKeyAndNoneIsTaken) {
  auto& map = this->map_;
  for (const bool present : {false, true}) {
    for (int held = 1; held <= 5; ++held) {
      if (present) map.insert(held, held);
      const std::size_t nodes = map.size() + (present ? 0 : 1);
      Holder holder(map, held);
      EXPECT_FALSE(map.try_batch_lock({1, 2, 3, 4, 5}).has_value());
      EXPECT_EQ(TestAccess::node_count(map), nodes) << "an absent key was left behind";
      EXPECT_EQ(TestAccess::waiters(map, held), 0U);
      this->expect_held({held});
    }
  }
  EXPECT_EQ(map.size(), 5U);
  EXPECT_TRUE(map.try_batch_lock({1, 2, 3, 4, 5}).has_value());
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(TryBatchLockTest, AKeyOfTheThreadsOwnCountsAsHeld) {
  auto& map = this->map_;
  const auto own = map.entry(3);
  EXPECT_FALSE(map.try_batch_lock({1, 3, 5}).has_value());
  this->expect_held({3});
  EXPECT_TRUE(map.try_batch_lock({1, 5}).has_value());
}

LOCKMAP_TEST_BOTH(TryBatchLockTest, TwoBatchesExcludeEachOtherOnlyWhereTheyOverlap) {
  auto& map = this->map_;
  const auto batch = map.try_batch_lock({1, 2});
  ASSERT_TRUE(batch.has_value());
  in_another_thread([&] {
    EXPECT_FALSE(map.try_batch_lock({2, 3}).has_value());
    const auto disjoint = map.try_batch_lock({3, 4});
    ASSERT_TRUE(disjoint.has_value());
    EXPECT_EQ(disjoint->size(), 2U);
  });
  this->expect_held({1, 2});
}

// The keys that it takes and gives back may be wanted by others, who must not be forgotten.
LOCKMAP_TEST_BOTH(TryBatchLockTest, AFailingBatchWakesThoseWhoWaitedForItsKeys) {
  auto& map = this->map_;
  Holder holder(map, 5);
  std::atomic<bool> stop = false;
  Worker trier([&] {
    while (!stop) EXPECT_FALSE(map.try_batch_lock({1, 2, 5}).has_value());
  });
  for (int i = 0; i < scaled(2000); ++i) {
    ++map.entry(1).or_insert(0);
    ++map.entry(2).or_insert(0);
  }
  stop = true;
  trier.join();
  EXPECT_EQ(map.get(1), scaled(2000));
  EXPECT_EQ(map.get(2), scaled(2000));
  holder.release();
  expect_quiet(map);
}

LOCKMAP_TEST_BOTH(TryBatchLockTest, LookupByAnotherTypeAndMoveOnlyValues) {
  auto map = make_map<MapOf<TypeParam, std::string, std::unique_ptr<int>>>();
  map.insert("b", std::make_unique<int>(2));
  const std::vector<std::string_view> names = {"b", "a"};
  {
    auto batch = map.try_batch_lock(names);
    ASSERT_TRUE(batch.has_value());
    EXPECT_EQ(**batch->at(std::string_view("b")), 2);
    EXPECT_FALSE(batch->at("a").has_value());
    in_another_thread([&] { EXPECT_FALSE(map.try_batch_lock({"b", "c"}).has_value()); });
  }
  EXPECT_TRUE(map.try_batch_lock({"a", "b"}).has_value());
  EXPECT_EQ(map.size(), 1U);
  expect_quiet(map);
}

}  // namespace
}  // namespace lockmap::test
