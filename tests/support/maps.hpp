#pragma once

// The maps that every typed test runs over, and how tests make and check them.

#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>

#include <lockmap/lockmap.hpp>

#include "function_ref.hpp"
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

// LOCKMAP_TEST_BOTH(Fixture, Name) { ... } is TYPED_TEST over both families, where TypeParam is the
// family and Fixture<TypeParam> the fixture; the tests are Fixture/LockMap.Name and
// Fixture/LruLockMap.Name. It needs no list of types before, and takes the compiler a fraction of
// the time, for no template is instantiated to register a test.
struct FamilyTest {
  const char* family;
  const char* type;
  testing::Test* (*make)();
};

template <class Test>
testing::Test* make_test() {
  return new Test;
}

inline bool register_for(const FamilyTest& test, const char* fixture, const char* name,
                         const char* file, int line) {
  testing::RegisterTest((std::string(fixture) + "/" + test.family).c_str(), name, test.type,
                        nullptr, file, line, [make = test.make] { return make(); });
  return true;
}

#define LOCKMAP_TEST_BOTH(Fixture, Name)                                                        \
  template <class Family>                                                                       \
  class Fixture##_##Name##_Test : public Fixture<Family> {                                      \
    using TypeParam [[maybe_unused]] = Family;                                                  \
    using TestFixture [[maybe_unused]] = Fixture<Family>;                                       \
    void TestBody() override;                                                                   \
  };                                                                                            \
  [[maybe_unused]] const bool Fixture##_##Name##_registered =                                   \
      ::lockmap::test::register_for(                                                            \
          {::lockmap::test::LockMaps::name, "lockmap::test::LockMaps",                          \
           &::lockmap::test::make_test<Fixture##_##Name##_Test<::lockmap::test::LockMaps>>},    \
          #Fixture, #Name, __FILE__, __LINE__) &&                                               \
      ::lockmap::test::register_for(                                                            \
          {::lockmap::test::LruLockMaps::name, "lockmap::test::LruLockMaps",                    \
           &::lockmap::test::make_test<Fixture##_##Name##_Test<::lockmap::test::LruLockMaps>>}, \
          #Fixture, #Name, __FILE__, __LINE__);                                                 \
  template <class Family>                                                                       \
  void Fixture##_##Name##_Test<Family>::TestBody()

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

inline void expect_quiet(FunctionRef<void()> check_invariants, std::size_t nodes, std::size_t size,
                         bool empty) {
  EXPECT_NO_THROW(check_invariants());
  EXPECT_EQ(nodes, size);
  EXPECT_EQ(empty, size == 0);
}

// At a quiet point (no guard, no operation under way) the structure is consistent and every node
// is there because it holds a value.
template <class Map>
void expect_quiet(const Map& map) {
  expect_quiet([&] { detail::TestAccess::check_invariants(map); },
               detail::TestAccess::node_count(map), map.size(), map.empty());
}

// Whether nobody holds the key. Leaves nothing behind.
template <class Map, class Key>
bool is_free(Map& map, const Key& key) {
  return map.try_entry(key).has_value();
}

}  // namespace lockmap::test
