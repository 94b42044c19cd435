// Lookups by numbers of other types than the key: those that may change the value do not compile,
// all others find the key.

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "maps.hpp"

namespace lockmap {
namespace {

using test::make_map;
using test::MapOf;

using Names = std::vector<std::string>;

// The calls that look a key up, or may store one, by a Q.
template <class Map, class Q>
Names lookups_by() {
  Names names;
  using Batch = typename Map::Batch;
  if (requires(Map & map, const Q& q) { map.get(q); }) names.push_back("get");
  if (requires(Map & map, const Q& q) { map.contains(q); }) names.push_back("contains");
  if (requires(Map & map, const Q& q) { map.remove(q); }) names.push_back("remove");
  if (requires(Map & map, const Q& q) { map.peek(q); }) names.push_back("peek");
  if (requires(Batch & batch, const Q& q) { batch.find(q); }) names.push_back("find");
  if (requires(const Batch& batch, const Q& q) { batch.find(q); }) names.push_back("const find");
  if (requires(Batch & batch, const Q& q) { batch.at(q); }) names.push_back("at");
  if (requires(const Batch& batch, const Q& q) { batch.at(q); }) names.push_back("const at");
  if (requires(const Batch& batch, const Q& q) { batch.contains(q); }) {
    names.push_back("batch contains");
  }
  return names;
}

// As an lvalue and as an rvalue, for a deduced Q&& sees two types.
template <class Map, class Q>
Names stores_by() {
  using Seconds = std::chrono::seconds;
  using Time = std::chrono::steady_clock::time_point;
  Names names;
  const auto add = [&names](const char* name, bool by_lvalue, bool by_rvalue) {
    if (by_lvalue) names.push_back(name);
    if (by_rvalue) names.push_back(name + std::string(" of an rvalue"));
  };
  add(
      "insert", requires(Map & map, Q & q) { map.insert(q, 1); },
      requires(Map & map) { map.insert(Q{}, 1); });
  add(
      "try_insert", requires(Map & map, Q & q) { map.try_insert(q, 1); },
      requires(Map & map) { map.try_insert(Q{}, 1); });
  add(
      "entry", requires(Map & map, Q & q) { map.entry(q); },
      requires(Map & map) { map.entry(Q{}); });
  add(
      "try_entry", requires(Map & map, Q & q) { map.try_entry(q); },
      requires(Map & map) { map.try_entry(Q{}); });
  add(
      "try_entry_for", requires(Map & map, Q & q) { map.try_entry_for(q, Seconds(1)); },
      requires(Map & map) { map.try_entry_for(Q{}, Seconds(1)); });
  add(
      "try_entry_until", requires(Map & map, Q & q) { map.try_entry_until(q, Time()); },
      requires(Map & map) { map.try_entry_until(Q{}, Time()); });
  add(
      "get_or_insert_with",
      requires(Map & map, Q & q) { map.get_or_insert_with(q, [] { return 1; }); },
      requires(Map & map) { map.get_or_insert_with(Q{}, [] { return 1; }); });
  add(
      "batch_lock", requires(Map & map, std::array<Q, 2> & keys) { map.batch_lock(keys); },
      requires(Map & map) { map.batch_lock(std::array<Q, 2>{}); });
  add(
      "try_batch_lock", requires(Map & map, std::array<Q, 2> & keys) { map.try_batch_lock(keys); },
      requires(Map & map) { map.try_batch_lock(std::array<Q, 2>{}); });
  return names;
}

enum Plain { plain_zero, plain_one, plain_two };
enum Wide : std::int64_t { wide_zero };
enum Small : std::uint8_t { small_zero, small_one };
enum class Scoped { zero };

struct ToLong {
  operator std::int64_t() const { return 1; }
};

template <class Family>
class NarrowingTest : public ::testing::Test {
 protected:
  template <class Key, class Q>
  static void expect_refused() {
    EXPECT_EQ((lookups_by<MapOf<Family, Key, int>, Q>()), Names{});
    EXPECT_EQ((stores_by<MapOf<Family, Key, int>, Q>()), Names{});
  }

