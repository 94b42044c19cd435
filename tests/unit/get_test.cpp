// get and contains.

#include <gtest/gtest.h>

#include <array>
#include <concepts>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

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
class GetTest : public ::testing::Test {
 protected:
  using Map = MapOf<Family, int, std::string>;
  using IntMap = MapOf<Family, int, int>;
};

LOCKMAP_TEST_BOTH(GetTest, ResultTypes) {
  using TestedMap = typename TestFixture::Map;
  static_assert(
      std::same_as<decltype(std::declval<const TestedMap&>().get(1)), std::optional<std::string>>);
  static_assert(std::same_as<decltype(std::declval<const TestedMap&>().contains(1)), bool>);
}

LOCKMAP_TEST_BOTH(GetTest, ReturnsTheStoredValue) {
  auto map = make_map<typename TestFixture::Map>();
  map.insert(1, "one");
  map.insert(2, "two");
  const auto& constant = map;
  EXPECT_EQ(constant.get(1), "one");
  EXPECT_EQ(constant.get(2), "two");
  EXPECT_TRUE(constant.contains(1));
  EXPECT_TRUE(constant.contains(2));
}

LOCKMAP_TEST_BOTH(GetTest, AbsentKeyHasNoValueAndStaysAbsent) {
  auto map = make_map<typename TestFixture::Map>();
  map.insert(1, "one");
  EXPECT_EQ(map.get(2), std::nullopt);
  EXPECT_FALSE(map.contains(2));
  EXPECT_EQ(map.size(), 1u);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(GetTest, ResultIsACopy) {
  auto map = make_map<typename TestFixture::Map>();
  map.insert(1, "one");
  auto copy = map.get(1);
  copy->append(" changed");
  EXPECT_EQ(map.get(1), "one");
  map.insert(1, "new");
  EXPECT_EQ(copy, "one changed");
}

LOCKMAP_TEST_BOTH(GetTest, OneCopyPerGetAndNoneForContains) {
  auto map = make_map<MapOf<TypeParam, int, Tracked>>();
  Tracked::reset();
  map.insert(1, Tracked(5));
  EXPECT_TRUE(map.contains(1));
  EXPECT_EQ(Tracked::copies(), 0);
  EXPECT_EQ(map.get(1)->number(), 5);
  EXPECT_EQ(Tracked::copies(), 1);
  EXPECT_EQ(Tracked::alive(), 1);
}

// Small trivially copyable values, larger ones and others are copied in different places.
LOCKMAP_TEST_BOTH(GetTest, CopiesValuesOfEverySize) {
  const auto round_trip = [](auto value) {
    auto map = make_map<MapOf<TypeParam, int, decltype(value)>>();
    map.insert(1, value);
    EXPECT_EQ(map.get(1), value);
    EXPECT_EQ(map.get(2), std::nullopt);
    test::expect_quiet(map);
  };
  round_trip('x');
  round_trip(std::array<char, 3>{'a', 'b', 'c'});
  round_trip(std::array<long, 8>{1, 2, 3, 4, 5, 6, 7, 8});
  round_trip(std::array<long, 9>{1, 2, 3, 4, 5, 6, 7, 8, 9});
  std::array<int, 1000> big{};
  big.back() = 7;
  round_trip(big);
  round_trip(std::vector<std::string>{"a", "b"});
}

LOCKMAP_TEST_BOTH(GetTest, SeesWhatTheHolderStored) {
  auto map = make_map<typename TestFixture::Map>();
  map.insert(1, "before");
  const auto got = test::expect_waits(
      map, 1, [&] { return map.get(1); }, [](auto& guard) { guard.insert("after"); });
  EXPECT_EQ(got, "after");
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(GetTest, SmallValuesWaitForTheHolderToo) {
  auto map = make_map<typename TestFixture::IntMap>();
  map.insert(1, 10);
  const auto got = test::expect_waits(
      map, 1, [&] { return map.get(1); }, [](auto& guard) { *guard = 20; });
  EXPECT_EQ(got, 20);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(GetTest, SeesThatTheHolderRemovedTheValue) {
  auto map = make_map<typename TestFixture::Map>();
  map.insert(1, "before");
  const auto got = test::expect_waits(
      map, 1, [&] { return map.get(1); }, [](auto& guard) { guard.remove(); });
  EXPECT_EQ(got, std::nullopt);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(GetTest, WaitsForAKeyThatIsOnlyLocked) {
  auto map = make_map<typename TestFixture::Map>();
  EXPECT_EQ(test::expect_waits(map, 1, [&] { return map.get(1); }), std::nullopt);
  EXPECT_EQ(test::expect_waits(
                map, 1, [&] { return map.get(1); }, [](auto& guard) { guard.insert("new"); }),
            "new");
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(GetTest, ContainsWaitsForTheHolder) {
  auto map = make_map<typename TestFixture::Map>();
  EXPECT_TRUE(test::expect_waits(
      map, 1, [&] { return map.contains(1); }, [](auto& guard) { guard.insert("new"); }));
  EXPECT_FALSE(test::expect_waits(
      map, 1, [&] { return map.contains(1); }, [](auto& guard) { guard.remove(); }));
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(GetTest, ManyReadersOfOneKey) {
  auto map = make_map<typename TestFixture::Map>(1);
  map.insert(1, "one");
  test::run_together(4, [&](int) {
    for (int i = 0; i < 500; ++i) {
      EXPECT_EQ(map.get(1), "one");
      EXPECT_TRUE(map.contains(1));
      EXPECT_FALSE(map.contains(2));
    }
  });
  EXPECT_EQ(map.size(), 1u);
  test::expect_quiet(map);
}

}  // namespace
}  // namespace lockmap
