// Values that cannot be moved, in everything that moves none.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include "maps.hpp"

namespace lockmap {
namespace {

using test::make_map;
using test::MapOf;

class Immovable {
 public:
  explicit Immovable(int number) : number_(number) { ++alive_; }
  Immovable(const Immovable&) = delete;
  Immovable& operator=(const Immovable&) = delete;
  ~Immovable() { --alive_; }

  int number() const { return number_; }
  void add(int more) { number_ += more; }

  static int alive() { return alive_; }

 private:
  static inline std::atomic<int> alive_ = 0;

  int number_;
};
static_assert(!std::is_move_constructible_v<Immovable>);

template <class Family>
class ImmovableValuesTest : public ::testing::Test {
 protected:
  using Map = MapOf<Family, int, Immovable>;
};

LOCKMAP_TEST_BOTH(ImmovableValuesTest, Emplace) {
  auto map = make_map<typename TestFixture::Map>();
  EXPECT_EQ(map.entry(1).emplace(10).number(), 10);
  EXPECT_EQ(map.entry(1).emplace(11).number(), 11);
  EXPECT_EQ(Immovable::alive(), 1);
  EXPECT_EQ(map.size(), 1U);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(ImmovableValuesTest, OrInsertWith) {
  auto map = make_map<typename TestFixture::Map>();
  EXPECT_EQ(map.entry(1).or_insert_with([] { return Immovable(10); }).number(), 10);
  EXPECT_EQ(map.entry(1).or_insert_with([] { return Immovable(11); }).number(), 10);
  EXPECT_THROW(
      map.entry(2).or_insert_with([]() -> Immovable { throw std::runtime_error("no value"); }),
      std::runtime_error);
  EXPECT_EQ(map.size(), 1U);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(ImmovableValuesTest, Batches) {
  auto map = make_map<typename TestFixture::Map>();
  for (auto& entry : map.batch_lock({2, 1})) entry.emplace(entry.key() * 10);
  EXPECT_EQ(map.batch_lock({1, 2}).at(2)->number(), 20);
}

LOCKMAP_TEST_BOTH(ImmovableValuesTest, WholeMap) {
  auto map = make_map<typename TestFixture::Map>();
  for (int key = 0; key < 100; ++key) map.entry(key).emplace(key);
  int sum = 0;
  map.for_each([&sum](int, const Immovable& value) { sum += value.number(); });
  EXPECT_EQ(sum, 99 * 100 / 2);
  EXPECT_EQ(map.retain([](int key, Immovable&) { return key % 2 == 0; }), 50U);
  EXPECT_EQ(Immovable::alive(), 50);
  map.clear();
  EXPECT_EQ(Immovable::alive(), 0);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(ImmovableValuesTest, Mutexes) {
  auto map = make_map<MapOf<TypeParam, int, std::mutex>>();
  auto entry = map.entry(1);
  const std::lock_guard<std::mutex> lock(entry.emplace());
  EXPECT_EQ(map.size(), 1U);
}

TEST(ImmovableValuesOfCacheTest, AreEvicted) {
  {
    LruLockMap<int, Immovable> cache(LruOptions{.max_size = 2, .shard_count = 1});
    for (int key = 0; key < 10; ++key) cache.entry(key).emplace(key);
    EXPECT_EQ(cache.size(), 2U);
    EXPECT_EQ(Immovable::alive(), 2);
    cache.set_max_size(1);
    EXPECT_EQ(Immovable::alive(), 1);
  }
  EXPECT_EQ(Immovable::alive(), 0);
}

TEST(ImmovableValuesOfCacheTest, AreShownToTheListener) {
  int seen = 0;
  LruLockMap<int, Immovable> cache(
      LruOptions{.max_size = 1, .shard_count = 1},
      [&seen](const int&, Immovable& value) { seen = value.number(); });
  cache.entry(1).emplace(10);
  cache.entry(2).emplace(20);
  EXPECT_EQ(seen, 10);
}

}  // namespace
}  // namespace lockmap