  template <class Key, class Q>
  static void expect_accepted() {
    using Map = MapOf<Family, Key, int>;
    EXPECT_EQ((lookups_by<Map, Q>().size()), test::is_lru<Map> ? 9U : 8U);
    EXPECT_EQ((stores_by<Map, Q>().size()), 18U);
  }
};
TYPED_TEST_SUITE(NarrowingTest, test::MapFamilies, test::FamilyNames);

TYPED_TEST(NarrowingTest, ToFewerBits) {
  TestFixture::template expect_refused<int, std::int64_t>();
  TestFixture::template expect_refused<std::int16_t, int>();
  TestFixture::template expect_refused<unsigned, std::uint64_t>();
  TestFixture::template expect_refused<char, int>();
  TestFixture::template expect_refused<bool, int>();
}

TYPED_TEST(NarrowingTest, ToTheOtherSign) {
  TestFixture::template expect_refused<unsigned, int>();
  TestFixture::template expect_refused<int, unsigned>();
  TestFixture::template expect_refused<std::uint64_t, std::int8_t>();
  TestFixture::template expect_refused<std::int64_t, std::size_t>();
}

TYPED_TEST(NarrowingTest, FromAndToFloatingPoint) {
  TestFixture::template expect_refused<int, double>();
  TestFixture::template expect_refused<std::int64_t, float>();
  TestFixture::template expect_refused<float, double>();
  TestFixture::template expect_refused<double, std::int64_t>();
}

TYPED_TEST(NarrowingTest, OfOtherThingsThanNumbers) {
  TestFixture::template expect_refused<int, Wide>();
  TestFixture::template expect_refused<bool, Plain>();
  TestFixture::template expect_refused<bool, const char*>();
  TestFixture::template expect_refused<int, ToLong>();
  TestFixture::template expect_refused<int, Scoped>();
}

TYPED_TEST(NarrowingTest, WhatFitsIsAccepted) {
  TestFixture::template expect_accepted<int, int>();
  TestFixture::template expect_accepted<std::int64_t, int>();
  TestFixture::template expect_accepted<std::int64_t, unsigned>();
  TestFixture::template expect_accepted<std::uint64_t, std::uint8_t>();
  TestFixture::template expect_accepted<int, char>();
  TestFixture::template expect_accepted<int, bool>();
  TestFixture::template expect_accepted<double, float>();
  TestFixture::template expect_accepted<int, Plain>();
  TestFixture::template expect_accepted<std::uint8_t, Small>();
  TestFixture::template expect_accepted<std::int64_t, ToLong>();
  TestFixture::template expect_accepted<std::int64_t, Wide>();
}

TYPED_TEST(NarrowingTest, WidenedNumbersFindTheirKey) {
  auto map = make_map<MapOf<TypeParam, std::int64_t, int>>();
  map.insert(-1, 10);
  map.insert(std::numeric_limits<unsigned>::max(), 20);
  EXPECT_EQ(map.size(), 2U);
  EXPECT_EQ(map.get(-1), 10);
  EXPECT_EQ(map.get(std::int8_t{-1}), 10);
  EXPECT_EQ(map.get(std::int64_t{-1}), 10);
  EXPECT_EQ(map.get(~0U), 20);
  EXPECT_EQ(map.entry(-1).value(), 10);
  EXPECT_EQ(map.get_or_insert_with(std::int16_t{-1}, [] { return 1; }), 10);
  EXPECT_EQ(map.batch_lock(std::array<std::int16_t, 2>{-1, 1}).at(std::int8_t{-1}).value(), 10);
  EXPECT_EQ(map.remove(~0U), 20);
  test::expect_quiet(map);
}

TYPED_TEST(NarrowingTest, EnumeratorsAndFloatsFindTheirKey) {
  auto numbers = make_map<MapOf<TypeParam, int, int>>();
  numbers.insert(plain_one, 10);
  EXPECT_EQ(numbers.get(1), 10);
  EXPECT_EQ(numbers.get(small_one), 10);
  EXPECT_EQ(numbers.get(true), 10);
  auto doubles = make_map<MapOf<TypeParam, double, int>>();
  doubles.insert(0.5F, 10);
  EXPECT_EQ(doubles.get(0.5), 10);
}

// A hash and an equality that take both types compare without a conversion.
struct AnyWidthHash {
  using is_transparent = void;
  std::size_t operator()(std::int64_t key) const { return std::hash<std::int64_t>{}(key); }
};
struct AnyWidthEqual {
  using is_transparent = void;
  bool operator()(std::int64_t a, std::int64_t b) const { return a == b; }
};

TYPED_TEST(NarrowingTest, NothingNarrowsWhereNothingIsConverted) {
  using Map = MapOf<TypeParam, int, int, AnyWidthHash, AnyWidthEqual>;
  auto map = make_map<Map>();
  map.insert(705032704, 1);
  EXPECT_EQ(map.get(std::int64_t{705032704}), 1);
  EXPECT_FALSE(map.contains(std::int64_t{5'000'000'000}));  // equal in the lower 32 bits
  // It could become a key nowhere.
  EXPECT_EQ((stores_by<Map, std::int64_t>()), Names{});
}

// Keys of class type choose themselves what they are made from.
struct Account {
  Account(int number_of_account) : number(number_of_account) {}
  int number;
  friend bool operator==(Account a, Account b) { return a.number == b.number; }
  template <class H>
  friend H AbslHashValue(H state, Account account) {
    return H::combine(std::move(state), account.number);
  }
};

TYPED_TEST(NarrowingTest, KeysOfClassType) {
  auto map = make_map<MapOf<TypeParam, Account, int>>();
  map.insert(7, 1);
  EXPECT_EQ(map.get(std::int16_t{7}), 1);
  EXPECT_EQ(map.get(Account(7)), 1);
}

}  // namespace
}  // namespace lockmap
