// Trivially copyable values with a constructor template that is a better match than the copy
// constructor for an lvalue that is not const.

#include <gtest/gtest.h>

#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "maps.hpp"

namespace lockmap {
namespace {

using test::make_map;
using test::MapOf;

struct Greedy {
  static Greedy of(int number) {
    Greedy made;
    made.number = number;
    return made;
  }
  Greedy() = default;
  Greedy(const Greedy&) = default;
  Greedy(Greedy&&) = default;
  template <class T>
  Greedy(T&& /*other*/) : number(-1) {}
  Greedy& operator=(const Greedy&) = default;
  Greedy& operator=(Greedy&&) = default;
  ~Greedy() = default;

  int number = 0;
};
static_assert(std::is_trivially_copyable_v<Greedy>);

template <class Family>
class GreedyValueTest : public ::testing::Test {
 protected:
  using Map = MapOf<Family, int, Greedy>;
};

LOCKMAP_TEST_BOTH(GreedyValueTest, OfOperations) {
  auto map = make_map<typename TestFixture::Map>();
  map.insert(1, Greedy::of(10));
  EXPECT_EQ(map.get(1)->number, 10);
  EXPECT_EQ(map.get_or_insert_with(1, [] { return Greedy::of(11); }).number, 10);
  EXPECT_EQ(map.insert(1, Greedy::of(12))->number, 10);
  EXPECT_EQ(map.get(1)->number, 12);
  EXPECT_TRUE(map.try_insert(2, Greedy::of(20)));
  EXPECT_EQ(map.get(2)->number, 20);
  EXPECT_EQ(map.get_or_insert_with(3, [] { return Greedy::of(30); }).number, 30);
  EXPECT_EQ(map.get(3)->number, 30);
  map.for_each([](int key, const Greedy& value) { EXPECT_GE(value.number, key * 10); });
  EXPECT_EQ(map.remove(1)->number, 12);
  EXPECT_EQ(map.remove(2)->number, 20);
}

LOCKMAP_TEST_BOTH(GreedyValueTest, OfEntries) {
  auto map = make_map<typename TestFixture::Map>();
  auto entry = map.entry(1);
  const Greedy fallback = Greedy::of(1);
  EXPECT_EQ(entry.value_or(fallback).number, 1);
  EXPECT_EQ(entry.or_insert_with([] { return Greedy::of(10); }).number, 10);
  EXPECT_EQ(entry.value_or(fallback).number, 10);
  EXPECT_EQ(entry.insert(Greedy::of(11))->number, 10);
  EXPECT_EQ(entry.swap(Greedy::of(12))->number, 11);
  EXPECT_EQ(entry.remove()->number, 12);
}

TEST(GreedyValueOfCacheTest, PeekAndPop) {
  LruLockMap<int, Greedy> cache(10);
  cache.insert(1, Greedy::of(10));
  EXPECT_EQ(cache.peek(1)->number, 10);
  EXPECT_EQ(cache.pop_lru()->second.number, 10);
}

}  // namespace
}  // namespace lockmap
