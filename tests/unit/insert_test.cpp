// insert and try_insert.

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
class InsertTest : public ::testing::Test {
 protected:
  using Map = MapOf<Family, int, std::string>;
};

LOCKMAP_TEST_BOTH(InsertTest, ResultTypes) {
  using TestedMap = typename TestFixture::Map;
  static_assert(
      std::same_as<decltype(std::declval<TestedMap&>().insert(1, "")), std::optional<std::string>>);
  static_assert(std::same_as<decltype(std::declval<TestedMap&>().try_insert(1, "")), bool>);
}

LOCKMAP_TEST_BOTH(InsertTest, InsertStoresAndReturnsThePreviousValue) {
  auto map = make_map<typename TestFixture::Map>();
  EXPECT_EQ(map.insert(1, "one"), std::nullopt);
  EXPECT_EQ(map.get(1), "one");
  EXPECT_EQ(map.insert(1, "uno"), "one");
  EXPECT_EQ(map.get(1), "uno");
  EXPECT_EQ(map.insert(1, "eins"), "uno");
  EXPECT_EQ(map.size(), 1u);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(InsertTest, TryInsertKeepsTheFirstValue) {
  auto map = make_map<typename TestFixture::Map>();
  EXPECT_TRUE(map.try_insert(1, "one"));
  EXPECT_FALSE(map.try_insert(1, "uno"));
  EXPECT_EQ(map.get(1), "one");
  map.remove(1);
  EXPECT_TRUE(map.try_insert(1, "uno"));
  EXPECT_EQ(map.get(1), "uno");
  EXPECT_EQ(map.size(), 1u);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(InsertTest, SizeCountsKeysOnce) {
  auto map = make_map<typename TestFixture::Map>();
  for (int round = 0; round < 3; ++round) {
    for (int key = 0; key < 100; ++key) map.insert(key, std::to_string(round));
    EXPECT_EQ(map.size(), 100u);
  }
  for (int key = 50; key < 150; ++key) EXPECT_EQ(map.try_insert(key, "late"), key >= 100);
  EXPECT_EQ(map.size(), 150u);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(InsertTest, GrowsAndKeepsEveryValue) {
  constexpr int keys = 10'000;
  for (std::size_t shards : {1u, 3u, 256u}) {
    auto map = make_map<MapOf<TypeParam, int, int>>(shards);
    for (int key = 0; key < keys; ++key) ASSERT_EQ(map.insert(key, key * 2), std::nullopt);
    EXPECT_EQ(map.size(), static_cast<std::size_t>(keys));
    for (int key = 0; key < keys; ++key) ASSERT_EQ(map.get(key), key * 2);
    EXPECT_FALSE(map.contains(-1));
    EXPECT_FALSE(map.contains(keys));
    test::expect_quiet(map);
  }
}

LOCKMAP_TEST_BOTH(InsertTest, ValuesAreMovedNeverCopied) {
  auto map = make_map<MapOf<TypeParam, int, Tracked>>();
  Tracked::reset();
  map.insert(1, Tracked(10));
  EXPECT_EQ(map.insert(1, Tracked(11))->number(), 10);
  EXPECT_TRUE(map.try_insert(2, Tracked(20)));
  EXPECT_FALSE(map.try_insert(2, Tracked(21)));
  EXPECT_EQ(Tracked::copies(), 0);
  EXPECT_EQ(Tracked::alive(), 2);
}

LOCKMAP_TEST_BOTH(InsertTest, TemporaryKeysAreMovedNeverCopied) {
  auto map = make_map<MapOf<TypeParam, Tracked, int>>();
  Tracked::reset();
  map.insert(Tracked(1), 10);
  map.try_insert(Tracked(2), 20);
  map.insert(Tracked(1), 11);
  map.try_insert(Tracked(2), 21);
  EXPECT_EQ(Tracked::copies(), 0);
  EXPECT_EQ(Tracked::alive(), 2);
  EXPECT_EQ(map.get(Tracked(1)), 11);
  EXPECT_EQ(map.get(Tracked(2)), 20);
}

LOCKMAP_TEST_BOTH(InsertTest, NamedKeysAreCopiedOnceWhenStored) {
  auto map = make_map<MapOf<TypeParam, Tracked, int>>();
  Tracked::reset();
  const Tracked key(1);
  map.insert(key, 10);
  EXPECT_EQ(Tracked::copies(), 1);
  map.insert(key, 11);
  map.try_insert(key, 12);
  EXPECT_EQ(Tracked::copies(), 1);
  EXPECT_EQ(key.number(), 1);
  EXPECT_EQ(Tracked::alive(), 2);
  Tracked mutable_key(2);
  map.try_insert(mutable_key, 20);
  EXPECT_EQ(mutable_key.number(), 2);
  EXPECT_EQ(Tracked::copies(), 2);
}

LOCKMAP_TEST_BOTH(InsertTest, KeyIsStoredOnce) {
  auto map = make_map<MapOf<TypeParam, Tracked, int>>();
  Tracked::reset();
  for (int key = 0; key < 500; ++key) map.insert(Tracked(key), key);
  EXPECT_EQ(Tracked::alive(), 500);
}

LOCKMAP_TEST_BOTH(InsertTest, InsertWaitsForTheHolder) {
  auto map = make_map<typename TestFixture::Map>();
  map.insert(1, "before");
  const auto previous = test::expect_waits(
      map, 1, [&] { return map.insert(1, "late"); }, [](auto& guard) { guard.insert("held"); });
  EXPECT_EQ(previous, "held");
  EXPECT_EQ(map.get(1), "late");
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(InsertTest, InsertWaitsForTheHolderOfAnAbsentKey) {
  auto map = make_map<typename TestFixture::Map>();
  EXPECT_EQ(test::expect_waits(map, 1, [&] { return map.insert(1, "late"); }), std::nullopt);
  EXPECT_EQ(map.get(1), "late");
  EXPECT_EQ(map.size(), 1u);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(InsertTest, TryInsertWaitsForTheHolder) {
  auto map = make_map<typename TestFixture::Map>();
  EXPECT_FALSE(test::expect_waits(
      map, 1, [&] { return map.try_insert(1, "late"); },
      [](auto& guard) { guard.insert("held"); }));
  EXPECT_EQ(map.get(1), "held");
  EXPECT_TRUE(test::expect_waits(
      map, 1, [&] { return map.try_insert(1, "late"); }, [](auto& guard) { guard.remove(); }));
  EXPECT_EQ(map.get(1), "late");
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(InsertTest, OnlyOneOfManyTryInsertsWins) {
  constexpr int threads = 4;
  constexpr int keys = 200;
  auto map = make_map<MapOf<TypeParam, int, int>>();
  std::atomic<int> wins = 0;
  test::run_together(threads, [&](int thread) {
    for (int key = 0; key < keys; ++key) {
      if (map.try_insert(key, thread)) ++wins;
    }
  });
  EXPECT_EQ(wins, keys);
  EXPECT_EQ(map.size(), static_cast<std::size_t>(keys));
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(InsertTest, EveryInsertedValueComesOutOnce) {
  constexpr int threads = 4;
  constexpr int rounds = 500;
  auto map = make_map<MapOf<TypeParam, int, int>>();
  std::atomic<long> returned = 0;
  test::run_together(threads, [&](int thread) {
    for (int i = 0; i < rounds; ++i) {
      if (auto previous = map.insert(1, thread * rounds + i)) returned += *previous;
    }
  });
  const auto last = map.get(1);
  ASSERT_TRUE(last.has_value());
  constexpr long total = threads * rounds;
  EXPECT_EQ(returned + *last, total * (total - 1) / 2);
  test::expect_quiet(map);
}

}  // namespace
}  // namespace lockmap
