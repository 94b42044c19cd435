// shrink_to_fit(): what was reserved goes back, and the keys stay.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "counting_allocator.hpp"
#include "maps.hpp"
#include "throw_on.hpp"

namespace lockmap::test::shrink_to_fit {
namespace {

constexpr std::size_t reserved = 100'000;
constexpr int keys = 1000;

constexpr std::size_t slack = 4;
constexpr std::size_t fixed_bytes_per_shard = 4096;

template <class Family>
class ShrinkToFitTest : public testing::Test {
 protected:
  using Allocator = CountingAllocator<std::pair<const int, int>>;
  using Map = MapOf<Family, int, int, default_hash<int>, default_equal<int>, Allocator>;

  static Map make(AllocationCount& count, std::size_t shards, std::size_t capacity) {
    return make_map_with<Map>(Options{.initial_capacity = capacity, .shard_count = shards},
                              default_hash<int>{}, default_equal<int>{}, Allocator(count));
  }

  static std::size_t limit(std::size_t shards, std::size_t count_of_keys) {
    AllocationCount count;
    const Map map = make(count, shards, count_of_keys);
    return slack * count.bytes + shards * fixed_bytes_per_shard;
  }

  static void fill(Map& map, int count) {
    for (int key = 0; key < count; ++key) map.insert(key, -key);
  }

  static void expect_filled(Map& map, int count) {
    EXPECT_EQ(map.size(), static_cast<std::size_t>(count));
    for (int key = 0; key < count; ++key) ASSERT_EQ(map.get(key), -key);
    int visits = 0;
    map.for_each([&](const int& key, const int& value) {
      EXPECT_EQ(value, -key);
      ++visits;
    });
    EXPECT_EQ(visits, count);
    expect_quiet(map);
  }

  AllocationCount count_;
};

LOCKMAP_TEST_BOTH(ShrinkToFitTest, GivesBackWhatWasReserved) {
  for (const std::size_t shards : {std::size_t{1}, std::size_t{8}}) {
    {
      auto map = this->make(this->count_, shards, reserved);
      this->fill(map, keys);
      const std::size_t full = this->count_.bytes;
      map.shrink_to_fit();
      EXPECT_LT(this->count_.bytes, full / 10);
      EXPECT_LE(this->count_.bytes, this->limit(shards, keys));
      this->expect_filled(map, keys);
      // It grows as any other map.
      this->fill(map, 2 * keys);
      this->expect_filled(map, 2 * keys);
    }
    EXPECT_EQ(this->count_.bytes, 0U);
  }
}

LOCKMAP_TEST_BOTH(ShrinkToFitTest, OfAnEmptyMap) {
  auto map = this->make(this->count_, 4, reserved);
  map.shrink_to_fit();
  EXPECT_LE(this->count_.bytes, 4 * fixed_bytes_per_shard);
  map.shrink_to_fit();
  EXPECT_TRUE(map.empty());
  this->fill(map, keys);
  this->expect_filled(map, keys);
}

LOCKMAP_TEST_BOTH(ShrinkToFitTest, OfAMapThatFitsChangesLittle) {
  auto map = this->make(this->count_, 1, 0);
  this->fill(map, keys);
  map.shrink_to_fit();
  const std::size_t bytes = this->count_.bytes;
  for (int i = 0; i < 10; ++i) map.shrink_to_fit();
  EXPECT_LE(this->count_.bytes, bytes);
  this->expect_filled(map, keys);
}

// Room that was asked for is there until it is given back: nothing is allocated for its keys.
LOCKMAP_TEST_BOTH(ShrinkToFitTest, WithoutItWhatWasReservedStays) {
  auto map = this->make(this->count_, 1, keys);
  const std::size_t before = this->count_.allocations;
  for (int round = 0; round < 5; ++round) {
    this->fill(map, keys);
    for (int key = 0; key < keys; ++key) ASSERT_EQ(map.remove(key), -key);
  }
  EXPECT_EQ(this->count_.allocations, before);
}

LOCKMAP_TEST_BOTH(ShrinkToFitTest, WhatIsHeldStaysWhereItIs) {
  auto map = this->make(this->count_, 1, reserved);
  this->fill(map, keys);
  {
    std::vector<typename TestFixture::Map::Entry> held;
    std::vector<const int*> addresses;
    for (int key = 0; key < keys; key += 10) {
      held.push_back(map.entry(key));
      addresses.push_back(held.back().get());
    }
    const auto absent = map.entry(-1);
    map.shrink_to_fit();
    for (std::size_t i = 0; i < held.size(); ++i) {
      ASSERT_EQ(held[i].get(), addresses[i]);
      ASSERT_EQ(held[i].value(), -held[i].key());
    }
    EXPECT_EQ(absent.key(), -1);
  }
  this->expect_filled(map, keys);
  map.shrink_to_fit();
  EXPECT_LE(this->count_.bytes, this->limit(1, keys));
  this->expect_filled(map, keys);
}

LOCKMAP_TEST_BOTH(ShrinkToFitTest, DuringAWalk) {
  auto map = this->make(this->count_, 2, reserved);
  this->fill(map, keys);
  std::vector<int> visited;
  map.for_each([&](const int& key, const int& value) {
    EXPECT_EQ(value, -key);
    if (key % 100 == 0) map.shrink_to_fit();
    visited.push_back(key);
  });
  std::sort(visited.begin(), visited.end());
  ASSERT_EQ(visited.size(), static_cast<std::size_t>(keys));
  EXPECT_EQ(std::unique(visited.begin(), visited.end()), visited.end());
  this->expect_filled(map, keys);
}

LOCKMAP_TEST_BOTH(ShrinkToFitTest, WithoutMemoryEverythingStays) {
  auto map = this->make(this->count_, 1, reserved);
  this->fill(map, keys);
  {
    const FaultInjector injector(Step::allocate, 1, Repeat::always);
    map.shrink_to_fit();
  }
  this->expect_filled(map, keys);
}

}  // namespace
}  // namespace lockmap::test::shrink_to_fit
