// Types that can be keys or values, and hashes that are not good at hashing.

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "counting_functors.hpp"
#include "maps.hpp"
#include "sanitizers.hpp"
#include "threads.hpp"
#include "tracked.hpp"
#include "waiting.hpp"

namespace lockmap {
namespace {

using test::equal_calls;
using test::make_map;
using test::MapOf;
using test::MoveOnly;

template <class Family>
class KeyValueTypesTest : public ::testing::Test {};

LOCKMAP_TEST_BOTH(KeyValueTypesTest, MoveOnlyValues) {
  auto map = make_map<MapOf<TypeParam, int, std::unique_ptr<int>>>();
  EXPECT_EQ(map.insert(1, std::make_unique<int>(10)), std::nullopt);
  EXPECT_EQ(**map.insert(1, std::make_unique<int>(11)), 10);
  EXPECT_FALSE(map.try_insert(1, std::make_unique<int>(12)));
  EXPECT_TRUE(map.try_insert(2, std::make_unique<int>(20)));
  EXPECT_TRUE(map.contains(1));
  {
    auto e = map.entry(1);
    EXPECT_EQ(**e, 11);
    EXPECT_EQ(*e.insert(std::make_unique<int>(13)).value(), 11);
    EXPECT_EQ(*e.swap(std::make_unique<int>(14)).value(), 13);
    EXPECT_EQ(*e.remove().value(), 14);
    e.or_insert(std::make_unique<int>(15));
    e.remove();
    e.or_insert_with([] { return std::make_unique<int>(16); });
    e.emplace(new int(17));
  }
  map.for_each(
      [](int key, const std::unique_ptr<int>& value) { EXPECT_EQ(*value, key == 1 ? 17 : 20); });
  EXPECT_EQ(map.retain([](int, std::unique_ptr<int>& value) { return *value == 17; }), 1u);
  {
    auto batch = map.batch_lock({2, 1});
    EXPECT_EQ(*batch.at(1).value(), 17);
    batch.at(2).insert(std::make_unique<int>(21));
  }
  EXPECT_EQ(**map.remove(2), 21);
  EXPECT_EQ(**map.remove(1), 17);
  map.insert(3, std::make_unique<int>(30));
  map.clear();
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(KeyValueTypesTest, MoveOnlyKeys) {
  auto map = make_map<MapOf<TypeParam, MoveOnly, int>>();
  for (int key = 0; key < 100; ++key) map.insert(MoveOnly(key), key);
  const MoveOnly seven(7);
  EXPECT_EQ(map.get(seven), 7);
  EXPECT_TRUE(map.contains(seven));
  EXPECT_EQ(map.insert(MoveOnly(7), 70), 7);
  EXPECT_FALSE(map.try_insert(MoveOnly(7), 71));
  EXPECT_EQ(map.entry(MoveOnly(7)).value(), 70);
  EXPECT_TRUE(map.try_entry(MoveOnly(200)).has_value());
  EXPECT_EQ(map.get_or_insert_with(MoveOnly(300), [] { return 3; }), 3);
  int sum = 0;
  map.for_each([&](const MoveOnly& key, int) { sum += key.number(); });
  EXPECT_EQ(sum, 99 * 100 / 2 + 300);
  EXPECT_EQ(map.remove(seven), 70);
  EXPECT_EQ(map.retain([](const MoveOnly& key, int&) { return key.number() < 50; }), 51u);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(KeyValueTypesTest, NoDefaultConstructor) {
  static_assert(!std::is_default_constructible_v<MoveOnly>);
  auto map = make_map<MapOf<TypeParam, MoveOnly, MoveOnly>>();
  map.insert(MoveOnly(1), MoveOnly(10));
  {
    auto e = map.entry(MoveOnly(2));
    EXPECT_FALSE(e.has_value());
    e.emplace(20);
  }
  EXPECT_EQ(map.remove(MoveOnly(1))->number(), 10);
  EXPECT_EQ(map.remove(MoveOnly(2))->number(), 20);
}

struct alignas(128) Aligned {
  int number = 0;

  static bool aligned(const Aligned& object) {
    return reinterpret_cast<std::uintptr_t>(&object) % alignof(Aligned) == 0;
  }
  friend bool operator==(const Aligned& a, const Aligned& b) { return a.number == b.number; }
  template <class H>
  friend H AbslHashValue(H state, const Aligned& key) {
    return H::combine(std::move(state), key.number);
  }
};

LOCKMAP_TEST_BOTH(KeyValueTypesTest, OverAlignedValues) {
  auto map = make_map<MapOf<TypeParam, char, Aligned>>();
  for (char key = 0; key < 100; ++key) map.insert(key, Aligned{key});
  map.for_each([](char key, const Aligned& value) {
    EXPECT_TRUE(Aligned::aligned(value));
    EXPECT_EQ(value.number, key);
  });
  EXPECT_TRUE(Aligned::aligned(*map.entry('a')));
  EXPECT_EQ(map.get('a')->number, 'a');
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(KeyValueTypesTest, OverAlignedKeys) {
  auto map = make_map<MapOf<TypeParam, Aligned, char>>();
  for (char key = 0; key < 100; ++key) map.insert(Aligned{key}, key);
  map.for_each([](const Aligned& key, char) { EXPECT_TRUE(Aligned::aligned(key)); });
  EXPECT_EQ(map.get(Aligned{7}), 7);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(KeyValueTypesTest, BigValues) {
  using Big = std::array<std::uint64_t, 4096>;
  auto map = make_map<MapOf<TypeParam, int, Big>>();
  for (int key = 0; key < 50; ++key) {
    auto e = map.entry(key);
    Big& value = e.emplace();
    value.fill(static_cast<std::uint64_t>(key));
  }
  for (int key = 0; key < 50; ++key) {
    const auto value = map.get(key);
    ASSERT_TRUE(value.has_value());
    EXPECT_EQ(value->front(), static_cast<std::uint64_t>(key));
    EXPECT_EQ(value->back(), static_cast<std::uint64_t>(key));
  }
  map.clear();
  test::expect_quiet(map);
}

struct Empty {
  friend bool operator==(Empty, Empty) = default;
};

LOCKMAP_TEST_BOTH(KeyValueTypesTest, EmptyAndTinyValues) {
  auto set = make_map<MapOf<TypeParam, int, Empty>>();
  EXPECT_TRUE(set.try_insert(1, Empty{}));
  EXPECT_FALSE(set.try_insert(1, Empty{}));
  EXPECT_EQ(set.get(1), Empty{});
  auto flags = make_map<MapOf<TypeParam, int, bool>>();
  flags.insert(1, false);
  EXPECT_EQ(flags.get(1), false);
  EXPECT_TRUE(flags.contains(1));
}

// A value that is itself an optional: one that is empty is a value all the same.
LOCKMAP_TEST_BOTH(KeyValueTypesTest, OptionalValues) {
  auto map = make_map<MapOf<TypeParam, int, std::optional<int>>>();
  map.insert(1, std::nullopt);
  EXPECT_TRUE(map.contains(1));
  EXPECT_EQ(map.size(), 1u);
  EXPECT_TRUE(map.get(1).has_value());
  EXPECT_FALSE(map.get(1)->has_value());
  EXPECT_TRUE(map.entry(1).has_value());
  EXPECT_TRUE(map.remove(1).has_value());
  EXPECT_FALSE(map.remove(1).has_value());
}

LOCKMAP_TEST_BOTH(KeyValueTypesTest, SharedPointerValuesAreReleased) {
  auto map = make_map<MapOf<TypeParam, int, std::shared_ptr<int>>>();
  const auto value = std::make_shared<int>(1);
  for (int key = 0; key < 10; ++key) map.insert(key, value);
  EXPECT_EQ(value.use_count(), 11);
  map.remove(0);
  EXPECT_EQ(value.use_count(), 10);
  map.insert(1, nullptr);
  EXPECT_EQ(value.use_count(), 9);
  map.entry(2).remove();
  EXPECT_EQ(value.use_count(), 8);
  map.retain([](int key, auto&) { return key < 5; });
  EXPECT_EQ(value.use_count(), 3);
  map.clear();
  EXPECT_EQ(value.use_count(), 1);
}

enum class Colour : std::uint8_t { red, green, blue };

LOCKMAP_TEST_BOTH(KeyValueTypesTest, EnumKeys) {
  auto map = make_map<MapOf<TypeParam, Colour, std::string>>();
  map.insert(Colour::red, "red");
  map.insert(Colour::blue, "blue");
  EXPECT_EQ(map.get(Colour::red), "red");
  EXPECT_FALSE(map.contains(Colour::green));
  EXPECT_EQ(map.batch_lock({Colour::blue, Colour::red}).size(), 2u);
}

LOCKMAP_TEST_BOTH(KeyValueTypesTest, PairAndTupleKeys) {
  auto pairs = make_map<MapOf<TypeParam, std::pair<int, std::string>, int>>();
  pairs.insert(std::pair(1, std::string("one")), 1);
  EXPECT_EQ(pairs.get(std::pair(1, std::string("one"))), 1);
  EXPECT_FALSE(pairs.contains(std::pair(1, std::string("two"))));
  auto tuples = make_map<MapOf<TypeParam, std::tuple<int, char, long>, int>>();
  tuples.insert(std::tuple(1, 'a', 2L), 1);
  EXPECT_EQ(tuples.get(std::tuple(1, 'a', 2L)), 1);
  EXPECT_FALSE(tuples.contains(std::tuple(1, 'b', 2L)));
  auto vectors = make_map<MapOf<TypeParam, std::vector<int>, int>>();
  vectors.insert(std::vector<int>{1, 2}, 1);
  EXPECT_EQ(vectors.get(std::vector<int>{1, 2}), 1);
  EXPECT_FALSE(vectors.contains(std::vector<int>{2, 1}));
}

LOCKMAP_TEST_BOTH(KeyValueTypesTest, PointerKeys) {
  int objects[3] = {};
  auto map = make_map<MapOf<TypeParam, int*, int>>();
  for (int i = 0; i < 3; ++i) map.insert(&objects[i], i);
  map.insert(nullptr, -1);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(map.get(&objects[i]), i);
  EXPECT_EQ(map.get(nullptr), -1);
}

struct ConstantHash {
  std::size_t operator()(int /*key*/) const { return 42; }
};

LOCKMAP_TEST_BOTH(KeyValueTypesTest, ConstantHashIsCorrect) {
  constexpr int keys = 500;
  for (std::size_t shards : {1u, 3u}) {
    auto map = make_map<MapOf<TypeParam, int, int, ConstantHash>>(shards);
    for (int key = 0; key < keys; ++key) map.insert(key, key * 2);
    for (int key = 0; key < keys; ++key) ASSERT_EQ(map.get(key), key * 2);
    EXPECT_FALSE(map.contains(keys));
    auto a = map.entry(1);
    auto b = map.entry(2);
    EXPECT_EQ(test::result_in_another_thread([&] { return map.get(3); }), 6);
    a.unlock();
    b.unlock();
    for (int key = 0; key < keys; key += 2) ASSERT_EQ(map.remove(key), key * 2);
    for (int key = 0; key < keys; ++key) ASSERT_EQ(map.contains(key), key % 2 == 1);
    test::expect_quiet(map);
  }
}

// Hash results of every width.
struct NarrowHash {
  std::uint8_t operator()(int key) const { return static_cast<std::uint8_t>(key); }
};

LOCKMAP_TEST_BOTH(KeyValueTypesTest, NarrowHashIsCorrect) {
  auto map = make_map<MapOf<TypeParam, int, int, NarrowHash>>();
  for (int key = 0; key < 1000; ++key) map.insert(key, key);
  for (int key = 0; key < 1000; ++key) ASSERT_EQ(map.get(key), key);
  EXPECT_EQ(map.size(), 1000u);
}

struct AvalanchingHash {
  using is_avalanching = void;
  std::size_t operator()(int key) const {
    return static_cast<std::size_t>(static_cast<std::uint64_t>(key) * 0x9E3779B97F4A7C15u);
  }
};

LOCKMAP_TEST_BOTH(KeyValueTypesTest, AvalanchingHash) {
  auto map = make_map<MapOf<TypeParam, int, int, AvalanchingHash>>();
  for (int key = 0; key < 1000; ++key) map.insert(key, key);
  for (int key = 0; key < 1000; ++key) ASSERT_EQ(map.get(key), key);
  test::expect_quiet(map);
}

// A weak hash shows in how many keys a lookup has to be compared with. A good one costs one
// comparison for a key that is there and, by chance, about one in a hundred lookups one more.
template <class Map>
void expect_few_comparisons(std::size_t keys, int step) {
  auto map = make_map<Map>(4);
  const auto key_at = [&](std::size_t i) { return static_cast<int>(i) * step; };
  equal_calls = 0;
  for (std::size_t i = 0; i < keys; ++i) map.insert(key_at(i), 0);
  EXPECT_LT(equal_calls, keys / 4) << "comparisons while inserting";
  EXPECT_EQ(map.size(), keys);

  equal_calls = 0;
  for (std::size_t i = 0; i < keys; ++i) std::ignore = map.contains(key_at(i));
  EXPECT_GE(equal_calls, keys);
  EXPECT_LT(equal_calls, keys + keys / 4) << "comparisons for keys that are there";

  const int to_absent = step == 1 ? -static_cast<int>(keys) : 1;
  equal_calls = 0;
  for (std::size_t i = 0; i < keys; ++i) std::ignore = map.contains(key_at(i) + to_absent);
  EXPECT_LT(equal_calls, keys / 4) << "comparisons for keys that are not";
  test::expect_quiet(map);
}

template <class Family>
using IdentityHashedMap =
    MapOf<Family, int, char, std::hash<int>, test::CountingEqual<std::equal_to<int>>>;

LOCKMAP_TEST_BOTH(KeyValueTypesTest, SequentialKeysUnderAnIdentityHash) {
  expect_few_comparisons<IdentityHashedMap<TypeParam>>(test::sanitized ? 100'000 : 1'000'000, 1);
}

LOCKMAP_TEST_BOTH(KeyValueTypesTest, MultiplesOf4096UnderAnIdentityHash) {
  expect_few_comparisons<IdentityHashedMap<TypeParam>>(test::sanitized ? 50'000 : 500'000, 4096);
}

LOCKMAP_TEST_BOTH(KeyValueTypesTest, SequentialKeysUnderTheDefaultHash) {
  expect_few_comparisons<
      MapOf<TypeParam, int, char, default_hash<int>, test::CountingEqual<std::equal_to<int>>>>(
      20'000, 1);
}

}  // namespace
}  // namespace lockmap
