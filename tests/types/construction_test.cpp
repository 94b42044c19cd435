// Options, shard counts, member types, and what happens to sizes that no machine can give.

#include <gtest/gtest.h>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "counting_allocator.hpp"
#include "maps.hpp"
#include "sanitizers.hpp"
#include "threads.hpp"

namespace lockmap {
namespace {

using test::AllocationCount;
using test::CountingAllocator;
using test::make_map;
using test::make_map_with;
using test::MapOf;

template <class Family>
class ConstructionTest : public ::testing::Test {
 protected:
  using Map = MapOf<Family, int, std::string>;
  using CountedMap = MapOf<Family, int, std::string, default_hash<int>, default_equal<int>,
                           CountingAllocator<std::pair<const int, std::string>>>;

  // The only bad size of a cache should be the one in the options, so its bound is none at all.
  template <class M, class... Extra>
  static M make_unbounded(Options options, Extra... extra) {
    if constexpr (test::is_lru<M>) {
      return M(LruOptions{.max_size = std::size_t{1} << 40U,
                          .initial_capacity = options.initial_capacity,
                          .shard_count = options.shard_count},
               typename M::EvictionListener{}, std::move(extra)...);
    } else {
      return M(options, std::move(extra)...);
    }
  }

  // Both exceptions are right: length_error for a size that overflows, bad_alloc for one that does
  // not and is too much all the same.
  template <class F>
  static void expect_too_much(F f) {
    bool refused = false;
    try {
      f();
    } catch (const std::length_error&) {
      refused = true;
    } catch (const std::bad_alloc&) {
      refused = true;
    }
    EXPECT_TRUE(refused);
  }
};

LOCKMAP_TEST_BOTH(ConstructionTest, MemberTypesFollowTheContainers) {
  using Alloc = CountingAllocator<std::pair<const int, std::string>>;
  using TestedMap = MapOf<TypeParam, int, std::string, std::hash<int>, std::equal_to<>, Alloc>;
  static_assert(std::same_as<typename TestedMap::key_type, int>);
  static_assert(std::same_as<typename TestedMap::mapped_type, std::string>);
  static_assert(std::same_as<typename TestedMap::size_type, std::size_t>);
  static_assert(std::same_as<typename TestedMap::hasher, std::hash<int>>);
  static_assert(std::same_as<typename TestedMap::key_equal, std::equal_to<>>);
  static_assert(std::same_as<typename TestedMap::allocator_type, Alloc>);
  static_assert(std::is_class_v<typename TestedMap::Entry>);
  static_assert(std::is_class_v<typename TestedMap::Batch>);

  using Default = MapOf<TypeParam, int, std::string>;
  static_assert(std::same_as<typename Default::hasher, default_hash<int>>);
  static_assert(std::same_as<typename Default::key_equal, default_equal<int>>);
  static_assert(std::same_as<typename Default::allocator_type,
                             std::allocator<std::pair<const int, std::string>>>);
}

LOCKMAP_TEST_BOTH(ConstructionTest, NeitherCopyableNorMovable) {
  using TestedMap = typename TestFixture::Map;
  static_assert(!std::is_copy_constructible_v<TestedMap>);
  static_assert(!std::is_copy_assignable_v<TestedMap>);
  static_assert(!std::is_move_constructible_v<TestedMap>);
  static_assert(!std::is_move_assignable_v<TestedMap>);
}

LOCKMAP_TEST_BOTH(ConstructionTest, NumbersDoNotBecomeMaps) {
  using TestedMap = typename TestFixture::Map;
  static_assert(!std::is_convertible_v<std::size_t, TestedMap>);
  static_assert(!std::is_convertible_v<Options, TestedMap>);
  static_assert(!std::is_convertible_v<LruOptions, TestedMap>);
}

LOCKMAP_TEST_BOTH(ConstructionTest, StartsEmpty) {
  auto map = make_map<typename TestFixture::Map>();
  EXPECT_EQ(map.size(), 0u);
  EXPECT_TRUE(map.empty());
  EXPECT_FALSE(map.contains(0));
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(ConstructionTest, ShardCountIsWhatWasAskedFor) {
  for (std::size_t shards : {1u, 2u, 3u, 7u, 64u, 100u, 256u}) {
    auto map = make_map<typename TestFixture::Map>(shards);
    EXPECT_EQ(map.shard_count(), shards);
    const auto& constant = map;
    EXPECT_EQ(constant.shard_count(), shards);
  }
}

LOCKMAP_TEST_BOTH(ConstructionTest, ShardCountOfZeroMeansADefault) {
  auto map = make_map<typename TestFixture::Map>(0);
  EXPECT_GE(map.shard_count(), 1u);
  auto again = make_map<typename TestFixture::Map>(0);
  EXPECT_EQ(again.shard_count(), map.shard_count());
}

template <class Shard>
constexpr std::size_t size_of_shard(const Entry<Shard>* /*entry*/) {
  return sizeof(Shard);
}

LOCKMAP_TEST_BOTH(ConstructionTest, AnEmptyShardTakesAsMuchAsTheReadmeSays) {
  constexpr const typename TestFixture::Map::Entry* no_entry = nullptr;
  EXPECT_LE(size_of_shard(no_entry), test::is_lru<typename TestFixture::Map> ? 640U : 384U);
}

LOCKMAP_TEST_BOTH(ConstructionTest, EveryShardCountServesEveryKey) {
  for (std::size_t shards : {1u, 3u, 256u}) {
    auto map = make_map<typename TestFixture::Map>(shards);
    for (int key = 0; key < 2000; ++key) map.insert(key, std::to_string(key));
    EXPECT_EQ(map.size(), 2000u);
    for (int key = 0; key < 2000; ++key) ASSERT_EQ(map.get(key), std::to_string(key));
    for (int key = 0; key < 2000; key += 2) ASSERT_EQ(map.remove(key), std::to_string(key));
    EXPECT_EQ(map.size(), 1000u);
    for (int key = 0; key < 2000; ++key) ASSERT_EQ(map.contains(key), key % 2 == 1);
    test::expect_quiet(map);
  }
}

LOCKMAP_TEST_BOTH(ConstructionTest, InitialCapacityIsOnlyAHint) {
  for (std::size_t capacity : {1u, 100u, 5000u}) {
    auto map = make_map_with<typename TestFixture::Map>(
        Options{.initial_capacity = capacity, .shard_count = 3});
    EXPECT_TRUE(map.empty());
    for (int key = 0; key < 1000; ++key) map.insert(key, "value");
    EXPECT_EQ(map.size(), 1000u);
    test::expect_quiet(map);
  }
}

LOCKMAP_TEST_BOTH(ConstructionTest, InitialCapacityMakesRoomBeforehand) {
  constexpr int keys = 1000;
  AllocationCount hinted;
  AllocationCount grown;
  const auto allocations_of_inserts = [](AllocationCount& count, std::size_t capacity) {
    auto map = make_map_with<typename TestFixture::CountedMap>(
        Options{.initial_capacity = capacity, .shard_count = 1}, default_hash<int>{},
        default_equal<int>{}, CountingAllocator<std::pair<const int, std::string>>(count));
    const std::size_t before = count.allocations;
    for (int key = 0; key < keys; ++key) map.insert(key, "value");
    return count.allocations - before;
  };
  EXPECT_LT(allocations_of_inserts(hinted, keys), allocations_of_inserts(grown, 0));
}

LOCKMAP_TEST_BOTH(ConstructionTest, ImpossibleShardCountsAreRefused) {
  using TestedMap = typename TestFixture::Map;
  std::vector<std::size_t> counts = {std::numeric_limits<std::size_t>::max(),
                                     std::numeric_limits<std::size_t>::max() / 2,
                                     std::numeric_limits<std::size_t>::max() / 2 + 1};
  // More than any machine has, but no overflow: sanitizers end the process instead of throwing.
  if (!test::sanitized) counts.push_back(std::size_t{1} << 48);
  for (std::size_t count : counts) {
    SCOPED_TRACE(count);
    TestFixture::expect_too_much(
        [&] { TestFixture::template make_unbounded<TestedMap>(Options{.shard_count = count}); });
  }
}

LOCKMAP_TEST_BOTH(ConstructionTest, ImpossibleCapacitiesAreRefused) {
  using TestedMap = typename TestFixture::Map;
  std::vector<std::size_t> capacities = {
      std::numeric_limits<std::size_t>::max(), std::numeric_limits<std::size_t>::max() - 1,
      std::numeric_limits<std::size_t>::max() / 2, std::numeric_limits<std::size_t>::max() / 2 + 1,
      std::numeric_limits<std::size_t>::max() / 8};
  if (!test::sanitized) capacities.push_back(std::size_t{1} << 48);
  for (std::size_t capacity : capacities) {
    for (std::size_t shards : {1u, 3u}) {
      SCOPED_TRACE(capacity);
      TestFixture::expect_too_much([&] {
        TestFixture::template make_unbounded<TestedMap>(
            Options{.initial_capacity = capacity, .shard_count = shards});
      });
    }
  }
}

LOCKMAP_TEST_BOTH(ConstructionTest, RefusedConstructionLeaksNothing) {
  using TestedMap = typename TestFixture::CountedMap;
  AllocationCount count;
  count.limit = std::size_t{1} << 16;
  for (std::size_t capacity : {std::size_t{1} << 20, std::numeric_limits<std::size_t>::max()}) {
    SCOPED_TRACE(capacity);
    TestFixture::expect_too_much([&] {
      TestFixture::template make_unbounded<TestedMap>(
          Options{.initial_capacity = capacity, .shard_count = 4}, default_hash<int>{},
          default_equal<int>{}, CountingAllocator<std::pair<const int, std::string>>(count));
    });
    EXPECT_EQ(count.bytes, 0u);
  }
}

LOCKMAP_TEST_BOTH(ConstructionTest, ConstructionThatFailsHalfWayLeaksNothing) {
  using TestedMap = typename TestFixture::CountedMap;
  AllocationCount count;
  int faults = 0;
  for (int nth = 1;; ++nth) {
    bool refused = false;
    {
      test::FaultInjector fault(test::Step::allocate, nth);
      try {
        TestFixture::template make_unbounded<TestedMap>(
            Options{.initial_capacity = 1000, .shard_count = 4}, default_hash<int>{},
            default_equal<int>{}, CountingAllocator<std::pair<const int, std::string>>(count));
      } catch (const test::Injected&) {
        refused = true;
      }
    }
    EXPECT_EQ(count.bytes, 0u);
    if (!refused) break;
    ++faults;
  }
  EXPECT_GT(faults, 0);
}

LOCKMAP_TEST_BOTH(ConstructionTest, MapsAreIndependent) {
  auto a = make_map<typename TestFixture::Map>();
  auto b = make_map<typename TestFixture::Map>();
  a.insert(1, "a");
  b.insert(1, "b");
  auto guard = a.entry(1);
  EXPECT_EQ(b.get(1), "b");
  EXPECT_EQ(guard.value(), "a");
}

TEST(LockMapConstructionTest, TakesNoArguments) {
  LockMap<int, int> map;
  EXPECT_GE(map.shard_count(), 1u);
  map.insert(1, 2);
  EXPECT_EQ(map.get(1), 2);
}

TEST(LruLockMapConstructionTest, TakesItsBound) {
  LruLockMap<int, int> map(1000);
  EXPECT_GE(map.shard_count(), 1u);
  map.insert(1, 2);
  EXPECT_EQ(map.get(1), 2);
  static_assert(!std::is_default_constructible_v<LruLockMap<int, int>>);
}

TEST(UnlimitedTest, IsTheLargestSize) {
  static_assert(unlimited == std::numeric_limits<std::size_t>::max());
  static_assert(std::same_as<decltype(unlimited), const std::size_t>);
}

}  // namespace
}  // namespace lockmap
