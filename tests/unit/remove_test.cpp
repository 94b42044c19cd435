// remove.

#include <gtest/gtest.h>

#include <atomic>
#include <concepts>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "maps.hpp"
#include "threads.hpp"
#include "tracked.hpp"
#include "waiting.hpp"

namespace lockmap {
namespace {

using test::make_map;
using test::MapOf;
using test::Tracked;

template <class Family>
class RemoveTest : public ::testing::Test {
 protected:
  using Map = MapOf<Family, int, std::string>;
};

LOCKMAP_TEST_BOTH(RemoveTest, ResultType) {
  using TestedMap = typename TestFixture::Map;
  static_assert(
      std::same_as<decltype(std::declval<TestedMap&>().remove(1)), std::optional<std::string>>);
}

LOCKMAP_TEST_BOTH(RemoveTest, ReturnsTheValueAndForgetsTheKey) {
  auto map = make_map<typename TestFixture::Map>();
  map.insert(1, "one");
  map.insert(2, "two");
  EXPECT_EQ(map.remove(1), "one");
  EXPECT_FALSE(map.contains(1));
  EXPECT_EQ(map.get(1), std::nullopt);
  EXPECT_EQ(map.get(2), "two");
  EXPECT_EQ(map.size(), 1u);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(RemoveTest, AbsentKeyHasNothingToRemove) {
  auto map = make_map<typename TestFixture::Map>();
  EXPECT_EQ(map.remove(1), std::nullopt);
  map.insert(1, "one");
  EXPECT_EQ(map.remove(2), std::nullopt);
  EXPECT_EQ(map.remove(1), "one");
  EXPECT_EQ(map.remove(1), std::nullopt);
  EXPECT_TRUE(map.empty());
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(RemoveTest, RemovedKeyCanComeBack) {
  auto map = make_map<typename TestFixture::Map>();
  for (int round = 0; round < 100; ++round) {
    EXPECT_EQ(map.insert(1, std::to_string(round)), std::nullopt);
    EXPECT_EQ(map.size(), 1u);
    EXPECT_EQ(map.remove(1), std::to_string(round));
    EXPECT_EQ(map.size(), 0u);
  }
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(RemoveTest, ValueIsMovedOut) {
  auto map = make_map<MapOf<TypeParam, int, Tracked>>();
  Tracked::reset();
  map.insert(1, Tracked(10));
  {
    const auto removed = map.remove(1);
    ASSERT_TRUE(removed.has_value());
    EXPECT_EQ(removed->number(), 10);
    EXPECT_EQ(Tracked::alive(), 1);
  }
  EXPECT_EQ(Tracked::copies(), 0);
  EXPECT_EQ(Tracked::alive(), 0);
}

LOCKMAP_TEST_BOTH(RemoveTest, KeyIsDestroyed) {
  auto map = make_map<MapOf<TypeParam, Tracked, int>>();
  Tracked::reset();
  map.insert(Tracked(1), 10);
  EXPECT_EQ(Tracked::alive(), 1);
  EXPECT_EQ(map.remove(Tracked(1)), 10);
  EXPECT_EQ(Tracked::alive(), 0);
}

LOCKMAP_TEST_BOTH(RemoveTest, EverythingOfALargeMap) {
  constexpr int keys = 10'000;
  for (std::size_t shards : {1u, 256u}) {
    auto map = make_map<MapOf<TypeParam, int, int>>(shards);
    for (int key = 0; key < keys; ++key) map.insert(key, key);
    for (int key = keys - 1; key >= 0; --key) ASSERT_EQ(map.remove(key), key);
    EXPECT_TRUE(map.empty());
    test::expect_quiet(map);
  }
}

LOCKMAP_TEST_BOTH(RemoveTest, WaitsForTheHolder) {
  auto map = make_map<typename TestFixture::Map>();
  map.insert(1, "before");
  const auto removed = test::expect_waits(
      map, 1, [&] { return map.remove(1); }, [](auto& guard) { guard.insert("held"); });
  EXPECT_EQ(removed, "held");
  EXPECT_TRUE(map.empty());
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(RemoveTest, WaitsForTheHolderOfAnAbsentKey) {
  auto map = make_map<typename TestFixture::Map>();
  EXPECT_EQ(test::expect_waits(map, 1, [&] { return map.remove(1); }), std::nullopt);
  EXPECT_EQ(test::expect_waits(
                map, 1, [&] { return map.remove(1); }, [](auto& guard) { guard.insert("held"); }),
            "held");
  EXPECT_TRUE(map.empty());
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(RemoveTest, OnlyOneOfManyRemovesWins) {
  constexpr int threads = 4;
  constexpr int keys = 200;
  auto map = make_map<typename TestFixture::Map>();
  for (int key = 0; key < keys; ++key) map.insert(key, std::to_string(key));
  std::atomic<int> wins = 0;
  test::run_together(threads, [&](int) {
    for (int key = 0; key < keys; ++key) {
      if (auto removed = map.remove(key)) {
        EXPECT_EQ(removed, std::to_string(key));
        ++wins;
      }
    }
  });
  EXPECT_EQ(wins, keys);
  EXPECT_TRUE(map.empty());
  test::expect_quiet(map);
}

}  // namespace
}  // namespace lockmap
