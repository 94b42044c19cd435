// Memory goes back to the allocator as keys go, whatever removes them; and keys, values and the
// addresses of what is held survive that.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "counting_allocator.hpp"
#include "maps.hpp"
#include "threads.hpp"
#include "throw_on.hpp"

namespace lockmap::test::memory_return {
namespace {

constexpr int kept_keys = 1000;

// A burst of keys, of which every `share`th is kept.
struct Burst {
  int share;

  int size() const { return kept_keys * share; }
  bool keeps(int key) const { return key % share == 0; }
};
constexpr Burst million{scaled(1000)};
constexpr Burst burst{scaled(200)};
constexpr int many = 100 * kept_keys;

// The most that a map may have: so many times what its keys need, and a fixed part for each shard.
constexpr std::size_t slack = 4;
constexpr std::size_t fixed_bytes_per_shard = 4096;

template <class Family, class Key, class Value>
struct Counted {
  using Allocator = CountingAllocator<std::pair<const Key, Value>>;
  using Map = MapOf<Family, Key, Value, default_hash<Key>, default_equal<Key>, Allocator>;

  static Map make(AllocationCount& count, std::size_t shards, int capacity = 0) {
    return make_map_with<Map>(
        Options{.initial_capacity = static_cast<std::size_t>(capacity), .shard_count = shards},
        default_hash<Key>{}, default_equal<Key>{}, Allocator(count));
  }

  // The bound for a map of that many keys: a map that has room for just them is the yardstick.
  static std::size_t limit(std::size_t shards, int keys) {
    AllocationCount count;
    const Map map = make(count, shards, keys);
    return slack * count.bytes + shards * fixed_bytes_per_shard;
  }
};

template <class Family>
class MemoryReturnTest : public testing::Test {
 protected:
  using Ints = Counted<Family, int, int>;
  using Map = typename Ints::Map;

  static void fill(Map& map, int keys) {
    for (int key = 0; key < keys; ++key) map.insert(key, -key);
  }

  // The kept keys, with their values, and no others are there.
  static void expect_kept(Map& map, const Burst& all) {
    EXPECT_EQ(map.size(), static_cast<std::size_t>(kept_keys));
    std::vector<int> visited;
    map.for_each([&](const int& key, const int& value) {
      EXPECT_EQ(value, -key);
      visited.push_back(key);
    });
    std::sort(visited.begin(), visited.end());
    ASSERT_EQ(visited.size(), static_cast<std::size_t>(kept_keys));
    for (int i = 0; i < kept_keys; ++i)
      ASSERT_EQ(visited[static_cast<std::size_t>(i)], i * all.share);
    for (const int key : visited) ASSERT_EQ(map.get(key), -key);
    EXPECT_FALSE(map.contains(1));
    expect_quiet(map);
  }

  // `remove(map)` leaves only what is kept of the all.
  template <class Remove>
  void expect_memory_back(const Burst& all, Remove remove) {
    for (const std::size_t shards : {std::size_t{1}, std::size_t{8}}) {
      SCOPED_TRACE(shards);
      {
        auto map = Ints::make(count_, shards);
        fill(map, all.size());
        const std::size_t full = count_.bytes;
        remove(map);
        EXPECT_LE(count_.bytes, Ints::limit(shards, kept_keys)) << "of " << full;
        expect_kept(map, all);
        // It grows again as it did before.
        map.clear();
        fill(map, all.size() / 2);
        EXPECT_EQ(map.size(), static_cast<std::size_t>(all.size() / 2));
        EXPECT_LE(count_.bytes, full);
      }
      EXPECT_EQ(count_.bytes, 0U);
    }
  }

