// Caches whose values expire and have weights, many keys at a time, and sets.

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include <lockmap/lockmap.hpp>

#include "explore.hpp"
#include "lock_set_as_map.hpp"
#include "maps.hpp"
#include "pauses.hpp"
#include "specification.hpp"
#include "verdict.hpp"

namespace lockmap::test {
namespace {

template <class Value>
using Cache = LruLockMap<int, Value, PausingHash>;

template <class Value>
std::size_t weight_of(const Value& value) {
  return static_cast<std::size_t>(Numbered<Value>::number(value) % 5);
}

// When all is quiet and what has expired is gone, the weights that are left are those of the values
// that are there. The next history begins with none.
template <class Value>
Contents read_and_clear(Client<Cache<Value>>& client) {
  Cache<Value>& cache = client.map();
  cache.purge_expired();
  std::size_t weight = 0;
  std::size_t size = 0;
  read_all(client);
  cache.for_each([&](const int& /*key*/, const Value& value) {
    weight += weight_of(value);
    ++size;
  });
  EXPECT_EQ(cache.size(), size);
  if (cache.max_weight() != unlimited) {
    EXPECT_EQ(cache.weight(), weight);
  }
  EXPECT_LE(cache.weight(), cache.max_weight());
  detail::TestAccess::check_invariants(cache);
  cache.clear();
  return {};
}

template <class Value>
void expect_linearizable_times(std::size_t max_weight, int keys) {
  const MapSpecification specification(max_weight != unlimited);
  expect_linearizable(for_two_to_four_threads([&](int threads) {
    typename Cache<Value>::Hooks hooks;
    if (max_weight != unlimited) {
      hooks.weigh = [](const int& /*key*/, const Value& value) { return weight_of(value); };
    }
    Cache<Value> cache(
        {.max_size = 100, .shard_count = 1, .max_weight = max_weight, .now = &FakeClock::now},
        std::move(hooks));
    const Plan plan{.threads = threads, .keys = keys, .histories = scaled(1024)};
    const Findings findings = explore(
        cache, plan, [](Client<Cache<Value>>& client) { client.do_with_times(); },
        read_and_clear<Value>,
        [&](const History& history) { return verdict_by_key(specification, history); });
    expect_quiet(cache);
    EXPECT_GT(cache.stats().expirations, 0U);
    return findings;
  }));
}

TEST(TimedLinearizabilityTest, NumbersExpire) {
  expect_linearizable_times<std::uint64_t>(unlimited, 2);
}
TEST(TimedLinearizabilityTest, StringsExpire) {
  expect_linearizable_times<std::string>(unlimited, 2);
}
TEST(TimedLinearizabilityTest, NumbersWithWeightsExpire) {
  expect_linearizable_times<std::uint64_t>(6, 3);
}
TEST(TimedLinearizabilityTest, StringsWithWeightsExpire) {
  expect_linearizable_times<std::string>(6, 3);
}

template <class Map>
void expect_linearizable_many(std::size_t shards) {
  const MapSpecification specification;
  expect_linearizable(for_two_to_four_threads([&](int threads) {
    auto map = make_map<Map>(shards);
    const Plan plan{.threads = threads, .keys = 3, .histories = scaled(1024)};
    const Findings findings = explore(
        map, plan, [](Client<Map>& client) { client.do_many(); }, read_all<Map>,
        [&](const History& history) { return verdict_by_key(specification, history); });
    expect_quiet(map);
    return findings;
  }));
}

TEST(ManyLinearizabilityTest, OfNumbers) {
  expect_linearizable_many<LockMap<int, std::uint64_t, PausingHash>>(1);
}
TEST(ManyLinearizabilityTest, OfStrings) {
  expect_linearizable_many<LockMap<int, std::string, PausingHash>>(2);
}
TEST(ManyLinearizabilityTest, OfNumbersInACache) {
  expect_linearizable_many<Cache<std::uint64_t>>(2);
}
TEST(ManyLinearizabilityTest, OfStringsInACache) {
  expect_linearizable_many<Cache<std::string>>(1);
}

TEST(SetLinearizabilityTest, Locks) {
  using Set = LockSetAsMap<int, PausingHash>;
  const MapSpecification specification;
  expect_linearizable(for_two_to_four_threads([&](int threads) {
    Set set(Options{.shard_count = 1});
    const Plan plan{.threads = threads, .keys = 2, .histories = scaled(1024)};
    const Findings findings = explore(
        set, plan, [](Client<Set>& client) { client.do_locks(); },
        [](Client<Set>& client) {
          EXPECT_EQ(client.map().locked_count(), 0U);
          return Contents{};
        },
        [&](const History& history) { return verdict_by_key(specification, history); });
    return findings;
  }));
}

}  // namespace
}  // namespace lockmap::test
