// A cache that evicts: values may vanish while nobody holds their key, but they do not change, and
// they do not come back. Which ones vanish is the order's business.

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <utility>

#include <lockmap/lockmap.hpp>

#include "explore.hpp"
#include "maps.hpp"
#include "pauses.hpp"
#include "specification.hpp"
#include "verdict.hpp"

namespace lockmap::test {
namespace {

template <class Value>
class CacheLinearizabilityTest : public testing::Test {
 public:
  using Cache = LruLockMap<int, Value, PausingHash>;
  using CacheClient = Client<Cache>;

 protected:
  // More keys than the cache has room for. With a listener every eviction is an operation of the
  // history, without one a value may vanish at any time.
  static void expect_linearizable_evictions(LruOptions options, bool listens) {
    const MapSpecification specification(!listens);
    expect_linearizable(for_two_to_four_threads([&](int threads) {
      typename Cache::EvictionListener listener;
      if (listens) {
        listener = [](const int& key, Value& value) { CacheClient::note_eviction(key, value); };
      }
      Cache cache(options, std::move(listener));
      const Plan plan{.threads = threads, .keys = 4, .histories = scaled(1024)};
      const Findings findings = explore(
          cache, plan,
          [](CacheClient& client) {
            if (client.random().below(4) == 0) client.pop();
            client.do_anything();
          },
          [](CacheClient& client) {
            EXPECT_LE(client.map().size(), client.map().max_size());
            return read_all(client);
          },
          [&](const History& history) { return verdict_by_key(specification, history); });
      expect_quiet(cache);
      EXPECT_GT(cache.stats().evictions, 0U);
      return findings;
    }));
  }

  // The order of one shard, as one object with all its keys.
  static void expect_exact_order(bool one_at_a_time) {
    constexpr std::size_t bound = 3;
    const LruSpecification specification(bound);
    std::mutex turn;
    const Findings findings = for_two_to_four_threads([&](int threads) {
      Cache cache(LruOptions{.max_size = bound, .shard_count = 1});
      const Plan plan{.threads = threads, .keys = max_keys, .histories = scaled(1024)};
      return explore(
          cache, plan,
          [&](CacheClient& client) {
            if (one_at_a_time) {
              client.do_without_holding([&turn] { return std::unique_lock(turn); });
            } else {
              client.do_without_holding([] { return 0; });
            }
          },
          pop_all<Cache>,
          [&](const History& history) { return verdict_of_all(specification, history); });
    });
    if (one_at_a_time) {
      report(findings);
      EXPECT_TRUE(findings.wrong.empty()) << findings.wrong;
      EXPECT_EQ(findings.overlapping, 0);
    } else {
      expect_linearizable(findings);
    }
  }
};

struct ValueNames {
  template <class Value>
  static std::string GetName(int /*index*/) {
    return std::is_same_v<Value, std::string> ? "Strings" : "Numbers";
  }
};

using Values = testing::Types<std::uint64_t, std::string>;
TYPED_TEST_SUITE(CacheLinearizabilityTest, Values, ValueNames);

TYPED_TEST(CacheLinearizabilityTest, ValuesVanish) {
  this->expect_linearizable_evictions({.max_size = 2, .shard_count = 1}, false);
}
TYPED_TEST(CacheLinearizabilityTest, ValuesVanishFromTwoShards) {
  this->expect_linearizable_evictions({.max_size = 3, .shard_count = 2}, false);
}
TYPED_TEST(CacheLinearizabilityTest, EvictionsAreHeardOf) {
  this->expect_linearizable_evictions({.max_size = 2, .shard_count = 1}, true);
}
TYPED_TEST(CacheLinearizabilityTest, EvictionsFromTwoShardsAreHeardOf) {
  this->expect_linearizable_evictions({.max_size = 3, .shard_count = 2}, true);
}
TYPED_TEST(CacheLinearizabilityTest, OneAtATimeTheOrderIsExact) {
  this->expect_exact_order(true);
}

using NumbersCacheLinearizabilityTest = CacheLinearizabilityTest<std::uint64_t>;

// No operation of this test holds a key of numbers, so that none is passed over.
TEST_F(NumbersCacheLinearizabilityTest, TheOrderIsExact) {
  expect_exact_order(false);
}

}  // namespace
}  // namespace lockmap::test
