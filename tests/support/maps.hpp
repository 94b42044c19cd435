#pragma once

// The maps that every typed test runs over, and how tests make and check them.

#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>

#include <lockmap/lockmap.hpp>

#include "test_access.hpp"

namespace lockmap::test {

// A family chooses the map, the test chooses its types: MapOf<Family, int, std::string>.
struct LockMaps {
  static constexpr const char* name = "LockMap";
  template <class... Types>
  using Map = LockMap<Types...>;
};

struct LruLockMaps {
  static constexpr const char* name = "LruLockMap";
  template <class... Types>
  using Map = LruLockMap<Types...>;
};

template <class Family, class... Types>
using MapOf = typename Family::template Map<Types...>;

using MapFamilies = ::testing::Types<LockMaps, LruLockMaps>;

struct FamilyNames {
  template <class Family>
  static std::string GetName(int /*index*/) {
    return Family::name;
  }
};

template <class Map>
inline constexpr bool is_lru = false;
template <class... Types>
inline constexpr bool is_lru<LruLockMap<Types...>> = true;

// No test that runs over both maps ever reaches this bound, so the cache never evicts in them.
inline constexpr std::size_t large_bound = std::size_t{1} << 30;

inline constexpr std::size_t default_test_shards = 3;

// `extra` is what follows the options in LockMap's constructor: hash, equality, allocator.
template <class Map, class... Extra>
Map make_map_with(Options options, Extra... extra) {
  if constexpr (is_lru<Map>) {
    return Map(LruOptions{.max_size = large_bound,
                          .initial_capacity = options.initial_capacity,
                          .shard_count = options.shard_count},
               typename Map::EvictionListener{}, std::move(extra)...);
  } else {
    return Map(options, std::move(extra)...);
  }
}

template <class Map, class... Extra>
Map make_map(std::size_t shards = default_test_shards, Extra... extra) {
  return make_map_with<Map>(Options{.shard_count = shards}, std::move(extra)...);
}

// At a quiet point (no guard, no operation under way) the structure is consistent and every node
// is there because it holds a value.
template <class Map>
void expect_quiet(const Map& map) {
  EXPECT_NO_THROW(detail::TestAccess::check_invariants(map));
  EXPECT_EQ(detail::TestAccess::node_count(map), map.size());
  EXPECT_EQ(map.empty(), map.size() == 0);
}

// Whether nobody holds the key. Leaves nothing behind.
template <class Map, class Key>
bool is_free(Map& map, const Key& key) {
  return map.try_entry(key).has_value();
}

}  // namespace lockmap::test
