// try_entry, and its forms with a time limit as far as they need not wait.

#include <gtest/gtest.h>

#include <chrono>
#include <concepts>
#include <optional>
#include <string>
#include <utility>

#include "maps.hpp"
#include "threads.hpp"
#include "tracked.hpp"
#include "waiting.hpp"

namespace lockmap {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using test::make_map;
using test::MapOf;

template <class Family>
class TryEntryTest : public ::testing::Test {
 protected:
  using Map = MapOf<Family, int, std::string>;
};

LOCKMAP_TEST_BOTH(TryEntryTest, ResultTypes) {
  using TestedMap = typename TestFixture::Map;
  using Result = std::optional<typename TestedMap::Entry>;
  TestedMap* map = nullptr;
  static_assert(std::same_as<decltype(map->try_entry(1)), Result>);
  static_assert(std::same_as<decltype(map->try_entry_for(1, hours(1))), Result>);
  static_assert(std::same_as<decltype(map->try_entry_until(1, steady_clock::now())), Result>);
}

LOCKMAP_TEST_BOTH(TryEntryTest, TakesAFreeKey) {
  auto map = make_map<typename TestFixture::Map>();
  map.insert(1, "one");
  {
    auto present = map.try_entry(1);
    ASSERT_TRUE(present.has_value());
    EXPECT_EQ(present->key(), 1);
    EXPECT_EQ(present->value(), "one");
    auto absent = map.try_entry(2);
    ASSERT_TRUE(absent.has_value());
    EXPECT_EQ(absent->key(), 2);
    EXPECT_FALSE(absent->has_value());
    absent->insert("two");
  }
  EXPECT_EQ(map.get(2), "two");
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(TryEntryTest, AbsentKeyLeavesNoTrace) {
  auto map = make_map<typename TestFixture::Map>();
  for (int key = 0; key < 100; ++key) EXPECT_TRUE(map.try_entry(key).has_value());
  EXPECT_TRUE(map.empty());
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(TryEntryTest, IsEmptyWhileAnotherThreadHoldsTheKey) {
  auto map = make_map<typename TestFixture::Map>();
  map.insert(1, "one");
  for (int key : {1, 2}) {
    {
      auto guard = map.entry(key);
      test::in_another_thread([&] { EXPECT_FALSE(map.try_entry(key).has_value()); });
    }
    test::in_another_thread([&] { EXPECT_TRUE(map.try_entry(key).has_value()); });
  }
  EXPECT_EQ(map.size(), 1u);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(TryEntryTest, IsEmptyOnAKeyTheThreadHoldsItself) {
  auto map = make_map<typename TestFixture::Map>();
  map.insert(1, "one");
  for (int key : {1, 2}) {
    auto guard = map.entry(key);
    EXPECT_FALSE(map.try_entry(key).has_value());
    EXPECT_EQ(guard.has_value(), key == 1);
  }
  EXPECT_TRUE(map.try_entry(1).has_value());
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(TryEntryTest, FailureChangesNothing) {
  auto map = make_map<typename TestFixture::Map>();
  {
    auto guard = map.entry(1);
    const auto nodes = detail::TestAccess::node_count(map);
    for (int i = 0; i < 100; ++i) EXPECT_FALSE(map.try_entry(1).has_value());
    EXPECT_EQ(detail::TestAccess::node_count(map), nodes);
    EXPECT_EQ(detail::TestAccess::waiters(map, 1), 0u);
  }
  EXPECT_EQ(detail::TestAccess::node_count(map), 0u);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(TryEntryTest, FailureDoesNotTakeTheKeyApart) {
  auto map = make_map<MapOf<TypeParam, test::MoveOnly, int>>();
  auto guard = map.entry(test::MoveOnly(1));
  test::MoveOnly key(1);
  EXPECT_FALSE(map.try_entry(std::move(key)).has_value());
  EXPECT_EQ(key.number(), 1);  // not stored, so not moved from
}

LOCKMAP_TEST_BOTH(TryEntryTest, FormsWithALimitTakeAFreeKeyAtOnce) {
  auto map = make_map<typename TestFixture::Map>();
  map.insert(1, "one");
  for (int key : {1, 2}) {
    EXPECT_TRUE(map.try_entry_for(key, milliseconds(0)).has_value());
    EXPECT_TRUE(map.try_entry_for(key, milliseconds(-5)).has_value());
    EXPECT_TRUE(map.try_entry_for(key, hours(1)).has_value());
    EXPECT_TRUE(map.try_entry_for(key, hours::max()).has_value());
    EXPECT_TRUE(map.try_entry_for(key, hours::min()).has_value());
    EXPECT_TRUE(map.try_entry_until(key, steady_clock::now()).has_value());
    EXPECT_TRUE(map.try_entry_until(key, steady_clock::now() + hours(1)).has_value());
    EXPECT_TRUE(map.try_entry_until(key, steady_clock::time_point::min()).has_value());
    EXPECT_TRUE(map.try_entry_until(key, steady_clock::time_point::max()).has_value());
    EXPECT_TRUE(map.try_entry_until(key, std::chrono::system_clock::now()).has_value());
  }
  EXPECT_EQ(map.size(), 1u);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(TryEntryTest, ZeroAndPastLimitsDoNotWait) {
  auto map = make_map<typename TestFixture::Map>();
  map.insert(1, "one");
  for (int key : {1, 2}) {
    test::expect_not_blocked(map, key, [&] {
      EXPECT_FALSE(map.try_entry_for(key, milliseconds(0)).has_value());
      EXPECT_FALSE(map.try_entry_for(key, milliseconds(-5)).has_value());
      EXPECT_FALSE(map.try_entry_for(key, hours::min()).has_value());
      EXPECT_FALSE(map.try_entry_until(key, steady_clock::now()).has_value());
      EXPECT_FALSE(map.try_entry_until(key, steady_clock::time_point::min()).has_value());
      EXPECT_FALSE(
          map.try_entry_until(key, std::chrono::system_clock::now() - hours(1)).has_value());
    });
  }
  test::expect_quiet(map);
}

}  // namespace
}  // namespace lockmap