  AllocationCount count_;
};

LOCKMAP_TEST_BOTH(MemoryReturnTest, ByRemove) {
  this->expect_memory_back(burst, [](auto& map) {
    for (int key = 0; key < burst.size(); ++key) {
      if (burst.keeps(key)) continue;
      ASSERT_EQ(map.remove(key), -key);
    }
  });
}

LOCKMAP_TEST_BOTH(MemoryReturnTest, ByRemoveInRandomOrder) {
  std::vector<int> order;
  for (int key = 0; key < burst.size(); ++key) {
    if (!burst.keeps(key)) order.push_back(key);
  }
  std::shuffle(order.begin(), order.end(), std::mt19937(1));
  this->expect_memory_back(burst, [&](auto& map) {
    for (const int key : order) ASSERT_EQ(map.remove(key), -key);
  });
}

LOCKMAP_TEST_BOTH(MemoryReturnTest, ByRetain) {
  this->expect_memory_back(million, [](auto& map) {
    const std::size_t removed = map.retain([](const int& key, int&) { return million.keeps(key); });
    EXPECT_EQ(removed, static_cast<std::size_t>(million.size() - kept_keys));
  });
}

LOCKMAP_TEST_BOTH(MemoryReturnTest, ByGuards) {
  this->expect_memory_back(burst, [](auto& map) {
    for (int key = 0; key < burst.size(); ++key) {
      if (burst.keeps(key)) continue;
      auto entry = map.entry(key);
      ASSERT_EQ(entry.remove(), -key);
    }
  });
}

LOCKMAP_TEST_BOTH(MemoryReturnTest, ByBatches) {
  this->expect_memory_back(burst, [](auto& map) {
    std::vector<int> keys;
    for (int key = 0; key < burst.size(); ++key) {
      if (!burst.keeps(key)) keys.push_back(key);
      if (keys.size() < 10'000 && key != burst.size() - 1) continue;
      for (auto& entry : map.batch_lock(std::exchange(keys, {}))) entry.remove();
    }
  });
}

// A burst of keys that are only locked, and never have a value.
LOCKMAP_TEST_BOTH(MemoryReturnTest, AfterManyAbsentKeysWereLocked) {
  auto map = TestFixture::Ints::make(this->count_, 8);
  for (int key = 0; key < burst.size(); key += burst.share) map.insert(key, -key);
  {
    std::vector<int> keys;
    for (int key = 0; key < burst.size(); ++key) {
      if (!burst.keeps(key)) keys.push_back(key);
    }
    const auto batch = map.batch_lock(keys);
    EXPECT_EQ(map.size(), static_cast<std::size_t>(kept_keys));
  }
  EXPECT_LE(this->count_.bytes, TestFixture::Ints::limit(8, kept_keys));
  this->expect_kept(map, burst);
}

// A held key stays where it is while everything around it goes.
LOCKMAP_TEST_BOTH(MemoryReturnTest, WhatIsHeldDoesNotMove) {
  for (const std::size_t shards : {std::size_t{1}, std::size_t{8}}) {
    auto map = TestFixture::Ints::make(this->count_, shards);
    this->fill(map, burst.size());
    {
      std::vector<typename TestFixture::Map::Entry> held;
      std::vector<std::pair<const int*, const int*>> addresses;
      for (int key = 0; key < burst.size(); key += 10 * burst.share) {
        held.push_back(map.entry(key));
        addresses.emplace_back(&held.back().key(), held.back().get());
      }
      for (int key = 0; key < burst.size(); ++key) {
        if (burst.keeps(key)) continue;
        ASSERT_EQ(map.remove(key), -key);
      }
      for (std::size_t i = 0; i < held.size(); ++i) {
        ASSERT_EQ(&held[i].key(), addresses[i].first);
        ASSERT_EQ(held[i].get(), addresses[i].second);
        ASSERT_EQ(held[i].value(), -held[i].key());
      }
    }
    this->expect_kept(map, burst);
    // Memory that had to stay for their sake goes with the next keys.
    const auto is_last = [](int key) { return key % (20 * burst.share) == 0; };
    map.retain([&](const int& key, int&) { return is_last(key); });
    EXPECT_LE(this->count_.bytes, TestFixture::Ints::limit(shards, kept_keys / 20));
    for (int key = 0; key < burst.size(); key += burst.share) {
      ASSERT_EQ(map.get(key), is_last(key) ? std::optional<int>(-key) : std::nullopt);
    }
    expect_quiet(map);
  }
}

// A key that is held for long keeps its neighbours' memory, and no more.
LOCKMAP_TEST_BOTH(MemoryReturnTest, AHeldKeyHoldsLittleBack) {
  constexpr std::size_t neighbourhood = 64 * 1024;
  auto map = TestFixture::Ints::make(this->count_, 1);
  this->fill(map, burst.size());
  const auto remove_but = [&map](int divisor) {
    for (int key = 0; key < burst.size(); ++key) {
      if (key % divisor != 0) map.remove(key);
    }
  };
  remove_but(burst.share / 4);  // so that what is held has moved before
  {
    const auto held = map.entry(0);
    remove_but(burst.share);
    EXPECT_LE(this->count_.bytes, TestFixture::Ints::limit(1, kept_keys) + neighbourhood);
    EXPECT_EQ(held.value(), 0);
  }
  this->expect_kept(map, burst);
}

// A walk sees every key that stays, once, though its callback removes all the others; what they
// took is given back when it has ended.
LOCKMAP_TEST_BOTH(MemoryReturnTest, ThroughAWalkThatIsUnderWay) {
  for (const std::size_t shards : {std::size_t{1}, std::size_t{8}}) {
    auto map = TestFixture::Ints::make(this->count_, shards);
    this->fill(map, burst.size());
    std::vector<int> visited;
    map.for_each([&](const int& at, const int& value) {
      EXPECT_EQ(value, -at);
      if (burst.keeps(at)) visited.push_back(at);
      if (visited.size() != 10 || !burst.keeps(at)) return;
      for (int key = 0; key < burst.size(); ++key) {
        if (burst.keeps(key)) continue;
        ASSERT_EQ(map.remove(key).value_or(-key), -key);
      }
    });
    std::sort(visited.begin(), visited.end());
    ASSERT_EQ(visited.size(), static_cast<std::size_t>(kept_keys));
    EXPECT_EQ(std::unique(visited.begin(), visited.end()), visited.end());
    EXPECT_LE(this->count_.bytes, TestFixture::Ints::limit(shards, kept_keys));
    this->expect_kept(map, burst);
  }
}

// A walk that is left early by an exception, or stays inside another, holds nothing back for long.
LOCKMAP_TEST_BOTH(MemoryReturnTest, AfterWalksThatWereLeft) {
  this->expect_memory_back(burst, [](auto& map) {
    EXPECT_THROW(map.for_each([](const int&, const int&) { throw Injected(); }), Injected);
    bool first = true;
    map.for_each([&](const int&, const int&) {
      if (!std::exchange(first, false)) return;
      EXPECT_THROW(map.retain([](const int&, int&) -> bool { throw Injected(); }), std::exception);
    });
    for (int key = 0; key < burst.size(); ++key) {
      if (burst.keeps(key)) continue;
      ASSERT_EQ(map.remove(key), -key);
    }
  });
}

// Keys that come and go around any number of keys: room is neither given back nor taken each time.
LOCKMAP_TEST_BOTH(MemoryReturnTest, ChurnDoesNotAllocate) {
  constexpr int keys = scaled(100'000);
  constexpr int step = keys / 500;
  constexpr int cycles = 20;
  auto map = TestFixture::Ints::make(this->count_, 1);
  for (int key = 0; key < keys; ++key) map.insert(key, -key);
  const std::size_t full = this->count_.bytes;
  const std::size_t before = this->count_.allocations;
  for (int end = keys - step; end > 0; end -= step) {
    for (int cycle = 0; cycle < cycles; ++cycle) {
      for (int key = end; key < end + step; ++key) ASSERT_EQ(map.remove(key), -key);
      if (cycle == cycles - 1) break;
      for (int key = end; key < end + step; ++key) map.insert(key, -key);
    }
  }
  EXPECT_EQ(map.size(), static_cast<std::size_t>(step));
  EXPECT_LT(this->count_.bytes, full / 10);
  // Each time that the map has halved it may move, and grow anew.
  EXPECT_LE(this->count_.allocations - before, 200U);
  expect_quiet(map);
}

// -- Other types ---------------------------------------------------------------------------------

bool is_one_of_few(int key) {
  return key % 100 == 0;
}

TEST(MemoryReturnTypesTest, StringsAsKeysAndMoveOnlyValues) {
  using Strings = Counted<LockMaps, std::string, std::unique_ptr<int>>;
  const auto text = [](int key) {
    return "a key that is too long to be small " + std::to_string(key);
  };
  AllocationCount count;
  auto map = Strings::make(count, 3);
  for (int key = 0; key < many; ++key) map.insert(text(key), std::make_unique<int>(key));
  const int* const last = map.entry(text(0)).value().get();
  for (int key = 0; key < many; ++key) {
    if (is_one_of_few(key)) continue;
    const auto removed = map.remove(text(key));
    ASSERT_TRUE(removed.has_value());
    ASSERT_EQ(**removed, key);
  }
  EXPECT_LE(count.bytes, Strings::limit(3, kept_keys));
  EXPECT_EQ(map.size(), static_cast<std::size_t>(kept_keys));
  EXPECT_EQ(map.entry(text(0)).value().get(), last);
  int visits = 0;
  map.for_each([&](const std::string& key, const std::unique_ptr<int>& value) {
    EXPECT_EQ(key, text(*value));
    EXPECT_TRUE(is_one_of_few(*value));
    ++visits;
  });
  EXPECT_EQ(visits, kept_keys);
  for (int key = 0; key < many; key += 100) ASSERT_EQ(*map.entry(text(key)).value(), key);
  expect_quiet(map);
}

// Values whose moves may throw are never moved to save memory: they stay, and so do their
// addresses, but memory without any of them goes.
TEST(MemoryReturnTypesTest, ValuesWhoseMovesMayThrow) {
  using Faults = Counted<LockMaps, int, Faulty>;
  AllocationCount count;
  {
    auto map = Faults::make(count, 1);
    for (int key = 0; key < many; ++key) map.insert(key, Faulty(key));
    const std::size_t full = count.bytes;
    const Faulty* last = nullptr;
    {
      const auto entry = map.entry(many - 1);
      last = entry.get();
    }
    {
      const FaultInjector injector(Step::move, 1, Repeat::always);
      EXPECT_EQ(map.retain([](const int& key, Faulty&) { return key >= many - kept_keys; }),
                static_cast<std::size_t>(many - kept_keys));
    }
    EXPECT_LT(count.bytes, full / 2);
    EXPECT_EQ(map.entry(many - 1).get(), last);
    EXPECT_EQ(map.size(), static_cast<std::size_t>(kept_keys));
    EXPECT_EQ(LiveObject::count(), kept_keys);
    map.for_each([](const int& key, const Faulty& value) { EXPECT_EQ(value.number(), key); });
    for (int key = 0; key < many; ++key) map.insert(key, Faulty(key));
    for (int key = 0; key < many; ++key) ASSERT_EQ(map.entry(key).value().number(), key);
    expect_quiet(map);
  }
  EXPECT_EQ(LiveObject::count(), 0);
  EXPECT_EQ(count.bytes, 0U);
}

// Giving back needs memory itself: without it, everything stays as it is.
TEST(MemoryReturnTypesTest, WithoutMemoryToMoveTo) {
  using Ints = Counted<LockMaps, int, int>;
  AllocationCount count;
  auto map = Ints::make(count, 1);
  for (int key = 0; key < many; ++key) map.insert(key, -key);
  {
    const FaultInjector injector(Step::allocate, 1, Repeat::always);
    for (int key = 0; key < many; ++key) {
      if (is_one_of_few(key)) continue;
      ASSERT_EQ(map.remove(key), -key);
    }
  }
  EXPECT_EQ(map.size(), static_cast<std::size_t>(kept_keys));
  for (int key = 0; key < many; key += 100) ASSERT_EQ(map.get(key), -key);
  expect_quiet(map);
  // With memory again, the next keys that go bring it back.
  map.retain([](const int& key, int&) { return key % 1000 == 0; });
  EXPECT_LE(count.bytes, Ints::limit(1, many / 1000));
  expect_quiet(map);
}

// -- The cache -----------------------------------------------------------------------------------

TEST(CacheMemoryReturnTest, BySetMaxSize) {
  using Ints = Counted<LruLockMaps, int, int>;
  for (const std::size_t shards : {std::size_t{1}, std::size_t{8}}) {
    AllocationCount count;
    auto cache = Ints::make(count, shards);
    for (int key = 0; key < million.size(); ++key) cache.insert(key, -key);
    cache.set_max_size(kept_keys);
    EXPECT_EQ(cache.size(), static_cast<std::size_t>(kept_keys));
    EXPECT_LE(count.bytes, Ints::limit(shards, kept_keys));
    int visits = 0;
    cache.for_each([&](const int& key, const int& value) {
      EXPECT_EQ(value, -key);
      ++visits;
    });
    EXPECT_EQ(visits, kept_keys);
    if (shards == 1) {
      // The order has moved with the keys.
      for (int key = million.size() - kept_keys; key < million.size(); ++key) {
        ASSERT_EQ(cache.pop_lru(), (std::pair<int, int>(key, -key)));
      }
    }
    expect_quiet(cache);
  }
}

TEST(CacheMemoryReturnTest, ByPopLru) {
  using Ints = Counted<LruLockMaps, int, int>;
  AllocationCount count;
  auto cache = Ints::make(count, 1);
  for (int key = 0; key < burst.size(); ++key) cache.insert(key, -key);
  for (int key = 0; key < burst.size() - kept_keys; ++key) {
    ASSERT_EQ(cache.pop_lru(), (std::pair<int, int>(key, -key)));
  }
  EXPECT_LE(count.bytes, Ints::limit(1, kept_keys));
  EXPECT_EQ(cache.get(burst.size() - 1), 1 - burst.size());
  expect_quiet(cache);
}

// Eviction in a burst of guards, which no bound holds back while they live.
TEST(CacheMemoryReturnTest, ByReleasingGuards) {
  using Ints = Counted<LruLockMaps, int, int>;
  AllocationCount count;
  auto cache = Ints::make(count, 1);
  cache.set_max_size(kept_keys);
  {
    std::vector<typename Ints::Map::Entry> held;
    for (int key = 0; key < many; ++key) {
      held.push_back(cache.entry(key));
      held.back().insert(-key);
    }
  }
  EXPECT_EQ(cache.size(), static_cast<std::size_t>(kept_keys));
  EXPECT_LE(count.bytes, Ints::limit(1, kept_keys));
  cache.for_each([&](const int& key, const int& value) { EXPECT_EQ(value, -key); });
  expect_quiet(cache);
}

}  // namespace
}  // namespace lockmap::test::memory_return
