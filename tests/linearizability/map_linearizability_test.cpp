// Both maps, the cache with a bound that it never reaches: whatever threads do to a key looks as if
// they had done it one after the other, and so does what they do to several keys by a batch.

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include <lockmap/lockmap.hpp>

#include "explore.hpp"
#include "maps.hpp"
#include "pauses.hpp"
#include "specification.hpp"
#include "verdict.hpp"

namespace lockmap::test {
namespace {

template <class FamilyAndValue>
class MapLinearizabilityTest : public testing::Test {
 public:
  using TestedMap = MapOf<std::tuple_element_t<0, FamilyAndValue>, int,
                          std::tuple_element_t<1, FamilyAndValue>, PausingHash>;
  using TestedClient = Client<TestedMap>;

 protected:
  static void expect_linearizable_by_key(int keys, std::size_t shards) {
    const MapSpecification specification;
    expect_linearizable(for_two_to_four_threads([&](int threads) {
      auto map = make_map<TestedMap>(shards);
      const Plan plan{.threads = threads, .keys = keys, .histories = scaled(1024)};
      const Findings findings = explore(
          map, plan, [](TestedClient& client) { client.do_anything(); }, read_all<TestedMap>,
          [&](const History& history) { return verdict_by_key(specification, history); });
      expect_quiet(map);
      return findings;
    }));
  }

  static void expect_linearizable_pairs(int keys, std::size_t shards) {
    const MapSpecification specification;
    expect_linearizable(for_two_to_four_threads([&](int threads) {
      auto map = make_map<TestedMap>(shards);
      const Plan plan{.threads = threads, .keys = keys, .histories = scaled(1024)};
      const Findings findings = explore(
          map, plan, [](TestedClient& client) { client.do_pairs(); }, read_all<TestedMap>,
          [&](const History& history) { return verdict_of_all(specification, history); });
      expect_quiet(map);
      return findings;
    }));
  }
};

struct FamilyAndValueNames {
  template <class FamilyAndValue>
  static std::string GetName(int /*index*/) {
    using Value = std::tuple_element_t<1, FamilyAndValue>;
    return std::string(std::tuple_element_t<0, FamilyAndValue>::name) +
           (std::is_same_v<Value, std::string> ? "OfStrings" : "OfNumbers");
  }
};

// Numbers are copied and replaced in the shard, strings under their key's lock.
using FamiliesAndValues =
    testing::Types<std::pair<LockMaps, std::uint64_t>, std::pair<LockMaps, std::string>,
                   std::pair<LruLockMaps, std::uint64_t>, std::pair<LruLockMaps, std::string>>;
TYPED_TEST_SUITE(MapLinearizabilityTest, FamiliesAndValues, FamilyAndValueNames);

TYPED_TEST(MapLinearizabilityTest, OneKey) {
  this->expect_linearizable_by_key(1, 1);
}
TYPED_TEST(MapLinearizabilityTest, TwoKeysInOneShard) {
  this->expect_linearizable_by_key(2, 1);
}
TYPED_TEST(MapLinearizabilityTest, ThreeKeys) {
  this->expect_linearizable_by_key(3, 2);
}
TYPED_TEST(MapLinearizabilityTest, PairsOfTwoKeys) {
  this->expect_linearizable_pairs(2, 2);
}
TYPED_TEST(MapLinearizabilityTest, PairsOfThreeKeysInOneShard) {
  this->expect_linearizable_pairs(3, 1);
}

}  // namespace
}  // namespace lockmap::test
