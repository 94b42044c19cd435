// for_each stops when its callback returns a bool that is false, and only then.

#include <gtest/gtest.h>

#include <cstddef>
#include <optional>
#include <set>
#include <type_traits>

#include <lockmap/lockmap.hpp>

#include "maps.hpp"
#include "threads.hpp"

namespace lockmap::test::walk_ends_early {
namespace {

constexpr int keys = 1000;

template <class Family>
class WalkEndsEarlyTest : public testing::Test {
 protected:
  using Map = MapOf<Family, int, int>;

  void SetUp() override {
    for (int key = 0; key < keys; ++key) map_.insert(key, -key);
  }

  Map map_ = make_map<Map>(7);
};

LOCKMAP_TEST_BOTH(WalkEndsEarlyTest, AtOnce) {
  int visits = 0;
  this->map_.for_each([&](const int&, const int&) {
    ++visits;
    return false;
  });
  EXPECT_EQ(visits, 1);
  expect_quiet(this->map_);
}

LOCKMAP_TEST_BOTH(WalkEndsEarlyTest, AfterAnyNumberOfKeys) {
  for (const std::size_t most : {std::size_t{1}, std::size_t{2}, std::size_t{100},
                                 std::size_t{keys - 1}, std::size_t{keys}}) {
    std::set<int> visited;
    this->map_.for_each([&](const int& key, const int& value) {
      EXPECT_EQ(value, -key);
      EXPECT_TRUE(visited.insert(key).second);
      return visited.size() < most;
    });
    EXPECT_EQ(visited.size(), most);
  }
  expect_quiet(this->map_);
}

LOCKMAP_TEST_BOTH(WalkEndsEarlyTest, WhenItHasFoundWhatItLookedFor) {
  for (const int wanted : {0, 17, keys - 1, keys}) {
    std::optional<int> found;
    this->map_.for_each([&](const int& key, const int& value) -> bool {
      EXPECT_FALSE(found.has_value());
      if (key == wanted) found = value;
      return !found.has_value();
    });
    EXPECT_EQ(found, wanted < keys ? std::optional<int>(-wanted) : std::nullopt);
  }
}

LOCKMAP_TEST_BOTH(WalkEndsEarlyTest, OnlyABoolIsAVerdict) {
  int visits = 0;
  this->map_.for_each([&](const int&, const int&) { ++visits; });
  EXPECT_EQ(visits, keys);
  this->map_.for_each([&](const int& key, const int&) { return visits -= key < 0 ? 0 : 1; });
  EXPECT_EQ(visits, 0);
  const void* const nothing = nullptr;
  this->map_.for_each([&](const int&, const int&) {
    ++visits;
    return nothing;
  });
  EXPECT_EQ(visits, keys);
  this->map_.for_each([&](const int&, const int&) {
    ++visits;
    return true;
  });
  EXPECT_EQ(visits, 2 * keys);
}

// The rest of the keys is not waited for.
LOCKMAP_TEST_BOTH(WalkEndsEarlyTest, BeforeItComesToAHeldKey) {
  auto& map = this->map_;
  std::optional<int> first;
  map.for_each([&](const int& key, const int&) {
    first = key;
    return false;
  });
  auto held = map.batch_lock({(*first + 1) % keys, (*first + 2) % keys});
  in_another_thread([&] {
    map.for_each([&](const int& key, const int&) {
      EXPECT_EQ(key, *first);
      return false;
    });
  });
  EXPECT_EQ(held.size(), 2U);
}

LOCKMAP_TEST_BOTH(WalkEndsEarlyTest, NoKeyStaysHeld) {
  auto& map = this->map_;
  int last = -1;
  map.for_each([&](const int& key, const int&) {
    last = key;
    in_another_thread([&] { EXPECT_FALSE(is_free(map, last)); });
    return false;
  });
  in_another_thread([&] { EXPECT_TRUE(is_free(map, last)); });
}

// Through a const map, and by a function that is no lambda.
bool never(const int& /*key*/, const int& /*value*/) {
  return false;
}

LOCKMAP_TEST_BOTH(WalkEndsEarlyTest, OfAConstMap) {
  const auto& map = this->map_;
  static_assert(std::is_void_v<decltype(map.for_each(never))>);
  map.for_each(never);
  map.for_each(&never);
}

}  // namespace
}  // namespace lockmap::test::walk_ends_early
