// Lookups by numbers of other types than the key: those that may change the value do not compile
// (compile_fail), all others find the key.

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <utility>

#include "maps.hpp"

namespace lockmap {
namespace {

using test::make_map;
using test::MapOf;

enum Plain { plain_zero, plain_one, plain_two };
enum Wide : std::int64_t { wide_zero };
enum Small : std::uint8_t { small_zero, small_one };
enum class Scoped { zero };

struct ToLong {
  operator std::int64_t() const { return 1; }
};

template <class Key, class Q>
constexpr bool accepted = detail::LookupKey<Q, Key, default_hash<Key>, default_equal<Key>>&&
    detail::StoredKey<Q, Key, default_hash<Key>, default_equal<Key>>&& detail::MakesKey<Q, Key>;
template <class Key, class Q>
constexpr bool refused =
    !detail::LookupKey<Q, Key, default_hash<Key>, default_equal<Key>> &&
    !detail::StoredKey<Q, Key, default_hash<Key>, default_equal<Key>> && !detail::MakesKey<Q, Key>;

// To fewer bits, ...
static_assert(refused<int, std::int64_t> && refused<std::int16_t, int>);
static_assert(refused<unsigned, std::uint64_t> && refused<char, int> && refused<bool, int>);
// ... to the other sign, ...
static_assert(refused<unsigned, int> && refused<int, unsigned>);
static_assert(refused<std::uint64_t, std::int8_t> && refused<std::int64_t, std::size_t>);
// ... from and to floating point, ...
static_assert(refused<int, double> && refused<std::int64_t, float>);
static_assert(refused<float, double> && refused<double, std::int64_t>);
// ... and of other things than numbers.
static_assert(refused<int, Wide> && refused<bool, Plain> && refused<bool, const char*>);
static_assert(refused<int, ToLong> && refused<int, Scoped>);

static_assert(accepted<int, int> && accepted<std::int64_t, int>);
static_assert(accepted<std::int64_t, unsigned> && accepted<std::uint64_t, std::uint8_t>);
static_assert(accepted<int, char> && accepted<int, bool> && accepted<double, float>);
static_assert(accepted<int, Plain> && accepted<std::uint8_t, Small>);
static_assert(accepted<std::int64_t, ToLong> && accepted<std::int64_t, Wide>);

template <class Family>
class NarrowingTest : public ::testing::Test {};

LOCKMAP_TEST_BOTH(NarrowingTest, WidenedNumbersFindTheirKey) {
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

LOCKMAP_TEST_BOTH(NarrowingTest, EnumeratorsAndFloatsFindTheirKey) {
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

LOCKMAP_TEST_BOTH(NarrowingTest, NothingNarrowsWhereNothingIsConverted) {
  using Map = MapOf<TypeParam, int, int, AnyWidthHash, AnyWidthEqual>;
  auto map = make_map<Map>();
  map.insert(705032704, 1);
  EXPECT_EQ(map.get(std::int64_t{705032704}), 1);
  EXPECT_FALSE(map.contains(std::int64_t{5'000'000'000}));  // equal in the lower 32 bits
}

// A constant that fits is accepted whatever its type is, as in list-initialisation.
LOCKMAP_TEST_BOTH(NarrowingTest, ConstantsFindTheirKey) {
  auto map = make_map<MapOf<TypeParam, std::uint64_t, int>>();
  map.insert(1, 10);
  EXPECT_TRUE(map.try_insert(2, 20));
  EXPECT_EQ(map.get(1), 10);
  EXPECT_TRUE(map.contains(2));
  EXPECT_EQ(map.entry(2).value(), 20);
  EXPECT_TRUE(map.try_entry(3).has_value());
  EXPECT_TRUE(map.try_entry_for(3, std::chrono::seconds(1)).has_value());
  EXPECT_TRUE(map.find_entry(1).has_value());
  EXPECT_EQ(map.get_or_insert_with(4, [] { return 40; }), 40);
  auto batch = map.batch_lock({1, 2, 5});
  EXPECT_EQ(batch.at(1).value(), 10);
  EXPECT_TRUE(batch.contains(5));
  EXPECT_EQ(batch.find(6), nullptr);
  batch = map.batch_lock({7});
  EXPECT_EQ(map.remove(4), 40);
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

LOCKMAP_TEST_BOTH(NarrowingTest, KeysOfClassType) {
  auto map = make_map<MapOf<TypeParam, Account, int>>();
  map.insert(7, 1);
  EXPECT_EQ(map.get(std::int16_t{7}), 1);
  EXPECT_EQ(map.get(Account(7)), 1);
}

}  // namespace
}  // namespace lockmap
